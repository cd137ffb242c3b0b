"""An image that does not fit in memory: instances block by block from OME-Zarr to OME-Zarr.

Makes nuclei of the simulator (a few tiles of 1024 px, each laid out many times in its own intensity, so that it takes seconds), and
measures, as ``--only`` says (all but ``scheduler`` where it is left out; the last line is JSON):

speed      throughput against the bare network with decoding on one tile of 1024 px again and again, peak memory of all processes, and
           processor seconds per megapixel of both, which count where other programs run meanwhile
kill       killed in the middle with ``kill -9`` and resumed: what is done twice, and whether the result is the same
equal      the objects against those of the whole image at once: nuclei, long bacteria, one object larger than a block, a stack
workers    the same by ``--scheduler local:2``: speed, memory, the result; and with one worker killed in the middle
scheduler  the same by a scheduler that is killed in the middle, started again, and the command given again
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from _blocks_equal import KINDS, equal
from _common import command, report

from napari_dojo.device import keep_memory

MODEL = "nuclei-fluorescence"
TILE = 1024
asked = argparse.Namespace(tile=0)


def smaller() -> list[str]:
    """The option for blocks of another size, where it is asked for."""
    return ["--tile", str(asked.tile)] if asked.tile else []


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


def bare(seconds: float) -> dict[str, float]:
    """The bare network, once for each view, and decoding of one tile, one after the other: px/s with all cores, and processor seconds.

    Processor seconds are those of one thread, because threads that wait for each other count, too.
    """
    import torch

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

    def decode(maps: np.ndarray) -> None:
        result_of(decode_steps(ready.task, maps, ready.decoding, ready.options))

    def predict() -> np.ndarray:
        return [ready.predictor(x) for _ in range(ready.orientations)][-1]

    decode(predict())
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        decode(predict())
        done += 1
    rate = done * TILE**2 / (time.perf_counter() - began)
    net, one = ready.predictor._net, torch.from_numpy(x)[None].contiguous(memory_format=torch.channels_last)
    maps = predict()
    torch.set_num_threads(1)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=ready.predictor.device.mixed):
        network = ready.orientations * least(lambda: net(one))
    decoding = least(lambda: decode(maps))
    return {"rate": rate, "network": network / TILE**2 * 1e6, "decoding": decoding / TILE**2 * 1e6}


def least(work: Callable[[], object], times: int = 3) -> float:
    """The fewest processor seconds of a few calls."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


