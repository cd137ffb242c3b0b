"""Fields of objects for models that others are started from: many kinds, light or dark, in grey and in stained colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.simulation.base import Floats, Labels, Rng, Scene
from napari_dojo.simulation.fields import smooth_noise
from napari_dojo.simulation.microscope import KINDS, Microscope, random_nuclei, simulate

__all__ = ["EOSIN", "HEMATOXYLIN", "ObjectField", "inner_depth", "random_objects", "random_stained"]

HEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])  # Ruifrok & Johnston 2001
FIRST = 100_000, 500_000  # seeds of the scenes, in grey and in colour: none that tests or benchmarks use


@dataclass(frozen=True, eq=False)
class ObjectField:
    """A picture (Y, X) uint16, or (Y, X, 3) uint8 in colour, and its objects (Y, X): 0 background, 1..n."""

    image: NDArray[Any]
    labels: Labels


def random_objects(seed: int, shape: Sequence[int]) -> ObjectField:
    """Nuclei, cells, bacteria and rounded things of 6 to 60 px, in fluorescence, phase contrast and bright field.

    A third is shown with dark and light exchanged.

    Parameters
    ----------
    seed : the same seed gives the same values.
    shape : (Y, X).
    """
    rng = np.random.default_rng([seed, 991])
    weights = np.array([weight for _, weight in GREY])
    number = int(rng.choice(len(GREY), p=weights / weights.sum()))
    scene, _ = GREY[number]
    image, labels = scene(FIRST[0] + seed, shape, rng)
    seen = np.asarray(image, np.float32)
    if rng.random() < (0.25 if number == 0 else 0.35):
        seen = seen.max() - seen
    low, high = float(seen.min()), float(seen.max())
    return ObjectField(((seen - low) / max(high - low, 1e-6) * 60000).astype(np.uint16), labels)


def random_stained(seed: int, shape: Sequence[int]) -> ObjectField:
    """Nuclei and cells of 10 to 42 px in stained tissue: any stain, pale and dark, with fibres and gaps.

    Parameters
    ----------
    seed : the same seed gives the same values.
    shape : (Y, X).
    """
    rng = np.random.default_rng([seed, 313])
    diameter = _between(rng, 10, 42)
    made = _tissue(FIRST[1] + seed, shape, diameter, rng)
    light = np.asarray(made.clean, np.float64)
    light = light.sum(0) if light.ndim == 3 else light
    stained = _stain_of_objects(light, made.labels, diameter, rng)
    ground = _stain_of_ground(made.labels, rng)
    colours = [v * np.exp(0.2 * rng.standard_normal(3)) for v in (HEMATOXYLIN, EOSIN)]
    if rng.random() < 0.2:  # other stains
        colours = [rng.dirichlet([1, 1, 1]) * 1.2 for _ in colours]
    if rng.random() < 0.15:  # the ground is not stained
        ground = ground * 0.15
    seen = rng.uniform(225, 255) * np.exp(-stained[..., None] * colours[0] - ground[..., None] * colours[1])
    if rng.random() < 0.12:  # light on dark
        seen = 255 - seen
    blur = rng.uniform(0.4, 1.4)
    balance = np.exp(0.08 * rng.standard_normal(3))
    seen = ndimage.gaussian_filter(seen, (blur, blur, 0)) * balance + rng.normal(0, rng.uniform(1, 7), seen.shape)
    return ObjectField(seen.clip(0, 255).astype(np.uint8), made.labels)


def inner_depth(labels: Labels) -> NDArray[np.float64]:
    """Of each pixel of an object (Y, X), the distance, px, to the object's edge, also where it touches another; 0 elsewhere."""
    return ndimage.distance_transform_edt(_apart(labels)) + 1.0 * (labels > 0)


def _fluorescent(seed: int, shape: Sequence[int], rng: Rng) -> tuple[NDArray[Any], Labels]:
    made = random_nuclei(seed, shape)
    return made.image, made.labels


