"""Check this installation: versions, window, torch, GPU, memory and folders, one line each.

Checks that may crash run in a child process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from napari_dojo import __version__
from napari_dojo.paths import lab_folders, models_folder, runs_folder

__all__ = ["Check", "checks", "report"]

BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
CUDA_HOW = (
    "To change that: `pip uninstall torch`, then the install command that https://pytorch.org/get-started/locally "
    "shows for your system with CUDA."
)

# Each child prints one line of JSON.
ASK_TORCH = """
import json, warnings
warnings.simplefilter("ignore")
import torch
said = {"version": torch.__version__, "build": torch.version.cuda or torch.version.hip, "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(), "cards": [], "error": None}
try:
    for i in range(torch.cuda.device_count() if said["cuda"] else 0):
        card = torch.cuda.get_device_properties(i)
        torch.ones(8, 8, device=f"cuda:{i}").sum().item()
        said["cards"].append(f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
    if said["mps"]:
        torch.ones(8, 8, device="mps").sum().item()
except RuntimeError as error:
    said["error"] = str(error).strip().splitlines()[0]
print(json.dumps(said))
"""
ASK_OPENGL = """
import json, qtpy
from vispy import app
from vispy.gloo import gl
app.use_app(qtpy.API_NAME)
canvas = app.Canvas(show=False)
with canvas:
    said = [str(gl.glGetParameter(what)) for what in (gl.GL_VENDOR, gl.GL_RENDERER, gl.GL_VERSION)]
canvas.close()
print(json.dumps(dict(zip(["vendor", "renderer", "version"], said))))
"""


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes
    ----------
    name : what was checked.
    ok : True: works; None: works with a limitation; False: does not work.
    text : the finding, and what to do if it does not work.
    """

    name: str
    ok: bool | None
    text: str


def checks() -> list[Check]:
    """Run all checks; takes some seconds, because torch and Qt are loaded in child processes."""
    return list(_checks())


def report(found: Sequence[Check] | None = None) -> str:
    """The checks as text, one line each; runs them if none are given."""
    found = checks() if found is None else found
    width = max((len(check.name) for check in found), default=0)
    marks = {True: "ok  ", None: "note", False: "FAIL"}
    return "\n".join(f"{marks[check.ok]}  {check.name:<{width}}  {check.text}" for check in found)


def _checks() -> Iterator[Check]:
    yield Check("napari-dojo", True, f"{__version__} in {Path(__file__).parent}")
    yield Check(
        "Python", True, f"{platform.python_version()} on {platform.platform(terse=True)} ({platform.machine()})"
    )
    for name in ("napari", "numpy", "scikit-image"):
        yield _package(name)
    yield _qt()
    yield _opengl()
    torch, why = _ask(ASK_TORCH)
    yield _torch(torch, why)
    yield _gpu(torch, _cards())
    yield _machine()
    yield _writable("models", models_folder())
    yield _writable("runs", runs_folder())
    for folder in lab_folders():
        yield _lab(folder)


def _package(name: str) -> Check:
    try:
        return Check(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, False, f"is not installed: `pip install {name}`.")


def _qt() -> Check:
    found = [f"{name} {metadata.version(name)}" for name in BINDINGS if _installed(name)]
    if not found:
        how = 'napari needs Qt, which is not installed: `pip install "napari-dojo[all]"`.'
        return Check("Qt", False, f"{how} The command line works without it.")
    return Check("Qt", True, ", ".join(found))


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _opengl() -> Check:
    if not any(_installed(name) for name in BINDINGS):
        return Check("OpenGL", None, "not checked, because Qt is missing.")
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        text = "not checked, because there is no display (DISPLAY is not set). The command line works without one; xvfb-run provides one."
        return Check("OpenGL", None, text)
    said, why = _ask(ASK_OPENGL)
    if said is None or not said["renderer"]:
        how = "Update the graphics driver; on Debian and Ubuntu: `apt-get install libgl1 libegl1 libgl1-mesa-dri libxcb-cursor0`."
        return Check("OpenGL", False, f"napari's canvas cannot be drawn: {why or 'no OpenGL context'}. {how}")
    software = any(word in said["renderer"].lower() for word in ("llvmpipe", "softpipe", "swrast"))
    text = f"{said['version']}, {said['renderer']} of {said['vendor']}"
    return Check("OpenGL", True, text + (" (software rendering: slow, but correct)" if software else ""))


def _torch(said: dict[str, Any] | None, why: str) -> Check:
    if said is None:
        return Check("torch", False, f"cannot be loaded: {why}. Reinstall it: https://pytorch.org/get-started/locally.")
    return Check(
        "torch", True, f"{said['version']}, {'for ' + said['build'] if said['build'] else 'built without CUDA'}"
    )


def _gpu(said: dict[str, Any] | None, cards: Sequence[str]) -> Check:
    """Compare the GPUs that torch can use with those of the system."""
    named = ", ".join(cards)
    if said is None:
        return Check("GPU", None, f"{named or 'none found'}; torch cannot be loaded.")
    if said["error"]:
        what = ", ".join(said["cards"]) or named or "the GPU"
        return Check("GPU", False, f"torch detects {what} but cannot compute on it: {said['error']}. {CUDA_HOW}")
    if said["cuda"]:
        return Check("GPU", True, ", ".join(said["cards"]) + _together(len(said["cards"])))
    if said["mps"]:
        return Check("GPU", True, "Apple graphics (MPS)")
    if cards and not said["build"]:
        text = f"an NVIDIA card is present ({named}), but this torch ({said['version']}) cannot use it: it is built without CUDA."
        return Check("GPU", None, f"{text} {CUDA_HOW}")
    if cards:
        text = f"an NVIDIA card is present ({named}), but this torch ({said['version']}, for CUDA {said['build']}) cannot use it."
        return Check("GPU", None, f"{text} Update NVIDIA's driver, or choose an older CUDA. {CUDA_HOW}")
    return Check("GPU", None, "none found: networks run on the CPU, which is slower.")


def _together(count: int) -> str:
    """What is needed to train one model on this number of GPUs."""
    if count < 2:
        return ""
    if importlib.util.find_spec("lightning_fabric"):
        return "; --device all-gpus trains on all of them"
    return "; to train on all of them: pip install 'napari-dojo[distributed]'"


def _cards(root: Path = Path("/")) -> tuple[str, ...]:
    """Names of the NVIDIA GPUs of this system, with or without a driver."""
    smi = shutil.which("nvidia-smi")
    if smi:
        said = _run([smi, "--query-gpu=name", "--format=csv,noheader"], 20)
        names = (
            [line.strip() for line in said.stdout.splitlines() if line.strip()] if said and not said.returncode else []
        )
        if names:
            return tuple(names)
    driver = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    models = [line.partition(":")[2].strip() for file in driver for line in _lines(file) if line.startswith("Model:")]
    if models:
        return tuple(models)
    bus = [
        device
        for device in sorted((root / "sys/bus/pci/devices").glob("*"))
        if _lines(device / "vendor") == ["0x10de"] and "".join(_lines(device / "class")).startswith("0x03")
    ]
    return tuple("without its driver" for _ in bus)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _machine() -> Check:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    text = f"{cores} {'core' if cores == 1 else 'cores'}, {_size(memory.total)} memory, {_size(memory.available)} of it free"
    if memory.available < 2 * 2**30:
        return Check("machine", None, f"{text}: close other programs before training.")
    return Check("machine", True, text)


def _writable(name: str, folder: Path) -> Check:
    """Check that a folder is writable or can be created, without leaving files."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        why = error.strerror or str(error)
        return Check(
            name, False, f"{folder} cannot be written ({why}). Set NAPARI_DOJO_HOME to a folder that you can write to."
        )
    text = f"{folder}{'' if folder.exists() else ' (created when needed)'}, {_size(free)} free"
    return Check(name, True if free >= 2**30 else None, text)


def _lab(folder: Path) -> Check:
    try:
        models = [path for path in folder.iterdir() if (path / "rdf.yaml").is_file()]
    except OSError as error:
        why = error.strerror or str(error)
        return Check("lab models", False, f"{folder} cannot be read ({why}). Mount it, or correct NAPARI_DOJO_MODELS.")
    return Check("lab models", True, f"{folder}, {len(models)} {'model' if len(models) == 1 else 'models'}")


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"


def _ask(code: str) -> tuple[dict[str, Any] | None, str]:
    """The JSON output of code run in a child process, or None and the reason."""
    done = _run([sys.executable, "-c", code], 120)
    if done is None:
        return None, "no reply within 2 minutes"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        try:
            said = json.loads(lines[-1])
        except ValueError:
            return None, lines[-1]
        return said, ""
    lines = done.stderr.strip().splitlines()
    telling = [line for line in lines if "could not connect" in line.lower() or "could not load" in line.lower()]
    why = (telling[:1] or lines[-1:] or [f"it ended with code {done.returncode}"])[0].rstrip(" .")
    return None, f"it crashed (signal {-done.returncode}): {why}" if done.returncode < 0 else why


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
