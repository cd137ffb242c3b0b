"""Each line of the check before training, with data that trigger it, and its remedy by its button."""

from __future__ import annotations

import re

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel

from napari_dojo.data.split import split_of
from napari_dojo.device import Device
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import Finding
from napari_dojo.widgets.train import check
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = pytest.mark.gui


@pytest.fixture
def train(viewer, panel):
    return panel(TrainPanel)


@pytest.fixture
def scene():
    return simulate("nuclei", (128, 128), 4, diameter=16)


def says(qtbot, train, words, timeout=60_000):
    qtbot.waitUntil(lambda: words in train.findings.text(), timeout=timeout)


def silent(qtbot, train, words):
    qtbot.waitUntil(lambda: words not in train.findings.text() and "✓" in train.findings.text())


def ready(qtbot, train):
    qtbot.waitUntil(lambda: train.start_button.isEnabled() and "✓" in train.findings.text())


def press(train, label):
    button = train.findings.button(label)
    assert button is not None, train.findings.text()
    button.click()


def semantic(train):
    train.task_box.setCurrentIndex(train.task_box.findData("semantic"))


def test_what_was_understood(qtbot, viewer, train):
    scene = simulate("nuclei", (192, 192), 4, diameter=16)
    viewer.add_image(scene.image, name="a", scale=(0.5, 0.5), units=("um", "um"))
    viewer.add_labels(scene.labels, name="a labels", scale=(0.5, 0.5), units=("um", "um"))
    ready(qtbot, train)
    said = train.findings.text()
    assert "1 image of 192 x 192 px, 1 channel" in said
    assert f"{scene.labels.max()} object" in said
    assert "µm" in said
    says(qtbot, train, "Validation: a band of 20% of each image")
    says(qtbot, train, "steps in 5 min", 60_000)


def test_after_a_training_only_the_first_good_finding_is_said(qtbot):
    made = check.Findings(lambda level, text: f"{level} {text}")
    qtbot.addWidget(made)
    said = [Finding("ok", "3 images"), Finding("ok", "85 objects"), Finding("warning", "labels in one corner")]
    made.show_findings(said)

    def lines():
        return [x.text() for x in made.findChildren(QLabel) if x.wordWrap()]

    assert lines() == ["labels in one corner", "3 images. 85 objects."]
    made.be_brief(True)
    assert lines() == ["labels in one corner", "3 images ..."]
    assert "85 objects" in made.text()
    made.be_brief(False)
    assert lines()[-1] == "3 images. 85 objects."


def test_a_mask_is_numbered(qtbot, viewer, train, scene):
    mask = np.where(scene.labels > 0, 255, 0).astype(np.uint8)
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(mask, name="a labels")
    says(qtbot, train, "hold one value in")
    assert train.start_button.isEnabled()
    press(train, "Number them")
    silent(qtbot, train, "hold one value")
    numbered = train.rows.rows()[0].target
    assert numbered.name == "a labels numbered"
    assert numbered.data.max() >= 3
    np.testing.assert_array_equal(numbered.data > 0, mask > 0)
    assert set(np.unique(viewer.layers["a labels"].data)) == {0, 255}  # the person's own stays


def test_a_fix_keeps_the_brush_and_takes_the_next_free_number(qtbot, viewer, train, scene):
    viewer.add_image(scene.image, name="a")
    mask = viewer.add_labels((scene.labels > 0).astype(np.uint8), name="a labels")
    mask.mode, mask.brush_size, mask.opacity, mask.contiguous = "paint", 7, 0.4, False
    viewer.layers.selection.active = mask
    says(qtbot, train, "hold one value in")
    press(train, "Number them")
    numbered = train.rows.rows()[0].target
    assert viewer.layers.selection.active is numbered
    assert (numbered.mode, numbered.brush_size, numbered.opacity, numbered.contiguous) == ("paint", 7, 0.4, False)
    assert numbered.selected_label == numbered.data.max() + 1
    assert mask.selected_label == 1


def test_a_fix_leaves_the_selection_of_another_layer(qtbot, viewer, train, scene):
    image = viewer.add_image(scene.image, name="a")
    viewer.add_labels((scene.labels > 0).astype(np.uint8), name="a labels")
    viewer.layers.selection.active = image
    says(qtbot, train, "hold one value in")
    press(train, "Number them")
    assert viewer.layers.selection.active is image


