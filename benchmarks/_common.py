"""What the benchmarks share: the command line as a process, the machine in words, scores, results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.io.images import read
from napari_dojo.io.pairing import list_inputs, stem_of
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.objects import InstanceCounts

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = ROOT.parent / "shared" / "data"
RESULTS = HERE / "results"


def command(*args: object) -> list[str]:
    """`napari-dojo` with these arguments, as this Python runs it; trainings start from nothing unless ``--start`` is given."""
    if args[0] == "train" and "--start" not in args:
        args = (*args, "--start", "none")
    return [sys.executable, "-m", "napari_dojo", *map(str, args)]


def dojo(*args: object) -> float:
    """Run `napari-dojo` and let it talk; the seconds it took. Ends the benchmark where it fails."""
    print("$ napari-dojo", *args, file=sys.stderr, flush=True)
    began = time.perf_counter()
    code = subprocess.run(command(*args), stdout=sys.stderr).returncode
    if code:
        raise SystemExit(f"napari-dojo {args[0]} ended with exit code {code}.")
    return time.perf_counter() - began


def dojo_json(*args: object) -> dict[str, Any]:
    """The object on the last line of `napari-dojo ... --json`."""
    print("$ napari-dojo", *args, "--json", file=sys.stderr, flush=True)
    done = subprocess.run([*command(*args), "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"napari-dojo {args[0]} ended with exit code {done.returncode}.")
    return json.loads(done.stdout.strip().splitlines()[-1])


def instance_scores(truth: Path, predicted: Path) -> InstanceCounts:
    """Pooled counts of a folder of label images against another, by name; what is missing counts as empty."""
    found = {stem_of(p): p for p in list_inputs(predicted)}
    scores = []
    for path in list_inputs(truth):
        labels = read(path, labels=True).data
        there = found.get(stem_of(path))
        scores.append(InstanceCounts.of(labels, 0 * labels if there is None else read(there, labels=True).data))
    return pool(scores)


def image_scores(truth: Path, predicted: Path, edge: int = 0) -> ImageScores:
    """Mean PSNR, SSIM and Pearson's r of a folder of images against another, by name, without ``edge`` px at the borders.

    PSNR takes the range of each true image; what is missing counts as 0.
    """
    found = {stem_of(p): p for p in list_inputs(predicted)}
    scores = []
    for path in list_inputs(truth):
        right = np.asarray(read(path).data, np.float32)
        there = found.get(stem_of(path))
        made = np.zeros_like(right) if there is None else np.asarray(read(there).data, np.float32).reshape(right.shape)
        inner = (..., *[slice(edge, -edge or None)] * 2)
        scores.append(ImageScores.of(right[inner][None], made[inner][None]))
    return pool(scores)


def in_words(scores: ImageScores) -> dict[str, float]:
    """Figures with few digits."""
    return {"psnr": round(scores.psnr, 3), "ssim": round(scores.ssim, 4), "pearson": round(scores.pearson, 4)}


def rounded(ap: dict[str, float]) -> dict[str, float]:
    """Scores with four digits."""
    return {k: round(v, 4) for k, v in ap.items()}


def machine() -> dict[str, Any]:
    """The machine and the date, for results that are kept."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": date.today().isoformat(),
        "processor": name,
        "cores": cores,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def arguments(about: str | None, data: Path | None = None, minutes: float | None = None) -> argparse.ArgumentParser:
    """The options that benchmarks share: ``--save``, and ``--data`` and ``--minutes`` with these values where given."""
    parser = argparse.ArgumentParser(description=about)
    if data is not None:
        parser.add_argument("--data", type=Path, default=data)
    if minutes is not None:
        parser.add_argument("--minutes", type=float, default=minutes, help="of each training")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json, too")
    return parser


def measure_parts(parts: Sequence[str], measure: Callable[[str, Path], Any]) -> dict[str, Any]:
    """Measure each part in a folder of its own, and print its figures as soon as they are there."""
    facts: dict[str, Any] = {}
    for part in parts:
        with tempfile.TemporaryDirectory(prefix=f"dojo-{part}-") as name:
            facts[part] = measure(part, Path(name))
        print(json.dumps({part: facts[part]}), flush=True)
    return facts


def report(facts: dict[str, Any], save: str | None) -> None:
    """Print all figures as one line of JSON, and write `results/SAVE.json` where ``save`` names it."""
    if save:
        keep(save, facts)
    print(json.dumps(facts))


def keep(name: str, facts: dict[str, Any]) -> Path:
    """Write `results/NAME.json`, with the machine and the date."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **facts}, indent=1) + "\n", encoding="utf-8")
    return path


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a Markdown table; the first holds the titles."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
