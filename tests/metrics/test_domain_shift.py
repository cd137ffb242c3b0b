from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from napari_dojo.data.normalize import Rule
from napari_dojo.metrics.domain_shift import MEASURES, profile, seen, unlike
from napari_dojo.simulation.microscope import simulate

RNG = np.random.default_rng(0)


def looks(image: np.ndarray) -> dict[str, float]:
    return profile(Rule().measure(image[None]).apply(image[None]))


def field(seed: int, **more) -> np.ndarray:
    return simulate("nuclei", (160, 160), seed, **{"photons": 60, **more}).image.astype(float)


@cache
def known() -> dict[str, list[float]]:
    """What six images look like."""
    return seen(looks(field(k)) for k in range(6))


@pytest.mark.parametrize("seed", range(20, 24))
def test_images_of_the_same_kind_are_like(seed):
    assert unlike(known(), looks(field(seed))) == ""
    assert unlike(known(), looks(3 * field(seed) + 500)) == ""


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (field(30, photons=2), "noisier"),
        (field(30, photons=30000), "less noisy"),
        (ndimage.gaussian_filter(field(30), 6), "less sharp"),
        (100 + field(30).max() - field(30), "brighter"),
    ],
)
def test_other_images_are_not(image, word):
    said = unlike(known(), looks(image))
    assert word in said
    assert said.endswith(".")


def test_ranges_and_what_is_not_known():
    assert seen([]) == {}
    assert set(known()) == set(MEASURES)
    assert all(low <= high for low, high in known().values())
    assert unlike({}, looks(field(1))) == ""
    assert unlike({"noise": known()["noise"]}, looks(100 - field(30))) == ""


@pytest.mark.parametrize(
    "image", [np.zeros((1, 1)), np.zeros((40, 40)), np.full((5, 6), np.nan), RNG.normal(size=(4, 20, 20))]
)
def test_odd_images_have_figures(image):
    assert np.isfinite(list(looks(image).values())).all()