def test_a_stack_of_masks_is_numbered_plane_by_plane(qtbot, viewer, train, scene):
    mask = np.stack([scene.labels > 0] * 3).astype(np.uint8)
    viewer.add_image(np.stack([scene.image] * 3), name="a", axis_labels=("t", "y", "x"))
    viewer.add_labels(mask, name="a labels")
    says(qtbot, train, "hold one value in")
    press(train, "Number them")
    silent(qtbot, train, "hold one value")
    data = train.rows.rows()[0].target.data
    np.testing.assert_array_equal(data[0], data[1])


def test_zero_is_background_or_not_painted(qtbot, viewer, train, scene):
    viewer.add_image(scene.image, name="a")
    viewer.add_labels((scene.labels > 0).astype(np.uint8), name="a labels")
    semantic(train)
    says(qtbot, train, "Only one class is annotated")
    assert not train.start_button.isEnabled()
    press(train, "0 is background")
    ready(qtbot, train)
    assert train.option_values()["zero"] == "background"


def test_zero_that_covers_much_is_asked_for(qtbot, viewer, train, scene):
    classes = np.where(scene.labels > 0, 1, 0)
    classes[:, :90] = np.where(classes[:, :90] > 0, 1, 2)
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(classes, name="a labels")
    semantic(train)
    says(qtbot, train, "counts as not annotated. Or is it the background?")
    press(train, "Not annotated")
    silent(qtbot, train, "Or is it the background?")
    assert train.option_values()["zero"] == "unlabelled"


def test_strokes_given_as_full_masks_are_asked_for(qtbot, viewer, train, scene):
    strokes = np.zeros((128, 128), int)
    strokes[10:14, 10:60], strokes[100:104, 60:110] = 1, 2
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(strokes, name="a labels")
    semantic(train)
    train.options["semantic"][0].set_values({"zero": "background"})
    train.check.later()
    says(qtbot, train, "counts as background. Or is it not annotated?")
    press(train, "Not annotated")
    silent(qtbot, train, "Or is it not annotated?")
    assert train.option_values()["zero"] == "unlabelled"


def test_labels_in_one_corner(qtbot, viewer, train, scene):
    labels = np.where(np.indices((128, 128)).max(0) < 60, scene.labels, 0)
    viewer.add_image(scene.image, name="a", scale=(0.5, 0.5), translate=(3, 4))
    viewer.add_labels(labels, name="a labels", scale=(0.5, 0.5), translate=(3, 4))
    says(qtbot, train, "Labels only in the upper left part of a: is the rest empty?")
    press(train, "Draw the region")
    silent(qtbot, train, "is the rest empty")
    row = train.rows.rows()[0]
    assert row.region.name == "a region"
    pairs, _ = train.data.material().dataset(train.task, train.task.options())
    region = pairs.samples[0].region
    assert region[labels > 0].all()
    assert 0.15 < region.mean() < 0.5


def test_the_rest_may_be_empty(qtbot, viewer, train, scene):
    labels = np.where(np.indices((128, 128)).min(0) > 64, scene.labels, 0)
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(labels, name="a labels")
    says(qtbot, train, "Labels only in the lower right part")
    press(train, "It is empty")
    silent(qtbot, train, "lower right")
    assert train.rows.rows()[0].region is None


def test_image_and_labels_swapped(qtbot, viewer, train, scene):
    viewer.add_image(scene.labels.astype(np.uint16), name="a")
    viewer.add_labels(scene.image.astype(np.uint16), name="b")
    says(qtbot, train, "look swapped")
    assert not train.start_button.isEnabled()
    press(train, "Swap them")
    ready(qtbot, train)
    row = train.rows.rows()[0]
    np.testing.assert_array_equal(row.target.data, scene.labels)
    np.testing.assert_array_equal(row.images[0].data, scene.image.astype(np.uint16))


def test_constant_images_are_left_out(qtbot, viewer, train, scene):
    viewer.add_image(scene.image, name="a1")
    viewer.add_labels(scene.labels, name="a1 labels")
    viewer.add_image(np.full((128, 128), 7.0), name="b2")
    viewer.add_labels(scene.labels.copy(), name="b2 labels")
    says(qtbot, train, "b2 is constant: nothing can be learned")
    press(train, "Exclude")
    silent(qtbot, train, "constant")
    assert [r.name for r in train.rows.rows()] == ["a1"]


def test_no_model_is_offered_for_images_that_show_nothing(qtbot, viewer, train, scene):
    viewer.add_image(np.full((128, 128), 7.0), name="a")
    viewer.add_labels(scene.labels.copy(), name="a labels")
    says(qtbot, train, "All images are constant")
    silent(qtbot, train, "fits these images")
    viewer.layers["a"].data = scene.image
    says(qtbot, train, "fits these images")


