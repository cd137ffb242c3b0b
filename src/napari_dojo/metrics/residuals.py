"""How good a denoised image is without a ground truth: how much noise the residual holds, and whether it holds structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.metrics.base import same_size

__all__ = ["ResidualScores", "residual_correlation"]

MUCH = 10  # times the estimated noise: a share in % says nothing any more


def residual_correlation(residual: ArrayLike, reach: int = 1) -> NDArray[np.float64]:
    """Autocorrelation of a residual, in the plane: (2 reach + 1, 2 reach + 1), 1 in the middle.

    Pure noise of a camera gives 0 everywhere else; structure that was removed too shows as a hill.

    Parameters
    ----------
    residual : (..., Y, X); planes are pooled. Values that are not finite count as the mean.
    reach : px to each side.
    """
    r = np.asarray(residual, np.float64)
    r = r.reshape(-1, *r.shape[-2:])
    r = r - np.mean(r[np.isfinite(r)]) if np.isfinite(r).any() else np.zeros_like(r)
    r = np.nan_to_num(r, nan=0.0, posinf=0.0, neginf=0.0)
    h, w = r.shape[1:]
    power, out = float((r * r).mean()), np.zeros((2 * reach + 1,) * 2)
    out[reach, reach] = 1.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if (dy, dx) == (0, 0) or abs(dy) >= h or abs(dx) >= w or power <= 0:
                continue
            a = r[:, max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)]
            b = r[:, max(0, -dy) : h + min(0, -dy), max(0, -dx) : w + min(0, -dx)]
            out[reach + dy, reach + dx] = float((a * b).mean()) / power
    return np.clip(out, -1, 1)


@dataclass(frozen=True)
class ResidualScores:
    """Scores of a denoised image without a ground truth, from its residual; means over ``images`` images.

    Attributes
    ----------
    removed : standard deviation of the residual over that of the noise measured in the image; 1 is all of it.
    correlation : of neighbouring pixels of the residual; 0 for noise alone.
    """

    images: int = 0
    removed: float = 0.0
    correlation: float = 0.0

    @classmethod
    def of(cls, given: ArrayLike, result: ArrayLike) -> ResidualScores:
        """Score a denoised image (C, *S) by the image it was made from, of the same shape."""
        from napari_dojo.data.noise import measure_noise

        x, y = np.asarray(given, np.float64), np.asarray(result, np.float64)
        same_size(x, y)
        found = []
        for a, b in zip(x, y, strict=True):
            noise, residual = measure_noise(a), np.nan_to_num(a - b, nan=0.0, posinf=0.0, neginf=0.0)
            expected = float(np.sqrt(np.mean(noise.variance(b)))) if noise.span > 0 else 0.0
            around = residual_correlation(residual)
            found.append((float(residual.std()) / expected if expected > 0 else 0.0, (around[1, 2] + around[2, 1]) / 2))
        return cls(1, *(float(v) for v in np.mean(found, axis=0)))

    def __add__(self, other: ResidualScores) -> ResidualScores:
        n = self.images + other.images
        a, b = self.images / max(1, n), other.images / max(1, n)
        return ResidualScores(n, a * self.removed + b * other.removed, a * self.correlation + b * other.correlation)

    @property
    def whiteness(self) -> float:
        """1 for noise alone, 0 where neighbours are the same."""
        return 1 - abs(self.correlation)

    @property
    def selection_score(self) -> float:
        """Whiteness: shown, but without ground truth the loss selects the model."""
        return self.whiteness

    @property
    def selection_name(self) -> str:
        """What that figure is."""
        return "whiteness"

    @property
    def sentence(self) -> str:
        """``97 % of the estimated noise removed; neighbouring pixels of the residual correlate by 0.02``."""
        share = f"{100 * self.removed:.0f} % of the estimated noise removed"
        if self.removed > MUCH:  # hardly any noise was measured, or structure was removed
            share = f"{self.removed:.3g} times the estimated noise removed"
        return f"{share}; neighbouring pixels of the residual correlate by {self.correlation:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {"removed": self.removed, "correlation": self.correlation, "whiteness": self.whiteness}
