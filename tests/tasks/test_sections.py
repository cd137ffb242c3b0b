from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.tasks import INSTANCES, Example
from napari_dojo.tasks.instances import InstancesOptions
from napari_dojo.tasks.sections import annotated_planes, as_strokes, strokes_of_planes
from napari_dojo.tasks.strokes import completed_strokes

SIZE = (14, 48, 56)
PLACES = [(6, 12, 12), (7, 12, 31), (7, 34, 14), (6, 34, 40)]  # the first two touch
RADII = np.array([3.4, 10, 10])  # px; planes lie three pixels apart
SPACING = (3.0, 1.0, 1.0)


def stack():
    """Four balls in an anisotropic stack (Z, Y, X), and their labels."""
    y = np.zeros(SIZE, np.int32)
    for k, at in enumerate(PLACES):
        grid = zip(np.indices(SIZE), at, RADII, strict=True)
        y[sum(((g - c) / r) ** 2 for g, c, r in grid) <= 1] = k + 1
    return ((y > 0) + np.random.default_rng(0).normal(0, 0.05, SIZE))[None].astype(np.float32), y


def planes(z=(7,), y=(), x=()):
    known = np.zeros(SIZE, bool)
    for axis, places in enumerate((z, y, x)):
        for at in places:
            known[(slice(None),) * axis + (at,)] = True
    return known


def dataset(known, spacing=SPACING):
    x, y = stack()
    return Dataset((Sample("stack", x, np.where(known, y, 0), known),), "ZYX", "ZYX", pixel_size=spacing)


@pytest.mark.parametrize(
    ("known", "count"),
    [
        (planes(), 1),
        (planes((3, 9), (12,), (30, 40)), 5),
        (planes(range(SIZE[0])), 0),  # all of it
        (planes((3, 4, 5, 6)), 0),  # a slab holds whole objects
    ],
)
def test_planes_are_told_from_parts_that_hold_objects(known, count):
    assert annotated_planes(dataset(known)) == count


def test_annotation_of_images_and_of_whole_stacks_is_no_plane():
    x, y = stack()
    assert annotated_planes(Dataset((Sample("stack", x, y),), "ZYX", "ZYX")) == 0
    plane = Sample("image", x[:, 7], y[7], planes()[7])
    assert annotated_planes(Dataset((plane,))) == 0


def test_labels_of_planes_become_strokes():
    y = np.array([[[0, 3]], [[4, 0]]])
    known = np.array([[[True, True]], [[False, False]]])
    assert as_strokes(y, known).tolist() == [[[1, 4]], [[0, 0]]]
    (sample,) = strokes_of_planes(dataset(planes())).samples
    assert sample.region is None
    assert np.array_equal(sample.y > 0, planes())


@pytest.mark.parametrize("as_annotation", ["complete", "strokes"])
def test_objects_are_completed_from_two_planes(as_annotation):
    x, y = stack()
    known = planes((7,), (12,))
    labels = np.where(known, y, 0) if as_annotation == "complete" else as_strokes(y, known)
    options = InstancesOptions(annotation=as_annotation, spacing=SPACING, planes=as_annotation == "complete")
    region = known if as_annotation == "complete" else None
    ((objects, everywhere),) = completed_strokes([Example(x, labels, region, None)], options)
    assert everywhere.all()
    counts = InstanceCounts.of(y, objects)
    assert (counts.detected, counts.false_positives) == (4, 0)
    assert np.count_nonzero((objects > 0) != (y > 0)) < 0.1 * np.count_nonzero(y)


def test_the_check_knows_planes_and_the_distance_between_them():
    summary = INSTANCES.summarize(dataset(planes((7,), (12,))), InstancesOptions())
    assert not summary.errors
    assert (summary.options.planes, summary.options.spacing) == (True, SPACING)
    assert summary.findings[-1].text.startswith("2 planes annotated, which cut 4 objects")
    assert INSTANCES.supervision.completion(summary.options) is not None
    whole = INSTANCES.summarize(Dataset((Sample("stack", *stack()),), "ZYX", "ZYX"), summary.options)
    assert not whole.options.planes  # a model that was trained on planes, fine-tuned on whole stacks
    assert whole.options.spacing == ()


def test_objects_of_planes_that_share_a_number_are_not_taken_for_strokes():
    """Their labels are shifted to strokes for the check only: to number them would not change the labels."""
    (sample,) = dataset(planes((7,), (12,))).samples
    shared = Sample("stack", sample.x, np.minimum(sample.y, 1), sample.region)
    summary = INSTANCES.summarize(Dataset((shared,), "ZYX", "ZYX", pixel_size=SPACING), InstancesOptions())
    assert summary.options.planes
    assert not any("strokes of" in f.text for f in summary.findings)


def test_distances_are_those_in_space():
    _, y = stack()
    found = INSTANCES.supervision.record(y, None, InstancesOptions(dims=3, spacing=SPACING))
    depth = found[1] / 127
    at = PLACES[2]
    assert depth[at] > 0.9
    assert abs(depth[at[0] - 2, at[1], at[2]] - depth[at[0], at[1] - 6, at[2]]) < 0.2  # both 6 px from the centre
