from __future__ import annotations

import threading

import numpy as np
import pytest
from settled import settled

from napari_dojo.evaluation.compare import THRESHOLDS
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.matching import Comparison, Verdict
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.widgets.common.layers import class_look, provenance
from napari_dojo.widgets.common.provenance import mark_corrected
from napari_dojo.widgets.compare import panel as compare_module
from napari_dojo.widgets.compare.objects import COLOURS
from napari_dojo.widgets.compare.panel import ComparePanel, compare_layers

pytestmark = pytest.mark.gui

WHERE = {"scale": (0.5, 0.5), "translate": (3, 4), "units": ("um", "um")}


def one_of_each():
    """Matched 1, missed 2, split 3 (into 13 and 14), merged 4 and 5 (into 15), false positive 16; 6 only up to IoU .67."""
    truth, result = np.zeros((60, 60), np.int32), np.zeros((60, 60), np.int32)
    truth[2:12, 2:12], result[2:12, 2:12] = 1, 11
    truth[2:12, 20:30] = 2
    truth[20:30, 2:12], result[20:24, 2:12], result[26:30, 2:12] = 3, 13, 14
    truth[20:30, 20:30], truth[20:30, 30:40], result[19:30, 20:40] = 4, 5, 15
    result[2:8, 40:46] = 16
    truth[40:50, 2:12], result[40:50, 4:14] = 6, 17
    return truth, result


@pytest.fixture
def pair(viewer):
    """A truth made by hand and the result of a model, over an image."""
    truth, result = one_of_each()
    viewer.add_image(truth.astype(np.float32), name="cells", **WHERE)
    made = provenance("result", "cells", task="instances")
    result_layer = viewer.add_labels(result, name="cells nuclei", metadata=made, **WHERE)
    return viewer.add_labels(truth, name="cells labels", **WHERE), result_layer


@pytest.fixture
def done(qtbot):
    """Press Compare and wait for the result."""

    def press(compare):
        assert compare.compare_button.isEnabled(), compare.message.text()
        compare.compare_button.click()
        qtbot.waitUntil(lambda: bool(compare.found.text()) or "✗" in compare.message.text())

    return press


def moved(qtbot, compare, threshold):
    compare.threshold.value = threshold
    qtbot.waitUntil(lambda: compare._verdicts.threshold == threshold)


def camera(viewer):
    return getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it


def boxes(compare):
    return [box.layer.name if box.layer is not None else None for box in (compare.truth_box, compare.result_box)]


# what is chosen


def test_it_says_what_is_missing(qtbot, viewer, panel):
    compare = panel(ComparePanel)
    assert not compare.compare_button.isEnabled()
    assert "Open two layers to compare" in compare.message.text()
    viewer.add_labels(np.ones((8, 9), int), name="mine")
    viewer.add_labels(np.ones((8, 8), int), name="other size")
    viewer.add_image(np.ones((8, 9)), name="other kind")
    qtbot.waitUntil(lambda: "no other layer of labels as large as mine (8 x 9 px)" in compare.message.text())
    assert compare.compare_button.toolTip().startswith("There is no other layer of labels")
    viewer.add_labels(np.ones((8, 9), int), name="yours")
    qtbot.waitUntil(compare.compare_button.isEnabled)
    assert boxes(compare) == ["mine", "yours"]
    assert compare.message.text() == ""


def test_what_is_made_by_hand_is_the_truth(qtbot, filled, panel):
    for k in (2, 0):
        made = provenance("result", f"cells_{k}", task="instances")
        filled.add_labels(filled.layers[f"cells_{k} labels"].data, name=f"cells_{k} nuclei", metadata=made)
    preview = provenance("preview", "cells_0")
    filled.add_labels(filled.layers["cells_0 labels"].data, name="preview", metadata=preview)
    compare = panel(ComparePanel)
    assert boxes(compare) == ["cells_0 labels", "cells_0 nuclei"]  # the newest result, and the truth of its name
    assert compare.truth_box.findText("preview") < 0
    compare.truth_box.choose(filled.layers["cells_2 labels"])
    assert boxes(compare) == ["cells_2 labels", "cells_2 nuclei"]
    compare.truth_box.choose(filled.layers["cells_1"])
    assert [compare.result_box.itemText(i) for i in range(compare.result_box.count())] == ["cells_0", "cells_2"]
    assert compare.how_box.isHidden()


