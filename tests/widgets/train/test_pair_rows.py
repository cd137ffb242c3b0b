"""The table of pairs: what it finds by itself, what its menu offers, what it remembers."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.widgets.common.layers import region_mask
from napari_dojo.widgets.common.rows import Row
from napari_dojo.widgets.train.pair_rows import PairRows

pytestmark = pytest.mark.gui


@pytest.fixture
def table(qtbot, viewer):
    for name in ("a", "b"):
        viewer.add_image(np.eye(20), name=name)
        viewer.add_labels(np.eye(20, dtype=int), name=f"{name} labels")
    table = PairRows(viewer)
    qtbot.addWidget(table)
    return table


def actions(table, row, menu=None):
    line = table._lines[row]
    line.more.menu().aboutToShow.emit()
    found = {a.text(): a for a in line.more.menu().actions()}
    return {a.text(): a for a in found[menu].menu().actions()} if menu else found


def named(table):
    return [(tuple(x.name for x in r.images), r.target.name, r.region and r.region.name, r.role) for r in table.rows()]


def test_pairs_are_found_by_name(table):
    assert named(table) == [(("a",), "a labels", None, "automatic"), (("b",), "b labels", None, "automatic")]


def test_a_region_of_that_name_is_taken(viewer, table):
    viewer.add_shapes([np.array([[0, 0], [0, 9], [9, 9], [9, 0]])], name="b region")
    table.refresh()
    assert [r.region and r.region.name for r in table.rows()] == ["b region", None] or named(table)[1][2] is None


def test_the_menu_adds_channels_and_regions(viewer, table):
    viewer.add_shapes([np.array([[0, 0], [0, 9], [9, 9], [9, 0]])], name="box")
    actions(table, 0, "Channels")["b"].setChecked(True)
    assert named(table)[0][0] == ("a", "b")
    assert table._lines[0].image.currentText() == "a + 1"
    actions(table, 0, "Annotated")["inside box"].trigger()
    assert named(table)[0][2] == "box"
    actions(table, 0, "Annotated")["everywhere"].trigger()
    assert named(table)[0][2] is None
    actions(table, 0, "Channels")["b"].setChecked(False)
    assert named(table)[0][0] == ("a",)


def test_the_menu_removes_a_pair(table):
    actions(table, 1)["Remove this pair"].trigger()
    assert [r.name for r in table.rows()] == ["a"]


def test_choices_stay_with_their_layers(viewer, table):
    rows = table.rows()
    table.set_rows([Row(rows[1].images, rows[1].target, None, "test"), rows[0]])
    viewer.layers.move(0, 4)
    viewer.layers["b"].name = "c"
    table.refresh()
    assert named(table)[0] == (("c",), "b labels", None, "test")
    viewer.layers.remove("c")
    table.refresh()
    assert named(table) == [(("a",), "a labels", None, "automatic")]


def test_replace(table):
    a, b = table.rows()
    table.replace(b, Row(b.images, b.target, None, "validation"))
    assert [r.role for r in table.rows()] == ["automatic", "validation"]
    table.replace(a, None)
    assert [r.name for r in table.rows()] == ["b"]


def test_new_labels_for_the_active_image(viewer, table):
    viewer.layers.selection.active = viewer.add_image(np.zeros((30, 40)), name="new", scale=(2, 2))
    labels = table.make_labels()
    assert (labels.data.shape, labels.name) == ((30, 40), "new labels")
    assert named(table)[-1] == (("new",), "new labels", None, "automatic")


@pytest.mark.parametrize(
    ("kind", "share"),
    [("rectangle", 0.25), ("ellipse", 0.25 * np.pi / 4), ("polygon", 0.125), ("line", 0), ("path", 0)],
)
def test_regions_of_every_kind(viewer, kind, share):
    image = viewer.add_image(np.zeros((100, 100)), scale=(0.5, 0.5), translate=(7, 0))
    corners = np.array([[0, 0], [0, 50], [50, 50], [50, 0]]) - 0.5
    points = {"polygon": corners[:3], "line": corners[:2], "path": corners}.get(kind, corners)
    world = points * 0.5 + (7, 0)
    shapes = viewer.add_shapes([world], shape_type=kind)
    mask = region_mask(shapes, image, (100, 100))
    assert mask.mean() == pytest.approx(share, abs=0.012)
    assert not mask[55:].any()


def test_a_region_in_one_plane_of_a_volume(viewer):
    image = viewer.add_image(np.zeros((6, 40, 40)), scale=(2, 1, 1))
    flat = np.array([[0, 0], [0, 20], [20, 20], [20, 0]])
    everywhere = viewer.add_shapes([flat], shape_type="rectangle")
    assert region_mask(everywhere, image, (6, 40, 40)).any((1, 2)).all()
    one = viewer.add_shapes([np.c_[np.full(4, 3), flat]], shape_type="rectangle", scale=(2, 1, 1))
    np.testing.assert_array_equal(np.flatnonzero(region_mask(one, image, (6, 40, 40)).any((1, 2))), [3])


def test_new_labels_keep_the_channels_of_their_image(viewer, table):
    actions(table, 0, "Channels")["b"].setChecked(True)
    table._lines[0].role.setCurrentIndex(table._lines[0].role.findData("test"))
    table.make_labels(viewer.layers["a"])
    assert named(table)[-1] == (("a", "b"), "a labels [1]", None, "test")


def test_pairs_are_found_again_once_nothing_is_left_of_those_that_were_chosen(viewer, table):
    actions(table, 1)["Remove this pair"].trigger()
    viewer.layers.clear()
    table.refresh()
    viewer.add_image(np.eye(30), name="c")
    viewer.add_labels(np.eye(30, dtype=int), name="c labels")
    table.refresh()
    assert named(table) == [(("c",), "c labels", None, "automatic")]