def _seen_any_way(kind: str, seed: int, shape: Sequence[int], rng: Rng, **sample: Any) -> tuple[NDArray[Any], Labels]:
    """A kind of the simulator in phase contrast or fluorescence."""
    how: dict[str, Any] = {}
    if rng.random() < 0.5:
        how["microscope"] = Microscope(na=KINDS[kind].microscope.na, photons=_between(rng, 100, 2000), contrast="phase")
    else:
        how = {"photons": _between(rng, 15, 1000), "background": _between(rng, 0.02, 0.8)}
        how["unevenness"] = float(rng.uniform(0, 0.7))
    made = simulate(kind, shape, seed, **sample, **how)
    image = made.image
    if image.ndim == 3:
        image = image[0] if rng.random() < 0.5 else image.sum(0)
    return image, made.labels


def _cells(seed: int, shape: Sequence[int], rng: Rng) -> tuple[NDArray[Any], Labels]:
    diameter, density = _between(rng, 18, 60), float(rng.uniform(0.1, 0.85))
    return _seen_any_way("cells", seed, shape, rng, diameter=diameter, density=density)


def _bacteria(seed: int, shape: Sequence[int], rng: Rng) -> tuple[NDArray[Any], Labels]:
    diameter, density = _between(rng, 6, 16), float(rng.uniform(0.05, 0.4))
    return _seen_any_way("bacteria", seed, shape, rng, diameter=diameter, density=density)


def _round(seed: int, shape: Sequence[int], rng: Rng) -> tuple[NDArray[Any], Labels]:
    sample = {
        "diameter": _between(rng, 10, 50),
        "density": float(rng.uniform(0.1, 0.6)),
        "touching": float(rng.uniform(0, 0.95)),
        "elongation": 1 + float(rng.gamma(2, 0.3)),
        "texture": float(rng.uniform(0.05, 0.6)),
    }
    return _seen_any_way("nuclei", seed, shape, rng, **sample)


def _outlined(seed: int, shape: Sequence[int], rng: Rng) -> tuple[NDArray[Any], Labels]:
    """Rims, insides and ground of any brightness, texture of either, uneven light: as in bright field."""
    kind = str(rng.choice(["nuclei", "cells"]))
    diameter = _between(rng, 12, 55)
    sample: dict[str, Any] = {"diameter": diameter, "density": float(rng.uniform(0.1, 0.6))}
    if kind == "nuclei":
        sample |= {"touching": float(rng.uniform(0, 0.95)), "elongation": 1 + float(rng.gamma(2, 0.3))}
        sample |= {"lobes": float(rng.uniform(0, 0.12)), "overlap": 0.03, "defocus": 0.0}
        sample["debris"] = float(rng.uniform(0, 1))
    made = simulate(kind, shape, seed, **sample)
    size, unit, inside = made.labels.shape, diameter / 30, made.labels > 0
    look = _rims(made.labels, unit, rng)
    texture = rng.uniform(0, 0.12) * smooth_noise(size, _even(_between(rng, 1, 5)), rng) * inside
    ground = rng.uniform(0, 0.08) * smooth_noise(size, _even(_between(rng, 1, 12)), rng)
    ground = ground * (~inside if rng.random() < 0.5 else 1)
    ground = ground + rng.uniform(0, 0.15) * smooth_noise(size, _even(50.0), rng)
    light = ndimage.gaussian_filter(1.5 + look + texture + ground, rng.uniform(0.4, 1.4))
    return rng.poisson(np.maximum(_between(rng, 60, 2000) * light, 1)).astype(np.uint16), made.labels


def _rims(labels: Labels, unit: float, rng: Rng) -> NDArray[np.float64]:
    """How much lighter than the ground the objects are, by the depth; each a little other; and a halo around them."""
    depth, outside = inner_depth(labels), ndimage.distance_transform_edt(labels == 0)
    inside = rng.normal(0, 0.25) * (rng.random() < 0.7)
    rim = rng.normal(0, 0.4) * np.exp(-(((depth - 1.5 * unit) / (rng.uniform(0.8, 2) * unit)) ** 2))
    rim = rim + rng.normal(0, 0.25) * np.exp(-(((depth - 5 * unit) / (2 * unit)) ** 2))
    each = 1 + rng.uniform(0, 0.6) * rng.standard_normal(labels.max() + 1)
    halo = rng.normal(0, 0.15) * np.exp(-(((outside - 2 * unit) / (1.5 * unit)) ** 2))
    look = np.where(labels > 0, (inside + rim) * each[labels], halo)
    strength = np.abs(look).max() + 1e-6
    return look * (0.25 / strength if strength < 0.25 else 1.0)


