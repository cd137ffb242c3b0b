"""Labels that were interpolated, whose background has a number, or that lie beside their objects; and those that are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import fft, ndimage

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import CLASSES
from napari_dojo.simulation.objects import random_objects
from napari_dojo.simulation.scenes import simulate
from napari_dojo.tasks import TASKS, Finding
from napari_dojo.tasks.label_defects import (
    background_findings,
    edge_findings,
    label_shift_findings,
    moved,
    with_nearest,
    without_number,
)


def scenes(count: int = 3, size: tuple[int, int] = (160, 160), diameter: float = 18) -> list[tuple[Any, Any]]:
    made = [simulate("nuclei", size, seed, diameter=diameter, photons=300) for seed in range(count)]
    return [(scene.image, scene.labels) for scene in made]


def dataset(pairs: list[tuple[Any, Any]], **more: Any) -> Dataset:
    names = [f"a{i}.tif" for i in range(len(pairs))]
    return Dataset.of([x for x, _ in pairs], [y for _, y in pairs], names=names, **more)


def changed(change: Any) -> Dataset:
    return dataset([(x, change(y)) for x, y in scenes()])


def resized(y: Any, factor: float = 100, order: int = 1) -> Any:
    return np.rint(np.clip(ndimage.zoom(y[::2, ::2] * factor, 2, order=order), 0, None)).astype(np.uint16)


def through_jpeg(y: Any) -> Any:
    """8-bit labels after JPEG: blocks of 8 x 8, rounded frequencies."""
    blocks = (y * (240 // y.max())).reshape(y.shape[0] // 8, 8, y.shape[1] // 8, 8).astype(float)
    waves = np.rint(fft.dctn(blocks, axes=(1, 3), norm="ortho") / 20) * 20
    back = np.rint(fft.idctn(waves, axes=(1, 3), norm="ortho"))
    return np.clip(back, 0, 255).astype(np.uint8).reshape(y.shape)


@pytest.mark.parametrize("change", [resized, lambda y: resized(y, 1), lambda y: resized(y, 8, 3), through_jpeg])
def test_labels_that_were_interpolated_or_saved_as_jpeg(change: Any) -> None:
    (finding,) = edge_findings(changed(change))
    assert finding.level == "warning"
    assert "a0.tif (and of 2 more)" in finding.text
    assert "interpolation" in finding.text
    assert "JPEG" in finding.text
    (fix,) = finding.fixes
    assert (fix.kind, fix.samples) == ("relabel", ("a0.tif", "a1.tif", "a2.tif"))


def test_the_nearest_number_restores_resized_labels() -> None:
    for _, y in scenes():
        again = with_nearest(resized(y))
        wanted, found = {100 * int(n) for n in np.unique(y)}, {int(n) for n in np.unique(again)}
        assert found <= wanted
        assert len(wanted - found) <= 1  # a corner of an object at the border
        assert ((again > 0) == (y > 0)).mean() > 0.93


def test_masks_of_one_class_that_were_resized() -> None:
    pairs = [(x, resized((y > 0) * 255, 1)) for x, y in scenes()]
    (finding,) = edge_findings(dataset(pairs, layout=Layout(CLASSES)), classes=True)
    assert " numbers that are nowhere an area" in finding.text


def test_a_background_with_a_number() -> None:
    (finding,) = background_findings(changed(lambda y: y + 1))
    assert finding.text.startswith("Number 1 covers ")
    assert "% of a0.tif (and of 2 more) and looks like the background" in finding.text
    fix, fine = finding.fixes
    assert (fix.kind, fix.samples, fine.kind) == ("relabel", ("a0.tif", "a1.tif", "a2.tif"), "fine")
    y = scenes(1)[0][1]
    np.testing.assert_array_equal(fix.value(y + 1), np.where(y > 0, y + 1, 0))
    np.testing.assert_array_equal(without_number(y + 1, 1), np.where(y > 0, y + 1, 0))


@pytest.mark.parametrize("contrast", [1, -1])
@pytest.mark.parametrize("shift", [(5, 3), (-9, 0), (0, -20)])
def test_labels_beside_their_objects(shift: tuple[int, int], contrast: int) -> None:
    pairs = [(contrast * x.astype(float), moved(y, shift)) for x, y in scenes()]
    (finding,) = label_shift_findings(dataset(pairs))
    assert f"shifted by {shift[0]:+d}, {shift[1]:+d} px (y, x)" in finding.text
    assert "labels of all images" in finding.text
    fix, _ = finding.fixes
    back, y = fix.value(pairs[0][1]), scenes(1)[0][1]
    inner = tuple(slice(24, -24) for _ in range(2))
    np.testing.assert_array_equal(back[inner], y[inner])


def test_one_of_several_is_shifted() -> None:
    pairs = scenes()
    pairs[1] = (pairs[1][0], moved(pairs[1][1], (0, 7)))
    (finding,) = label_shift_findings(dataset(pairs))
    assert "of a1.tif lie 7 px to the right of what they mark" in finding.text
    assert finding.fixes[0].samples == ("a1.tif",)


def all_findings(data: Dataset) -> tuple[Finding, ...]:
    return (
        *edge_findings(data),
        *edge_findings(data, classes=True),
        *background_findings(data),
        *label_shift_findings(data),
    )


def test_labels_that_are_right() -> None:
    pairs = scenes()
    for change in (lambda x: x, lambda x: 60000.0 - x, lambda x: np.zeros_like(x)):
        assert all_findings(dataset([(change(x), y) for x, y in pairs])) == ()
    single = [(x, (y == y[80, 80]).astype(np.uint8)) for x, y in pairs]
    assert all_findings(dataset(single)) == ()
    lines = np.zeros((160, 160), np.uint8)
    lines[::9] = np.arange(18)[:, None] + 1  # thin objects have no inside
    assert all_findings(dataset([(pairs[0][0], lines)])) == ()
    large = np.zeros((160, 160), np.uint8)
    large[2:120] = 1  # one large object beside small ones
    large[130:140, 20:40], large[130:140, 60:80] = 2, 3
    assert all_findings(dataset([(pairs[0][0], large)])) == ()


@pytest.mark.parametrize(("seed", "edge"), [(30029, 128), (20038, 128), (20049, 128), (7042, 256)])
def test_a_shift_is_shown_by_all_parts_of_an_image(seed: int, edge: int) -> None:
    """Right labels whose rims fit better a few px away, in one part of the image."""
    field = random_objects(seed, (edge, edge))
    assert label_shift_findings(dataset([(field.image, field.labels)])) == ()


def test_volumes() -> None:
    x, y = zip(*scenes(1), strict=True)
    x, y = np.stack([x[0]] * 4), np.stack([y[0]] * 4)
    axes = Axes.resolve(x.shape, "ZYX")
    assert all_findings(dataset([(x, y)], axes=axes)) == ()
    (finding,) = label_shift_findings(dataset([(x, moved(y, (4, -6)))], axes=axes))
    assert "+4, -6 px" in finding.text
    (finding,) = background_findings(dataset([(x, y + 1)], axes=axes))
    assert "Number 1 covers" in finding.text


def test_the_check_of_the_tasks_tells_it() -> None:
    for change, words in (
        (resized, "interpolation"),
        (lambda y: y + 1, "background"),
        (lambda y: moved(y, (6, 6)), "shifted"),
    ):
        task = TASKS["instances"]
        assert any(words in said for said in task.summarize(changed(change), task.options()).warnings)
    task = TASKS["semantic"]
    pairs = [(x, resized((y > 0) * 255, 1)) for x, y in scenes()]
    said = task.summarize(dataset(pairs, layout=Layout(CLASSES)), task.options()).warnings
    assert any("interpolation" in text for text in said)
