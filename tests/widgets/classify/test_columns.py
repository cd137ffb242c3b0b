"""Tables of objects with their classes: sizes of the axes that were chosen, points that are gone."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.io.images import read
from napari_dojo.objects.classes import Classes
from napari_dojo.simulation.cell_types import mixed_cells
from napari_dojo.tasks.classify import CLASSIFY, ClassifyOptions
from napari_dojo.widgets.classify.columns import with_classes
from napari_dojo.widgets.classify.saving import save_table
from napari_dojo.widgets.classify.shown import ShownObjects
from napari_dojo.widgets.classify.subject import Subject, classified, measured

pytestmark = pytest.mark.gui


def seen_of(subject, classes):
    found = measured(subject)
    *_, seen = (s for s in classified(found, classes.examples(found.objects), 1.0, 0.5) if s is not None)
    return seen


@pytest.mark.parametrize(("names", "size"), [("ZYX", 2 * 0.5 * 0.25), ("TYX", 0.5 * 0.25)])
@pytest.mark.parametrize("planes", [3, 5])  # three are likely to be channels, five to be Z
def test_sizes_are_those_of_the_axes_that_were_chosen(viewer, tmp_path, names, size, planes):
    scene = mixed_cells((96, 96), 0)
    where = {"scale": (2, 0.5, 0.25), "units": ("um",) * 3}
    image = viewer.add_image(np.stack([scene.image[0]] * planes), name="cells", **where)
    labels = viewer.add_labels(np.stack([scene.labels] * planes), name="nuclei", **where)
    spatial = "ZYX" if names == "ZYX" else "YX"
    classes = Classes().give([(0, 1), (0, 2)], 0).give([(0, 3), (0, 4)], 1)
    seen = seen_of(Subject(labels, (image,), Axes(names, spatial)), classes)
    with save_table(seen, tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    what, n = ("volume", 3) if spatial == "ZYX" else ("area", 2)
    assert [float(r[f"{what}_um{n}"]) for r in rows] == pytest.approx(
        [size * float(r[f"{what}_px"]) for r in rows], 1e-4
    )
    assert [float(r["centroid_x_um"]) for r in rows] == pytest.approx(
        [0.25 * float(r["centroid_x_px"]) for r in rows], abs=0.01
    )
    material = ShownObjects(seen.measured, classes)
    picture = read(material.written(tmp_path).input + "/image_0.tif")
    assert (picture.pixel_size, picture.unit) == ((2, 0.5, 0.25)[-n:], "um")
    assert material.dataset(CLASSIFY, ClassifyOptions())[0].unit == "um"


def test_points_that_are_gone_get_no_class(viewer):
    scene = mixed_cells((96, 96), 0)
    image = viewer.add_image(scene.image[0], name="cells")
    points = viewer.add_points(np.array([[20, 20], [40, 60], [70, 30]]), size=9, name="spots")
    seen = seen_of(Subject(points, (image,), Axes("YX")), Classes().give([(0, 1)], 0).give([(0, 3)], 1))
    assert list(with_classes(seen.measured.subject, seen)["shown"]) == [True, False, True]
    points.data = points.data[:2]
    assert list(with_classes(seen.measured.subject, seen)["shown"]) == [True, False]
