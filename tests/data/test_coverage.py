"""Validation that can be scored: every class, and objects at all, on both sides of a split inside images."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.coverage import _cuts, numbers_in, on_both_sides
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.kinds import CLASSES, IMAGE, LABELS
from napari_dojo.data.split import split_of


def strokes(*places, size=(256, 256)):
    """Squares of 10 px: (class, y, x)."""
    y = np.zeros(size, int)
    for value, top, left in places:
        y[top : top + 10, left : left + 10] = value
    return y


def split(targets, kind=CLASSES, numbers=(1, 2)):
    x = np.random.default_rng(0).random((len(targets), *targets[0].shape))
    dataset = Dataset.of(list(x), list(targets))
    strata = [kind.strata(s.y, s.region, numbers) for s in dataset.samples]
    return split_of(dataset.samples, strata=strata), strata


PLACES = {
    "side by side": ((1, 20, 20), (1, 20, 200), (2, 220, 20), (2, 220, 200)),
    "crosswise": ((1, 20, 20), (1, 200, 200), (2, 20, 200), (2, 200, 20)),
    "far from the other class": ((1, 20, 20), (1, 20, 60), (2, 20, 200), (2, 20, 240)),
}


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("count", [1, 3])
def test_two_strokes_of_each_class_reach_both_sides(places, count):
    found, strata = split([strokes(*places)] * count)
    assert found.one_sided == ()
    for side in (found.training, found.validation):
        seen = {int(v) for crop in side for v in np.unique(strata[crop.item][crop.slices])} - {0}
        assert seen == {1, 2}
    for item in range(len(strata)):  # the sides do not touch
        kept, held = (
            np.sum([_painted(c, (256, 256)) for c in side if c.item == item], axis=0)
            for side in (found.training, found.validation)
        )
        assert not (np.asarray(kept, bool) & np.asarray(held, bool)).any()


def _painted(crop, size):
    mask = np.zeros(size, int)
    mask[crop.slices] = 1
    return mask


def test_one_stroke_of_each_class_is_on_one_side_only():
    found, _ = split([strokes((1, 20, 20), (2, 20, 60))])
    assert found.one_sided == (1, 2)


def test_where_the_usual_band_does_it_stays():
    y = np.ones((256, 256), int)
    y[:, 100:150] = 2
    found, _ = split([y])
    assert "band of 20%" in found.how
    assert len(found.validation) == 1


def test_a_class_in_few_of_many_images_is_on_both_sides():
    targets = [strokes((1, 20, 20 + k)) for k in range(12)]
    for k in (3, 7):
        targets[k] = strokes((1, 20, 20 + k), (2, 90, 90))
    for seed in range(4):
        dataset = Dataset.of(list(np.random.default_rng(seed).random((12, 256, 256))), targets)
        strata = [CLASSES.strata(s.y, None, (1, 2)) for s in dataset.samples]
        assert split_of(dataset.samples, seed=seed, strata=strata).one_sided == ()


def test_objects_count_by_their_middle_and_in_the_region():
    y = strokes((7, 0, 0), (9, 100, 240))
    middle = LABELS.strata(y, None, ())
    assert middle.sum() == 2
    assert middle[5, 5] == 1
    assert LABELS.strata(y, np.arange(256)[:, None] < np.full(256, 50), ()).sum() == 1
    assert IMAGE.strata(y[None], None, ()) is None
    assert (LABELS.scores(0), LABELS.scores(1), CLASSES.scores(1), CLASSES.scores(2)) == (False, True, False, True)
    found, _ = split([strokes((1, 20, 20), (2, 20, 110))], LABELS)
    assert found.one_sided == ()


@pytest.mark.parametrize(
    ("size", "edges"), [((20, 30), [0, 30]), ((20, 100), [0, 33, 67, 100]), ((20, 4000), [k * 250 for k in range(17)])]
)
def test_cells_have_32_px_or_more(size, edges):
    """Along the longest axis, up to as many cells as are asked for."""
    (cut,) = _cuts([np.ones(size, int)], ["a"], [1], 0, 16, 64)
    assert cut.axis == 1
    assert cut.edges == edges


def test_sides():
    a = np.array([[1, 1, 2, 3]])
    assert numbers_in([a, a * 0]) == (1, 2, 3)
    sides = [[(0, ((0, 1), (0, 1)))], [(0, ((0, 1), (1, 3)))]]
    assert on_both_sides([a], *sides) == (1,)
    assert on_both_sides([a], *sides, fewest=0.6) == ()


def test_of_a_part_that_is_annotated_the_background_is_a_place_worth_training_on():
    """A person may have deleted an object there, and left nothing else in the image."""
    y, accepted = np.zeros((40, 40), np.int32), np.zeros((40, 40), bool)
    accepted[5:9, 5:9] = True
    deleted = LABELS.places(y, accepted, 0)
    assert len(deleted)
    assert accepted[tuple(deleted.T)].all()
    y[20:30, 20:30], accepted[20:40, 20:40] = 3, True
    values, often = np.unique(y[tuple(LABELS.places(y, accepted, 0).T)], return_counts=True)
    assert values.tolist() == [0, 3]
    assert often[0] == often[1]
    assert (y[tuple(LABELS.places(y, np.ones_like(accepted), 0).T)] == 3).all()  # all is annotated
    assert (y[tuple(CLASSES.places(y, accepted, 0).T)] == 3).all()  # of classes, 0 is not annotated
