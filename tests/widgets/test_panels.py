"""What holds for every panel that napari.yaml names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QWidget,
)

import napari_dojo
from napari_dojo.simulation.microscope import simulate

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
    qtbot.wait(30)
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


def test_every_control_has_a_name_and_a_tooltip(made):
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
    qtbot.wait(400)
    shown = [b for b in made.findChildren(QComboBox) if image in [b.itemData(i) for i in range(b.count())]]
    image.name = "renamed"
    qtbot.wait(60)
    assert all("renamed" in [b.itemText(i) for i in range(b.count())] for b in shown)
    viewer.layers.remove(image)
    viewer.layers.remove(labels)
    qtbot.wait(400)
    left = [b for b in made.findChildren(QComboBox) if image in [b.itemData(i) for i in range(b.count())]]
    assert left == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image", np.zeros((1, 1))),
        ("image", np.full((20, 30), np.nan)),
        ("image", np.zeros((3, 4, 20, 20), np.uint16)),
        ("image", np.zeros((20, 30, 3), np.uint8)),
        ("image", [np.zeros((64, 64)), np.zeros((32, 32))]),
        ("labels", np.zeros((20, 30), int)),
        ("labels", np.zeros((3, 20, 30), int)),
        ("points", np.zeros((3, 2))),
        ("shapes", [np.zeros((4, 2))]),
    ],
)
def test_odd_layers_do_no_harm(qtbot, viewer, made, kind, data):
    getattr(viewer, f"add_{kind}")(data, name="odd", **({"contrast_limits": (0, 1)} if kind == "image" else {}))
    qtbot.wait(400)
    viewer.layers.clear()
    qtbot.wait(20)


def test_rotated_and_lazy_layers_do_no_harm(qtbot, viewer, made):
    import dask.array as da

    scene = simulate("nuclei", (64, 64), 0)
    viewer.add_image(da.from_array(scene.image, chunks=32), name="lazy", rotate=30, shear=[0.2], scale=(0.5, 0.5))
    viewer.add_labels(scene.labels, name="lazy labels", rotate=30, shear=[0.2], scale=(0.5, 0.5))
    qtbot.wait(600)


def test_it_is_narrow_enough(made):
    assert made.minimumSizeHint().width() <= 340
    widest = max((c.minimumSizeHint().width() for c in made.findChildren(QWidget) if c.isVisibleTo(made)), default=0)
    assert widest <= 330


def test_it_changes_its_colours_with_the_theme(qtbot, viewer, made):
    for theme in ("light", "dark"):
        viewer.theme = theme
        qtbot.wait(10)


def test_it_ends_once_and_for_all(qtbot, viewer, made):
    made.end()
    made.end()
    viewer.add_image(np.zeros((20, 20)), name="after")
    qtbot.wait(30)
    assert QApplication.instance() is not None
