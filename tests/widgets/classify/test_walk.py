"""A walk through the Classify panel with mouse and keys: objects, classes, gallery, confusion matrix, objects by likeness.

With ``DOJO_WALK=FOLDER`` a picture of each step is written there.
"""

from __future__ import annotations

import numpy as np
import pytest
from person import Person
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_dojo.simulation.cell_types import mixed_cells
from napari_dojo.widgets.classify.panel import ClassifyPanel
from napari_dojo.widgets.common.panel import open_panel

pytestmark = [pytest.mark.first, pytest.mark.gui, pytest.mark.window, pytest.mark.timeout(200)]


class Clicker(Person):
    """A person who clicks objects."""

    def object(self, labels, number, button=Qt.MouseButton.LeftButton):
        at = np.argwhere(labels == number)
        middle = at[np.argmin(((at - at.mean(0)) ** 2).sum(1))]
        QTest.mouseClick(self.canvas, button, pos=self.at(*middle))
        self.qtbot.wait(20)

    def key(self, key, widget=None):
        QTest.keyClick(widget or self.canvas, key)
        self.qtbot.wait(20)

    def picture(self, gallery, row):
        """A click on the picture of an object in the gallery."""
        (k,) = np.flatnonzero(gallery.pictures.shown == row)
        index = gallery.pictures.index(int(k))
        gallery.scrollTo(index)
        QTest.mouseClick(gallery.viewport(), Qt.MouseButton.LeftButton, pos=gallery.visualRect(index).center())
        return index

    def drop(self, gallery, index, row):
        """The picture is dropped on a row, as a drag that ends there does."""
        data = gallery.model().mimeData([index])
        middle, left = row.rect().center(), Qt.MouseButton.LeftButton
        copy, none = Qt.DropAction.CopyAction, Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(row, QDragEnterEvent(QPoint(middle), copy, data, left, none))
        QApplication.sendEvent(row, QDropEvent(QPointF(middle), copy, data, left, none, QEvent.Type.Drop))


def test_classes_by_mouse_and_keys(qtbot, make_napari_viewer):
    scene = mixed_cells((256, 256), 0)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    viewer.add_image(scene.image[0], name="cells")
    labels = viewer.add_labels(scene.labels.copy(), name="nuclei")
    walk = Clicker(qtbot, viewer, "classify-")
    panel = open_panel(viewer, ClassifyPanel, "Classify")
    live = panel.live

    def settled():
        return not live.busy and live.seen is not None and live.seen.final

    qtbot.waitUntil(lambda: live.objects is not None)
    viewer.reset_view()
    viewer.layers.selection.active = labels
    qtbot.wait(200)
    walk.look("measured")

    # click objects, a key chooses the class
    kinds = [[int(v) for v in np.flatnonzero(scene.types == k)[:5] + 1] for k in (0, 2)]
    for number in kinds[0]:
        walk.object(scene.labels, number)
    walk.key(Qt.Key.Key_2)
    assert panel.rows.current == 1
    for number in kinds[1]:
        walk.object(scene.labels, number)
    wanted = {(0, n): k for k, numbers in enumerate(kinds) for n in numbers}
    assert dict(live.classes.shown) == wanted
    qtbot.waitUntil(settled)
    walk.look("clicked")
    assert live.layer.data[scene.labels == kinds[1][0]].min() == 2

    # a right-click takes one back; Ctrl+Z undoes
    walk.object(scene.labels, kinds[1][0], Qt.MouseButton.RightButton)
    assert (0, kinds[1][0]) not in live.classes.shown
    QTest.keyClick(walk.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert dict(live.classes.shown) == wanted

    # a third class: in the gallery by a key, and by dragging onto its row
    qtbot.mouseClick(panel.rows.add_button, Qt.MouseButton.LeftButton)
    others = [int(v) for v in np.flatnonzero(scene.types == 3)[:3]]
    walk.picture(panel.gallery, others[0])
    assert live.here == others[0]
    walk.key(Qt.Key.Key_3, panel.gallery)
    assert live.classes.shown[0, others[0] + 1] == 2
    for row in others[1:]:
        index = walk.picture(panel.gallery, row)
        walk.drop(panel.gallery, index, panel.rows.rows[2])
        assert live.classes.shown[0, row + 1] == 2
    qtbot.waitUntil(settled)
    walk.look("gallery")

    # why: a click in the confusion matrix shows its objects, one at a point goes to the object
    panel.why_fold.button.setChecked(True)
    qtbot.waitUntil(lambda: panel.confusion.rowCount() == 3)
    counts = live.seen.prediction.confusion
    i, j = np.unravel_index(counts.argmax(), counts.shape)
    cell = panel.confusion.visualItemRect(panel.confusion.item(int(i), int(j))).center()
    QTest.mouseClick(panel.confusion.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    assert len(panel.gallery.pictures.shown) == counts[i, j]
    assert panel.only.isVisibleTo(panel)
    walk.look("confusion")
    qtbot.mouseClick(panel.only, Qt.MouseButton.LeftButton)
    assert len(panel.gallery.pictures.shown) == len(scene.types)

    plot, row = panel.likeness, kinds[0][1] - 1
    plot.ensurePolished()
    qtbot.wait(150)
    at = plot.plotItem.vb.mapViewToScene(QPointF(*map(float, live.measured.plane[row])))
    QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=plot.mapFromScene(at))
    plane = live.measured.plane
    qtbot.waitUntil(lambda: live.here is not None and np.hypot(*(plane[live.here] - plane[row])) < 0.5)
    walk.look("likeness")

    # the next unsure object gets its class by a key
    panel.threshold.value = 0.95
    qtbot.waitUntil(panel.unsure_button.isEnabled)
    qtbot.mouseClick(panel.unsure_button, Qt.MouseButton.LeftButton)
    here = live.here
    walk.key(Qt.Key.Key_1)
    assert live.classes.shown[live.objects.key(here)] == 0
    viewer.theme = "light"
    walk.look("light")
    panel.end()
