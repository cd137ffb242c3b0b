"""What corrections and acceptance do to layers, history, training data and autosave; without a shown window."""

from __future__ import annotations

import time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_dojo.data import edits
from napari_dojo.widgets.annotate.editing import Editing, Tally, Tidied, tally, writable
from napari_dojo.widgets.annotate.gestures import TOOLS, Gesture
from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.common.accepted import accepted_layer, accepted_places
from napari_dojo.widgets.common.layers import provenance
from napari_dojo.widgets.common.training_data import Layers
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = pytest.mark.gui


@pytest.fixture
def model(qapp):
    """A viewer without a window."""
    return ViewerModel()


@pytest.fixture
def edited(model):
    """An editing of a labels layer; all are closed at the end."""
    made = []

    def make(labels, image=None, metadata=None):
        layer = model.add_labels(labels, name="cells", metadata=metadata or {})
        editing = Editing(model, layer)
        editing.image = None if image is None else model.add_image(image, name="image")
        made.append(editing)
        return editing

    yield make
    for editing in made:
        editing.close()


def use(editing, name, *path, shift=False, first=None):
    gesture = Gesture(np.array(path, float), editing.sight(), shift, first)
    return TOOLS[name].act(editing, gesture)


def squares(*shape):
    labels = np.zeros(shape, np.int32)
    labels[..., 5:15, 5:15], labels[..., 5:15, 17:27], labels[..., 25:35, 10:30] = 1, 2, 3
    return labels


def by_napari(editing, name, place, number):
    """A stroke of napari's brush or eraser, its bucket, or an edit by rule that removes an object."""
    layer, at = editing.labels, tuple(int(p) for p in place)
    if name == "filter":
        box = tuple(slice(0, n) for n in layer.data.shape)
        number = editing.number_at(place)
        edit = edits.delete(layer.data, number, box) if number else None
        if edit is not None:
            editing.tidy(Tidied.of(edit, editing.mask))
    elif name == "fill":
        layer.fill(at, number)
    else:
        layer.brush_size = 5
        with layer.block_history():
            for step in range(4):
                layer.paint((at[0], min(39, at[1] + 2 * step)), number if name == "brush" else 0)


def test_200_edits_of_all_tools_undone_and_redone(edited):
    rng = np.random.default_rng(3)
    first = squares(40, 40)
    editing = edited(first.copy(), rng.normal(size=(40, 40)), provenance("result", "image"))
    names = [*TOOLS, "brush", "eraser", "fill", "filter"]
    while editing.history.length < 200:
        a, b = rng.uniform(0, 39, (2, 2))
        name = str(rng.choice(names))
        if name not in TOOLS:
            by_napari(editing, name, a, int(rng.integers(1, 20)))
            continue
        if editing.data.any() and rng.random() < 0.7:
            places = np.argwhere(editing.data)
            a = places[rng.integers(len(places))]
        use(editing, name, a, *([b] if rng.random() < 0.5 else []), shift=bool(rng.random() < 0.3))
    last, accepted = editing.data.copy(), editing.accepted.data.copy()
    assert accepted.any()
    for k in range(200):
        (editing.undo if k % 3 else editing.labels.undo)()  # ours and napari's
    np.testing.assert_array_equal(editing.data, first)
    assert not editing.accepted.data.any()
    for k in range(200):
        (editing.redo if k % 3 else editing.labels.redo)()
    np.testing.assert_array_equal(editing.data, last)
    np.testing.assert_array_equal(editing.accepted.data, accepted)


def test_a_stack_is_corrected_whole_or_plane_by_plane(model, edited):
    editing = edited(squares(4, 40, 40))
    model.dims.set_point(0, 2)
    assert use(editing, "Delete", (2, 10, 10)) == "Deleted object 1."
    assert not (editing.data == 1).any()
    editing.whole = False
    use(editing, "Delete", (2, 10, 20))
    assert (editing.data == 2).any((1, 2)).tolist() == [True, True, False, True]
    editing.whole = True
    use(editing, "Split", (2, 20, 20), (2, 38, 20))
    assert all(len(np.unique(plane[25:35, 10:30])) == 2 for plane in editing.data)
    assert (editing.sight().plane[0], editing.sight().axes) == (slice(2, 3), (1, 2))


def test_from_the_side(model, edited):
    labels = np.zeros((20, 30, 40), np.int32)
    labels[4:16, 10:20, 8:30] = 5
    editing = edited(labels)
    model.dims.order = (1, 0, 2)  # rows are Z now
    model.dims.set_point(1, 15)
    assert editing.sight().axes == (0, 2)
    assert use(editing, "Split", (10, 15, 0), (10, 15, 39)) == "Split 1 object."
    assert editing.data[5, 15, 15] != editing.data[15, 15, 15]
    assert use(editing, "Add", (1, 15, 1), (1, 15, 5), (3, 15, 5), (3, 15, 1)).startswith("Added")
    added = np.argwhere(editing.data == editing.places.largest)
    assert set(added[:, 1]) == {15}


