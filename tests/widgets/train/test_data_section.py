"""What a training can learn from: masks that were opened as images, and images that do not go together."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.io import images
from napari_dojo.simulation.microscope import simulate
from napari_dojo.widgets.common.layers import add_quietly, holds_labels, provenance
from napari_dojo.widgets.common.rows import Row
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = pytest.mark.gui


@pytest.fixture
def scene():
    return simulate("nuclei", (96, 96), 1, diameter=18)


@pytest.fixture
def train(panel):
    return panel(TrainPanel)


def says(qtbot, train, words):
    qtbot.waitUntil(lambda: words in train.findings.text())


def names(train):
    return [(row.name, row.target.name) for row in train.rows.rows()]


def test_masks_opened_as_images_become_labels(qtbot, viewer, train, scene):
    place = {"scale": (0.5, 0.5), "translate": (3, 4)}
    for k in range(2):
        viewer.add_image(scene.image, name=f"cells_{k}", **place)
        viewer.add_image(scene.labels.astype(np.float32) * (k + 1), name=f"cells_{k}_mask")
    says(qtbot, train, "cells_0_mask is an image, but looks like labels")
    assert not train.start_button.isEnabled()
    train.findings.button("Take as labels").click()
    qtbot.waitUntil(train.start_button.isEnabled)
    assert names(train) == [(f"cells_{k}", f"cells_{k}_mask as labels") for k in range(2)]
    labels = viewer.layers["cells_1_mask as labels"]
    np.testing.assert_array_equal(labels.data, 2 * scene.labels)
    np.testing.assert_allclose((*labels.scale, *labels.translate), (0.5, 0.5, 3, 4))
    assert not viewer.layers["cells_1_mask"].visible
    assert "Not used" not in train.findings.text()


@pytest.mark.parametrize(
    ("change", "looks"),
    [
        (lambda x, y: y, True),
        (lambda x, y: (y > 0).astype(np.uint8) * 255, True),
        (lambda x, y: y > 0, True),
        (lambda x, y: x, False),
        (lambda x, y: np.clip(x, 0, 255).astype(np.uint8), False),
        (lambda x, y: np.where(y > 0, x.astype(np.uint8), 0), False),  # black but for the cells
        (lambda x, y: y + 0.5, False),
        (lambda x, y: y * 0, False),
        (lambda x, y: np.where(y > 0, np.nan, 0.0), False),
    ],
)
def test_what_looks_like_labels(viewer, scene, change, looks):
    assert holds_labels(viewer.add_image(change(scene.image, scene.labels), contrast_limits=(0, 1))) == looks


@pytest.mark.parametrize(
    "other", [lambda x: np.stack([x] * 6), lambda x: np.stack([(x / x.max() * 255).astype(np.uint8)] * 3, -1)]
)
def test_images_of_another_kind_are_left_out(qtbot, viewer, train, scene, other):
    data = other(scene.image)
    labels = scene.labels if data.shape[-1] == 3 else np.stack([scene.labels] * 6)
    for name in ("cells_1", "cells_2"):
        viewer.add_image(scene.image, name=name)
        viewer.add_labels(scene.labels, name=f"{name} labels")
    odd = viewer.add_image(data, name="odd_3"), viewer.add_labels(labels, name="odd_3 labels")
    says(qtbot, train, "Not used: odd_3, of another kind than cells_1")
    assert [name for name, _ in names(train)] == ["cells_1", "cells_2"]
    train.rows.set_rows([*train.rows.rows(), Row(odd[:1], odd[1])])
    says(qtbot, train, "odd_3 and cells_1 differ in dimensions or colours")
    assert not train.start_button.isEnabled()
    train.findings.button("Exclude").click()
    qtbot.waitUntil(train.start_button.isEnabled)
    assert [name for name, _ in names(train)] == ["cells_1", "cells_2"]


@pytest.fixture
def folder(tmp_path, scene):
    """Two images with masks, 0.5 um a pixel."""
    for k in range(2):
        images.write(tmp_path / "images" / f"c{k}.tif", scene.image, "YX", (0.5, 0.5), "um")
        images.write(tmp_path / "masks" / f"c{k}.tif", (scene.labels > 0).astype(np.uint8) * 255, "YX")
    return tmp_path


def test_files_are_opened_for_a_remedy_that_needs_layers(qtbot, viewer, train, scene, folder):
    train.data.source_box.setCurrentIndex(train.data.source_box.findData("files"))
    train.data.folder.images.edit.setText(str(folder / "images"))
    says(qtbot, train, "c0.tif hold one value in")
    train.findings.button("Number them").click()
    assert names(train) == [(f"c{k}.tif", f"c{k}.tif labels numbered") for k in range(2)]
    numbered = viewer.layers["c1.tif labels numbered"]
    np.testing.assert_array_equal(numbered.data > 0, scene.labels > 0)
    assert numbered.data.max() > 5
    np.testing.assert_allclose(numbered.scale, (0.5, 0.5))
    np.testing.assert_allclose(viewer.layers["c1.tif"].data, scene.image)
    qtbot.waitUntil(lambda: "✓" in train.findings.text() and "one value" not in train.findings.text())
    assert train.data.source_box.currentData() == "layers"


def test_files_that_are_too_large_to_be_opened_are_said(qtbot, viewer, train, folder, monkeypatch):
    said = []
    monkeypatch.setattr("napari_dojo.widgets.train.fixes.LARGEST", 100)
    monkeypatch.setattr(train, "warn", said.append)
    train.data.source_box.setCurrentIndex(train.data.source_box.findData("files"))
    train.data.folder.images.edit.setText(str(folder / "images"))
    says(qtbot, train, "c0.tif hold one value in")
    train.findings.button("Number them").click()
    assert "too large to be opened at once" in said[0]
    assert list(viewer.layers) == []


def predicted(viewer, data, image="a", kind="labels"):
    """A layer as the Apply panel adds it."""
    made_by = provenance("result", image, model="nuclei-fluorescence")
    return add_quietly(viewer, data, f"{image} nuclei-fluorescence", kind, metadata=made_by)


def test_predictions_are_not_proposed_as_labels(qtbot, viewer, panel, scenes):
    viewer.add_image(scenes[0].image, name="a")
    layer = predicted(viewer, scenes[0].labels)
    train = panel(TrainPanel)
    says(qtbot, train, "Labels made by a model: correct them first.")
    assert train.rows.rows() == []
    assert train.rows._lines[0].target.layer is None
    assert not train.start_button.isEnabled()
    train.findings.button("Use uncorrected").click()
    says(qtbot, train, "is not corrected: the new model learns its mistakes")
    assert names(train) == [("a", layer.name)]
    qtbot.waitUntil(train.start_button.isEnabled)


def test_a_corrected_prediction_is_proposed(qtbot, viewer, panel, scenes):
    viewer.add_image(scenes[0].image, name="a")
    layer = predicted(viewer, scenes[0].labels)
    train = panel(TrainPanel)
    says(qtbot, train, "Labels made by a model: correct them first.")
    train.findings.button("Correct them").click()
    assert (viewer.layers.selection.active, layer.mode) == (layer, "paint")
    layer.paint((20, 20), 99)
    qtbot.waitUntil(lambda: names(train) == [("a", layer.name)])
    says(qtbot, train, "diameter about")
    assert "not corrected" not in train.findings.text()


def test_predicted_images_are_no_clean_images(qtbot, viewer, panel):
    rng = np.random.default_rng(0)
    viewer.add_image(rng.random((64, 64)), name="a")
    predicted(viewer, rng.random((64, 64)), kind="image")
    train = panel(TrainPanel)
    train.task_box.setCurrentIndex(train.task_box.findData("denoise"))
    says(qtbot, train, "A measured clean image is needed")
    assert train.rows.rows() == []


def test_predictions_are_no_unsaved_labels(qtbot, viewer, panel, scenes):
    viewer.add_image(scenes[0].image, name="a")
    layer = predicted(viewer, scenes[0].labels)
    train = panel(TrainPanel)
    says(qtbot, train, "Labels made by a model")
    train.findings.button("Use uncorrected").click()
    layer.data = layer.data * 2  # decoded again
    assert not train.autosave.left.layers
    layer.paint((20, 20), 99)
    assert train.autosave.left.layers == {str(layer.unique_id)}


def test_classes_are_learned_from_folders(qtbot, viewer, train, scene, tmp_path):
    for kind, level in (("dim", 20), ("bright", 200)):
        for i in range(6):
            image = np.random.default_rng(i).integers(0, level, (16, 16)).astype(np.uint8)
            images.write(tmp_path / "in" / kind / f"{kind}{i}.tif", image, "YX")
    viewer.add_image(scene.image, name="cells")
    train.choices.choose_task("classify")
    data = train.choices.data
    says(qtbot, train, "Two classes are needed")
    assert not train.start_button.isEnabled()
    data.source_box.setCurrentIndex(data.source_box.findData("files"))
    data.folder.images.edit.setText(str(tmp_path / "in"))
    says(qtbot, train, "2 classes: bright (6), dim (6)")
    qtbot.waitUntil(train.start_button.isEnabled)


def test_layers_have_a_class_each(qtbot, viewer, train, tmp_path):
    rng = np.random.default_rng(0)
    for name, level, shape in (("dim 1", 20, (6, 16, 16)), ("dim 2", 20, (6, 20, 16)), ("bright", 200, (12, 16, 16))):
        viewer.add_image(rng.integers(0, level, shape).astype(np.uint8), name=name)
    viewer.add_image(rng.integers(0, 9, (40, 40)).astype(np.uint8), name="other")
    train.choices.choose_task("classify")
    data = train.choices.data
    says(qtbot, train, "differ in dimensions or colours")
    edits = {layer.name: edit for layer, _, edit in data.class_rows._lines}
    assert {name: edit.text() for name, edit in edits.items()} == {
        "dim 1": "dim",
        "dim 2": "dim",
        "bright": "bright",
        "other": "other",
    }
    edits["other"].clear()
    edits["other"].textEdited.emit("")
    says(qtbot, train, "2 classes: bright (12), dim (12)")
    assert (data.axes, train.start_button.isEnabled()) == ("TYX", True)
    assert "Not used" not in train.findings.text()
    edits["bright"].setText("a/b, ü")
    edits["bright"].textEdited.emit("a/b, ü")
    says(qtbot, train, "2 classes: a/b, ü (12), dim (12)")
    train.choices.restore({**train.choices.saved()[1]}, None)
    assert dict(data.material().rows)[viewer.layers["bright"]] == "a/b, ü"
    viewer.layers.remove("dim 1")
    says(qtbot, train, "a/b, ü (12), dim (6)")
    made = data.material().request(tmp_path / "run", train.task, out=tmp_path / "model")
    assert (made / "classes.csv").read_text(encoding="utf-8").splitlines()[0] == "file,class"
