"""Starts: what ``--start auto`` reaches against nothing and against the shipped model, each trained as long on the same few images."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _annotate_kinds import KINDS
from _common import DATA, arguments, dojo, image_scores, instance_scores, measure_parts, report

from napari_dojo.io.images import write
from napari_dojo.io.pairing import list_inputs, pair_files

PARTS = ("nuclei", "noise", "unseen")
SHIPPED = {"nuclei": "nuclei-fluorescence", "noise": "denoise-fluorescence", "unseen": "nuclei-fluorescence"}
MINUTES = {"nuclei": 5.0, "noise": 1.0, "unseen": 1.0}
IMAGES = {"nuclei": 5, "noise": 20, "unseen": 5}
KIND = "stars"  # of "unseen": no shipped model has seen a star, or objects that only their grain tells from the ground
JUDGED = 10  # simulated images


def real(data: Path, names: Sequence[str], count: int, out: Path) -> tuple[Path, Path]:
    """Folders with evenly spread pairs of a set's training images."""
    pairs, _, _ = pair_files(*(list_inputs(data / "train" / name, targets=bool(i)) for i, name in enumerate(names)))
    for pair in pairs[:: max(1, len(pairs) // count)][:count]:
        for name, path in zip(names, pair, strict=True):
            (out / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, out / name)
    return out / names[0], out / names[1]


def simulated(seeds: range, out: Path) -> tuple[Path, Path]:
    """Folders with simulated images and their labels."""
    for seed in seeds:
        image, labels = KINDS[KIND](seed)
        write(out / "images" / f"{seed}.tif", image, "YX")
        write(out / "masks" / f"{seed}.tif", labels, "YX", labels=True)
    return out / "images", out / "masks"


def measure(part: str, folder: Path, minutes: float, starts: Sequence[str]) -> dict[str, Any]:
    """Score of the test images after each start: AP at IoU .5, or PSNR (dB)."""
    task, count = ("denoise", 2) if part == "noise" else ("instances", 4)
    if part == "unseen":
        given = simulated(range(IMAGES[part]), folder / "train")
        test = simulated(range(100, 100 + JUDGED), folder / "test")
    else:
        data, names = (
            (DATA / "w2s_denoise", ("noisy", "clean"))
            if part == "noise"
            else (DATA / "dsb2018_fluo", ("images", "masks"))
        )
        given, test = real(data, names, IMAGES[part], folder / "train"), tuple(data / "test" / name for name in names)
    found = {}
    for start in starts:
        named = SHIPPED[part] if start == "shipped" else start
        long = ("--minutes", f"{minutes or MINUTES[part]:g}", "--test", 0, "--device", "cpu", "--start", named)
        dojo("train", task, "--input", given[0], "--target", given[1], *long, "--out", folder / f"model-{start}")
        made = folder / f"made-{start}"
        dojo("predict", folder / f"model-{start}", test[0], "--device", "cpu", "--out", made)
        if task == "denoise":
            found[start] = round(image_scores(test[1], made).psnr, count)
        else:
            found[start] = round(instance_scores(test[1], made).ap["0.5"], count)
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--starts", nargs="+", choices=("none", "shipped", "auto"), default=("none", "shipped", "auto"))
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="of each training; 0: 5 for nuclei, 1 for the others"
    )
    args = parser.parse_args()
    report(measure_parts(args.only, lambda part, folder: measure(part, folder, args.minutes, args.starts)), args.save)


if __name__ == "__main__":
    main()
