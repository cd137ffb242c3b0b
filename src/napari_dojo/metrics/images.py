"""How well a predicted image agrees with the target: PSNR, SSIM and Pearson"s correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.metrics.base import same_size

BEST_PSNR = 100.0  # dB; stands for "identical", which has no finite value

__all__ = ["ImageScores", "pearson", "psnr", "ssim"]


def psnr(
    truth: ArrayLike, predicted: ArrayLike, data_range: float | None = None, region: ArrayLike | None = None
) -> float:
    """Peak signal-to-noise ratio in dB.

    Parameters
    ----------
    truth, predicted : of one shape and unit, any dtype. Pixels whose truth is not finite do not count; a prediction
        that is not finite counts as 0.
    data_range : largest less smallest possible value; None takes that of the truth.
    region : bool, of the same shape; pixels outside of it do not count.

    Returns
    -------
    -100 to 100, which stands for "identical". A truth without range (constant, empty) gives 100 where the
    prediction equals it, else 0.
    """
    t, p, inside = _images(truth, predicted, region)
    t, p = t[inside], p[inside]
    span = _span(t) if data_range is None else float(data_range)
    if span <= 0:
        return BEST_PSNR if t.size and np.array_equal(t, p) else 0.0
    with np.errstate(all="ignore"):
        error = float(np.mean((t / span - p / span) ** 2)) if t.size else 1.0
        return float(np.clip(-10 * np.log10(error), -BEST_PSNR, BEST_PSNR))


def pearson(truth: ArrayLike, predicted: ArrayLike, region: ArrayLike | None = None) -> float:
    """Pearson's correlation r, -1 to 1; 0 where one of the two is constant. See `psnr` for the arguments."""
    t, p, inside = _images(truth, predicted, region)
    a, b = (_centred(v[inside]) for v in (t, p))
    below = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip((a @ b) / below, -1, 1)) if below > 0 else 0.0


def ssim(
    truth: ArrayLike, predicted: ArrayLike, data_range: float | None = None, region: ArrayLike | None = None
) -> float:
    """Structural similarity with Gaussian weights of 1.5 pixels (Wang et al. 2004), at most 1.

    Parameters
    ----------
    truth, predicted : (*S), one channel in 2-D or 3-D; see `psnr`.
    data_range, region : see `psnr`. The surroundings of a pixel reach a few pixels beyond ``region``.

    Returns
    -------
    A truth without range gives 1 where the prediction equals it, else 0.
    """
    from skimage.metrics import structural_similarity

    t, p, inside = _images(truth, predicted, region)
    span = _span(t[inside]) if data_range is None else float(data_range)
    if span <= 0 or not inside.any():
        return float(inside.any() and np.array_equal(t[inside], p[inside]))
    low, known = float(t[inside].min()), np.isfinite(np.asarray(truth, np.float64))
    t, p = (np.atleast_1d(np.squeeze(np.where(known, v, low))) / span for v in (t, p))
    side = min(11, *t.shape)  # 11 pixels is what a Gaussian of 1.5 reaches
    side -= 1 - side % 2
    with np.errstate(all="ignore"):
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "win_size": side}
        value, local = structural_similarity(t, p, data_range=1.0, full=True, **gaussian)
    if not inside.all():
        value = local[np.atleast_1d(np.squeeze(inside))].mean()
    return float(value) if np.isfinite(value) else 0.0


def _images(
    truth: ArrayLike, predicted: ArrayLike, region: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Both as finite float64, and the pixels that count."""
    t, p = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    same_size(t, p)
    inside = np.isfinite(t)
    if region is not None:
        same_size(t, np.asarray(region), "annotated region")
        inside &= np.asarray(region, bool)
    t, p = (np.nan_to_num(v, nan=0.0, posinf=0.0, neginf=0.0) for v in (t, p))
    return t, p, inside


def _span(values: NDArray[np.float64]) -> float:
    return float(np.ptp(values)) if values.size else 0.0


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Less their mean and scaled to at most 1, so that no square overflows; zeros where all are the same."""
    if values.size == 0 or values.min() == values.max():
        return np.zeros(values.shape)
    values = values / np.abs(values).max()
    values = values - values.mean()
    out: NDArray[np.float64] = values / np.abs(values).max()
    return out


@dataclass(frozen=True)
class ImageScores:
    """Mean PSNR (dB), SSIM and Pearson's r of the counted images."""

    images: int = 0
    psnr: float = 0.0
    ssim: float = 0.0
    pearson: float = 0.0
    selected: Literal["psnr", "pearson"] = "psnr"

    @classmethod
    def of(
        cls,
        truth: ArrayLike,
        predicted: ArrayLike,
        region: ArrayLike | None = None,
        *,
        selected: Literal["psnr", "pearson"] = "psnr",
    ) -> ImageScores:
        """Compare two images (C, *S): each channel with its own range, then their mean. ``region`` is bool (*S)."""
        t, p = np.asarray(truth), np.asarray(predicted)
        same_size(t, p)
        if t.ndim < 3 or len(t) == 0:
            raise ValueError(f"images (C, *S) are needed, with two or three spatial axes; got {t.shape}")
        each = [
            (psnr(a, b, region=region), ssim(a, b, region=region), pearson(a, b, region=region))
            for a, b in zip(t, p, strict=True)
        ]
        found = np.mean(each, axis=0)
        return cls(1, float(found[0]), float(found[1]), float(found[2]), selected)

    def __add__(self, other: ImageScores) -> ImageScores:
        n = self.images + other.images
        a, b = self.images / max(1, n), other.images / max(1, n)
        return ImageScores(
            n,
            a * self.psnr + b * other.psnr,
            a * self.ssim + b * other.ssim,
            a * self.pearson + b * other.pearson,
            other.selected,
        )

    @property
    def selection_score(self) -> float:
        """The figure that selects the best model."""
        return self.psnr if self.selected == "psnr" else self.pearson

    @property
    def selection_name(self) -> str:
        """What that figure is."""
        return "PSNR, dB" if self.selected == "psnr" else "Pearson r"

    @property
    def sentence(self) -> str:
        """``PSNR 31.2 dB, SSIM 0.86, Pearson r 0.95``."""
        return f"PSNR {self.psnr:.1f} dB, SSIM {self.ssim:.2f}, Pearson r {self.pearson:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {"psnr": self.psnr, "ssim": self.ssim, "pearson": self.pearson}
