"""Classes of pixels from a few strokes: features at several scales, random trees and a linear model that sort them.

The features are those of scikit-image: intensity, edges and the curvatures of the image smoothed at scales from .5 to 16 px, as in
ilastik (Berg et al. 2019, Nature Methods 16:1226), and lines in eight directions where classes are painted. The mean of its random forest, extremely randomised trees and a logistic
regression beats the forest alone on the same features, see LOG.md. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PixelClassifier", "pixel_features"]

SCALES = (0.5, 16.0)  # px, smallest and largest
LINES, ALONG, ANGLES = (1.0, 2.0), 4.0, 8  # px across a line, px along it, directions
AROUND = 24  # px that filters of lines see
TREES = 40  # of each kind
MOST = 20_000  # annotated pixels of each class that are learned from
OF_A_TREE = 5_000  # annotated pixels that a tree is grown from, at most
TOGETHER = 2**18  # pixels that are sorted at a time


def pixel_features(x: NDArray[Any], lines: bool = False) -> NDArray[np.float32]:
    """What can be said of each pixel of a normalised image (C, *S): (F, *S) float32; ``lines`` : of an image, lines as well.

    Lines help to tell classes apart, and some objects, but cost others: those with a halo (LOG.md).
    """
    from skimage.feature import multiscale_basic_features

    low, high = SCALES
    found = multiscale_basic_features(
        np.ascontiguousarray(x, np.float32),
        intensity=True,
        edges=True,
        texture=True,
        sigma_min=low,
        sigma_max=high,
        channel_axis=0,
    )
    features = np.moveaxis(found, -1, 0)
    if lines and x.ndim == 3:
        features = np.concatenate([features, *(_lines(np.asarray(c, np.float32)) for c in x)])
    return np.ascontiguousarray(features, np.float32)


def _lines(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Curvature across lines (Y, X), averaged along them: of each width the smallest and largest over all directions, the mean and the
    range (8, Y, X). A gap in a membrane is bridged, where curvature at a point is not.
    """
    from scipy import fft

    wide = np.pad(image, AROUND, mode="symmetric")
    size = tuple(fft.next_fast_len(n, real=True) for n in wide.shape)
    spectrum = fft.rfft2(wide, size)
    rows, columns = 2 * np.pi * fft.fftfreq(size[0])[:, None], 2 * np.pi * fft.rfftfreq(size[1])[None]
    inner = tuple(slice(AROUND, AROUND + n) for n in image.shape)
    found = []
    for width in LINES:
        each = []
        for angle in np.pi * np.arange(ANGLES) / ANGLES:
            across = columns * np.cos(angle) + rows * np.sin(angle)
            along = rows * np.cos(angle) - columns * np.sin(angle)
            kernel = -((width * across) ** 2) * np.exp(-((width * across) ** 2) / 2 - (ALONG * width * along) ** 2 / 2)
            each.append(fft.irfft2(spectrum * kernel.astype(np.float32), size)[inner])
        low, high = np.min(each, 0), np.max(each, 0)
        found += [low, high, np.mean(each, 0), high - low]
    return np.asarray(found, np.float32)


class PixelClassifier:
    """Sorts pixels into classes; the same annotation gives the same classifier."""

    def __init__(self, features: Sequence[NDArray[np.float32]], classes: Sequence[NDArray[Any]]) -> None:
        """Fit to images' features (F, *S) and classes (*S): 0 not annotated, else 1 or larger, two of them at least."""
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        rows, values = [], []
        rng = np.random.default_rng(0)
        for f, c in zip(features, classes, strict=True):
            flat = np.asarray(c).ravel()
            for value in np.unique(flat[flat > 0]):
                where = np.flatnonzero(flat == value)
                if len(where) > MOST:
                    where = np.sort(rng.choice(where, MOST, replace=False))
                rows.append(f.reshape(len(f), -1)[:, where].T)
                values.append(np.full(len(where), value))
        x, y = np.concatenate(rows), np.concatenate(values)
        each = OF_A_TREE if len(y) > OF_A_TREE else None
        forest = RandomForestClassifier(TREES, max_samples=each, random_state=0, n_jobs=1)
        random = ExtraTreesClassifier(TREES, bootstrap=each is not None, max_samples=each, random_state=0, n_jobs=1)
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300))
        self._parts = [part.fit(x, y) for part in (forest, random, linear)]

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes' numbers, ascending."""
        return tuple(int(c) for c in self._parts[0].classes_)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of each class (K, *S), 0 to 1, for features (F, *S)."""
        flat = features.reshape(len(features), -1)
        found = np.empty((len(self.classes), flat.shape[1]), np.float32)
        for start in range(0, flat.shape[1], TOGETHER):
            part = flat[:, start : start + TOGETHER].T
            each = [model.predict_proba(part).T for model in self._parts]
            found[:, start : start + TOGETHER] = np.mean(each, axis=0)
        return found.reshape(-1, *features.shape[1:])