def test_frames_are_corrected_alone(model, edited):
    editing = edited(squares(3, 40, 40), metadata=provenance("result", "image", axes="TYX"))
    model.dims.set_point(0, 1)
    use(editing, "Delete", (1, 10, 10))
    assert (editing.data == 1).any((1, 2)).tolist() == [True, False, True]
    assert accepted_layer(model.layers, editing.labels).data.any((1, 2)).tolist() == [False, True, False]


def test_own_labels_are_accepted_by_hand_and_corrections_follow(model, edited):
    editing = edited(squares(40, 40))
    use(editing, "Delete", (10, 10))
    assert editing.accepted is None
    assert use(editing, "Accept", (10, 20)) == "Object 2 is accepted."
    mask = editing.accepted
    assert mask.data[10, 20]
    assert not mask.data[30, 20]
    use(editing, "Smooth", (30, 20))
    assert mask.data[30, 20]  # a correction counts, now that something is accepted
    use(editing, "Reshape", (10, 20), (10, 38))
    assert mask.data[10, 37]  # a changed object stays accepted
    assert use(editing, "Accept", (10, 20)) == "Object 2 is no longer accepted."
    assert not mask.data[10, 20]
    assert mask.data[30, 20]
    editing.labels.name = "renamed"
    assert mask.name == "renamed accepted"
    assert accepted_places(model.layers, editing.labels) is mask


def test_a_brush_stroke_over_a_prediction_is_accepted_with_its_object(edited):
    editing = edited(squares(40, 40), metadata=provenance("result", "image"))
    editing.labels.brush_size = 3
    editing.labels.paint((10, 16), 1)
    assert editing.accepted.data[5:15, 5:15].all()
    editing.labels.undo()
    assert not editing.accepted.data.any()


def test_no_number_is_left(edited):
    labels = np.zeros((40, 40), np.uint8)
    labels[0, 20:] = labels[2, 2] = 255
    labels[20:36, 20:36] = np.arange(256).reshape(16, 16)
    labels[5:15, 5:15] = 9
    editing = edited(labels.copy())
    for name, path in (("Add", ((5, 20), (5, 30), (15, 30))), ("Split", ((3, 10), (17, 10)))):
        assert "holds numbers up to 255, and none is free" in use(editing, name, *path)
    np.testing.assert_array_equal(editing.data, labels)
    with_room = edited(squares(40, 40).astype(np.uint8))
    assert use(with_room, "Add", (36, 36), (36, 39), (39, 39), (39, 36)) == "Added object 4."


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_the_largest_number_of_a_type_leaves_room_for_new_objects(edited, dtype):
    most = np.iinfo(dtype).max
    labels = squares(40, 40).astype(dtype)
    labels[labels == 3] = most
    editing = edited(labels.copy())
    assert use(editing, "Split", (22, 20), (38, 20)) == "Split 1 object."
    assert set(np.unique(editing.data).tolist()) == {0, 1, 2, 3, most}
    assert use(editing, "Add", (36, 2), (36, 8), (39, 8), (39, 2)) == "Added object 4."
    np.testing.assert_array_equal(editing.data[:25], labels[:25])


def test_negative_numbers_are_no_objects(edited):
    labels = -squares(40, 40)
    editing = edited(labels.copy())
    assert "There is no object" in use(editing, "Delete", (10, 10))
    assert "Fewer than two objects" in use(editing, "Merge", (10, 10), (10, 20), (30, 20))
    assert "There is no object" in use(editing, "Merge", (10, 20), first=np.array([10.0, 10.0]))
    assert "No object lies on this line" in use(editing, "Split", (3, 10), (17, 10))
    np.testing.assert_array_equal(editing.data, labels)


def test_nothing_in_view_is_no_step(edited):
    editing = edited(squares(40, 40))
    editing.accept_box((slice(3, 3), slice(0, 40)))
    assert editing.history.length == 0


def test_other_data_of_another_size_have_places_of_their_own(edited):
    editing = edited(squares(40, 40))
    editing.accept_box((slice(0, 40), slice(0, 40)))
    editing.labels.data = squares(50, 60)
    assert editing.mask is None
    editing.accept_box((slice(0, 50), slice(0, 60)))
    assert editing.mask.shape == (50, 60)


