from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_dojo.errors import DojoError
from napari_dojo.simulation.smlm import DOUBT, film, support


@pytest.mark.parametrize("structure", ["filaments", "spots"])
def test_localisations_lie_on_the_structure(structure):
    made = film(1, (128, 144), structure, density=0.04)
    full = made.picture()
    assert full.shape == made.structure.shape == made.widefield.shape == (128, 144)
    assert len(made.places) == len(made.frames)
    assert 0 <= made.frames.min() <= made.frames.max() < made.count
    near = ndimage.gaussian_filter(made.structure, 1.5) > 0.05
    assert full[near].sum() / full.sum() > 0.9
    assert np.corrcoef(made.widefield.ravel(), ndimage.gaussian_filter(full, 4.5).ravel())[0, 1] > 0.8


def test_films_are_repeatable_and_parts_of_them_sparse():
    a, b, c = film(1, (64, 64)), film(1, (64, 64)), film(2, (64, 64))
    np.testing.assert_array_equal(a.places, b.places)
    assert a.places.shape != c.places.shape
    whole, part = a.picture().sum(), a.picture(0.1).sum()
    assert part == pytest.approx(0.1 * whole, rel=0.4)
    assert a.picture(0.5).sum() + a.picture(0.5, first=5000).sum() == whole
    assert a.picture(smooth=2.0).sum() == pytest.approx(whole, rel=0.02)


def test_precision_background_and_blinks():
    sharp, blurred = (film(3, (96, 96), precision=p, background=0) for p in (0.002, 0.04))
    assert (sharp.picture() > 0).mean() < (blurred.picture() > 0).mean()
    assert len(film(3, (96, 96), blinks=6).places) > 1.5 * len(film(3, (96, 96), blinks=2).places)
    empty = film(3, (96, 96), background=0.5)
    assert (empty.picture()[empty.structure < 0.01]).sum() > 0.3 * empty.picture().sum()


@pytest.mark.parametrize("shape", [(8, 8), (64,), (4, 64, 64)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DojoError, match="film is simulated on"):
        film(1, shape)


@pytest.mark.parametrize("seed", range(3))
def test_support_tells_what_was_made_up(seed):
    made = film(seed, (192, 192))
    dense, sparse = made.picture(smooth=1), made.picture(0.05)
    sparse[:, :96] = 0
    found = support(sparse, dense)
    on = dense > 0.2 * np.percentile(dense, 99.5)
    assert (found[:, :88][on[:, :88]] < DOUBT).mean() > 0.9
    assert (found[:, 104:][on[:, 104:]] < DOUBT).mean() < 0.2
    assert (found[dense == 0] == 1).all()


def test_support_of_nothing():
    dense = film(1, (64, 64)).picture(smooth=1)
    assert support(np.zeros((64, 64)), dense).min() == 0
    assert (support(np.ones((64, 64)), np.zeros((64, 64))) == 1).all()
    np.testing.assert_array_equal(support(dense * np.nan, dense), support(0 * dense, dense))