def test_of_several_the_one_that_is_named_as_truth_is_the_truth(viewer, pair, panel):
    labels, result = pair
    again = viewer.add_labels(result.data, name="cells nuclei (2)", metadata=dict(result.metadata), **WHERE)
    mark_corrected(result.metadata)  # a person painted in the older one
    assert boxes(panel(ComparePanel)) == [labels.name, again.name]
    viewer.add_labels(labels.data, name="truth", **WHERE)
    assert boxes(panel(ComparePanel)) == ["truth", again.name]


def test_swap(pair, panel):
    compare = panel(ComparePanel)
    assert boxes(compare) == ["cells labels", "cells nuclei"]
    compare.swap_button.click()
    assert boxes(compare) == ["cells nuclei", "cells labels"]


def test_boxes_follow_layers_and_remember(qtbot, viewer, pair, panel):
    compare = panel(ComparePanel)
    viewer.add_labels(one_of_each()[1], name="second", metadata=provenance("result", "cells"))
    qtbot.waitUntil(lambda: boxes(compare)[1] == "second")  # nobody chose: the newest result
    compare.choose(*pair)
    pair[1].name = "renamed"
    viewer.add_labels(one_of_each()[1], name="third", metadata=provenance("result", "cells"))
    qtbot.waitUntil(lambda: compare.result_box.findText("third") >= 0)
    assert boxes(compare) == ["cells labels", "renamed"]


# objects


@pytest.mark.window
def test_one_of_each(qtbot, viewer, pair, panel, done):
    compare = panel(ComparePanel)
    viewer.layers.selection.active = viewer.layers["cells"]
    centre = camera(viewer).center
    done(compare)
    assert compare.found.text() == "detected 2 of 6, 1 false positive, 1 split, 2 merged"
    rows = {v: row.text().strip() for v, row in compare.legend.rows.items()}
    assert list(rows.values()) == ["2 matched", "1 missed", "1 false positive", "1 split into 2", "2 merged into 1"]
    counts = InstanceCounts.of(*(x.data for x in pair))
    assert f"F1 {counts.f1['0.5']:.2f}, AP {counts.ap['0.5']:.2f}" in compare.figures.text()
    curve = dict(zip(*compare.plot.curve.getData(), strict=True))
    assert [curve[t] for t in counts.thresholds] == pytest.approx(list(counts.ap.values()))
    assert compare.plot.line.value() == 0.5
    layer = viewer.layers["ground truth vs cells nuclei"]
    found = Comparison.of(*(x.data for x in pair))
    np.testing.assert_array_equal(layer.data, found.paint(found.at(0.5)))
    np.testing.assert_allclose(layer.extent.world, pair[0].extent.world)
    assert [str(u) for u in layer.units] == ["micrometer", "micrometer"]
    assert layer.metadata["napari_dojo"]["kind"] == "comparison"
    # nothing is stolen, and the colours do not mix
    assert viewer.layers.selection.active is viewer.layers["cells"]
    assert camera(viewer).center == centre
    assert [x.visible for x in pair] == [False, False]
    assert compare.truth_box.findText(layer.name) < 0


def test_the_layer_says_its_verdicts(viewer, pair, panel, done):
    compare = panel(ComparePanel)
    done(compare)
    layer = viewer.layers["ground truth vs cells nuclei"]
    for verdict, colour in COLOURS.items():
        shown = "#" + "".join(f"{round(255 * c):02X}" for c in layer.get_color(int(verdict))[:3])
        assert shown == colour
    status = layer.get_status(pair[0].data_to_world((5, 25)), world=True)
    assert "verdict: missed" in str(status)


def test_the_threshold_is_live(qtbot, viewer, pair, panel, done, monkeypatch):
    compare = panel(ComparePanel)
    done(compare)
    layer = viewer.layers["ground truth vs cells nuclei"]
    monkeypatch.setattr(Comparison, "of", lambda *_, **__: pytest.fail("the overlaps are known"))
    moved(qtbot, compare, 0.7)
    assert compare.found.text() == "detected 1 of 6, 2 false positives, 1 split, 2 merged"
    assert compare.legend.rows[Verdict.MISSED].text().strip() == "2 missed"
    assert layer.data[45, 3] == Verdict.MISSED
    assert layer.metadata["napari_dojo"]["threshold"] == 0.7
    assert compare.plot.line.value() == 0.7
    moved(qtbot, compare, THRESHOLDS[0])
    assert layer.data[45, 3] == Verdict.MATCHED
    assert sum(x.name.startswith("ground truth vs") for x in viewer.layers) == 1


