"""What holds for every panel that napari.yaml names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from napari._qt.widgets.qt_viewer_dock_widget import QtViewerDockWidget
from napari.plugins import menu_item_template
from pyqtgraph import PlotWidget
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QWidget,
)
from settled import settled

import napari_dojo
from napari_dojo.simulation.microscope import simulate
from napari_dojo.widgets.common.form import Fold
from napari_dojo.widgets.common.panel import Panel, open_panel

pytestmark = pytest.mark.gui

MANIFEST = yaml.safe_load((Path(napari_dojo.__file__).parent / "napari.yaml").read_text())["contributions"]
CONTROLS = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit)


def kinds():
    """The panel classes, by their title."""
    named = {c["id"]: c["python_name"] for c in MANIFEST["commands"]}
    for widget in MANIFEST["widgets"]:
        module, _, name = named[widget["command"]].partition(":")
        yield pytest.param((module, name), id=widget["display_name"])


@pytest.fixture(params=kinds())
def made(request, qtbot, viewer, panel):
    module, name = request.param
    widget = panel(getattr(import_module(module), name))
    settled(qtbot, widget)
    return widget


def controls_of(widget):
    """The controls that a person sees; what Qt builds inside of them is left out."""
    for control in widget.findChildren(QWidget):
        if isinstance(control, CONTROLS) and not control.objectName().startswith("qt_"):
            parent = control.parent()
            inside = isinstance(parent, CONTROLS) or type(parent).__module__.startswith(("superqt", "pyqtgraph"))
            scroll = type(control).__name__ == "QScrollBar"
            if not inside and not scroll:
                yield control


def test_it_is_narrow_and_every_control_has_a_name_and_a_tooltip(made):
    assert made.minimumSizeHint().width() <= 340
    widest = max((c.minimumSizeHint().width() for c in made.findChildren(QWidget) if c.isVisibleTo(made)), default=0)
    assert widest <= 330
    bare = [
        f"{type(c).__name__} {getattr(c, 'text', lambda: '')()!r}"
        for c in controls_of(made)
        if not c.toolTip() or not c.accessibleName()
    ]
    assert list(controls_of(made))
    assert bare == []


def test_it_opens_without_layers_and_follows_them(qtbot, viewer, made):
    scene = simulate("nuclei", (64, 64), 0)
    image = viewer.add_image(scene.image, name="first")
    labels = viewer.add_labels(scene.labels, name="first labels")
    settled(qtbot, made)
    shown = [b for b in made.findChildren(QComboBox) if image in [b.itemData(i) for i in range(b.count())]]
    image.name = "renamed"
    settled(qtbot, made)
    assert all("renamed" in [b.itemText(i) for i in range(b.count())] for b in shown)
    viewer.layers.remove(image)
    viewer.layers.remove(labels)
    settled(qtbot, made)
    left = [b for b in made.findChildren(QComboBox) if image in [b.itemData(i) for i in range(b.count())]]
    assert left == []


def test_tab_goes_where_the_eye_goes_and_back(qtbot, viewer, made):
    """Through rows and folds that came after the panel was opened, without a loop, and past nothing without a name."""
    scene = simulate("nuclei", (64, 64), 0)
    viewer.add_image(scene.image, name="first")
    viewer.add_labels(scene.labels, name="first labels")
    settled(qtbot, made)
    for fold in made.findChildren(Fold):
        fold.button.setChecked(True)
    window = made.window()
    window.show()
    settled(qtbot, made)
    stops = [w for w in made.tab_stops() if w.isEnabled()]
    stops[0].setFocus()
    reached = []
    while (now := window.focusWidget()) not in reached and made.isAncestorOf(now):
        reached.append(now)
        QTest.keyClick(now, Qt.Key.Key_Tab)
    assert [w.accessibleName() for w in reached] == [w.accessibleName() for w in stops]
    assert window.focusWidget() not in reached[1:]
    stops[-1].setFocus()
    QTest.keyClick(stops[-1], Qt.Key.Key_Backtab)
    assert window.focusWidget() is stops[-2]


ODD = (
    ("image", np.zeros((1, 1))),
    ("image", np.full((20, 30), np.nan)),
    ("image", np.zeros((3, 4, 20, 20), np.uint16)),
    ("image", np.zeros((20, 30, 3), np.uint8)),
    ("image", [np.zeros((64, 64)), np.zeros((32, 32))]),
    ("labels", np.zeros((20, 30), int)),
    ("labels", np.zeros((3, 20, 30), int)),
    ("points", np.zeros((3, 2))),
    ("shapes", [np.zeros((4, 2))]),
)


def test_odd_layers_raise_nothing_and_are_not_cut_off(qtbot, viewer, made):
    """What is raised in a slot fails the test."""
    for kind, data in ODD:
        more = {"contrast_limits": (0, 1)} if kind == "image" else {}
        layer = getattr(viewer, f"add_{kind}")(data, name="odd", **more)
        settled(qtbot, made)
        assert made.column.minimumSize().width() <= 340
        for width in (400, 335, 320):  # as a person drags its edge
            made.resize(width, 600)
            settled(qtbot, made)
        assert made.column.minimumSize().width() <= 320
        made.resize(350, 600)
        viewer.layers.remove(layer)
        settled(qtbot, made)


def test_rotated_and_lazy_layers_raise_nothing(qtbot, viewer, made):
    import dask.array as da

    scene = simulate("nuclei", (64, 64), 0)
    viewer.add_image(da.from_array(scene.image, chunks=32), name="lazy", rotate=30, shear=[0.2], scale=(0.5, 0.5))
    viewer.add_labels(scene.labels, name="lazy labels", rotate=30, shear=[0.2], scale=(0.5, 0.5))
    settled(qtbot, made)


def lightness(widget):
    """Mean of a widget's picture, 0 to 255."""
    picture = widget.grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
    return np.frombuffer(picture.constBits().asstring(picture.sizeInBytes()), np.uint8).mean()


