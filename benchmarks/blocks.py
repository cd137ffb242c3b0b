"""An image that does not fit in memory: instances block by block from OME-Zarr to OME-Zarr.

Makes nuclei of the simulator (a few tiles of 1024 px, each laid out many times in its own intensity, so that it takes seconds), and
measures on them: the peak memory of all processes together, the throughput against the bare network with decoding on one tile of
1024 px again and again, and what is done twice after a kill in the middle, whose result must be that of the run that was
not interrupted. ``--whole`` also predicts the image in memory at once and compares the objects.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from _common import command

MODEL = "nuclei-fluorescence"
TILE = 1024


def make(path: Path, edge: int, seeds: int = 4) -> None:
    """An OME-Zarr of edge x edge px, uint16."""
    from napari_dojo.io.formats.ome_zarr import Layout, create, write_levels
    from napari_dojo.simulation.microscope import simulate

    tiles = [np.asarray(simulate("nuclei", (TILE, TILE), seed=s, diameter=18).image) for s in range(seeds)]
    layout = Layout("YX", (edge, edge), (512, 512), "uint16", None, None)
    out, rng = create(path, layout), np.random.default_rng(0)
    for y in range(0, edge, TILE):
        for x in range(0, edge, TILE):
            tile = tiles[int(rng.integers(seeds))]
            tile = np.rot90(tile, int(rng.integers(4)))[: edge - y, : edge - x]
            noise = rng.normal(0, 3, tile.shape)
            out[y : y + TILE, x : x + TILE] = np.clip(tile.astype(np.float32) + noise, 0, 65535).astype(np.uint16)
    for _ in write_levels(path, layout):
        pass


def bare(seconds: float) -> float:
    """px/s of the bare network and decoding on one tile of the image, one after the other."""
    from napari_dojo.events import result_of
    from napari_dojo.inference.decoding import decode_steps
    from napari_dojo.inference.samples import Ready
    from napari_dojo.models.bundle import load
    from napari_dojo.models.library import find
    from napari_dojo.settings import PredictSettings
    from napari_dojo.simulation.microscope import simulate

    ready = Ready.of(load(find(MODEL)), PredictSettings(device="cpu"))
    image = np.asarray(simulate("nuclei", (TILE, TILE), seed=0, diameter=18).image)[None]
    x = ready.card.rule.measure(image).apply(image)
    result_of(decode_steps(ready.task, ready.predictor(x), ready.decoding, ready.options))
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        result_of(decode_steps(ready.task, ready.predictor(x), ready.decoding, ready.options))
        done += 1
    return done * TILE**2 / (time.perf_counter() - began)


def memory_of(process: psutil.Process) -> float:
    """Bytes of a process and all that it started: what they share counts once."""
    found = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            found += one.memory_full_info().pss if sys.platform == "linux" else one.memory_info().rss
        except psutil.Error:
            continue
    return float(found)


def lines(out: Path) -> list[str]:
    """The journal of a prediction that is under way."""
    log = out.with_name(out.name + ".unfinished") / "blocks.log"
    return log.read_text().splitlines() if log.exists() else []


def predict(image: Path, out: Path, *more: str, kill_after: int = 0) -> dict[str, float]:
    """Run the command; its seconds, the peak of its memory, and the lines of the journal. Killed after so many lines."""
    began, peak = time.perf_counter(), 0.0
    child = subprocess.Popen(
        command("predict", MODEL, image, "--out", out, "--device", "cpu", *more),
        stdout=sys.stderr,
        start_new_session=True,
    )
    process, first, last = psutil.Process(child.pid), 0.0, (0.0, 0)
    while child.poll() is None:
        try:
            peak = max(peak, memory_of(process))
        except psutil.Error:
            break
        done = sum(line.startswith("predicted") for line in lines(out))
        if done and not first:
            first = time.perf_counter()
        if done > last[1]:
            last = (time.perf_counter(), done)
        if kill_after and done >= kill_after:
            os.killpg(child.pid, signal.SIGKILL)
            break
        time.sleep(0.1)
    child.wait()
    if child.returncode and not kill_after:
        raise SystemExit(f"predict ended with exit code {child.returncode}.")
    return {"seconds": time.perf_counter() - began, "peak_gb": peak / 1e9, "network_seconds": last[0] - first}


def same(a: Path, b: Path) -> bool:
    """Whether two results hold the same objects, numbers included, compared part by part."""
    import zarr

    one, two = (zarr.open_array(str(p / "labels" / MODEL / "0"), mode="r") for p in (a, b))
    return all(bool(np.array_equal(one[y : y + 1024], two[y : y + 1024])) for y in range(0, one.shape[0], 1024))


def partition_of_whole(image: Path, out: Path) -> bool:
    """Whether the result has the objects of the image predicted at once in memory (4096 px and less)."""
    from napari_dojo.inference.predict import predict as at_once
    from napari_dojo.io import images
    from napari_dojo.models.bundle import load
    from napari_dojo.models.library import find

    wanted = at_once(load(find(MODEL)), np.asarray(images.read(image).data), "YX")
    found = np.asarray(images.read(out, labels=True).data)
    pairs = np.unique(np.stack([wanted.ravel(), found.ravel()]), axis=1)
    print(f"{wanted.max()} objects at once, {found.max()} by blocks, {pairs.shape[1]} pairs", file=sys.stderr)
    return len(np.unique(wanted)) == len(np.unique(found)) == pairs.shape[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edge", type=int, default=16384)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the bare network, before and after")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--scheduler", default="", help="also with this engine, for example local:2")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="blocks-"))
    try:
        began = time.perf_counter()
        make(folder / "big.zarr", args.edge)
        print(f"made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        before = bare(args.seconds)
        run = predict(folder / "big.zarr", folder / "out.zarr")
        after = bare(args.seconds)
        count = len({line.split()[1] for line in _count(args.edge)})
        killed = predict(folder / "big.zarr", folder / "killed.zarr", kill_after=max(1, count // 2))
        noted = [line for line in lines(folder / "killed.zarr") if line.startswith("predicted")]
        resumed = predict(folder / "big.zarr", folder / "killed.zarr")
        rate, reference = args.edge**2 / run["seconds"], (before + after) / 2
        found = {
            "edge": args.edge,
            "megapixels_per_second": round(rate / 1e6, 4),
            "bare_megapixels_per_second": [round(before / 1e6, 4), round(after / 1e6, 4)],
            "share_of_bare": round(rate / reference, 3),
            "seconds": {
                k: round(v["seconds"], 1) for k, v in (("whole", run), ("killed", killed), ("resumed", resumed))
            },
            "peak_gb": {
                k: round(v["peak_gb"], 2) for k, v in (("whole", run), ("killed", killed), ("resumed", resumed))
            },
            "blocks": count,
            "done_when_killed": len(noted),
            "identical_after_kill": same(folder / "out.zarr", folder / "killed.zarr"),
        }
        if args.whole:
            found["objects_of_the_whole"] = partition_of_whole(folder / "big.zarr", folder / "out.zarr")
        if args.scheduler:
            spread = predict(folder / "big.zarr", folder / "spread.zarr", "--scheduler", args.scheduler)
            found["scheduler"] = {k: round(v, 2) for k, v in spread.items()}
            found["identical_by_scheduler"] = same(folder / "out.zarr", folder / "spread.zarr")
        print(json.dumps(found))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _count(edge: int) -> list[str]:
    """The lines of a whole journal's first pass."""
    from napari_dojo.inference.blocks import Work
    from napari_dojo.inference.geometry import Image, resolve
    from napari_dojo.inference.samples import Ready
    from napari_dojo.io.images import Picture
    from napari_dojo.models.bundle import load
    from napari_dojo.models.library import find
    from napari_dojo.settings import PredictSettings

    ready = Ready.of(load(find(MODEL)), PredictSettings(device="cpu"))
    picture = Picture(np.broadcast_to(np.arange(8, dtype=np.uint16)[:1], (edge, edge)), "YX")
    image = resolve(ready.card, Image("x", picture), ready.settings)
    return [f"predicted {i}" for i in range(len(Work.of(ready, image).blocks))]


if __name__ == "__main__":
    main()
