"""Localisation microscopy: single molecules that blink, the pictures made of them, and where those support a prediction.

A few frames of a PALM or STORM film give a sparse picture; a net that has seen dense ones can fill it in (ANNA-PALM:
Ouyang et al. 2018, Nature Biotechnology 36:460). What it fills in where hardly any molecule was seen is its own idea:
`support` says where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.errors import DojoError
from napari_dojo.simulation.base import Bench, Floats, Sample
from napari_dojo.simulation.kinds import KINDS

__all__ = ["DOUBT", "Film", "film", "support"]

DOUBT = 0.05  # what `support` gives where a prediction should not be believed
ENOUGH = 4.0  # molecules that a neighbourhood lets one expect
PIXEL = 0.02  # µm


@dataclass(frozen=True, eq=False)
class Film:
    """What a simulated film of blinking molecules gave.

    Attributes
    ----------
    places : float64 (n, 2), where molecules were localised, px (y, x).
    frames : int (n,), in which frame, from 0.
    count : frames in all.
    structure : float32 (Y, X), the density that molecules were drawn from, about 1 on a filament.
    widefield : float32 (Y, X), the same through an ordinary microscope, with its noise, on the same grid.
    pixel_size : µm.
    """

    places: NDArray[np.float64]
    frames: NDArray[np.int64]
    count: int
    structure: Floats
    widefield: Floats
    pixel_size: float = PIXEL

    def picture(self, share: float = 1.0, smooth: float = 0.0, first: int = 0) -> Floats:
        """Localisations of the first part of the film per pixel (Y, X), smoothed by a Gaussian of ``smooth`` px.

        ``first`` : the first frame that counts.
        """
        shape = self.structure.shape
        kept = (self.frames >= first) & (self.frames < first + round(share * self.count))
        index = np.rint(self.places[kept]).astype(int)
        index = index[((index >= 0) & (index < shape)).all(1)]
        counts = np.bincount(np.ravel_multi_index(tuple(index.T), shape), minlength=int(np.prod(shape)))
        image = counts.reshape(shape).astype(np.float32)
        return ndimage.gaussian_filter(image, smooth) if smooth else image


def film(
    seed: int,
    shape: Sequence[int],
    structure: Literal["filaments", "spots"] = "filaments",
    *,
    density: float = 0.06,
    molecules: float = 1.0,
    blinks: float = 3.0,
    precision: float = 0.015,
    background: float = 0.02,
    frames: int = 10_000,
) -> Film:
    """Simulate a film of blinking molecules on filaments or spots.

    Parameters
    ----------
    seed : the same seed gives the same values.
    shape : (Y, X), in px of 0.02 µm.
    density : part of the field that the structure covers.
    molecules : in a pixel of the structure; ``blinks`` : how often each is localised, on average.
    precision : standard deviation of a localisation, µm; brighter ones are better (a spread of a third).
    background : part of the localisations that lie anywhere.
    frames : length of the film; blinks of one molecule follow each other closely, molecules come at any time.

    Raises
    ------
    DojoError : where the shape has not two members.
    """
    size = tuple(int(n) for n in shape)
    if len(size) != 2 or min(size) < 16:
        raise DojoError(f"A film is simulated on (Y, X) of 16 px or more; got {tuple(shape)}.")
    rng = np.random.default_rng([seed & 0x7FFFFFFF, 81])
    thin = Sample(diameter=1.6 if structure == "filaments" else 4.0, density=density, bend=rng.uniform(0.05, 0.5))
    drawn = KINDS[structure].draw(thin, Bench(size, np.ones(2), (0.5, 0.5), rng))
    light = np.maximum(drawn.light[0], 0)
    light = light / max(float(np.percentile(light[light > 0.05], 75)) if (light > 0.05).any() else 1.0, 1e-6)
    there = rng.poisson(molecules * np.minimum(light, 3)).ravel()
    where = np.repeat(np.arange(there.size), there)
    often = rng.geometric(1 / max(blinks, 1.0), len(where))
    molecule = np.repeat(np.arange(len(where)), often)
    places = np.stack(np.unravel_index(where[molecule], size), 1) + rng.uniform(-0.5, 0.5, (len(molecule), 2))
    sigma = precision / PIXEL * np.exp(0.33 * rng.standard_normal((len(molecule), 1)))
    places = places + sigma * rng.standard_normal(places.shape)
    start = rng.uniform(0, frames, len(where))
    when = start[molecule] + rng.exponential(20.0, len(molecule))
    stray = round(background * len(places) / (1 - background))
    places = np.concatenate([places, rng.uniform(-0.5, np.array(size) - 0.5, (stray, 2))])
    when = np.minimum(np.concatenate([when, rng.uniform(0, frames, stray)]), frames - 1).astype(np.int64)
    seen = ndimage.gaussian_filter(light, 0.21 * 0.6 / 1.4 / PIXEL)
    photons = 200 * (seen / max(float(seen.max()), 1e-6) + 0.1)
    widefield = rng.poisson(photons) + 2.0 * rng.standard_normal(size)
    return Film(places, when, frames, light.astype(np.float32), widefield.astype(np.float32))


def support(localisations: Any, prediction: Any, blinks: float = 3.0) -> Floats:
    """How well localisations support a predicted image: 0 not at all, 1 fully; below `DOUBT` it is unreliable.

    The amount of prediction per localisation elsewhere gives the number expected in a neighbourhood. The result
    is the probability of at most the localisations that are there (Poisson distribution, molecules counting once
    for each ``blinks`` localisations). The neighbourhood of a pixel is as small as lets one expect 4 molecules, at most
    20 px. Where nothing is predicted, the result is 1.

    Parameters
    ----------
    localisations : per pixel (Y, X).
    prediction : of any unit, (Y, X).
    blinks : localisations of one molecule, on average.
    """
    from scipy.stats import poisson

    n, p = (np.maximum(np.nan_to_num(np.asarray(a, np.float64)), 0) for a in (localisations, prediction))
    p = np.maximum(p - np.percentile(p, 20), 0)  # less its ground
    shown = p > 0.1 * np.percentile(p, 99.5)
    out, decided = np.ones(p.shape, np.float32), ~shown
    if not shown.any() or not n.any():
        return np.where(shown, 0, out).astype(np.float32)
    for radius in (3.0, 5.0, 8.0, 12.0, 20.0):
        area = 4 * np.pi * radius**2  # px that a Gaussian neighbourhood is worth
        near, much = (area * ndimage.gaussian_filter(a, radius) / blinks for a in (n, p))
        seen = shown & (near * blinks > 0.5)
        rate = float(np.median(near[seen] / np.maximum(much[seen], 1e-12))) if seen.any() else 0.0
        enough = ~decided & ((rate * much >= ENOUGH) | (radius == 20.0))
        out[enough] = poisson.cdf(np.floor(near[enough] + 0.5), rate * much[enough])
        decided |= enough
    return out