def test_objects_given_as_classes(qtbot, viewer, train, scene):
    many = np.arange(64).reshape(8, 8).repeat(16, 0).repeat(16, 1)
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(many, name="a labels")
    semantic(train)
    says(qtbot, train, "Are these objects?")
    press(train, "Find objects instead")
    qtbot.waitUntil(lambda: train.task.name == "instances")
    ready(qtbot, train)


@pytest.mark.parametrize(
    ("change", "words", "may_start"),
    [
        (lambda i, y: (i * np.nan, y), "constant", False),
        (lambda i, y: (np.where(np.indices(i.shape)[0] < 3, np.nan, i / 9.0), y), "holds NaN or infinite values", True),
        (lambda i, y: (i, np.zeros_like(y)), "No object is labelled", False),
        (lambda i, y: (i, np.where(y == 1, 1, 0)), "1 object (50 or more make a better model)", True),
        (lambda i, y: (i[:4, :4], y[:4, :4] * 0 + 1), "too small to train on", False),
        (lambda i, y: (i[:1, :1], y[:1, :1] * 0 + 1), "too small to train on", False),
        (lambda i, y: (np.zeros_like(i), y), "constant", False),
        (lambda i, y: (i[:40, :40], np.where(y[:40, :40] > 0, y[:40, :40], 1)), "No part is left for validation", True),
    ],
)
def test_what_people_really_do(qtbot, viewer, train, scene, change, words, may_start):
    image, labels = change(scene.image.astype(np.float32), scene.labels)
    viewer.add_image(np.asarray(image, np.float32), name="a", contrast_limits=(0, 1))
    viewer.add_labels(labels, name="a labels")
    says(qtbot, train, words)
    assert train.start_button.isEnabled() == may_start
    if not may_start:
        assert words in train.start_button.toolTip()


def test_a_new_labels_layer_is_ready_to_paint(qtbot, viewer, train, scene):
    viewer.add_image(scene.image, name="a", scale=(0.5, 0.5), units=("um", "um"))
    says(qtbot, train, "Labels are needed")
    train.labels_button.click()
    labels = viewer.layers["a labels"]
    assert (labels.mode, labels.contiguous, labels.data.shape) == ("paint", False, (128, 128))
    np.testing.assert_allclose(labels.scale, (0.5, 0.5))
    assert viewer.layers.selection.active is labels
    says(qtbot, train, "No object is labelled")
    labels.paint((30, 30), 1)
    ready(qtbot, train)


def test_new_labels_for_classes_have_colours(qtbot, viewer, train, scene):
    viewer.add_image(scene.image, name="a")
    semantic(train)
    train.labels_button.click()
    labels = viewer.layers["a labels"]
    colours = [tuple(labels.get_color(k)) for k in (1, 2, 3)]
    assert len(set(colours)) == 3
    for k, place in ((1, 30), (2, 80)):
        labels.selected_label = k
        labels.paint((place, place), k)
    ready(qtbot, train)
    assert train.classes.names() == ("class 1", "class 2")


def test_names_of_classes_reach_the_model(qtbot, viewer, train, scene):
    from qtpy.QtWidgets import QLineEdit

    viewer.add_image(scene.image, name="a")
    viewer.add_labels(np.where(scene.labels > 0, 2, 1), name="a labels")
    semantic(train)
    ready(qtbot, train)
    edit = next(e for e in train.classes.findChildren(QLineEdit) if e.accessibleName() == "Name of class 2")
    edit.setText("nucleus")
    edit.editingFinished.emit()
    assert train.classes.names() == ("class 1", "nucleus")
    assert dict(viewer.layers["a labels"].features.to_numpy().tolist()) == {
        1: "class 1",
        2: "nucleus",
    } or "nucleus" in set(viewer.layers["a labels"].features["class"])