def test_the_legend_leads_to_the_objects(qtbot, viewer, pair, panel, done):
    compare = panel(ComparePanel)
    done(compare)
    for verdict, number, layer in [
        (Verdict.MISSED, 2, pair[0]),
        (Verdict.FALSE_POSITIVE, 16, pair[1]),
        (Verdict.SPLIT, 3, pair[0]),
        (Verdict.MERGED, 4, pair[0]),
        (Verdict.MERGED, 5, pair[0]),
        (Verdict.MERGED, 4, pair[0]),  # and from the start
    ]:
        compare.legend.rows[verdict].click()
        world = np.asarray(camera(viewer).center)[-2:]
        assert layer.data[tuple(np.round(layer.world_to_data(world)).astype(int))] == number
        assert f"object {number} of the" in compare.message.text()
    assert "Merged, 1 of 2" in compare.message.text()
    moved(qtbot, compare, 0.7)
    pair[0].data = one_of_each()[0] * 0 + 1  # whatever happened since
    compare.legend.rows[Verdict.MISSED].click()
    assert "Missed, 1 of 2" in compare.message.text()


def test_rows_without_objects_cannot_be_pressed(viewer, panel, done):
    labels = np.kron(np.arange(1, 10).reshape(3, 3), np.pad(np.ones((4, 4), int), 1))
    viewer.add_labels(labels, name="a")
    viewer.add_labels(labels, name="b")
    compare = panel(ComparePanel)
    assert not any(row.isEnabled() for row in compare.legend.rows.values())
    done(compare)
    assert [row.isEnabled() for row in compare.legend.rows.values()] == [True, False, False, False, False]


def test_planes_of_a_volume_or_of_a_series(qtbot, viewer, panel, done):
    truth = np.zeros((4, 30, 30), np.int32)
    truth[:, 5:15, 5:15] = 1
    result = truth.copy()
    result[1] = 0
    for name, data in (("mine", truth), ("yours", result)):
        viewer.add_labels(data, name=name)
    compare = panel(ComparePanel)
    assert [compare.third_box.itemData(i) for i in range(compare.third_box.count())] == ["ZYX", "TYX"]
    done(compare)
    assert compare.found.text().startswith("detected 1 of 1, 0 false positives")
    compare.third_box.setCurrentIndex(1)
    compare.third_box.activated.emit(1)
    assert compare.found.text() == ""
    done(compare)
    assert compare.found.text().startswith("detected 3 of 4, 0 false positives")
    compare.legend.rows[Verdict.MISSED].click()
    assert viewer.dims.current_step[0] == 1
    assert "object 1 of the ground truth, 100 px" in compare.message.text()


def test_only_inside_a_shape(viewer, pair, panel, done):
    compare = panel(ComparePanel)
    assert compare.region_box.isHidden()
    viewer.add_shapes([np.array([[0, 0], [0, 16], [59, 16], [59, 0]])], name="region", **WHERE)
    viewer.add_shapes([np.array([[0, 0], [5, 5]])], shape_type="line", name="line", **WHERE)
    compare.refresh()
    assert not compare.region_box.isHidden()
    compare.region_box.setCurrentIndex(compare.region_box.findText("region"))
    done(compare)
    assert compare.found.text() == "detected 2 of 3, 0 false positives, 1 split, 0 merged"
    compare.region_box.setCurrentIndex(compare.region_box.findText("line"))
    done(compare)
    assert "line has no closed shape on cells labels" in compare.message.text()


@pytest.mark.parametrize(
    ("truth", "result", "said"),
    [
        (0, 0, "Neither layer has an object"),
        (0, 1, "The ground truth has no object"),
        (1, 0, "The result has no object"),
    ],
)
def test_empty_labels(viewer, panel, done, truth, result, said):
    for value, name in ((truth, "mine"), (result, "yours")):
        viewer.add_labels(np.full((9, 9), value), name=name)
    compare = panel(ComparePanel)
    done(compare)
    assert said in compare.message.text()
    assert ("Click a line below" in compare.message.text()) == bool(truth or result)
    assert compare.found.text().startswith(
        f"detected 0 of {truth}, {result} false positive{'' if result == 1 else 's'}, 0 split"
    )


# classes


