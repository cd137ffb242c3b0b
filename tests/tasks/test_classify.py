"""Classes of images: what the check finds, what is done with them, how sure a model is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.normalize import Rule
from napari_dojo.data.split import split_by_class
from napari_dojo.metrics.orientation import upright
from napari_dojo.tasks.classify import CLASSIFY, ClassifyDecoding, ClassifyOptions, decode, probabilities

RNG = np.random.default_rng(0)


def dataset(counts: dict[str, int], size: tuple[int, ...] = (24, 24)) -> Dataset:
    names = tuple(counts)
    values = [k for k, n in enumerate(counts.values(), 1) for _ in range(n)]
    images = [RNG.integers(0, 200, size).astype(np.uint8) for _ in values]
    return Dataset.of(
        images,
        [np.int32(v) for v in values],
        Axes("YX", "YX"),
        layout=CLASSIFY.layout(ClassifyOptions()),
        class_names=names,
    )


def texts(data: Dataset, level: str, **options: Any) -> str:
    found = CLASSIFY.summarize(data, ClassifyOptions(**options)).findings
    return "\n".join(f.text for f in found if f.level == level)


def test_classes_are_counted() -> None:
    summary = CLASSIFY.summarize(dataset({"good": 12, "bad": 15}), ClassifyOptions())
    assert summary.maps == ("good", "bad")
    assert summary.painted == ((1, "good", 12), (2, "bad", 15))
    assert summary.options.weights == pytest.approx(((15 / 12) ** 0.5, 1))
    assert "2 classes: good (12), bad (15)" in [f.text for f in summary.findings]
    assert not summary.warnings


def test_one_class_and_a_class_with_one_example() -> None:
    assert "only one class, good" in texts(dataset({"good": 5}), "error")
    assert "Only one image of rare" in texts(dataset({"good": 30, "rare": 1}), "warning")
    assert "rare is 30 times rarer" in texts(dataset({"good": 30, "rare": 1}), "warning")
    assert "Fewer than 10 images of few" in texts(dataset({"good": 30, "few": 5}), "warning")


def test_the_split_has_the_same_share_of_each_class_and_keeps_copies_together() -> None:
    data = dataset({"a": 40, "b": 20, "single": 1})
    split = split_by_class(data.samples, seed=3)
    held = [int(data.samples[c.item].y) for c in split.validation]
    assert np.bincount(held, minlength=4).tolist() == [0, 6, 3, 0]
    assert len(split.training) + len(held) == 61
    assert split.one_sided == (3,)
    assert not split.test
    images = [s.x[0] for s in data.samples[:60]]
    images[1] = images[0].copy()
    twins = Dataset.of(
        images, [s.y for s in data.samples[:60]], Axes("YX", "YX"), layout=CLASSIFY.layout(ClassifyOptions())
    )
    for seed in range(8):
        parts = split_by_class(twins.samples, seed=seed)
        sides = [any(c.item == k for c in parts.validation) for k in (0, 1)]
        assert sides[0] == sides[1]


def test_frames_of_one_series_are_split() -> None:
    data = Dataset.of(
        [RNG.random((20, 16, 16))],
        [np.repeat([1, 2], 10).astype(np.int32)],
        Axes("TYX", "YX"),
        layout=CLASSIFY.layout(ClassifyOptions()),
    )
    split = split_by_class(data.samples)
    assert len(split.validation) == 4
    assert "both sides" in split.how


def test_sizes() -> None:
    mixed = [RNG.random((n, n)) for n in (20, 24, 60, 64) * 3]
    y = [np.int32(1 + k % 2) for k in range(12)]
    data = Dataset.of(mixed, y, Axes("YX", "YX"), layout=CLASSIFY.layout(ClassifyOptions()))
    summary = CLASSIFY.summarize(data, ClassifyOptions())
    assert summary.options.shape == (64, 64)
    assert "mixed sizes" in "\n".join(f.text for f in summary.findings)
    ready = CLASSIFY.prepare(data, summary.options)
    assert {s.x.shape for s in ready.samples} == {(1, 64, 64)}
    asked = CLASSIFY.summarize(data, ClassifyOptions(size=32, sizes="pad")).options
    assert asked.shape == (32, 32)
    assert not asked.enlarged


def test_data_types_mixed() -> None:
    images = [RNG.integers(0, 200, (16, 16)).astype(t) for t in (np.uint8, np.uint16) * 6]
    y = [np.int32(1 + k // 6) for k in range(12)]
    data = Dataset.of(images, y, Axes("YX", "YX"), layout=CLASSIFY.layout(ClassifyOptions()))
    assert "several data types (uint16, uint8)" in texts(data, "warning")
    assert CLASSIFY.summarize(data, ClassifyOptions()).shared is None


def test_brightness_counts_where_it_is_steady() -> None:
    data = dataset({"a": 12, "b": 12})
    assert CLASSIFY.summarize(data, ClassifyOptions()).shared is not None
    assert CLASSIFY.summarize(data, ClassifyOptions(brightness="ignored")).shared is None
    for factor, steady in ((np.array([1, 0.2, 0.7]), True), (None, False)):  # channels may differ, images may not
        images = [RNG.random((3, 16, 16)) * 100 for _ in range(12)]
        images = [x * (10.0**k if factor is None else factor[:, None, None]) for k, x in enumerate(images)]
        y = [np.int32(1 + k % 2) for k in range(12)]
        colours = Dataset.of(images, y, Axes("CYX", "YX"), layout=CLASSIFY.layout(ClassifyOptions()))
        assert (CLASSIFY.summarize(colours, ClassifyOptions()).shared is not None) is steady


@pytest.mark.parametrize("size", [32, 256])
def test_images_are_normalised_as_they_are_whatever_size_they_are_brought_to(size: int) -> None:
    """As for a prediction: smaller ones have less noise, and borders that are added are no image."""
    images = [RNG.normal(1000, 50 * k, (1, 128, 128)).astype(np.float32) for k in (1, 2, 8, 9)]
    y = [np.int32(1 + k % 2) for k in range(4)]
    data = Dataset.of(images, y, Axes("CYX", "YX"), layout=CLASSIFY.layout(ClassifyOptions()))
    options = CLASSIFY.summarize(data, ClassifyOptions(brightness="ignored", size=size, sizes="pad")).options
    for made, image in zip(CLASSIFY.prepare(data, options).samples, images, strict=True):
        assert made.size == (size, size)
        assert made.normalization(Rule()) == Rule().measure(image)


def test_classes_may_differ_by_brightness() -> None:
    images = [RNG.random((16, 16)) * (300 if k % 2 else 100) for k in range(12)]
    y = [np.int32(1 + k % 2) for k in range(12)]
    data = Dataset.of(images, y, Axes("YX", "YX"), layout=CLASSIFY.layout(ClassifyOptions()))
    assert CLASSIFY.summarize(data, ClassifyOptions()).shared is not None


def test_an_upright_position_is_seen() -> None:
    turned = RNG.normal(size=(60, 1, 16, 16))
    classes = np.repeat([1, 2], 30)
    assert abs(upright(turned, classes)) < 0.05
    shape = np.zeros((16, 16))
    shape[2:9, 3:6] = 5
    assert upright(turned + shape, classes) > 0.3
    any_way = (
        turned
        + np.stack([np.rot90(shape, k % 4) if k % 8 < 4 else np.rot90(shape[::-1], k % 4) for k in range(60)])[:, None]
    )
    assert upright(any_way, classes) < 0.1


def test_a_free_orientation_is_flipped_and_turned() -> None:
    free, fixed = (CLASSIFY.augmentation(ClassifyOptions(upright=u)) for u in (False, True))
    assert free.flips
    assert free.angle == pytest.approx(np.pi)
    assert not fixed.flips
    assert fixed.angle < np.deg2rad(15)


def test_unsure_below_a_probability() -> None:
    options = ClassifyOptions(values=(1, 4), classes=("a", "b"))
    maps = np.array([0.0, 1.0], np.float32)
    assert probabilities(maps) == pytest.approx([0.2689, 0.7311], abs=1e-4)
    assert decode(maps, ClassifyDecoding(), options) == 4
    assert decode(maps, ClassifyDecoding(unsure=0.8), options) == 0