@pytest.mark.parametrize("together", [False, True])
def test_what_was_accepted_goes_with_its_labels(qtbot, filled, panel, together):
    annotate = panel(AnnotatePanel)
    first, second = filled.layers["cells_0 labels"], filled.layers["cells_1 labels"]
    masks = []
    for labels in (first, second):
        annotate.choose(labels)
        annotate.editing.accept_box((slice(0, 20), slice(0, 20)))
        masks.append(annotate.editing.accepted)
    filled.layers.selection = {first, masks[0]} if together else {first}
    filled.layers.remove_selected()
    qtbot.waitUntil(lambda: masks[0] not in filled.layers)
    assert masks[1] in filled.layers


def test_add_says_what_is_in_the_way(edited):
    editing = edited(squares(40, 40), np.zeros((40, 40)))
    assert "Object 1 lies here" in use(editing, "Add", (10, 10))
    assert "No outline was found" in use(editing, "Add", (20, 35))
    assert "Other objects fill" in use(editing, "Add", (7, 7), (7, 13), (13, 13), (13, 7))
    assert use(editing, "Add", (16, 30), (24, 39), shift=True) == "Added object 4."  # an ellipse: nothing is seen
    assert 40 < (editing.data == 4).sum() < 72


def test_layers_on_disk_are_edited_and_others_refused(model, edited, tmp_path):
    import dask.array as da
    import zarr

    store = zarr.open(str(tmp_path / "labels.zarr"), mode="w", shape=(300, 300), chunks=(64, 64), dtype="int32")
    store[:40, :40] = squares(40, 40)
    editing = edited(store)
    assert writable(editing.labels) == ""
    use(editing, "Delete", (10, 10))
    use(editing, "Merge", (10, 20), (30, 20))
    assert set(np.unique(store[:])) == {0, 2}
    editing.undo()
    editing.labels.undo()
    np.testing.assert_array_equal(store[:40, :40], squares(40, 40))
    lazy = model.add_labels(da.zeros((20, 20), dtype=int), name="lazy")
    assert "cannot be edited" in writable(lazy)
    many = model.add_labels([np.zeros((20, 20), int), np.zeros((10, 10), int)], name="many")
    assert "several resolutions" in writable(many)


def test_objects_are_counted():
    labels, mask = squares(40, 40), np.zeros((40, 40), np.uint8)
    mask[5:15, 5:15], mask[5:15, 17:20] = 1, 1
    assert tally(labels, None) == Tally(3, 0, pytest.approx(11.28, abs=0.01))
    assert tally(labels, mask).accepted == 1
    assert tally(labels, np.ones_like(mask)).everywhere
    assert tally(0 * labels, None).sentence == "No objects yet"


def test_an_edit_of_a_large_layer_takes_no_longer(edited):
    labels = np.zeros((4096, 4096), np.int32)
    labels[2000:2040, 2000:2040], labels[2000:2040, 2042:2080] = 1, 2
    editing = edited(labels, metadata=provenance("result", "image"))
    assert editing.places.largest == 2
    use(editing, "Smooth", (2020, 2020))  # the layer of accepted places is made once
    began = time.process_time()
    for _ in range(10):
        use(editing, "Merge", (2020, 2020), first=np.array([2020.0, 2060.0]))
        use(editing, "Split", (1990, 2041), (2050, 2041))
    assert (time.process_time() - began) / 20 < 0.2  # on a busy machine; a look at the whole layer takes longer


# training


def test_train_uses_what_is_accepted(qtbot, filled, panel):
    annotate, train = panel(AnnotatePanel), panel(TrainPanel)
    labels = filled.layers["cells_1 labels"]
    annotate.choose(labels)
    assert annotate.image_box.layer is filled.layers["cells_1"]
    assert [row.region for row in train.rows.rows()] == [None] * 3
    number = int(labels.data.max())
    place = np.argwhere(labels.data == number)[0]
    use(annotate.editing, "Accept", place)
    mask = accepted_layer(filled.layers, labels)
    assert [row.region for row in train.rows.rows()] == [None, mask, None]
    qtbot.waitUntil(lambda: "Of cells_1 only accepted places count" in train.findings.text())
    data, _ = Layers(tuple(train.rows.rows()), "YX").dataset(train.task, train.task.options())
    np.testing.assert_array_equal(data.samples[1].region, mask.data > 0)
    assert data.samples[0].region is None
    line = train.rows._lines[1]
    train.rows._region(line, None)  # "everywhere", in the menu
    assert train.rows.rows()[1].region is None
    line.everywhere = False
    assert train.rows.rows()[1].region is mask
    train.rows.refresh()
    assert "inside cells_1 labels accepted" in line.more.toolTip()
    mask.data = np.zeros_like(mask.data)
    assert accepted_places(filled.layers, labels) is None


