"""Peers: StarDist, Cellpose and a plain loop in torch beside napari-dojo: the same images, minutes and machine."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _common import DATA, HERE, dojo, instance_scores, keep, machine, rounded, table

# Cellpose 4 starts from weights of a hub only. torch is held at the project's version, so that pip takes no CUDA build.
NEEDS = {
    "stardist": ("stardist", "tensorflow-cpu", "tifffile"),
    "cellpose": ("cellpose==3.*", "torch", "tifffile"),
    # CAREamics itself comes without what it asks for: the torchvision that it names does not fit every torch
    "careamics": (
        *("torch", "lightning", "matplotlib", "microssim", "psutil", "pyyaml", "scikit-image", "tifffile"),
        *("torchmetrics<1.9", "zarr<4", "bioimageio.core<=0.11", "pydantic<2.14", "pillow"),
    ),
}
OURS = ("plain-unet",)  # run with this Python: our network, targets and loss in a plain loop
ALONE = {"careamics": "careamics==0.3.5"}
THRESHOLDS = ("0.5", "0.6", "0.7", "0.8", "0.9")


class Missing(Exception):  # noqa: N818
    """A peer that does not install or run, and why."""


def environment(peer: str, envs: Path) -> Path:
    """The Python of a peer's own environment, made if it is not there."""
    folder = envs / peer
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / ".installed"
    if not done.exists():
        pins = envs / "constraints.txt"
        envs.mkdir(parents=True, exist_ok=True)
        lines = (HERE.parent / "constraints.txt").read_text(encoding="utf-8").splitlines()
        pins.write_text("".join(f"{line}\n" for line in lines if line.startswith("torch==")), encoding="utf-8")
        run([sys.executable, "-m", "venv", folder])
        run([python, "-m", "pip", "install", "--quiet", "-c", pins, *NEEDS[peer]])
        if peer in ALONE:
            run([python, "-m", "pip", "install", "--quiet", "--no-deps", ALONE[peer]])
        done.touch()
    return python


def run(words: list[Any]) -> str:
    """Run a program and show what it says; what it printed. Raises Missing with its last words."""
    print("$", *words, file=sys.stderr, flush=True)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" or str(words[0]) == sys.executable}
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, env=clean)
    sys.stderr.write(done.stderr[-2000:])
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise Missing(lines[-1][:200])
    return done.stdout


def measure_peer(peer: str, data: Path, minutes: float, envs: Path | None, out: Path) -> dict[str, Any]:
    """Train a peer and predict the test images; its times and scores, or why not. ``envs`` None: in this Python alone."""
    try:
        python: Any = sys.executable
        if peer not in OURS and envs is not None:
            python = environment(peer, envs)
        elif peer not in OURS and importlib.util.find_spec(peer) is None:
            raise Missing(f"{peer} is not installed here; --install makes an environment for it")
        where = ["--train", data / "train", "--test", data / "test", "--out", out]
        said = run([python, HERE / f"peer_{peer.rpartition('-')[2]}.py", *where, "--minutes", f"{minutes:g}"])
        facts = json.loads(said.strip().splitlines()[-1])
        counts = instance_scores(data / "test" / "masks", out)
    except (Missing, OSError, ValueError) as e:
        return {"missing": f"{e}"}
    return {
        "version": facts["version"],
        "steps": facts["steps"],
        "steps_per_second": round(facts["steps"] / facts["train_seconds"], 2),
        "train_minutes": round(facts["train_seconds"] / 60, 2),
        "predict_seconds": round(facts["predict_seconds"], 1),
        "ap": rounded(counts.ap),
    }


def measure_ours(data: Path, minutes: float, folder: Path) -> dict[str, Any]:
    """The same with our commands, from their start to their end."""
    from napari_dojo import __version__
    from napari_dojo.models.card import read_card

    train, test = data / "train", data / "test"
    what = ("--input", train / "images", "--target", train / "masks", "--minutes", f"{minutes:g}")
    seconds = dojo("train", "instances", *what, "--test", 0, "--device", "cpu", "--out", folder / "model")
    predicting = dojo("predict", folder / "model", test / "images", "--device", "cpu", "--out", folder / "labels")
    training = read_card(folder / "model").training
    return {
        "version": __version__,
        "steps": training["steps"],
        "steps_per_second": round(training["steps"] / max(1e-9, training["seconds"]), 2),
        "train_minutes": round(seconds / 60, 2),
        "predict_seconds": round(predicting, 1),
        "ap": rounded(instance_scores(test / "masks", folder / "labels").ap),
    }


def printed(found: dict[str, dict[str, Any]]) -> str:
    """The table."""
    rows = [["method", *(f"AP@{t}" for t in THRESHOLDS), "steps per s", "training, min", "prediction, s"]]
    for name, f in found.items():
        if "missing" in f:
            rows.append([name, f"not measured: {f['missing']}".replace("|", "/"), *[""] * 7])
            continue
        times = [f"{f['steps_per_second']:.2f}", f"{f['train_minutes']:.1f}", f"{f['predict_seconds']:.1f}"]
        rows.append([f"{name} {f['version']}", *(f"{f['ap'][t]:.3f}" for t in THRESHOLDS), *times])
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "dsb2018_fluo")
    parser.add_argument("--minutes", type=float, default=10.0)
    methods = ("napari-dojo", "plain-unet", "stardist", "cellpose")
    parser.add_argument("--only", nargs="+", choices=methods, default=methods)
    parser.add_argument("--install", action="store_true", help="make an environment for each peer that has none")
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "napari-dojo-peers")
    parser.add_argument("--no-save", action="store_true", help="leave results/peers.json as it is")
    args = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="dojo-peers-") as name:
        for method in args.only:
            if method == "napari-dojo":
                found[method] = measure_ours(args.data, args.minutes, Path(name))
            else:
                envs = args.envs if args.install or (args.envs / method / ".installed").exists() else None
                found[method] = measure_peer(method, args.data, args.minutes, envs, Path(name) / method)
    here = machine()
    print(f"\n{args.minutes:g} minutes of training each, {here['processor']}, {here['cores']} cores, {here['date']}\n")
    print(printed(found))
    print("\nPrediction: ours is the whole command; the peers' leaves out the start of Python and its imports.")
    if not args.no_save:
        keep("peers", {"minutes": args.minutes, "methods": found})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