def take_the_colours_of_the_theme(qtbot, viewer, panels):
    for theme, right in (("light", lambda x: x > 150), ("dark", lambda x: x < 100)):
        viewer.theme = theme
        settled(qtbot, *panels)
        found = {
            (type(made).__name__, k): lightness(widget)
            for made in panels
            for k, widget in enumerate([made, *made.findChildren(PlotWidget)])
        }
        assert [name for name, light in found.items() if not right(light)] == [], found


def has_the_name_that_the_menu_looks_for(viewer, made):
    """Else the menu opens a second one beside a panel that a button opened."""
    title = next(p.id for p in kinds() if p.values[0][1] == type(made).__name__)
    made.end()
    viewer.window.remove_dock_widget(made)
    opened = open_panel(viewer, type(made), title)
    assert menu_item_template.format("Dojo", title) in viewer.window.dock_widgets
    assert open_panel(viewer, type(made), title) is opened
    opened.end()


def a_second_panel_lies_behind_a_tab(qtbot, viewer, made, tabify):
    """Whoever docks it: napari's own menu puts panels below each other."""
    window = viewer.window._qt_window
    second = Panel(viewer)
    dock = viewer.window.add_dock_widget(second, name="second", area="right", tabify=tabify)
    qtbot.wait(30)
    assert made.parent() in window.tabifiedDockWidgets(dock)
    second.end()
    viewer.window.remove_dock_widget(second)


@pytest.mark.window
def test_in_napari_s_window(qtbot, viewer, panel):
    """All of them in one window, which costs a second, and so does each change of the theme."""
    panels = [panel(getattr(import_module(module), name)) for (module, name) in (p.values[0] for p in kinds())]
    settled(qtbot, *panels)
    take_the_colours_of_the_theme(qtbot, viewer, panels)
    for made in panels:
        for tabify in (False, True):
            a_second_panel_lies_behind_a_tab(qtbot, viewer, made, tabify)
        has_the_name_that_the_menu_looks_for(viewer, made)


def test_a_panel_that_the_menu_opens_is_in_front(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    opened = [Panel(viewer) for _ in range(3)]
    for k, one in enumerate(opened[:2]):
        viewer.window.add_dock_widget(one, name=f"panel {k}", area="right", tabify=True)
    dock = QtViewerDockWidget(viewer.window._qt_viewer, opened[2], name="panel 2", area="right")
    qtbot.wait(30)  # as in the menu, before it is in its place
    viewer.window._add_viewer_dock_widget(dock, tabify=False)
    qtbot.waitUntil(lambda: not opened[2].visibleRegion().isEmpty())
    assert opened[0].visibleRegion().isEmpty()
    opened[0].parent().hide()  # and shows it again
    qtbot.wait(30)
    opened[0].parent().show()
    qtbot.waitUntil(lambda: not opened[0].visibleRegion().isEmpty())
    for one in opened:
        one.end()


def test_it_ends_once_and_for_all(qtbot, viewer, made):
    made.end()
    made.end()
    shown = [(box, box.count()) for box in made.findChildren(QComboBox)]
    viewer.add_image(np.zeros((20, 20)), name="after")
    settled(qtbot, made)
    assert [(box, box.count()) for box in made.findChildren(QComboBox)] == shown