def test_classes_have_a_table(viewer, panel, done):
    truth = np.ones((32, 32), np.uint8)
    truth[:, 16:] = 2
    result = np.roll(truth, 2, 1)
    viewer.add_labels(truth, name="mine")
    look = class_look([1, 2], ["membrane", "inside"])
    viewer.add_labels(result, name="yours", metadata=provenance("result", "x", task="semantic"), **look)
    compare = panel(ComparePanel)
    done(compare)
    counts = ClassCounts.of(truth, result, ("membrane", "inside"))
    assert compare.found.text() == counts.sentence
    for part in ("membrane", "inside", f"{counts.iou['membrane']:.2f}", f"{counts.dice['inside']:.2f}", "512"):
        assert part in compare.table.text()
    assert compare.table.isVisibleTo(compare)
    assert len(viewer.layers) == 2
    compare.how_box.setCurrentIndex(compare.how_box.findText("objects"))
    compare.how_box.activated.emit(1)
    done(compare)
    assert compare.found.text().startswith("detected 2 of 2")
    assert "compare as classes" in compare.message.text()


# images


def test_images(viewer, panel, done):
    truth, noise = np.random.default_rng(0).uniform(size=(2, 40, 40))
    viewer.add_image(truth, name="clean")
    viewer.add_image(truth + noise / 10, name="denoised", scale=(2, 2))
    compare = panel(ComparePanel)
    done(compare)
    assert compare.found.text() == ImageScores.of(truth[None], (truth + noise / 10)[None]).sentence
    assert f"{truth.min():g} to {truth.max():g}" in compare.table.text()
    assert "differ in scale" in compare.message.text()
    assert len(viewer.layers) == 2


def test_rgb_multiscale_and_lazy_images(viewer, panel, done):
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    result = truth // 2
    viewer.add_image([truth, truth[::2, ::2]], rgb=True, multiscale=True, name="mine")
    viewer.add_image(da.from_array(result), rgb=True, name="yours")
    compare = panel(ComparePanel)
    assert boxes(compare) == ["mine", "yours"]
    done(compare)
    assert compare.found.text() == ImageScores.of(truth.transpose(2, 0, 1), result.transpose(2, 0, 1)).sentence
    assert "Means of 3" in compare.table.text()


def test_multiscale_and_lazy_labels(viewer, panel, done):
    da = pytest.importorskip("dask.array")
    truth, result = one_of_each()
    viewer.add_labels([truth, truth[::2, ::2]], multiscale=True, name="mine")
    viewer.add_labels(da.from_array(result), name="yours")
    compare = panel(ComparePanel)
    done(compare)
    assert compare.found.text() == "detected 2 of 6, 1 false positive, 1 split, 2 merged"
    assert viewer.layers["ground truth vs yours"].data.shape == truth.shape
    compare.legend.rows[Verdict.MISSED].click()
    assert "object 2 of the ground truth, 100 px" in compare.message.text()


# bad luck


@pytest.fixture
def held(monkeypatch):
    """The worker waits until it is let go."""
    go, real = threading.Event(), compare_module.compared

    def compared(asked):
        go.wait(10)
        return real(asked)

    monkeypatch.setattr(compare_module, "compared", compared)
    yield go
    go.set()


@pytest.mark.parametrize("which", [0, 1])
def test_a_layer_removed_while_it_is_compared(qtbot, viewer, pair, panel, held, which, monkeypatch):
    compare = panel(ComparePanel)
    said = []
    monkeypatch.setattr(compare, "warn", said.append)
    compare.compare_button.click()
    assert compare.compare_button.text() == "Comparing ..."
    assert not compare.compare_button.isEnabled()
    name = pair[which].name
    viewer.layers.remove(pair[which])
    held.set()
    qtbot.waitUntil(lambda: bool(said))
    assert said == [f"{name} was removed while it was compared. Choose another layer."]
    settled(qtbot, compare)
    assert compare.found.text() == ""
    assert not any(x.name.startswith("ground truth vs") for x in viewer.layers)


def test_a_panel_closed_while_it_compares(qtbot, viewer, pair, panel, held):
    compare = panel(ComparePanel)
    compare.compare_button.click()
    compare.end()
    held.set()
    settled(qtbot, compare)
    assert len(viewer.layers) == 3


def test_a_layer_edited_while_it_is_compared(qtbot, viewer, pair, panel, held):
    compare = panel(ComparePanel)
    compare.compare_button.click()
    pair[0].data_setitem((np.array([1]), np.array([1])), 1)
    held.set()
    qtbot.waitUntil(lambda: bool(compare.found.text()))
    assert f"{pair[0].name} has changed since. Compare again." in compare.message.text()