def test_roles_regions_and_channels_reach_the_pairs(qtbot, viewer, train, scene):
    for k, name in enumerate(("a", "b")):
        viewer.add_image(scene.image + k, name=f"{name} dapi")
        viewer.add_image(scene.image * 2.0 + 1, name=f"{name} gfp")
        viewer.add_labels(scene.labels, name=f"{name} labels")
    shapes = viewer.add_shapes([[[0, 0], [0, 64], [128, 64], [128, 0]]], shape_type="polygon", name="half")
    from napari_dojo.widgets.common.rows import Row

    rows = [
        Row((viewer.layers[f"{n} dapi"], viewer.layers[f"{n} gfp"]), viewer.layers[f"{n} labels"], region, role)
        for n, region, role in (("a", shapes, "training"), ("b", None, "validation"))
    ]
    train.rows.set_rows(rows)
    pairs, _ = train.data.material().dataset(train.task, train.task.options())
    assert [i.role for i in pairs.samples] == ["training", "validation"]
    assert pairs.channels == 2
    np.testing.assert_array_equal(pairs.samples[0].x[1], scene.image * 2.0 + 1)
    assert pairs.samples[1].region is None
    assert pairs.samples[0].region[:, :63].all()
    assert not pairs.samples[0].region[:, 66:].any()
    split = split_of(pairs.samples)
    assert ([p.item for p in split.training], [p.item for p in split.validation]) == ([0], [1])


def test_a_folder_of_files(qtbot, viewer, train, scene, tmp_path):
    from napari_dojo.io import images

    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for k in range(3):
        images.write(tmp_path / "images" / f"c{k}.tif", scene.image + k, "YX", (0.5, 0.5), "um")
        if k < 2:
            images.write(tmp_path / "masks" / f"c{k}_mask.tif", scene.labels, "YX", labels=True)
    train.data.source_box.setCurrentIndex(1)
    says(qtbot, train, "A folder of images is needed")
    train.data.folder.images.edit.setText(str(tmp_path / "images"))
    says(qtbot, train, "2 images of 128 x 128 px")
    assert "Excluded: c2.tif has no target of the same name." in train.findings.text()
    assert train.start_button.isEnabled()
    train.data.folder.images.edit.setText(str(tmp_path / "none"))
    says(qtbot, train, "does not exist")
    assert not train.start_button.isEnabled()


# --- tasks that predict images


def choose(train, task):
    train.task_box.setCurrentIndex(train.task_box.findData(task))


def test_an_example_of_what_is_made_coarse(qtbot, viewer, train):
    fine = viewer.add_image(simulate("filaments", (96, 96), 1).image, name="fine", scale=(0.1, 0.1), units=("um", "um"))
    choose(train, "upscale")
    says(qtbot, train, "made 2 times coarser by bicubic")
    press(train, "Show an example")
    example = viewer.layers["fine example"]
    assert example.data.shape == (48, 48)
    np.testing.assert_allclose(example.scale, (0.2, 0.2))
    np.testing.assert_allclose(example.translate, (0.05, 0.05))  # the outer edges lie on each other
    assert example.units == fine.units
    ready(qtbot, train)
    assert [row.images for row in train.rows.rows()] == [(fine,)]  # it is not learned from


def test_a_noisy_image_and_its_clean_one_are_swapped_back(qtbot, viewer, train):
    scene = simulate("nuclei", (128, 128), 4, photons=20)
    clean = viewer.add_image(scene.clean, name="a")
    noisy = viewer.add_image(scene.image, name="a clean")
    choose(train, "denoise")
    says(qtbot, train, "noisier than the images")
    press(train, "Swap them")
    ready(qtbot, train)
    (row,) = train.rows.rows()
    assert (row.images, row.target) == ((noisy,), clean)


def test_a_shifted_target_is_moved(qtbot, viewer, train):
    scene = simulate("nuclei", (128, 128), 4, photons=50)
    viewer.add_image(scene.image, name="a")
    viewer.add_image(np.roll(scene.clean, (4, -3), (0, 1)), name="a clean")
    choose(train, "denoise")
    says(qtbot, train, "shifted against the images by")
    press(train, "Correct the shift")
    says(qtbot, train, "px to match the images")
    told = re.search(r"shifted by (\S+), (\S+) px", train.findings.text())
    np.testing.assert_allclose([float(t) for t in told.groups()], (-4, 3), atol=0.15)
    ready(qtbot, train)


def test_targets_of_another_place_are_refused(qtbot, viewer, train):
    viewer.add_image(simulate("nuclei", (128, 128), 4, photons=50).image, name="a")
    viewer.add_image(simulate("nuclei", (128, 128), 9, photons=50).clean, name="a clean")
    choose(train, "denoise")
    says(qtbot, train, "show different places")
    assert not train.start_button.isEnabled()


# --- scores that mean nothing


def test_strokes_whose_band_would_hold_one_class_are_split_so_that_both_have_both(qtbot, viewer, train, scene):
    strokes = np.zeros((128, 128), int)
    for x in (4, 40):
        strokes[10:14, x : x + 10], strokes[30:34, x : x + 10] = 1, 2
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(strokes, name="a labels")
    semantic(train)
    ready(qtbot, train)
    split = train.seen.setup.split
    for side in (split.training, split.validation):
        assert {v for crop in side for v in np.unique(strokes[crop.slices])} >= {1, 2}


