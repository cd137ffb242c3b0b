from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.evaluation.compare import THRESHOLDS, class_like, class_names, compare_images, compare_labels
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.matching import Comparison
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.strokes import strokes


@pytest.fixture(scope="module")
def scene():
    return simulate("nuclei", (128, 128), 1, diameter=16)


def noisy(shape, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, shape)
    return truth, truth + rng.normal(0, 5, shape)


# labels


def test_objects(scene):
    result = np.roll(scene.labels, 2, 0)
    compared = compare_labels(scene.labels, result)
    assert isinstance(compared.found, Comparison)
    assert compared.notes == ()
    counts = InstanceCounts.of(scene.labels, result)
    at = dict(zip(THRESHOLDS, compared.curve, strict=True))
    assert [at[t] for t in counts.thresholds] == pytest.approx(list(counts.ap.values()))
    assert list(compared.curve) == sorted(compared.curve, reverse=True)


def test_masks_of_two_sides_are_classes(scene):
    truth, result = (scene.labels > 0).astype(np.uint8), np.roll(scene.labels > 0, 2, 0).astype(np.uint8)
    compared = compare_labels(truth, result)
    assert isinstance(compared.found, ClassCounts)
    assert compared.found == ClassCounts.of(truth, result, {0: "background", 1: "class 1"})
    assert compared.numbers == (0, 1)
    assert compared.basis == "0 is a class, since both have it."


def test_a_mask_on_one_side_is_said(scene):
    compared = compare_labels(scene.labels, scene.labels > 0)
    assert isinstance(compared.found, Comparison)
    assert len(compared.notes) == 1
    assert compared.notes[0].startswith("The result has few numbers in many pieces")


def test_strokes_count_only_where_they_are():
    truth = np.ones((64, 64), np.uint8)
    truth[:, 32:] = 2
    painted = strokes(truth, share=0.05, seed=0)
    compared = compare_labels(painted, np.roll(truth, 3, 1), "classes", names={1: "membrane", 2: "inside"})
    assert compared.found.classes == ("membrane", "inside")
    assert compared.found.pixels == np.count_nonzero(painted)
    assert compared.basis.startswith("Pixels with 0 in the ground truth")


def test_what_is_asked_is_done(scene):
    assert isinstance(compare_labels(scene.labels > 0, scene.labels > 0, "objects").found, Comparison)
    with pytest.raises(DojoError, match="At most 50 classes"):
        compare_labels(np.arange(100).reshape(10, 10), np.arange(100).reshape(10, 10), "classes")
    with pytest.raises(DojoError, match="The ground truth has no class"):
        compare_labels(np.zeros((4, 4), int), np.ones((4, 4), int), "classes")


@pytest.mark.parametrize(
    ("truth", "result", "said"),
    [(0, 0, "Neither layer"), (0, 1, "The ground truth has no object"), (1, 0, "The result has no object")],
)
def test_no_objects_on_a_side(truth, result, said):
    compared = compare_labels(np.full((8, 8), truth), np.full((8, 8), result))
    assert compared.notes[0].startswith(said)
    assert compared.curve == (float(truth == result),) * len(THRESHOLDS)


def test_lazy_labels_and_regions(scene):
    da = pytest.importorskip("dask.array")
    stack = np.stack([scene.labels, scene.labels.T])
    region = np.zeros((128, 128), bool)
    region[:64] = True
    compared = compare_labels(da.from_array(stack), da.from_array(np.roll(stack, 1, 1)), apart=1, region=region)
    each = [InstanceCounts.of(t, np.roll(t, 1, 0), region) for t in stack]
    assert compared.found.at(0.5).tp == sum(c.detected for c in each)
    assert len(compared.found.overlap.true) == sum(c.n_true for c in each)


def test_labels_of_different_sizes_are_refused():
    for how in ("automatic", "objects", "classes"):
        with pytest.raises(DojoError, match="same size"):
            compare_labels(np.ones((4, 4), int), np.ones((4, 5), int), how)