def test_another_pair_chosen_while_it_compares(qtbot, viewer, pair, panel, held):
    compare = panel(ComparePanel)
    compare.compare_button.click()
    compare.swap_button.click()
    assert compare.compare_button.text() == "Compare"
    held.set()
    settled(qtbot, compare)
    assert compare.found.text() == ""
    assert len(viewer.layers) == 3


def test_a_removed_layer_comes_back_by_compare_only(qtbot, viewer, pair, panel, done):
    compare = panel(ComparePanel)
    done(compare)
    viewer.layers.remove("ground truth vs cells nuclei")
    moved(qtbot, compare, 0.7)
    assert compare.found.text().startswith("detected 1 of 6")
    assert len(viewer.layers) == 3
    done(compare)
    assert viewer.layers["ground truth vs cells nuclei"].data[45, 3] == Verdict.MISSED


def test_comparing_again_changes_the_same_layer(qtbot, viewer, pair, panel, done):
    compare = panel(ComparePanel)
    done(compare)
    layer = viewer.layers["ground truth vs cells nuclei"]
    pair[1].visible = True
    pair[1].paint((5, 25), 20)
    assert "cells nuclei has changed since. Compare again." in compare.message.text()
    pair[1].data = one_of_each()[0]
    done(compare)
    assert compare.found.text() == "detected 6 of 6, 0 false positives, 0 split, 0 merged"
    assert set(np.unique(layer.data)) == {0, 1}
    assert pair[1].visible
    assert len(viewer.layers) == 4


def test_a_compared_layer_that_goes_takes_its_figures_along(qtbot, viewer, pair, panel, done):
    compare = panel(ComparePanel)
    done(compare)
    viewer.layers.remove(pair[1])
    qtbot.waitUntil(lambda: compare.found.text() == "")
    assert "There is no other layer of labels" in compare.message.text()
    compare.threshold.value = 0.8
    settled(qtbot, compare)
    assert compare.found.text() == ""


def test_sizes_that_changed_are_said(qtbot, viewer, pair, panel, done, monkeypatch):
    compare = panel(ComparePanel)
    said = []
    monkeypatch.setattr(compare, "warn", said.append)
    with pair[1].events.data.blocker():  # else it is seen at once
        pair[1].data = np.ones((30, 60), np.int32)
    done(compare)
    assert "must have the same size: ground truth (60, 60), prediction (30, 60)" in said[0]
    assert compare.compare_button.isEnabled()


# one click


def test_one_click_compares_the_two_selected(qtbot, viewer, pair, panel):
    compare = panel(ComparePanel)
    viewer.add_labels(one_of_each()[0], name="another")
    viewer.layers.selection = set(pair)
    compare_layers(viewer)
    assert boxes(compare) == ["cells labels", "cells nuclei"]
    qtbot.waitUntil(lambda: compare.found.text() == "detected 2 of 6, 1 false positive, 1 split, 2 merged")


@pytest.mark.parametrize("selected", [["cells labels"], ["cells", "cells labels"]])
def test_one_click_needs_two_that_fit(qtbot, viewer, pair, panel, monkeypatch, selected):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    compare = panel(ComparePanel)
    viewer.layers.selection = {viewer.layers[name] for name in selected}
    compare_layers(viewer)
    assert said[0].startswith("Two layers of labels, or two images, of the same size are needed.")
    assert compare.found.text() == ""


def test_a_layer_that_gets_data_of_another_size_is_no_longer_compared(qtbot, viewer, panel):
    made = panel(ComparePanel)
    truth, result = np.zeros((30, 40), np.int32), np.zeros((30, 40), np.int32)
    truth[20:28, 20:28] = 1
    layers = [viewer.add_labels(data, name=name) for data, name in ((truth, "truth"), (result, "result"))]
    made.choose(*layers)
    made.compare()
    qtbot.waitUntil(lambda: made.legend.rows[Verdict.MISSED].isEnabled())
    layers[0].data = truth[:10, :10]
    assert not made.legend.rows[Verdict.MISSED].isEnabled()
    assert made.found.text() == ""
    assert not made.compare_button.isEnabled()
    assert "There is no other layer of labels as large as truth (10 x 10 px)" in made.message.text()
    layers[1].data = result[:10, :10]
    assert made.compare_button.isEnabled()
