from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from napari_dojo import __version__, doctor
from napari_dojo.doctor import Check

CPU = {"version": "2.13.0+cpu", "build": None, "cuda": False, "mps": False, "cards": [], "error": None}
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts and POSIX rights")


def torch_says(**changes: Any) -> dict[str, Any]:
    return CPU | changes


def test_everything_is_looked_at_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_DOJO_MODELS", str(tmp_path))
    monkeypatch.setattr(doctor, "_opengl", lambda: Check("OpenGL", True, "4.5"))
    found = {check.name: check for check in doctor.checks()}
    assert list(found)[-3:] == ["models", "runs", "lab models"]
    assert found["napari-dojo"].text.startswith(__version__)
    assert found["torch"].ok is True
    assert found["torch"].text.startswith(metadata.version("torch"))
    assert found["GPU"].text
    assert all(found[name].ok for name in ("Python", "napari", "numpy", "Qt", "models", "runs", "lab models"))


def test_a_report_has_one_line_for_each_check() -> None:
    found = [Check("a", True, "fine"), Check("long", None, "look"), Check("b", False, "broken")]
    assert doctor.report(found) == "ok    a     fine\nnote  long  look\nFAIL  b     broken"
    assert doctor.report([]) == ""


@pytest.mark.parametrize(
    ("said", "cards", "ok", "words"),
    [
        (torch_says(), (), None, ["none found", "CPU"]),
        (
            torch_says(),
            ("NVIDIA H100",),
            None,
            ["NVIDIA card is present (NVIDIA H100)", "cannot use it", "pytorch.org"],
        ),
        (torch_says(build="12.8"), ("NVIDIA H100",), None, ["CUDA 12.8", "cannot use it", "driver"]),
        (torch_says(build="12.8", cuda=True, cards=["NVIDIA H100, 80 GiB"]), ("NVIDIA H100",), True, ["H100, 80 GiB"]),
        (
            torch_says(build="12.8", cuda=True, error="no kernel image"),
            ("GT 710",),
            False,
            ["GT 710", "no kernel image"],
        ),
        (torch_says(mps=True), (), True, ["Apple"]),
        (None, ("NVIDIA H100",), None, ["NVIDIA H100", "cannot be loaded"]),
    ],
)
def test_the_graphics_card_is_judged(said: Any, cards: tuple[str, ...], ok: bool | None, words: list[str]) -> None:
    check = doctor._gpu(said, cards)
    assert check.ok is ok
    for word in words:
        assert word in check.text


@pytest.mark.parametrize(("there", "words"), [(True, "--device all-gpus"), (False, "napari-dojo[distributed]")])
def test_several_gpus_can_train_together(monkeypatch: pytest.MonkeyPatch, there: bool, words: str) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object() if there else None)
    said = doctor._gpu(torch_says(build="12.8", cuda=True, cards=["GPU 0", "GPU 1"]), ())
    assert words in said.text
    assert words not in doctor._gpu(torch_says(build="12.8", cuda=True, cards=["GPU 0"]), ()).text


def test_a_torch_that_does_not_load_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._torch(None, "OSError: no such library").ok is False
    assert "no such library" in doctor._torch(None, "OSError: no such library").text
    assert doctor._torch(torch_says(), "").text == "2.13.0+cpu, built without CUDA"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ImportError('libEGL.so.1: cannot open')", "ImportError: libEGL.so.1: cannot open"),
        ("import sys; sys.exit(3)", "it ended with code 3"),
        ("print('hello')", "hello"),
        pytest.param(
            "import os, sys; print('Could not load the plugin.', file=sys.stderr, flush=True); os.abort()",
            "it crashed (signal 6): Could not load the plugin",
            marks=needs_posix,
        ),
    ],
)
def test_a_child_that_fails_says_why(code: str, why: str) -> None:
    assert doctor._ask(code) == (None, why)


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._run([sys.executable, "-c", "import time; time.sleep(60)"], 0.5) is None
    monkeypatch.setattr(doctor, "_run", lambda *_: None)
    assert doctor._ask("") == (None, "no reply within 2 minutes")


def test_what_is_printed_before_the_reply_is_ignored() -> None:
    assert doctor._ask("print('noise'); print('{\"a\": 1}')") == ({"a": 1}, "")


def test_cards_without_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor._cards(tmp_path) == ()
    for name, vendor, kind in [("0", "0x8086", "0x030000"), ("1", "0x10de", "0x040300"), ("2", "0x10de", "0x030200")]:
        device = tmp_path / "sys/bus/pci/devices" / name
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    assert doctor._cards(tmp_path) == ("without its driver",)
    information = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information"
    information.parent.mkdir(parents=True)
    information.write_text("Model: \t\t NVIDIA A100\nIRQ: 1\n")
    assert doctor._cards(tmp_path) == ("NVIDIA A100",)


@needs_posix
def test_cards_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100'\necho 'NVIDIA A100'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert doctor._cards() == ("NVIDIA H100", "NVIDIA A100")
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert doctor._cards(tmp_path) == ()


def test_opengl_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    check = doctor._opengl()
    assert check.ok is None
    assert "no display" in check.text


@pytest.mark.parametrize(
    ("answer", "ok", "word"),
    [
        (({"vendor": "Mesa", "renderer": "llvmpipe", "version": "4.5"}, ""), True, "slow, but correct"),
        (({"vendor": "NVIDIA", "renderer": "H100", "version": "4.6"}, ""), True, "4.6, H100 of NVIDIA"),
        (({"vendor": "", "renderer": "", "version": "()"}, ""), False, "no OpenGL context"),
        ((None, "it crashed (signal 6)"), False, "it crashed (signal 6). Update"),
    ],
)
def test_opengl_is_judged(monkeypatch: pytest.MonkeyPatch, answer: Any, ok: bool, word: str) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(doctor, "_ask", lambda code: answer)
    check = doctor._opengl()
    assert check.ok is ok
    assert word in check.text


@pytest.mark.gui
def test_opengl_draws_here() -> None:
    check = doctor._opengl()
    assert check.ok is True, check.text


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._package("no-such-package-here") == Check(
        "no-such-package-here", False, "is not installed: `pip install no-such-package-here`."
    )
    monkeypatch.setattr(doctor, "BINDINGS", ("NoSuchQt",))
    assert doctor._qt().ok is False
    assert "napari-dojo[all]" in doctor._qt().text
    assert doctor._opengl() == Check("OpenGL", None, "not checked, because Qt is missing.")


def test_a_writable_folder_is_neither_made_nor_littered(tmp_path: Path) -> None:
    check = doctor._writable("models", tmp_path / "a" / "b")
    assert check.ok is not False
    assert "created when needed" in check.text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    check = doctor._writable("models", tmp_path / "a" / "models")
    assert check.ok is False
    assert "NAPARI_DOJO_HOME" in check.text


def test_a_read_only_folder_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert doctor._writable("models", tmp_path) == Check(
        "models",
        False,
        f"{tmp_path} cannot be written (Permission denied). Set NAPARI_DOJO_HOME to a folder that you can write to.",
    )


def test_little_free_space_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = doctor.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=2**29))
    assert doctor._writable("runs", tmp_path) == Check("runs", None, f"{tmp_path}, 0.5 GiB free")


def test_lab_folders_count_their_models(tmp_path: Path) -> None:
    assert doctor._lab(tmp_path / "missing").ok is False
    (tmp_path / "nuclei").mkdir()
    (tmp_path / "nuclei" / "rdf.yaml").write_text("")
    (tmp_path / "notes").mkdir()
    assert doctor._lab(tmp_path) == Check("lab models", True, f"{tmp_path}, 1 model")
