"""Reliability of a predicted image: its residual, and the detail that two independent predictions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.noise import fission, measure_noise
from napari_dojo.metrics.residuals import residual_correlation
from napari_dojo.metrics.resolution import THRESHOLD, RingCorrelation

__all__ = ["Residual", "Resolution", "halves"]

REACH = 8  # px of the autocorrelation to each side
LEVELS = 12  # classes of intensity
CLEAR = 0.05  # correlation of neighbours above which structure was removed


@dataclass(frozen=True, eq=False)
class Residual:
    """The residual of an image (*S): the input less the prediction.

    Attributes
    ----------
    values : input less prediction, float32 (*S).
    correlation : autocorrelation in the plane, (17, 17), 1 in its middle; noise alone is 0 around it.
    levels, means, deviations : mean and standard deviation of the residual by brightness of the prediction, (n,).
    expected : standard deviation of the noise at these levels, as measured in the input.
    """

    values: NDArray[np.float32]
    correlation: NDArray[np.float64]
    levels: NDArray[np.float64]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    expected: NDArray[np.float64]

    @staticmethod
    def of(given: Any, predicted: Any) -> Residual:
        """Compare an image (*S) with its prediction of the same shape."""
        x, y = (np.asarray(a, np.float32) for a in (given, predicted))
        values = np.nan_to_num(x - y, nan=0.0, posinf=0.0, neginf=0.0)
        order = np.argsort(y, axis=None)
        groups = [g for g in np.array_split(order, LEVELS) if len(g)]
        flat, bright = values.ravel(), y.ravel()
        levels = np.array([bright[g].mean() for g in groups], float)
        noise = measure_noise(x)
        return Residual(
            values,
            residual_correlation(values, REACH),
            levels,
            np.array([flat[g].mean() for g in groups], float),
            np.array([flat[g].std() for g in groups], float),
            np.sqrt(noise.variance(levels)).astype(float),
        )

    @property
    def neighbours(self) -> float:
        """Correlation of neighbouring pixels, -1 to 1."""
        c = self.correlation
        return float((c[REACH, REACH + 1] + c[REACH + 1, REACH]) / 2)

    @property
    def sentence(self) -> str:
        """What it says, in words."""
        r, shift = self.neighbours, float(np.abs(self.means).max() / max(float(np.median(self.deviations)), 1e-12))
        if abs(r) > CLEAR:
            return (
                f"Neighbouring pixels of the residual correlate by {r:.2f}: some structure was removed with the noise."
            )
        if shift > 0.3:
            return (
                f"The mean of the residual is not 0 at all intensities (up to {shift:.2f} of its standard deviation)."
            )
        return (
            f"The residual looks like noise: neighbouring pixels correlate by {r:.2f}, its mean is 0 at all intensities. "
            "It may be grainier in bright places, where there is more photon noise; lines or patches would be signal."
        )


@dataclass(frozen=True, eq=False)
class Resolution:
    """Fourier ring correlation of two images of one scene with independent noise, before and after the model."""

    before: RingCorrelation
    after: RingCorrelation

    @property
    def sentence(self) -> str:
        """``Before: detail down to 9.1 px; after: detail down to 5.2 px.``, and a warning of what comes from the model itself."""
        own = " Finer detail that both share comes from the model: do not interpret it." if self.own_pattern else ""
        return f"Before: {self.before.sentence}; after: {self.after.sentence}.{own}"

    @property
    def own_pattern(self) -> bool:
        """Whether the halves agree again at detail finer than the resolution: the model adds that to both."""
        beyond = self.after.frequency > 1 / self.after.resolution
        return bool(beyond.any() and self.after.smooth[beyond].max() > 2 * THRESHOLD)


def halves(image: Any, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two images of the scene of one image (*S) with independent noise, each as noisy as with half of the light."""
    return fission(image, measure_noise(image), np.random.default_rng(seed))
