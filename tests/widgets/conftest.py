"""A viewer with a small annotated image, and panels that are closed for sure."""

from __future__ import annotations

import gc
import os
from functools import partial

import psutil
import pytest
from bare import BareViewer
from forked import forked_jobs  # noqa: F401 : a fixture
from npe2 import PluginManifest

from napari_dojo.device import Device, cores
from napari_dojo.simulation.microscope import simulate
from napari_dojo.widgets.common.queue import desk

PATIENCE = 60_000  # ms


@pytest.fixture
def qtbot(qtbot):
    """Waits end when what they wait for is there; on a busy machine that may take long."""
    for name in ("waitUntil", "waitSignal", "waitExposed"):
        setattr(qtbot, name, partial(getattr(qtbot, name), timeout=PATIENCE))
    return qtbot


@pytest.fixture(autouse=True)
def jobs(forked_jobs):  # noqa: F811
    """Jobs of all these tests are forked, unless marked ``fresh``."""


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """The CPU, without the Python that the panel starts to ask torch."""
    monkeypatch.setattr("napari_dojo.widgets.train.check.best_device", choose)


@pytest.fixture(scope="session")
def manifests():
    """Those of all plugins that are installed, which napari otherwise reads again for each viewer."""
    return [found for found in PluginManifest.discover() if found.manifest]


@pytest.fixture(autouse=True)
def plugins(manifests, monkeypatch):
    """What napari finds where it looks for plugins."""

    def discover(paths=()):
        return (found._replace(manifest=found.manifest.model_copy(deep=True)) for found in manifests)

    monkeypatch.setattr(PluginManifest, "discover", discover)


@pytest.fixture(autouse=True)
def lean():
    """What napari leaves behind of each viewer, 5,000 objects, is not looked through again by every later test."""
    gc.collect()
    gc.freeze()


def choose(wanted):
    return Device("cpu", "CPU", int(psutil.virtual_memory().available * 0.6), cores())


@pytest.fixture(scope="session")
def scenes():
    return [simulate("nuclei", (96, 96), seed, diameter=18) for seed in range(3)]


@pytest.fixture
def viewer(request, qtbot):
    """napari's viewer model in a plain window; in napari's own where the test is marked ``window``, or pictures are taken."""
    if request.node.get_closest_marker("window") or os.environ.get("DOJO_WALK"):
        yield request.getfixturevalue("make_napari_viewer")(show=False)
        return
    viewer = BareViewer()
    yield viewer
    viewer.close()


@pytest.fixture
def another(qtbot):
    """Makes more viewer models in plain windows, which are closed at the end."""
    made = []

    def make():
        made.append(BareViewer())
        return made[-1]

    yield make
    for viewer in made:
        viewer.close()


@pytest.fixture
def filled(viewer, scenes):
    """Three images and their labels, 0.5 um a pixel, shifted."""
    for k, scene in enumerate(scenes):
        where = {"scale": (0.5, 0.5), "translate": (3, 4), "units": ("um", "um")}
        viewer.add_image(scene.image, name=f"cells_{k}", **where)
        viewer.add_labels(scene.labels, name=f"cells_{k} labels", **where)
    return viewer


@pytest.fixture
def panel(viewer):
    """Makes a docked panel; all are closed at the end."""
    made = []

    def make(kind):
        widget = kind(viewer)
        viewer.window.add_dock_widget(widget, name=kind.__name__)
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.end()
    desk().close(viewer)
    made.clear()
    gc.collect()  # what is left over is blamed on the test that left it