def _tissue(seed: int, shape: Sequence[int], diameter: float, rng: Rng) -> Scene:
    kind = "nuclei" if rng.random() < 0.85 else "cells"
    sample: dict[str, Any] = {"diameter": diameter, "density": float(rng.uniform(0.06, 0.55))}
    if kind == "nuclei":
        sample |= {"touching": float(rng.uniform(0.1, 0.9)), "overlap": float(rng.uniform(0.02, 0.08))}
        sample |= {"elongation": 1 + float(rng.gamma(2, 0.3)), "lobes": float(rng.uniform(0, 0.12))}
        sample |= {"texture": float(rng.uniform(0.1, 0.8)), "bodies": float(rng.uniform(-0.3, 0.8))}
        sample |= {"brightness": float(rng.uniform(0.15, 0.6)), "defocus": float(rng.uniform(0, 0.4))}
        sample |= {"debris": float(rng.uniform(0, 0.4)), "variation": float(rng.uniform(0.1, 0.4))}
    return simulate(kind, shape, seed, **sample)


def _stain_of_objects(light: Floats | NDArray[np.float64], labels: Labels, diameter: float, rng: Rng) -> Any:
    """How much of the first stain there is, (Y, X): in objects by their light, some with a dark rim and a pale inside."""
    light = light - np.percentile(light, 2)
    top = np.percentile(light[labels > 0], 60) if labels.any() else light.max() + 1e-6
    stain = _between(rng, 0.3, 1.3) * np.clip(light / top, 0, 2.5) ** rng.uniform(0.5, 1)
    if rng.random() < 0.4:
        depth = ndimage.distance_transform_edt(_apart(labels))
        stain = stain * (1 - rng.uniform(0.2, 0.6) * (1 - np.exp(-((depth / (0.08 * diameter + 1)) ** 2))))
    stain = stain * (rng.uniform(0.5, 0.9) + 0.25 * (labels > 0))
    return stain + rng.uniform(0, 0.15) * np.abs(smooth_noise(labels.shape, _even(_between(rng, 3, 12)), rng))


def _stain_of_ground(labels: Labels, rng: Rng) -> Any:
    """How much of the second stain there is, (Y, X): fibres with gaps, less in objects."""
    size = labels.shape
    edge = int(1.5625 * max(size))  # room to rotate
    angle = rng.uniform(0, 180)
    fibres = ndimage.rotate(rng.standard_normal((edge, edge)), angle, reshape=False)
    fibres = ndimage.rotate(ndimage.gaussian_filter(fibres, 0.7), rng.uniform(0, 90), reshape=False)
    first = [(edge - n) // 2 for n in size]
    fibres = ndimage.gaussian_filter1d(fibres, _between(rng, 3, 14))[
        first[0] : first[0] + size[0], first[1] : first[1] + size[1]
    ]
    fibres /= fibres.std()
    gaps = 1.0 * (smooth_noise(size, _even(_between(rng, 8, 30)), rng) > rng.uniform(0.5, 2))
    gaps = ndimage.gaussian_filter(gaps, 1.5) * (labels == 0)
    stain = rng.uniform(0.15, 0.7) + rng.uniform(0.02, 0.2) * fibres
    stain = (stain + rng.uniform(0.03, 0.2) * smooth_noise(size, _even(20.0), rng)).clip(0.03) * (1 - 0.9 * gaps)
    return np.where(labels > 0, rng.uniform(0.3, 1) * stain, stain)


def _apart(labels: Labels) -> NDArray[np.bool_]:
    """Pixels of objects that do not touch another object or the ground."""
    same = (ndimage.maximum_filter(labels, 3) == labels) & (ndimage.minimum_filter(labels, 3) == labels)
    return np.asarray(same & (labels > 0))


def _between(rng: Rng, low: float, high: float) -> float:
    """A figure whose logarithm is even."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _even(scale: float) -> NDArray[np.float64]:
    """The same scale along both axes."""
    return np.array([scale, scale])


GREY: tuple[tuple[Callable[[int, Sequence[int], Rng], tuple[NDArray[Any], Labels]], float], ...] = (
    (_fluorescent, 0.34),
    (_outlined, 0.3),
    (_round, 0.12),
    (_cells, 0.14),
    (_bacteria, 0.1),
)  # and how often
