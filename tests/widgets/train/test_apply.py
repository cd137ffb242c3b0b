"""From the Train panel to the Apply panel, by its buttons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_dojo.simulation.microscope import simulate
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.common.run import Runner
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = pytest.mark.gui


@pytest.fixture
def started(monkeypatch):
    """The requests of the jobs that would have been started."""
    requests: list[dict] = []
    read = lambda runner, make: requests.append(json.loads((make() / "request.json").read_text()))  # noqa: E731
    monkeypatch.setattr(Runner, "start", read)
    return requests


def test_a_shipped_model_is_tried_on_the_image_in_view_or_fine_tuned(qtbot, viewer, panel, started):
    for k in range(2):
        viewer.add_image(simulate("nuclei", (96, 96), k, diameter=18).image, name=f"field {k}")
    viewer.layers.selection.active = viewer.layers["field 0"]
    train = panel(TrainPanel)
    qtbot.waitUntil(lambda: train.findings.button("Try it") is not None)
    assert "The model nuclei-fluorescence fits these images" in train.findings.text()
    train.findings.button("Try it").click()
    apply = next(w for w in viewer.window.dock_widgets.values() if isinstance(w, ApplyPanel))
    assert (apply.model.name, apply.image_box.layer.name) == ("nuclei-fluorescence", "field 0")
    (request,) = started
    assert Path(request["model"]).name == "nuclei-fluorescence"
    assert [image["name"] for image in request["images"]] == ["field 0"]
    apply.end()
    qtbot.waitUntil(lambda: train.findings.button("Fine-tune it") is not None)
    train.findings.button("Fine-tune it").click()
    assert train.start_box.currentText() == "nuclei-fluorescence"
    qtbot.waitUntil(lambda: train.findings.button("Try it") is None)