def test_where_no_score_is_possible_none_is_shown(qtbot, viewer, train):
    strokes = np.zeros((192, 192), int)
    strokes[10:14, 10:14], strokes[20:24, 10:14] = 1, 2
    viewer.add_image(simulate("nuclei", (192, 192), 4, diameter=16).image, name="a")
    viewer.add_labels(strokes, name="a labels")
    semantic(train)
    says(qtbot, train, "No score is possible: class 1, class 2 would be only in training or only in validation")
    assert train.start_button.isEnabled()
    assert train.seen.setup.split.validation == ()
    train.settings.set_values({"patch": 64, "batch": 2, "depth": 2, "width": 4, "device": "cpu", "steps": 3})
    train.start_button.click()
    qtbot.waitUntil(lambda: train.progress.after.isEnabled(), timeout=90_000)
    assert "not possible" in train.progress.score.text()
    assert train.progress.baseline.text() == ""
    assert "no better" not in train.progress.message.text()


# --- incomplete annotation


def test_objects_without_a_label_are_shown(qtbot, viewer, train, scene):
    left = np.unique(scene.labels)[2::2]
    viewer.add_image(scene.image, name="a", scale=(0.5, 0.5), translate=(3, 4))
    y = np.where(np.isin(scene.labels, left), 0, scene.labels)
    labels = viewer.add_labels(y, name="a labels", scale=(0.5, 0.5), translate=(3, 4))
    labels.mode = "paint"
    viewer.layers.selection.active = labels
    says(qtbot, train, "objects look unlabelled in a, and count as background")
    press(train, "Show them")
    points = viewer.layers["a unlabelled"]
    places = np.round(points.data).astype(int)
    assert np.isin(scene.labels[tuple(places.T)], left).mean() > 0.8
    np.testing.assert_allclose((*points.scale, *points.translate), (0.5, 0.5, 3, 4))
    assert (viewer.layers.selection.active, labels.mode) == (labels, "paint")
    press(train, "No objects")
    silent(qtbot, train, "look unlabelled")


def test_objects_outside_the_region_are_reported(qtbot, viewer, train, scene):
    image = viewer.add_image(scene.image, name="a")
    labels = viewer.add_labels(scene.labels, name="a labels")
    shapes = viewer.add_shapes([[[0, 0], [0, 64], [128, 64], [128, 0]]], shape_type="polygon", name="half")
    from napari_dojo.widgets.common.rows import Row

    train.rows.set_rows([Row((image,), labels, shapes)])
    says(qtbot, train, "outside the region of a and are not used: enlarge it.")
    press(train, "Enlarge the region")
    silent(qtbot, train, "outside the region")
    assert train.rows.rows()[0].region is not shapes


def test_all_gpus_are_offered_where_there_are_several(qtbot, viewer, train, scene, monkeypatch):
    found = {
        "auto": Device("cuda", "GPU", 20 * 10**9, 8, True, gpus=4),
        "all-gpus": Device("cuda", "GPU", 20 * 10**9, 8, True, together=4, gpus=4),
    }
    monkeypatch.setattr(check, "best_device", found.__getitem__)
    box = train.settings.editor("device")
    assert box.findData("all-gpus") < 0
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(scene.labels, name="a labels")
    qtbot.waitUntil(lambda: box.findData("all-gpus") >= 0)
    assert box.itemText(box.findData("all-gpus")) == "All GPUs (4)"
    assert train.choices.setting_values()["device"] == "auto"
    box.setCurrentIndex(box.findData("all-gpus"))
    says(qtbot, train, "4 x GPU")
    assert train.choices.setting_values()["device"] == "all-gpus"


def test_a_choice_of_all_gpus_is_kept_until_it_is_known_that_there_are_none(qtbot, viewer, train, scene, monkeypatch):
    monkeypatch.setattr(check, "best_device", lambda wanted: Device("cpu", "CPU", 10**9, 1))
    train.choices.restore({"task": "instances", "settings": {"device": "all-gpus"}}, None)
    box = train.settings.editor("device")
    assert box.currentText() == "All GPUs"
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(scene.labels, name="a labels")
    qtbot.waitUntil(lambda: box.findData("all-gpus") < 0)
    assert train.choices.setting_values()["device"] == "auto"
