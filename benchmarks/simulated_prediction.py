"""Simulated truth: PALM from 5 % of the localisations, where it is not supported, and stacks four times finer along Z."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from _common import arguments, dojo, measure_parts, report
from scipy import ndimage

from napari_dojo.data.resample import cubic
from napari_dojo.io.images import read, write
from napari_dojo.metrics.images import psnr, ssim
from napari_dojo.metrics.resolution import ring_correlation
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.smlm import DOUBT, film, support

SHARE, EDGE = 0.05, 256
WIDTHS = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # px; Gaussians that the sparse image is blurred with


def localised(seed: int, share: float = SHARE, edge: int = EDGE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sparse localisations with the wide-field image (2, Y, X), the dense image, and the dense image without them (Y, X)."""
    made = film(seed, (edge, edge), density=float(np.random.default_rng(seed).uniform(0.03, 0.12)))
    rest = made.picture(1 - share, smooth=1.0, first=round(share * made.count))
    return np.stack([made.picture(share), made.widefield]), made.picture(smooth=1.0), rest


def palm(folder: Path, minutes: float) -> dict[str, Any]:
    """Train on simulated films; judge films that it has not seen."""
    rng = np.random.default_rng(0)
    for k in range(160):
        x, y, _ = localised(k, float(rng.uniform(0.03, 0.1)))
        if k % 3 == 0:  # part of the field was not filmed: the wide-field image alone has to tell
            x[0, :, : EDGE // 2] = 0
        write(folder / "in" / f"{k:03d}.tif", x, "CYX")
        write(folder / "out" / f"{k:03d}.tif", y, "YX")
    budget = ("--minutes", minutes, "--test", 0, "--axes", "CYX", "--localisations", "--out", folder / "model")
    dojo("train", "translate", "--input", folder / "in", "--target", folder / "out", *budget)
    tests = [localised(1000 + k) for k in range(8)]
    for k, (x, _, _) in enumerate(tests):
        write(folder / "test" / f"{k}.tif", x, "CYX")
        half = x.copy()
        half[0, :, : EDGE // 2] = 0
        write(folder / "test" / f"{k}-half.tif", half, "CYX")
    dojo("predict", folder / "model", folder / "test", "--axes", "CYX", "--out", folder / "predictions")
    rows: list[dict[str, float]] = []
    for k, (x, y, rest) in enumerate(tests):
        made = np.asarray(read(folder / "predictions" / f"{k}.tif").data)
        blurs = [ndimage.gaussian_filter(x[0], w) / SHARE for w in WIDTHS]
        best = max(blurs, key=lambda b: ssim(y, b))
        # rings correlate what was measured apart: the rest of the film, without the sparse image's own localisations
        frc_blurred = [ring_correlation(rest, b).resolution for b in blurs]
        half = np.asarray(read(folder / "predictions" / f"{k}-half.tif").data)
        x[0, :, : EDGE // 2] = 0
        doubt, level = support(x[0], half), 0.2 * np.percentile(y, 99.5)
        blind, seen = slice(0, EDGE // 2 - 10), slice(EDGE // 2 + 10, None)
        invented, known = (half > level)[:, blind], (half > level)[:, seen] & (y > 0.5 * level)[:, seen]
        rows.append(
            {
                "ssim": ssim(y, made),
                "ssim_blurred": ssim(y, best),
                "frc": ring_correlation(rest, made).resolution,
                "frc_blurred": min(frc_blurred),
                "frc_with_own": ring_correlation(y, made).resolution,
                "frc_blurred_with_own": min(ring_correlation(y, b).resolution for b in blurs),
                "invented": float(invented.mean()),
                "flagged": float((doubt[:, blind][invented] < DOUBT).mean()) if invented.any() else 1.0,
                "wrongly_flagged": float((doubt[:, seen][known] < DOUBT).mean()) if known.any() else 0.0,
            }
        )
    return {k: round(float(np.mean([r[k] for r in rows])), 4) for k in rows[0]}


def stacks(folder: Path, minutes: float) -> dict[str, Any]:
    """Stacks of which every fourth plane was taken, filled in from themselves, beside cubic interpolation."""
    figures: dict[str, list[float]] = {}
    for k, (kind, photons) in enumerate((("nuclei", 300), ("nuclei", 50), ("filaments", 100))):
        scene = simulate(kind, (96, 192, 192), k, anisotropy=1.0, photons=photons)
        place, thin = folder / f"{k}", scene.image[1::4].astype(np.float32)
        write(place / "in" / "stack.tif", thin, "ZYX")
        budget = ("--minutes", minutes, "--factor", 4, "--along", "Z", "--axes", "ZYX", "--out", place / "model")
        dojo("train", "upscale", "--input", place / "in", *budget)
        dojo("predict", place / "model", place / "in", "--axes", "ZYX", "--out", place / "out")
        # plane i of the thin stack is plane 4 i + 1 of the fine one; a prediction's plane j lies at (j + .5) / 4 - .5
        made = np.asarray(read(place / "out" / "stack.tif").data)
        held = cubic(thin[None], (4, 1, 1))[0]
        fine = ndimage.shift(scene.clean, (0.5, 0, 0), order=3, mode="nearest")
        for name, volume in (("upscaled", made), ("cubic", held)):
            figures.setdefault(name, []).append(round(psnr(fine[4:-4], volume[4:-4]), 2))
    gain = np.mean(figures["upscaled"]) - np.mean(figures["cubic"])
    return {**figures, "gain": round(float(gain), 2)}


PARTS = {"palm": (palm, 10.0), "stacks": (stacks, 4.0)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, help="of each training (default: as the part has it)")
    args = parser.parse_args()

    def measured(part: str, folder: Path) -> dict[str, Any]:
        measure, minutes = PARTS[part]
        return measure(folder, args.minutes or minutes)

    report(measure_parts(args.only, measured), args.save)


if __name__ == "__main__":
    main()
