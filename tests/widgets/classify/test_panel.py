"""The Classify panel: clicks on objects and what follows from them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_dojo.simulation.cell_types import mixed_cells
from napari_dojo.widgets.classify import gallery
from napari_dojo.widgets.classify.panel import ClassifyPanel
from napari_dojo.widgets.classify.saving import save_counts, save_rois, save_table
from napari_dojo.widgets.classify.subject import UNSURE

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def scene():
    return mixed_cells((256, 256), 0)


@pytest.fixture
def panel(qtbot, viewer, scene):
    viewer.add_image(scene.image[0], name="cells")
    viewer.add_labels(scene.labels.copy(), name="nuclei")
    made = ClassifyPanel(viewer)
    qtbot.addWidget(made)
    qtbot.waitUntil(lambda: made.live.objects is not None)  # the first loads scikit-learn
    yield made
    made.end()


def settle(qtbot, panel):
    live = panel.live
    qtbot.waitUntil(lambda: not live.busy and live.seen is not None and live.seen.final)


def centre_of(panel, label):
    """A place in the world that lies on an object."""
    labels = panel.live.subject.layer.data
    at = np.argwhere(labels == label)
    return at[len(at) // 2].astype(float)


def teach(qtbot, panel, scene, each):
    """Click so many objects of each of two types; the labels clicked."""
    clicked = []
    for k in (0, 2):
        panel.rows.choose(0 if k == 0 else 1)
        for label in (np.flatnonzero(scene.types == k) + 1)[:each]:
            panel.picking.clicked.emit(centre_of(panel, label), 1)
            clicked.append(int(label))
    settle(qtbot, panel)
    return clicked


def test_what_to_do_next_is_said(qtbot, panel, scene):
    assert f"{len(scene.types)} objects" in panel.message.text()
    panel.picking.clicked.emit(centre_of(panel, 1), 1)
    assert "another class" in panel.message.text()
    assert panel.live.classes.shown == {(0, 1): 0}


def test_clicks_give_classes_to_all_others(qtbot, panel, scene):
    clicked = teach(qtbot, panel, scene, 4)
    numbers = panel.live.seen.numbers
    label = panel.live.objects.label
    both = np.isin(scene.types, (0, 2)) & ~np.isin(label, clicked)
    wanted = np.where(scene.types == 0, 1, 2)
    known = both & (numbers != UNSURE)
    assert known.sum() > both.sum() / 2
    assert (numbers[known] == wanted[known]).mean() > 0.85
    layer = panel.live.layer
    assert layer.name == "nuclei classes"
    assert (layer.data[scene.labels == clicked[0]] == 1).all()
    assert not layer.data[scene.labels == 0].any()
    assert not panel.live.subject.layer.visible
    assert "cross-validation" in panel.score.text()


def test_the_labels_get_columns_and_keep_their_pixels(qtbot, panel, scene):
    clicked = teach(qtbot, panel, scene, 3)
    panel.live.write()
    features = panel.live.subject.layer.features
    assert list(features["class"][np.isin(features["index"], clicked)]) == [
        "class 1" if scene.types[n - 1] == 0 else "class 2" for n in sorted(clicked)
    ]
    assert features["shown"].sum() == len(clicked)
    assert np.array_equal(panel.live.subject.layer.data, scene.labels)


def test_a_right_click_and_undo_take_back(qtbot, panel):
    panel.picking.clicked.emit(centre_of(panel, 3), 1)
    panel.picking.clicked.emit(centre_of(panel, 3), 2)
    assert not panel.live.classes.shown
    panel.undo_button.click()
    assert panel.live.classes.shown == {(0, 3): 0}
    panel.redo_button.click()
    assert not panel.live.classes.shown


def test_keys_choose_classes_and_give_them_to_the_object_in_view(qtbot, panel):
    panel.picking.key.emit(2)
    assert panel.rows.current == 1
    panel._visit(4)
    panel.picking.key.emit(1)
    assert panel.live.classes.shown == {panel.live.objects.key(4): 0}
    panel.picking.key.emit(9)  # there is no such class
    assert panel.rows.current == 0


def test_the_unsure_are_walked_through(qtbot, panel, scene):
    teach(qtbot, panel, scene, 3)
    panel.threshold.value = 0.95
    settle(qtbot, panel)
    unsure = np.flatnonzero(panel.live.seen.numbers == UNSURE)
    assert f"{len(unsure)}" in panel.unsure_button.text()
    panel.unsure_button.click()
    assert panel.live.here in unsure
    certainty = panel.live.seen.prediction.certainty
    assert certainty[panel.live.here] == certainty[unsure].min()


def test_classes_can_be_renamed_and_taken_away_with_what_was_shown(qtbot, panel):
    panel.picking.clicked.emit(centre_of(panel, 1), 1)
    panel.rows.renamed.emit(0, "mitotic")
    assert panel.live.classes.names == ("mitotic", "class 2")
    panel.rows.added.emit()
    assert panel.live.classes.names == ("mitotic", "class 2", "class 3")
    panel.rows.removed.emit(0)
    assert panel.live.classes.names == ("class 2", "class 3")
    assert not panel.live.classes.shown


def test_painted_objects_are_measured_again(qtbot, panel):
    labels = panel.live.subject.layer
    n = len(panel.live.objects)
    labels.data[0:6, 0:6] = 500
    labels.events.labels_update(data=labels.data[0:6, 0:6], offset=(0, 0))
    qtbot.waitUntil(lambda: len(panel.live.objects) != n or 500 in panel.live.objects.label)
    assert 500 in panel.live.objects.label


def test_labels_that_are_removed_meanwhile_do_no_harm(qtbot, panel, viewer, scene):
    teach(qtbot, panel, scene, 3)
    viewer.layers.remove(panel.live.subject.layer)
    qtbot.waitUntil(lambda: panel.live.subject is None)  # the layer of classes is no object layer
    assert not panel.table_button.isEnabled() or panel.live.seen is None


def test_the_table_has_a_row_for_each_object(qtbot, panel, scene, tmp_path):
    teach(qtbot, panel, scene, 3)
    path = save_table(panel.live.seen, tmp_path / "classes.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(scene.types)
    assert {"class", "probability", "p_class 1", "p_class 2"} <= set(rows[0])
    assert all(abs(float(r["p_class 1"]) + float(r["p_class 2"]) - 1) < 1e-3 for r in rows)
    with save_counts(panel.live.seen, tmp_path / "counts.csv").open(newline="") as file:
        counts = list(csv.DictReader(file))
    named = [r["class"] for r in rows]
    assert {c["class"]: int(c["objects"]) for c in counts} == {n: named.count(n) for n in ("class 1", "class 2")}
    assert all(int(c["low"]) <= int(c["objects"]) <= int(c["high"]) and c["shown"] == "3" for c in counts)


def test_the_confusion_matrix_leads_to_its_objects(qtbot, panel, scene):
    clicked = teach(qtbot, panel, scene, 4)
    panel.why_fold.button.setChecked(True)
    panel._show_confused(0, 0)
    assert "class 1" in panel.only.text()
    assert panel.live.objects.key(panel.live.here)[1] in clicked


def test_rois_are_named_and_grouped_by_class(qtbot, panel, scene, tmp_path):
    from roifile import roiread

    clicked = teach(qtbot, panel, scene, 3)
    found = roiread(save_rois(panel.live.seen, tmp_path / "classes.zip"))
    by_label = {int(roi.name.split()[0]): roi for roi in found}
    assert len(by_label) == len(scene.types)
    for label in clicked:
        assert by_label[label].name == f"{label} class {1 if scene.types[label - 1] == 0 else 2}"
    groups = {roi.name.split(" ", 1)[1]: roi.group for roi in found}
    assert len(set(groups.values())) == len(groups)
    assert all(roi.group == groups[roi.name.split(" ", 1)[1]] for roi in found)


def test_classes_are_final_where_too_few_were_shown_for_cross_validation(qtbot, panel, scene):
    teach(qtbot, panel, scene, 1)
    assert panel.live.seen.prediction.checked is None
    assert panel.live.seen.final
    shown = panel.live.seen.numbers[panel.gallery.pictures.shown]  # sorted by class once there are classes
    assert (np.diff(np.where(shown == 0, UNSURE + 1, shown.astype(int))) >= 0).all()


def test_several_pictures_are_selected_and_dragged_with_the_mouse(qtbot, panel, monkeypatch):
    shown, begun = panel.gallery, []
    monkeypatch.setattr(gallery.Gallery, "startDrag", lambda view, actions: begun.append(view.chosen), raising=False)
    panel.resize(360, 1200)
    panel.show()
    view, at = shown.viewport(), [shown.visualRect(shown.pictures.index(k, 0)).center() for k in range(4)]
    rows = shown.pictures.shown[:4].tolist()
    left, control = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier
    qtbot.mouseClick(view, left, pos=at[0])
    assert (shown.chosen, panel.live.here) == ([rows[0]], rows[0])
    qtbot.mouseClick(view, left, control, at[1])
    assert (sorted(shown.chosen), panel.live.here) == (sorted(rows[:2]), rows[1])
    qtbot.mouseClick(view, left, pos=at[1])
    qtbot.mouseClick(view, left, Qt.KeyboardModifier.ShiftModifier, at[3])
    assert sorted(shown.chosen) == sorted(rows[1:])
    qtbot.mousePress(view, left, pos=at[2])
    for k in range(1, 4):
        moved = at[2] + QPoint(9 * k, 0)
        place = QPointF(moved), QPointF(view.mapToGlobal(moved))
        QApplication.sendEvent(view, QMouseEvent(QEvent.Type.MouseMove, *place, left, left, Qt.KeyboardModifier(0)))
    assert sorted(begun[0]) == sorted(rows[1:])  # all of them, from the one that is pressed
    shown.given.emit(begun[0], 1)
    assert {k: c for (_, k), c in panel.live.classes.shown.items()} == {row + 1: 1 for row in rows[1:]}


def test_a_painting_cuts_only_some_pictures_and_the_others_follow(qtbot, panel, monkeypatch):
    monkeypatch.setattr(gallery, "CUTTING", 0.0)
    pictures = panel.gallery.pictures
    panel.gallery.resize(300, 200)
    panel.gallery.take(panel.live.measured)
    panel.gallery.grab()
    assert len(pictures._pictures) == 1
    assert pictures.missing
    panel.resize(360, 1200)
    panel.show()
    qtbot.waitUntil(lambda: not pictures.missing and len(pictures._pictures) > 9)
