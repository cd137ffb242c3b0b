from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtTest import QTest
from settled import settled

from napari_dojo.errors import DojoError
from napari_dojo.playground import PointSet, Session, Setup
from napari_dojo.widgets.classroom.measured import objects_of, own_table, title_of
from napari_dojo.widgets.classroom.objects import ObjectsSource
from napari_dojo.widgets.classroom.objects_plot import COLOURS, NONE

pytestmark = pytest.mark.gui

SIDES = (4, 5, 6, 10, 11, 12)
WHERE = {"scale": (0.5, 0.5), "translate": (3, 4), "units": ("um", "um")}


def squares(values=(7, 2, 30, 4, 9, 11)):
    """Three small squares that are bright and three large ones that are dark, with these numbers."""
    labels, image = np.zeros((40, 60), np.int32), np.zeros((40, 60), np.float32)
    for k, (side, value) in enumerate(zip(SIDES, values, strict=True)):
        y, x = 20 * (k // 3) + 2, 20 * (k % 3) + 2
        labels[y : y + side, x : x + side] = value
        image[y : y + side, x : x + side] = 100 - 5 * side + k % 2
    return labels, image


def zscore(column):
    return (np.asarray(column) - np.mean(column)) / np.std(column)


@pytest.fixture
def field(viewer):
    labels, image = squares()
    viewer.add_image(image, name="cells", **WHERE)
    return viewer.add_labels(labels, name="cells labels", **WHERE)


@pytest.fixture
def source(qtbot, viewer):
    """Makes an opened source; all are ended."""
    made = []

    def make(ready=True):
        widget = ObjectsSource(viewer)
        qtbot.addWidget(widget)
        made.append(widget)
        widget.show()
        if ready:
            qtbot.waitUntil(lambda: widget.objects is not None)
        return widget

    yield make
    for widget in made:
        widget.end()


def give(source, wanted):
    """Classes by the numbers of the objects."""
    rows = {number: row for row, (_, number) in enumerate(source.objects.keys)}
    for number, k in wanted.items():
        source.class_buttons[k].click()
        source.give(rows[number])


def told(source):
    found = []
    source.points.connect(found.append)
    return found


def state(viewer):
    return [
        (x.name, x.visible, x.mode, len(x.mouse_drag_callbacks), list(x.features.columns), x.data.sum())
        for x in viewer.layers
        if x._type_string == "labels"
    ]


# figures


def test_columns_become_the_plane(field, viewer):
    objects = objects_of(field, viewer.layers["cells"])
    assert objects.keys == tuple((0, n) for n in (2, 4, 7, 9, 11, 30))
    sides = np.array([5, 10, 4, 11, 12, 6])
    np.testing.assert_allclose(objects.columns["area_um2"], sides**2 / 4)
    xy = objects.plane(("area_px", "mean_intensity"))
    np.testing.assert_allclose(xy[:, 0], zscore(sides**2))
    np.testing.assert_allclose(xy.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(xy.std(0), 1)
    row = objects.rows[2 + 20, 2] - 1
    assert objects.keys[row] == (0, field.data[22, 2])
    assert ((objects.rows == 0) == (field.data == 0)).all()


def test_what_tells_no_objects_apart_is_left_out_and_said(field, viewer):
    objects = objects_of(field, viewer.layers["cells"])
    assert "eccentricity" not in objects.columns  # all are squares
    assert objects.notes == ("Not shown, because all objects have the same value or none: eccentricity, solidity.",)


def test_missing_figures_leave_objects_out(viewer):
    labels, _ = squares((1, 2, 3, 4, 5, 6))
    values = np.array([np.nan, 1, 2, np.nan, 4, 5, 6.5])
    table = {
        "size": values,
        "colour": values**2,
        "same": np.ones(7),
        "none": np.full(7, np.nan),
        "name": list("abcdefg"),
    }
    layer = viewer.add_labels(labels, features=table)
    objects = objects_of(layer, table=own_table(layer))
    assert list(objects.columns) == ["size", "colour"]
    assert objects.notes == ("Not shown, because all objects have the same value or none: same, none.",)
    xy = objects.plane(("size", "colour"))
    assert np.isnan(xy).tolist() == [[n, n] for n in (False, False, True, False, False, False)]
    np.testing.assert_allclose(xy[~np.isnan(xy[:, 0]), 0], zscore([1, 2, 4, 5, 6.5]))


def test_a_table_may_lack_objects_and_have_others(viewer):
    labels, _ = squares((1, 2, 3, 4, 5, 6))
    layer = viewer.add_labels(labels, features={"index": [2, 99, 4, 5], "a": [1, 2, 3, 5.0], "b": [5, 1, 2, 9]})
    objects = objects_of(layer, table=own_table(layer))
    assert [n for _, n in objects.keys] == [2, 4, 5]
    assert objects.columns["b"].tolist() == [5, 2, 9]
    assert "missing in the layer's table" in objects.notes[0]
    assert objects.rows[labels == 4].tolist() == [2] * 100
    assert not objects.rows[labels == 1].any()


@pytest.mark.parametrize("values", [(0,) * 6, (3,) * 6])
def test_one_object_is_not_enough(viewer, values):
    with pytest.raises(DojoError, match="At least two objects are needed"):
        objects_of(viewer.add_labels(squares(values)[0]))


def test_objects_that_are_alike_make_no_plane(viewer):
    labels = np.zeros((8, 20), int)
    labels[2:5, 2:5], labels[2:5, 12:15] = 1, 2
    with pytest.raises(DojoError, match="Two measurements that differ between objects are needed; alike has 1"):
        objects_of(viewer.add_labels(labels, name="alike"))  # centroid x alone


def test_volumes_and_series(viewer):
    flat, _ = squares()
    volume = np.zeros((6, 40, 60), np.int32)
    volume[1:4] = flat
    volume[4][flat == 7] = 7
    objects = objects_of(viewer.add_labels(volume, name="volume"))
    assert len(objects.keys) == 6
    assert objects.columns["volume_px"].tolist() == [75, 300, 64, 363, 432, 108]
    frames = viewer.add_labels(volume[2:6], name="frames", axis_labels=("t", "y", "x"))
    objects = objects_of(frames)
    assert objects.keys[6:] == (*((1, n) for n in (2, 4, 7, 9, 11, 30)), (2, 7))
    assert objects.columns["area_px"][-1] == 16
    assert (objects.rows[2] == 13 * (flat == 7)).all()


def test_titles():
    titles = ["area (µm²)", "mean intensity c0", "area (px)", "eccentricity"]
    assert [title_of(n) for n in ("area_um2", "mean_intensity_c0", "area (px)", "eccentricity")] == titles


# the widget


def test_nothing_is_measured_before_it_is_seen(viewer, field, qtbot):
    widget = ObjectsSource(viewer)
    qtbot.addWidget(widget)
    settled(qtbot, widget)
    assert widget.objects is None
    widget.end()


def test_likely_choices(source, field, viewer):
    widget = source()
    assert widget.labels_box.layer is field
    assert [widget.measured_box.itemText(i) for i in range(widget.measured_box.count())] == [
        "cells",
        "shape only",
    ]
    assert (widget.x_box.currentText(), widget.y_box.currentText()) == ("area (µm²)", "mean intensity")
    assert widget.message.text().startswith("6 objects. Choose a class")


def test_points_are_told_when_each_class_has_an_object(source, field):
    widget = source()
    found = told(widget)
    give(widget, {2: 0})
    assert found == []
    assert "Assign class 1 to some, too." in widget.message.text()
    give(widget, {9: 1, 11: 1})
    assert len(found) == 2
    points = found[-1]
    assert isinstance(points, PointSet)
    xy = widget.objects.plane(("area_um2", "mean_intensity"))
    assert points.rows == tuple((*xy[row], k) for row, k in ((0, 0), (3, 1), (4, 1)))
    session = Session(Setup(points=points))
    assert session.data.counts == (3, 0, 0)
    np.testing.assert_allclose(session.data.xy, xy[[0, 3, 4]][session.data.order])
    assert [b.text() for b in widget.class_buttons] == ["class 0 (1)", "class 1 (2)", "class 2 (0)"]


def test_a_third_class_needs_the_second(source, field):
    widget = source()
    found = told(widget)
    give(widget, {2: 0, 9: 2})
    assert found == []
    assert "Assign class 1" in widget.message.text()
    give(widget, {4: 1})
    assert found[-1].n_classes == 3


def test_the_same_click_again_takes_a_class_back(source, field):
    widget = source()
    give(widget, {2: 0})
    give(widget, {2: 1})
    assert widget.assigned == {(0, 2): 1}
    give(widget, {2: 1})
    assert widget.assigned == {}
    give(widget, {2: 1, 4: 0})
    widget.clear_button.click()
    assert widget.assigned == {}
    assert not widget.clear_button.isEnabled()


def test_another_column_moves_the_points(source, field, qtbot):
    widget = source()
    found = told(widget)
    give(widget, {2: 0, 9: 1})
    widget.x_box.setCurrentIndex(widget.x_box.findText("centroid x (px)"))
    widget.x_box.activated.emit(widget.x_box.currentIndex())
    xy = widget.objects.plane(("centroid_x_px", "mean_intensity"))
    assert found[-1].rows == ((*xy[0], 0.0), (*xy[3], 1.0))


def test_the_prediction_colours_all_objects_in_place(source, field, viewer):
    widget = source()
    give(widget, {7: 0, 11: 1})
    assert viewer.layers[-1].name == "cells labels: assigned class"
    asked = []

    def predict(xy):
        asked.append(xy)
        return (xy[:, 0] > 0).astype(float)

    widget.show_prediction(predict)
    layer = viewer.layers[-1]
    assert layer.name == "cells labels: predicted class"
    np.testing.assert_allclose(asked[0][:6], widget.objects.plane(("area_um2", "mean_intensity")))
    expected = np.where(field.data == 0, 0, np.where(np.isin(field.data, (4, 9, 11)), 2, 1))
    np.testing.assert_array_equal(layer.data, expected)
    np.testing.assert_array_equal(layer.scale, field.scale)
    np.testing.assert_array_equal(layer.translate, field.translate)
    assert layer.units == field.units
    assert np.allclose(layer.get_color(2)[:3], [0xE6 / 255, 0x9F / 255, 0], atol=0.01)
    assert COLOURS[1] == "#E69F00"
    widget.show_prediction(lambda xy: np.where(xy[:, 0] > 0, np.nan, 2))
    assert viewer.layers[-1] is layer
    assert len(viewer.layers) == 3
    np.testing.assert_array_equal(np.unique(layer.data), [0, 3, NONE])


def test_the_viewer_is_left_alone(source, field, viewer):
    viewer.layers.selection.active = viewer.layers["cells"]
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    camera.zoom = 3.3
    before = state(viewer)
    widget = source()
    give(widget, {7: 0, 11: 1})
    assert not field.visible
    widget.show_prediction(lambda xy: np.zeros(len(xy)))
    assert viewer.layers.selection.active.name == "cells"
    widget.click_button.click()
    widget.end()
    assert state(viewer)[0] == before[0]
    assert [x.name for x in viewer.layers] == ["cells", "cells labels", "cells labels: predicted class"]
    assert camera.zoom == 3.3


def test_while_it_is_not_seen_the_layers_are_as_they_were(source, field, viewer, qtbot):
    widget = source()
    give(widget, {7: 0, 11: 1})
    widget.show_prediction(lambda xy: np.zeros(len(xy)))
    ours = viewer.layers[-1]
    assert (field.visible, ours.visible) == (False, True)
    widget.click_button.click()
    widget.hide()
    assert (field.visible, ours.visible) == (True, False)
    assert not widget.click_button.isChecked()
    before = widget.objects
    field.data = field.data.copy()
    settled(qtbot, widget)
    assert widget.objects is before
    widget.show()
    assert (field.visible, ours.visible) == (False, True)
    qtbot.waitUntil(lambda: widget.objects not in (None, before))
    assert widget.assigned == {(0, 7): 0, (0, 11): 1}
    widget.end()
    assert (field.visible, ours.visible) == (True, False)


def test_a_layer_that_shows_no_prediction_goes(source, field, viewer):
    before = state(viewer)
    widget = source()
    widget.click_button.click()
    give(widget, {7: 0})
    assert len(viewer.layers) == 3
    widget.end()
    assert state(viewer) == before
    assert len(viewer.layers) == 2


def test_rings_follow_the_theme(source, field, viewer):
    widget = source()
    give(widget, {7: 0, 11: 1})
    rings = []
    for theme in ("light", "dark"):
        viewer.theme = theme
        rings.append(widget.plot.rings.opts["pen"].color().lightness())
    assert rings[0] < 60
    assert rings[1] > 200


def test_clicks_in_the_plane(source, field, qtbot):
    widget = source()
    widget.resize(330, 500)
    qtbot.wait(50)
    plot = widget.plot
    assert plot.nearest(QPointF(0, 0)) is None
    for row in (1, 4):
        place = plot.plotItem.vb.mapViewToScene(
            QPointF(*widget.objects.plane((widget.x_box.currentData(), widget.y_box.currentData()))[row])
        )
        QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=plot.mapFromScene(place))
        qtbot.waitUntil(lambda row=row: widget.objects.keys[row] in widget.assigned)
    assert widget.assigned == {(0, 4): 0, (0, 11): 0}


def test_clicks_in_the_image(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    labels, _ = squares()
    layer = viewer.add_labels(labels, name="cells labels", **WHERE)
    viewer.reset_view()
    widget = ObjectsSource(viewer)
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitUntil(lambda: widget.objects is not None)
    canvas = viewer.window._qt_viewer.canvas.native

    def click(y, x, drag=0):
        camera = getattr(viewer, "scene", viewer).camera
        middle = np.array([canvas.height(), canvas.width()]) / 2
        row, column = (np.asarray(layer.data_to_world((y, x))) - np.asarray(camera.center)[-2:]) * camera.zoom + middle
        start = QPoint(round(column), round(row))
        QTest.mouseMove(canvas, start)
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
        if drag:
            QTest.mouseMove(canvas, start + QPoint(drag, drag))
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(drag, drag))
        qtbot.wait(20)

    click(26, 48)
    assert widget.assigned == {}  # the button is off
    widget.click_button.click()
    click(4, 4)
    widget.class_buttons[1].click()
    click(26, 26)
    click(15, 15)  # background
    assert widget.assigned == {(0, 7): 0, (0, 9): 1}
    click(26, 46, drag=20)  # moves the image
    assert len(widget.assigned) == 2
    viewer.layers.selection.active = layer
    assert not widget.click_button.isChecked()
    viewer.layers.selection.active = viewer.layers[-1]
    click(26, 48)
    assert len(widget.assigned) == 2
    widget.end()


def test_the_first_object_on_the_way_in_3d(source, viewer):
    volume = np.zeros((8, 20, 20), np.int32)
    volume[1:3, 2:9, 2:9], volume[4:7, 2:9, 2:9], volume[4:7, 12:16, 12:18] = 1, 2, 3
    viewer.add_labels(volume, name="volume")
    widget = source()
    widget.click_button.click()
    layer = viewer.layers[-1]
    event = SimpleNamespace(position=(3.0, 5.0, 5.0), view_direction=np.array([1.0, 0, 0]), dims_displayed=[0, 1, 2])
    assert widget.row_at(layer, event) == 0
    event.view_direction = np.array([-1.0, 0, 0])
    assert widget.row_at(layer, event) == 1
    event.dims_displayed, event.position = [1, 2], (5.0, 13.0, 14.0)
    assert widget.row_at(layer, event) == 2
    event.position = (50.0, 13.0, 14.0)
    assert widget.row_at(layer, event) is None


# bad input


def test_it_says_what_is_missing(source, viewer, qtbot):
    widget = source(ready=False)
    assert "A Labels layer with objects is needed" in widget.message.text()
    assert not widget.click_button.isEnabled()
    viewer.add_labels(squares((5,) * 6)[0], name="one")
    qtbot.waitUntil(lambda: "one has only one" in widget.message.text())
    assert not widget.click_button.isEnabled()
    widget.show_prediction(lambda xy: np.zeros(len(xy)))
    assert len(viewer.layers) == 1


def test_a_layer_that_is_deleted(source, field, viewer, qtbot):
    widget = source()
    found = told(widget)
    give(widget, {7: 0, 11: 1})
    widget.click_button.click()
    viewer.layers.remove(field)
    qtbot.waitUntil(lambda: "cells labels was removed" in widget.message.text())
    assert [x.name for x in viewer.layers] == ["cells"]
    assert (widget.assigned, len(found)) == ({}, 1)
    widget.show_prediction(lambda xy: np.zeros(len(xy)))
    assert len(viewer.layers) == 1


def test_a_layer_that_is_deleted_while_it_is_measured(source, field, viewer, qtbot):
    widget = source(ready=False)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: "was removed" in widget.message.text())
    settled(qtbot, widget)
    assert widget.objects is None


