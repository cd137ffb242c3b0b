"""Super-resolution: Set5 and Set14 after training on train400, and real microscopy from noisy coarse images (w2s)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _common import DATA, arguments, dojo, image_scores, in_words, measure_parts, report
from shipped_images import coarse, without_model

from napari_dojo.data.resample import cubic
from napari_dojo.io.images import read, write
from napari_dojo.io.pairing import list_inputs
from napari_dojo.metrics.images import psnr


def luma(x: np.ndarray) -> np.ndarray:
    """Brightness as published figures have it (BT.601, 16 to 235), float32 (Y, X)."""
    x = np.asarray(x, np.float32)
    if x.ndim == 2:
        return x * (219 / 255) + 16
    return x @ np.float32([65.481, 128.553, 24.966]) / 255 + 16


def natural(data: Path, minutes: float, factor: int, folder: Path) -> dict[str, float]:
    """PSNR of the luma, ``factor`` px shaved off the borders, range 0 to 255."""
    for path in list_inputs(data / "bsd_clean" / "train400"):
        write(folder / "train" / f"{path.stem}.tif", luma(read(path).data), "YX")
    budget = ("--minutes", f"{minutes:g}", "--test", 0, "--device", "cpu", "--out", folder / "model")
    dojo("train", "upscale", "--input", folder / "train", "--factor", factor, *budget)
    facts: dict[str, float] = {}
    for name in ("set5", "set14"):
        source = data / "sr_set5_set14" / name
        for path in list_inputs(source / f"low_x{factor}"):
            write(folder / name / f"{path.stem}.tif", luma(read(path).data), "YX")
        dojo("predict", folder / "model", folder / name, "--device", "cpu", "--out", folder / f"{name}-out")
        ours, held = [], []
        for path in list_inputs(source / "high"):
            right, low = luma(read(path).data), read(folder / name / f"{path.stem}.tif").data
            inner = (slice(factor, -factor),) * 2
            found = (read(folder / f"{name}-out" / f"{path.stem}.tif").data, cubic(low[None], (factor, factor))[0])
            for made, values in zip(found, (ours, held), strict=True):
                values.append(psnr(right[inner], np.asarray(made, np.float32)[inner], 255.0))
        facts |= {name: round(float(np.mean(ours)), 3), f"{name}_bicubic": round(float(np.mean(held)), 3)}
    return facts


def microscopy(data: Path, minutes: float, folder: Path) -> dict[str, object]:
    """w2s: noisy images of half the size to clean ones, beside bicubic interpolation of the best-denoised ones."""
    source = data / "w2s_denoise"
    for part in ("train/noisy", "train/clean", "test/noisy"):
        coarse(source / part, 2, folder / part)
    budget = ("--minutes", f"{minutes:g}", "--test", 0, "--device", "cpu", "--group-by", "(fov[0-9]+)")
    noisy = folder / "train" / "noisy"
    fine = ("--target", source / "train" / "clean", "--factor", 2)
    dojo("train", "upscale", "--input", noisy, *fine, *budget, "--out", folder / "up")
    dojo("train", "denoise", "--input", noisy, "--target", folder / "train" / "clean", *budget, "--out", folder / "den")
    for model, out in (("up", "fine"), ("den", "denoised")):
        dojo("predict", folder / model, folder / "test" / "noisy", "--device", "cpu", "--out", folder / out)
    facts: dict[str, object] = {"upscale": in_words(image_scores(source / "test" / "clean", folder / "fine"))}
    for name, place in (("bicubic_of_denoised", folder / "denoised"), ("bicubic_of_noisy", folder / "test" / "noisy")):
        facts |= without_model(place, source / "test" / "clean", 2, {name: lambda x: x})
    return facts


def main() -> None:
    parser = arguments(__doc__, DATA, 15.0)
    parser.add_argument("--only", nargs="+", choices=("x2", "x3", "x4", "w2s"), default=["x2", "x4", "w2s"])
    args = parser.parse_args()

    def measure(part: str, folder: Path) -> dict[str, object]:
        if part == "w2s":  # at most 10 minutes
            return microscopy(args.data, min(args.minutes, 10.0), folder)
        return {**natural(args.data, args.minutes, int(part[1]), folder)}

    report({"minutes": args.minutes, **measure_parts(args.only, measure)}, args.save)


if __name__ == "__main__":
    main()
