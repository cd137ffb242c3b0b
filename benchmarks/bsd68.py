"""External anchor: natural images with Gaussian noise (sigma 25 on 0 to 255), trained on train400, judged on BSD68."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from _common import DATA, arguments, dojo, report

from napari_dojo.io.images import read, write
from napari_dojo.io.pairing import list_inputs
from napari_dojo.metrics.images import psnr

PUBLISHED = {"BM3D": 28.57, "DnCNN": 29.23, "Noise2Void": 27.7}


def noisy(clean: Path, out: Path, sigma: float, seed: int) -> None:
    """Add noise with a fixed seed; values are neither rounded nor clipped."""
    rng = np.random.default_rng(seed)
    for path in list_inputs(clean):
        x = np.asarray(read(path).data, np.float32)
        write(out / f"{path.stem}.tif", x + rng.normal(0, sigma, x.shape).astype(np.float32), "YX")


def score(clean: Path, found: Path) -> float:
    """Mean PSNR with the range 0 to 255, predictions clipped to it."""
    values = []
    for path in list_inputs(clean):
        predicted = np.clip(read(found / f"{path.stem}.tif").data, 0, 255)
        values.append(psnr(read(path).data, predicted, 255.0))
    return round(float(np.mean(values)), 3)


def main() -> None:
    parser = arguments(__doc__, DATA / "bsd_clean", 20.0)
    parser.add_argument("--sigma", type=float, default=25.0)
    parser.add_argument("--only", nargs="+", choices=("denoise", "noise2void"), default=["denoise", "noise2void"])
    args = parser.parse_args()
    facts: dict[str, object] = {"minutes": args.minutes, "sigma": args.sigma, "published": PUBLISHED}
    with tempfile.TemporaryDirectory(prefix="dojo-bsd-") as name:
        folder = Path(name)
        for part, seed in (("train400", 1), ("bsd68", 0)):
            noisy(args.data / part, folder / part, args.sigma, seed)
        facts["noisy"] = score(args.data / "bsd68", folder / "bsd68")
        for task in args.only:
            target = ("--target", args.data / "train400") if task == "denoise" else ()
            budget = ("--minutes", f"{args.minutes:g}", "--test", 0, "--device", "cpu", "--out", folder / task)
            dojo("train", task, "--input", folder / "train400", *target, *budget)
            dojo("predict", folder / task, folder / "bsd68", "--device", "cpu", "--out", folder / f"{task}-out")
            facts[task] = score(args.data / "bsd68", folder / f"{task}-out")
    report(facts, args.save)


if __name__ == "__main__":
    main()