def test_a_coloured_layer_that_a_person_removed_stays_away(source, field, viewer, qtbot):
    widget = source()
    give(widget, {7: 0, 11: 1})
    widget.show_prediction(lambda xy: np.zeros(len(xy)))
    viewer.layers.remove(viewer.layers[-1])
    qtbot.wait(30)
    widget.show_prediction(lambda xy: np.ones(len(xy)))
    assert len(viewer.layers) == 2
    give(widget, {2: 0})
    assert len(viewer.layers) == 3


def test_painted_labels_are_measured_again(source, field, qtbot):
    widget = source()
    give(widget, {7: 0, 11: 1})
    data = field.data.copy()
    data[35:39, 50:58] = 44
    field.data = data
    qtbot.waitUntil(lambda: widget.objects is not None and len(widget.objects.keys) == 7)
    assert widget.assigned == {(0, 7): 0, (0, 11): 1}
    assert [b.text() for b in widget.class_buttons][:2] == ["class 0 (1)", "class 1 (1)"]


def test_the_layers_own_table_is_taken(source, viewer, field):
    field.features = {"index": [2, 4, 7, 9, 11, 30], "roundness": [1, 2, 3, 4, 5, 6], "brightness": [6, 1, 2, 5, 4, 3]}
    widget = source()
    assert widget.measured_box.currentText() == "the layer's table"
    assert list(widget.objects.columns) == ["roundness", "brightness"]


def test_an_image_that_has_no_numbers(source, viewer, qtbot):
    labels, image = squares()
    viewer.add_image(image * np.nan, name="empty", contrast_limits=(0, 1))
    viewer.add_labels(labels, name="labels")
    widget = source()
    assert "mean intensity" in widget.message.text()
    assert "mean_intensity" not in widget.objects.columns


def test_it_ends_once_and_for_all(source, field, viewer, qtbot):
    widget = source()
    widget.end()
    widget.end()
    field.data = field.data * 0
    viewer.add_labels(squares()[0])
    settled(qtbot, widget)
    assert widget.objects is None
