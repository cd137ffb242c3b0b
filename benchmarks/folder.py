"""A folder of images on the command line: images per second, and how busy the cores are.

``python benchmarks/folder.py [--images 200] [--edge 1024] [--install ENVS]``

Makes images of simulated nuclei (16 bits, TIFF), predicts them with `napari-dojo predict nuclei-fluorescence`, and adds up the
processor time of all processes: ``busy`` is its share of what the cores could have given from start to end, ``busy_at_work``
without the seconds until the first result (torch is loaded by one thread). Where other programs run meanwhile, ``wanted`` counts:
the time that threads ran or waited for a core (Linux). ``--install ENVS`` also times Cellpose 3 and StarDist on ``--few`` of the images,
each in a separate environment under ENVS, trained for ``--minutes`` on other simulated nuclei before (``--models`` keeps that), because their
weights lie on hubs. Minutes on a CPU may give them no objects, so ``masks_seconds`` is what they take to make labels where their maps are
those of the true objects. ``ours`` in it is the command on the same images, its start included, theirs is left out.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile
from _common import HERE, command, report

MODEL = "nuclei-fluorescence"
PEERS = ("stardist", "cellpose")


def make(folder: Path, count: int, edge: int) -> None:
    """So many images of a few scenes, each turned and with its own noise; their objects in ``masks`` beside the folder."""
    from napari_dojo.simulation.microscope import simulate

    scenes = [simulate("nuclei", (edge, edge), seed=s, diameter=18) for s in range(4)]
    folder.mkdir(parents=True)
    (folder.parent / "masks").mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        scene, turns = scenes[i % 4], i // 4 % 4
        x = np.rot90(np.asarray(scene.image), turns) + rng.normal(0, 3, (edge, edge))
        tifffile.imwrite(
            folder.parent / "masks" / f"{i:03}.tif", np.rot90(np.asarray(scene.labels), turns).astype(np.uint16)
        )
        tifffile.imwrite(folder / f"{i:03}.tif", np.clip(x, 0, 65535).astype(np.uint16))


def watched(images: Path, out: Path, *more: str) -> dict[str, Any]:
    """Run the command; its seconds, the seconds until the first result, and processor time."""
    began = time.perf_counter()
    child = subprocess.Popen(
        command("predict", MODEL, images, "--out", out, "--device", "cpu", *more), stdout=sys.stderr
    )
    process, first, ran, queued = psutil.Process(child.pid), (0.0, 0.0), 0.0, Queued()
    while child.poll() is None:
        with contextlib.suppress(psutil.Error, OSError):
            times = [p.cpu_times() for p in [process, *process.children(recursive=True)]]
            ran = max(ran, sum(t.user + t.system for t in times))
            queued.look(process)
        if not first[0] and any(out.glob("*.tif")):
            first = time.perf_counter() - began, ran
        time.sleep(0.1)
    seconds, cores = time.perf_counter() - began, len(os.sched_getaffinity(0))
    if child.returncode:
        raise SystemExit(f"predict ended with exit code {child.returncode}.")
    count = len(list(images.glob("*.tif")))
    return {
        "images": count,
        "seconds": round(seconds, 1),
        "first_result_after": round(first[0], 1),
        "images_per_second": round(count / seconds, 3),
        "processor_seconds_per_image": round(ran / count, 3),
        "busy": round(ran / seconds / cores, 3),
        "busy_at_work": round((ran - first[1]) / (seconds - first[0]) / cores, 3),
        "wanted": round((ran + queued.seconds) / seconds / cores, 3),
    }


class Queued:
    """Seconds for which threads of a process waited for a core."""

    def __init__(self) -> None:
        self._of: dict[str, float] = {}

    def look(self, process: psutil.Process) -> None:
        """Read them; those of threads that have ended since stay as they were."""
        for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            self._of[path.parent.name] = int(path.read_text().split()[1]) / 1e9

    @property
    def seconds(self) -> float:
        """Of all threads."""
        return sum(self._of.values())


def peers(images: Path, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds that others take for the same images, loading left out; or why they were not measured."""
    from peers import Missing, environment, run

    found = dict[str, Any]()
    make(folder / "train" / "images", 32, 256)
    for peer in PEERS:
        try:
            python = environment(peer, args.install)
            where = ["--train", folder / "train", "--test", images.parent, "--out", folder / peer]
            kept = ["--keep", args.models.absolute()] if args.models else []
            said = run([python, HERE / f"peer_{peer}.py", *where, *kept, "--minutes", f"{args.minutes:g}"])
            facts = json.loads(said.strip().splitlines()[-1])
            found[peer] = {"version": facts["version"], "seconds": round(facts["predict_seconds"], 1)}
            found[peer] |= {"objects": counted(folder / peer)}
            found[peer] |= {k: round(facts[k], 1) for k in ("masks_seconds",) if k in facts}
        except (Missing, OSError, ValueError) as e:
            found[peer] = {"missing": f"{e}"}
    return found


def counted(folder: Path) -> int:
    """Objects in all label images of a folder: a peer that found hardly any, or far too many, was trained too short."""
    return sum(len(np.unique(tifffile.imread(path))) - 1 for path in folder.glob("*.tif"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="0: only the few of --install")
    parser.add_argument("--edge", type=int, default=1024)
    parser.add_argument("--few", type=int, default=20, help="images for the others")
    parser.add_argument("--minutes", type=float, default=2.0, help="of their training")
    parser.add_argument("--install", type=Path, metavar="ENVS", help="where their environments are, or are made")
    parser.add_argument("--models", type=Path, help="where the trained models of the others are kept from run to run")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="folder-") as name:
        folder = Path(name)
        found: dict[str, Any] = {"edge": args.edge}
        if args.images:
            make(folder / "all" / "images", args.images, args.edge)
            found["ours"] = watched(folder / "all" / "images", folder / "out")
            print(json.dumps(found), flush=True)
        if args.install:
            make(folder / "few" / "images", args.few, args.edge)
            ours = watched(folder / "few" / "images", folder / "few-out")
            found["few"] = {"ours": {**ours, "objects": counted(folder / "few-out")}}
            found["few"] |= peers(folder / "few" / "images", args, folder)
        report(found, args.save)


if __name__ == "__main__":
    main()