def test_too_much_for_the_memory_is_said(monkeypatch):
    class Memory:
        available = 1000

    monkeypatch.setattr("psutil.virtual_memory", lambda: Memory)
    with pytest.raises(DojoError, match=r"needs about .* GB of memory"):
        compare_labels(np.ones((40, 40), int), np.ones((40, 40), int))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.zeros((20, 20), int), False),
        (np.pad(np.ones((5, 5), int), 4), False),  # one object
        (np.kron(np.eye(5, dtype=int), np.ones((4, 4), int)), True),  # five pieces: corners do not connect
        (np.arange(100).reshape(10, 10), False),
        (np.repeat([[1, 1, 2, 2]], 8, axis=0), True),  # no background
        (np.tile([[0, 0, 1, 0]], (8, 5)), True),  # five stripes of one number
    ],
)
def test_classes_are_few_numbers_in_many_pieces(labels, expected):
    assert class_like(labels) == expected
    assert class_like(np.stack([labels] * 3)) == expected


def test_objects_are_no_classes(scene):
    assert not class_like(scene.labels)
    assert class_like(scene.labels > 0)


def test_negative_numbers_are_no_classes():
    t, p = np.array([[1, 1, 2, 2, -1, -1]]), np.array([[1, 1, 2, 1, -1, 2]])
    found = compare_labels(t, p, "classes")
    assert (found.numbers, found.found.pixels, found.found.accuracy) == ((1, 2), 4, 0.75)
    assert found.basis == "Pixels with 0 in the ground truth are not annotated and do not count."
    with pytest.raises(DojoError, match="no class"):
        compare_labels(-abs(t), p, "classes")


def test_zero_is_a_class_where_both_have_it():
    assert class_names([0, 1], [0, 2], {1: "cell"}) == {0: "background", 1: "cell", 2: "class 2"}
    assert class_names([0, 1], [1, 2], {}) == {1: "class 1", 2: "class 2"}
    assert class_names([1, 1], [0, 1], {}) == {1: "class 1"}


# images


def test_images_are_scored_as_the_metrics_do():
    truth, result = noisy((40, 50))
    compared = compare_images(truth, result, Axes("YX"))
    assert compared.found == ImageScores.of(truth[None], result[None])
    assert (
        compared.basis == f"PSNR and SSIM refer to the range of the ground truth, {truth.min():g} to {truth.max():g}."
    )
    assert compared.notes == ()


@pytest.mark.parametrize(
    ("names", "shape", "count"), [("TYX", (3, 24, 24), 3), ("YXC", (24, 24, 3), 3), ("ZYX", (12, 24, 24), 1)]
)
def test_planes_channels_and_volumes(names, shape, count):
    truth, result = noisy(shape)
    compared = compare_images(truth, result, Axes.resolve(shape, names))
    samples = {"TYX": truth[:, None], "YXC": truth.transpose(2, 0, 1)[None], "ZYX": truth[None, None]}[names]
    others = {"TYX": result[:, None], "YXC": result.transpose(2, 0, 1)[None], "ZYX": result[None, None]}[names]
    each = [ImageScores.of(t, p) for t, p in zip(samples, others, strict=True)]
    assert compared.found.psnr == pytest.approx(np.mean([s.psnr for s in each]))
    assert compared.found.ssim == pytest.approx(np.mean([s.ssim for s in each]))
    assert (f"Means of {count}" in compared.basis) == (count > 1)


def test_odd_images_are_said():
    truth, result = noisy((20, 20))
    truth[0, :3], result[1, 1] = np.nan, np.inf
    notes = compare_images(truth, result, Axes("YX")).notes
    assert notes[0].startswith("3 values of the ground truth are not numbers")
    assert notes[1].startswith("1 values of the result are not numbers")
    same = compare_images(np.full((20, 20), 7.0), result, Axes("YX"))
    assert "is constant" in same.notes[-1]
    nothing = compare_images(np.full((20, 20), np.nan), result, Axes("YX"))
    assert np.isfinite(nothing.found.psnr)
    with pytest.raises(DojoError, match="same size"):
        compare_images(truth, truth[:10], Axes("YX"))
    with pytest.raises(DojoError, match="same size"):
        compare_images(truth[:0], truth[:0], Axes("YX"))


def test_labels_as_images_are_said(scene):
    labels = scene.labels.astype(np.float32)
    assert "looks like labels" in compare_images(labels, labels, Axes("YX")).notes[0]
    assert compare_images(scene.image, scene.image, Axes("YX")).notes == ()


def test_only_inside_a_region():
    truth, result = noisy((40, 40))
    region = np.zeros((40, 40), bool)
    region[:20] = True
    result[30:] = 0
    compared = compare_images(truth, result, Axes("YX"), region)
    assert compared.found == ImageScores.of(truth[None], result[None], region)
    assert f"{truth[:20].max():g}" in compared.basis