def test_the_button_opens_train_with_this_pair(qtbot, filled, panel):
    annotate = panel(AnnotatePanel)
    annotate.choose(filled.layers["cells_2 labels"])
    annotate.retrain.more_button.click()
    train = next(w for w in filled.window.dock_widgets.values() if isinstance(w, TrainPanel))
    assert (filled.layers["cells_2"], filled.layers["cells_2 labels"]) in [
        (row.images[0], row.target) for row in train.rows.rows()
    ]
    train.end()


# what is kept


def test_corrections_and_acceptance_come_back(qtbot, filled, panel):
    annotate = panel(AnnotatePanel)
    labels = filled.layers["cells_1 labels"]
    annotate.choose(labels)
    place = np.argwhere(labels.data == 1)[0]
    use(annotate.editing, "Accept", place)
    use(annotate.editing, "Delete", np.argwhere(labels.data == 2)[0])
    corrected, mask = labels.data.copy(), accepted_layer(filled.layers, labels).data.copy()
    annotate.end()
    filled.layers.clear()
    again = panel(AnnotatePanel)
    qtbot.waitUntil(lambda: again.unfinished.draft is not None)
    again.unfinished.draft_line.findChildren(type(again.retrain.train_button))[0].click()
    assert again.editing.labels.name == "cells_1 labels"
    np.testing.assert_array_equal(again.editing.data, corrected)
    np.testing.assert_array_equal(again.editing.accepted.data, mask)
    assert again.image_box.layer.name == "cells_1"


def test_a_layer_is_saved_by_one_panel_only(qtbot, filled, panel):
    train, annotate = panel(TrainPanel), panel(AnnotatePanel)
    labels = filled.layers["cells_0 labels"]
    annotate.choose(labels)
    use(annotate.editing, "Delete", np.argwhere(labels.data == 1)[0])
    saving = [p for p in (train, annotate) if str(labels.unique_id) in p.autosave.left.layers]
    assert len(saving) == 1


def test_another_layer_is_taken_up_and_the_old_one_let_go(filled, panel):
    annotate = panel(AnnotatePanel)
    first = annotate.editing.labels
    annotate.tools.take("Split")
    annotate.choose(filled.layers["cells_0 labels"])
    assert first.mode == "pan_zoom"
    assert not first.keymap
    assert annotate.tools.tool is None
    filled.layers.remove(annotate.editing.labels)
    annotate.refresh()
    assert annotate.editing.labels in filled.layers
    annotate.end()
    assert all(not x.keymap for x in filled.layers)


def test_train_brings_back_what_annotate_kept(qtbot, filled, panel):
    annotate = panel(AnnotatePanel)
    labels = filled.layers["cells_1 labels"]
    annotate.choose(labels)
    use(annotate.editing, "Accept", np.argwhere(labels.data == 1)[0])
    annotate.end()
    filled.layers.clear()
    train = panel(TrainPanel)
    qtbot.waitUntil(lambda: train.unfinished.draft is not None)
    train.unfinished.draft_line.findChildren(type(annotate.retrain.train_button))[0].click()
    (row,) = train.rows.rows()
    assert (row.name, row.target.name, row.region.name) == ("cells_1", "cells_1 labels", "cells_1 labels accepted")
    assert train.task.name == "instances"


# napari asks its own parts before a plugin's, and says so once
@pytest.mark.filterwarnings("ignore:Contours are not displayed during 3D rendering:UserWarning")
def test_a_stack_has_its_words(qtbot, viewer, panel):
    annotate = panel(AnnotatePanel)
    image = viewer.add_image(np.zeros((4, 40, 40)), name="stack")
    labels = viewer.add_labels(squares(4, 40, 40), name="stack labels")
    qtbot.waitUntil(lambda: annotate.editing is not None and annotate.editing.labels is labels)
    assert annotate.image_box.layer is image
    assert not annotate.reach_box.isHidden()
    assert annotate.all_button.text() == "Volume"
    viewer.dims.set_point(0, 1)
    annotate.reach_box.setCurrentIndex(1)
    assert annotate.all_button.text() == "Plane"
    annotate.all_button.click()
    assert annotate.editing.accepted.data.all((1, 2)).tolist() == [False, True, False, False]
    annotate.tools.take("Split")
    viewer.dims.ndisplay = 3
    assert annotate.tools.tool is None
    assert "2-D" in annotate.result.text()
    assert not annotate.editing.accepted.visible  # napari cannot draw its outlines in 3-D
    viewer.dims.ndisplay = 2
    assert (annotate.editing.accepted.visible, annotate.editing.accepted.contour) == (True, 1)
    labels.editable = False
    annotate.refresh()
    assert annotate.editing is None
    assert "locked" in annotate.count_text.text()