class Memory:
    """The peak of the bytes of a process and all that it started; what they share counts once.

    That takes the system milliseconds of a core, so it is asked only where more pages than ever are in memory.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._pages = process, 0.0
        self.peak = 0.0

    def look(self) -> None:
        """Count once."""
        with contextlib.suppress(psutil.Error):
            all_ = [self._process, *self._process.children(recursive=True)]
            pages = float(sum(p.memory_info().rss for p in all_))
            if pages <= 1.005 * self._pages:
                return
            self._pages = pages
            there = sum(p.memory_full_info().pss for p in all_) if sys.platform == "linux" else pages
            self.peak = max(self.peak, float(there))


def lines(out: Path) -> list[str]:
    """The journal of a prediction that is under way."""
    log = out.with_name(out.name + ".unfinished") / "blocks.log"
    return log.read_text().splitlines() if log.exists() else []


def predict(image: Path, out: Path, *more: str, kill_after: int = 0) -> dict[str, float]:
    """Run the command; its seconds, the peak of its memory, and the lines of the journal. Killed after so many lines."""
    began, before = time.perf_counter(), children()
    child = subprocess.Popen(
        command("predict", MODEL, image, "--out", out, "--device", "cpu", *smaller(), *more),
        stdout=sys.stderr,
        start_new_session=True,
    )
    process, first, last, at_last = psutil.Process(child.pid), 0.0, (0.0, 0), 0.0
    memory = Memory(process)
    while child.poll() is None:
        memory.look()
        done = sum(line.startswith("predicted") for line in lines(out))
        if done and not first:
            first = time.perf_counter()
        if done > last[1]:
            with contextlib.suppress(psutil.Error):
                used = process.cpu_times()
                last, at_last = (time.perf_counter(), done), used.user + used.system
        if kill_after and done >= kill_after:
            os.killpg(child.pid, signal.SIGKILL)
            break
        time.sleep(0.1)
    child.wait()
    if child.returncode and not kill_after:
        raise SystemExit(f"predict ended with exit code {child.returncode}.")
    return {
        "seconds": time.perf_counter() - began,
        "peak_gb": memory.peak / 1e9,
        "first_block_after": first - began,
        "seconds_after_last_block": time.perf_counter() - last[0],
        "processor_seconds": children() - before,
        "end_processor_seconds": children() - before - at_last,
    }


def children() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def same(a: Path, b: Path) -> bool:
    """Whether two results hold the same objects, numbers included, compared part by part."""
    import zarr

    one, two = (zarr.open_array(str(p / "labels" / MODEL / "0"), mode="r") for p in (a, b))
    return all(bool(np.array_equal(one[y : y + 1024], two[y : y + 1024])) for y in range(0, one.shape[0], 1024))


def same_partition(a: Path, b: Path) -> bool:
    """Whether two results hold the same objects, perhaps in another order: ``local:N`` takes smaller blocks."""
    import zarr

    one, two = (zarr.open_array(str(p / "labels" / MODEL / "0"), mode="r") for p in (a, b))
    found: set[int] = set()
    for y in range(0, one.shape[0], 1024):
        pairs = np.asarray(one[y : y + 1024]).astype(np.int64) << 32 | np.asarray(two[y : y + 1024])
        found.update(np.unique(pairs).tolist())
    return len(found) == len({p >> 32 for p in found}) == len({p & (2**32 - 1) for p in found})


def speed(folder: Path, edge: int, seconds: float) -> dict[str, object]:
    """Throughput of the whole command, and of the bare network before and after."""
    before = bare(seconds)
    run = predict(folder / "big.zarr", folder / "out.zarr")
    after = bare(seconds)
    pixels, cores = edge**2 / 1e6, len(os.sched_getaffinity(0))
    network, decoding = (min(before[k], after[k]) for k in ("network", "decoding"))
    used = run["processor_seconds"] / pixels
    return {
        "megapixels_per_second": round(pixels / run["seconds"], 4),
        "bare_megapixels_per_second": [round(b["rate"] / 1e6, 4) for b in (before, after)],
        "share_of_bare": round(pixels / run["seconds"] / ((before["rate"] + after["rate"]) / 2e6), 3),
        "processor_seconds_per_megapixel": {
            "network": round(network, 3),
            "decoding": round(decoding, 3),
            "by_blocks": round(used, 3),
            "of_it_at_the_end": round(run["end_processor_seconds"] / pixels, 3),
        },
        "share_by_processor_seconds": round((network / cores + decoding) / (used / cores), 3),
        **{k: round(run[k], 1) for k in ("seconds", "first_block_after", "seconds_after_last_block")},
        "peak_gb": round(run["peak_gb"], 2),
    }


def kill(folder: Path, edge: int) -> dict[str, object]:
    """Killed when half of the blocks are done, and resumed."""
    if not (folder / "out.zarr").exists():
        predict(folder / "big.zarr", folder / "out.zarr")
    count = blocks_in(edge)
    killed = predict(folder / "big.zarr", folder / "killed.zarr", kill_after=max(1, count // 2))
    noted = sum(line.startswith("predicted") for line in lines(folder / "killed.zarr"))
    resumed = predict(folder / "big.zarr", folder / "killed.zarr")
    return {
        "blocks": count,
        "done_when_killed": noted,
        "seconds": [round(killed["seconds"], 1), round(resumed["seconds"], 1)],
        "peak_gb": [round(killed["peak_gb"], 2), round(resumed["peak_gb"], 2)],
        "identical": same(folder / "out.zarr", folder / "killed.zarr"),
    }


def blocks_in(edge: int) -> int:
    """How many blocks the image is cut into."""
    from napari_dojo.inference.blocks import Work
    from napari_dojo.inference.geometry import Image, resolve
    from napari_dojo.inference.samples import Ready
    from napari_dojo.io.images import Picture
    from napari_dojo.models.bundle import load
    from napari_dojo.models.library import find
    from napari_dojo.settings import PredictSettings

    ready = Ready.of(load(find(MODEL)), PredictSettings(device="cpu", tile=asked.tile))
    picture = Picture(np.broadcast_to(np.arange(8, dtype=np.uint16)[:1], (edge, edge)), "YX")
    image = resolve(ready.card, Image("x", picture), ready.settings)
    return len(Work.of(ready, image).blocks)


def workers(folder: Path, edge: int) -> dict[str, object]:
    """By two processes: speed, memory, and whether it is the same; then one of them is killed when a third of the blocks is done."""
    if not (folder / "out.zarr").exists():
        predict(folder / "big.zarr", folder / "out.zarr")
    run = predict(folder / "big.zarr", folder / "two.zarr", "--scheduler", "local:2")
    began, out, third = time.perf_counter(), folder / "spread.zarr", max(1, blocks_in(edge) // 3)
    child = start(folder / "big.zarr", out, "local:2")
    wait_for(child, out, third)
    processes = psutil.Process(child.pid).children(recursive=True)
    found = [p for p in processes if "spawn_main" in " ".join(p.cmdline())]
    largest = max(found, key=lambda p: p.memory_info().rss)
    largest.kill()
    code = child.wait()
    found = {
        "exit_code": code,
        "identical": code == 0 and same(folder / "two.zarr", out),
        "seconds": round(time.perf_counter() - began, 1),
    }
    return {
        "megapixels_per_second": round(edge**2 / 1e6 / run["seconds"], 4),
        "processor_seconds_per_megapixel": round(run["processor_seconds"] * 1e6 / edge**2, 3),
        "seconds": round(run["seconds"], 1),
        "peak_gb": round(run["peak_gb"], 2),
        "same_objects": same_partition(folder / "out.zarr", folder / "two.zarr"),
        "one_killed": found,
    }


def scheduler(folder: Path, edge: int) -> dict[str, object]:
    """By a scheduler that is killed when a third of the blocks is done; started again, the same command resumes."""
    if not (folder / "out.zarr").exists():
        predict(folder / "big.zarr", folder / "out.zarr")
    out, port = folder / "lost.zarr", free_port()
    address = f"tcp://127.0.0.1:{port}"
    running = dask(folder, port)
    child = start(folder / "big.zarr", out, address, stderr=subprocess.PIPE)
    wait_for(child, out, max(1, blocks_in(edge) // 3))
    began = time.perf_counter()
    running[0].kill()
    said = child.communicate()[1].splitlines()
    lost = {
        "exit_code": child.returncode,
        "said": said[-1] if said else "",
        "after_seconds": round(time.perf_counter() - began, 1),
    }
    end(running)
    noted = len(lines(out))
    running = dask(folder, port)
    code = start(folder / "big.zarr", out, address).wait()
    end(running)
    return {
        **lost,
        "blocks_done_before": noted,
        "then": code,
        "identical": code == 0 and same(folder / "out.zarr", out),
    }


def start(image: Path, out: Path, scheduler: str, **more: int) -> subprocess.Popen[str]:
    """The command on a scheduler, under way."""
    made = command("predict", MODEL, image, "--out", out, "--device", "cpu", *smaller(), "--scheduler", scheduler)
    return subprocess.Popen(made, stdout=sys.stderr, text=True, **more)  # type: ignore[call-overload,no-any-return]


def wait_for(child: subprocess.Popen[str], out: Path, count: int) -> None:
    """Until so many blocks are done, or it has ended."""
    while child.poll() is None and len(lines(out)) < count:
        time.sleep(0.05)


def dask(folder: Path, port: int) -> list[subprocess.Popen[bytes]]:
    """A scheduler and two workers, each a process."""
    from napari_dojo.device import KEPT

    python, quiet = [sys.executable, "-m"], {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    made = [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    found = [subprocess.Popen(made, cwd=folder, **quiet)]  # type: ignore[call-overload]
    for _ in range(2):
        worker = [
            *python,
            "distributed.cli.dask_worker",
            f"tcp://127.0.0.1:{port}",
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
        ]
        found.append(subprocess.Popen(worker, cwd=folder, env=os.environ | KEPT | {"OMP_NUM_THREADS": "1"}, **quiet))  # type: ignore[call-overload]
    return found


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """End them."""
    for process in processes:
        process.kill()
        process.wait()


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return int(there.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=16384)
    parser.add_argument("--tile", type=int, default=0, help="edge of the blocks; 0: the usual one")
    parser.add_argument("--equal-edge", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the bare network, before and after")
    parser.add_argument("--only", nargs="*", default=["speed", "kill", "equal", "workers"])
    parser.add_argument("--kinds", nargs="*", default=KINDS, help="of --only equal")
    parser.add_argument(
        "--models", type=Path, help="where the models of --only equal are kept; else they are trained each time"
    )
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json, too")
    args = parser.parse_args(namespace=asked)
    keep_memory()
    folder = Path(tempfile.mkdtemp(prefix="blocks-"))
    found: dict[str, object] = {"edge": args.edge}
    try:
        if set(args.only) != {"equal"}:
            make(folder / "big.zarr", args.edge)
        for part in args.only:
            if part == "equal":
                models = args.models or folder / "models"
                found[part] = {kind: equal(kind, args.equal_edge, models) for kind in args.kinds}
            elif part == "speed":
                found[part] = speed(folder, args.edge, args.seconds)
            else:
                found[part] = {"kill": kill, "workers": workers, "scheduler": scheduler}[part](folder, args.edge)
            print(json.dumps({part: found[part]}), flush=True)
        report(found, args.save)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
