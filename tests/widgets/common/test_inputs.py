"""What a job is asked for: axes, the part in sight with its margin, and the numbers of the whole image."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from bright import bright, squares

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Rule
from napari_dojo.errors import DojoError
from napari_dojo.inference.apply import apply
from napari_dojo.inference.predict import Ready, predict
from napari_dojo.inference.sinks import ArraySink
from napari_dojo.inference.sources import ArraySource
from napari_dojo.widgets.common.inputs import Asked, axis_words, cut, seen_box

pytestmark = pytest.mark.gui


def card(**more):
    return bright(**more).card


def scene(shape, seed=0):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).random(shape)
    return (1000 * gaussian_filter(noise, (0,) * (len(shape) - 2) + (4, 4))).astype(np.float32)


@pytest.mark.parametrize(
    ("names", "spatial", "shape", "words"),
    [
        ("YX", "YX", (9, 9), ""),
        ("TYX", "YX", (20, 9, 9), "20 time points, one by one"),
        ("ZYX", "ZYX", (20, 9, 9), "one volume of 20 planes"),
        ("ZYX", "YX", (20, 9, 9), "20 planes, one by one (the model is 2-D)"),
        ("CYX", "YX", (3, 9, 9), "3 channels"),
        ("YXC", "YX", (9, 9, 3), "3 channels"),
        ("TZYX", "ZYX", (1, 5, 9, 9), "1 time point, one by one; each a volume of 5 planes"),
        (
            "TZCYX",
            "YX",
            (2, 5, 2, 9, 9),
            "2 time points, one by one; 5 planes, one by one (the model is 2-D); 2 channels",
        ),
    ],
)
def test_the_third_axis_in_words(names, spatial, shape, words):
    assert axis_words(Axes(names, spatial), shape) == words


def look_at(viewer, layer, low, high):
    """As if the canvas showed this part."""
    layer.corner_pixels = np.array([low, high])


def test_the_part_in_sight(viewer):
    layer = viewer.add_image(scene((90, 120)))
    assert seen_box(viewer, layer, Axes("YX")) == ((0, 90), (0, 120))
    look_at(viewer, layer, (10, 20), (50, 119))
    assert seen_box(viewer, layer, Axes("YX")) == ((10, 51), (20, 120))
    look_at(viewer, layer, (10, 119), (50, 119))
    with pytest.raises(DojoError, match="is in sight"):
        seen_box(viewer, layer, Axes("YX"))


def test_of_a_series_this_time_point_of_a_volume_all_planes(viewer):
    layer = viewer.add_image(scene((6, 40, 50)), scale=(2, 0.5, 0.5), translate=(10, 0, 0))
    look_at(viewer, layer, (0, 5, 6), (0, 20, 30))
    viewer.dims.set_point(0, 18)
    assert seen_box(viewer, layer, Axes("TYX")) == ((4, 5), (5, 21), (6, 31))
    assert seen_box(viewer, layer, Axes("ZYX")) == ((4, 5), (5, 21), (6, 31))
    assert seen_box(viewer, layer, Axes("ZYX", "ZYX")) == ((0, 6), (5, 21), (6, 31))
    assert seen_box(viewer, layer, Axes("CYX")) == ((0, 6), (5, 21), (6, 31))


def test_colours_and_several_resolutions(viewer):
    colours = viewer.add_image(np.zeros((40, 50, 3), np.uint8), rgb=True)
    look_at(viewer, colours, (5, 6), (20, 30))
    assert seen_box(viewer, colours, Axes("YXC")) == ((5, 21), (6, 31), (0, 3))
    full = scene((256, 256))
    levels = viewer.add_image([full, full[::2, ::2], full[::4, ::4]], multiscale=True)
    levels._data_level = 2
    look_at(viewer, levels, (5, 0), (10, 63))
    assert seen_box(viewer, levels, Axes("YX")) == ((20, 41), (0, 253))


def test_a_shorter_layer_beside_a_longer_one(viewer):
    viewer.add_image(np.zeros((8, 40, 50)))
    flat = viewer.add_image(scene((40, 50)))
    look_at(viewer, flat, (3, 4), (20, 30))
    assert seen_box(viewer, flat, Axes("YX")) == ((3, 21), (4, 31))


def asked(viewer, array, names, made=None, box=None, **more):
    return Asked.of(viewer.add_image(array, **more), names, made or card(), box)


def test_the_margin_is_wide_and_on_a_grid(viewer):
    whole = asked(viewer, np.zeros((3, 2000, 3000), np.uint8), "TYX")
    assert whole.wide == ((0, 3), (0, 2000), (0, 3000))
    part = asked(viewer, np.zeros((3, 2000, 3000), np.uint8), "TYX", box=((1, 2), (700, 900), (100, 2990)))
    assert part.wide == ((1, 2), (592, 1008), (0, 3000))  # stride 16, radius 104
    assert part.inner("TYX") == (slice(0, 1), slice(108, 308), slice(100, 2990))
    assert part.image.shape == (1, 200, 2890)


def test_a_part_says_what_the_whole_says(viewer):
    """Cut, measured on the whole, predicted and cut again: the same objects at the same places."""
    image, made = scene((1400, 1300)), bright(decoding={"minimum_area": 20.0})
    box = ((600, 760), (620, 700))
    part = asked(viewer, image, "YX", made.card, box, scale=(0.5, 0.25), translate=(3, 4))
    assert part.wide != ((0, 1400), (0, 1300))
    whole = predict(made, image, "YX")
    sink = ArraySink()
    list(apply(Ready.of(made), [ArraySource(part.request(made.card))], sink))
    mine, wanted = cut(sink.found[0], part, Axes("YX"), numbered=True), whole[600:760, 620:700]
    np.testing.assert_array_equal(mine > 0, wanted > 0)
    pairs = {(a, b) for a, b in zip(mine.ravel(), wanted.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})  # one number for one
    assert sorted(np.unique(mine)) == list(range(mine.max() + 1))
    np.testing.assert_allclose(part.placement["translate"], (303, 159))
    np.testing.assert_allclose(part.placement["scale"], (0.5, 0.25))


def test_the_job_gets_the_part_with_the_numbers_of_the_whole(viewer):
    stack = scene((4, 260, 70)) * np.array([1, 2, 3, 4])[:, None, None]
    whole = asked(viewer, stack, "TYX").request(card())
    assert (whole.picture.data.shape, whole.axes, whole.numbers) == (stack.shape, "TYX", None)
    part = asked(viewer, da.from_array(stack), "TYX", box=((2, 3), (0, 30), (0, 70)))
    image = part.request(card())
    assert image.picture.data.shape == (1, 144, 70)
    assert image.numbers == Rule().measure(stack[None])
    colours = np.stack([stack[0], stack[1] + 9], -1)
    two = asked(
        viewer, colours, "YXC", card(channels=2), ((0, 9), (0, 9), (0, 2)), rgb=False, axis_labels=("y", "x", "c")
    )
    assert two.request(card(channels=2)).numbers == Rule().measure(np.moveaxis(colours, -1, 0))


def test_a_rotated_image_keeps_its_place(viewer):
    layer = viewer.add_image(squares(2), rotate=30, shear=[0.2], scale=(0.5, 2), translate=(1, 2))
    part = Asked.of(layer, "YX", card(), ((10, 30), (20, 40)))
    from napari.layers import Labels

    placed = Labels(np.zeros((20, 20), int), **part.placement)
    np.testing.assert_allclose(placed.data_to_world((0, 0)), layer.data_to_world((10, 20)))
    np.testing.assert_allclose(placed.data_to_world((7, 5)), layer.data_to_world((17, 25)))


def test_what_a_model_cannot_take_is_refused(viewer):
    with pytest.raises(DojoError, match="colours: This model needs 1 channel; this image has 3"):
        asked(viewer, np.zeros((9, 9, 3), np.uint8), "YXC", rgb=True, name="colours")


@pytest.mark.parametrize(
    ("names", "spatial", "words"),
    [
        ("YX", "YX", ""),
        ("TYX", "YX", "this time point only"),
        ("ZYX", "YX", "this plane only"),
        ("ZYX", "ZYX", "a volume of 5 planes"),
        ("TZYX", "ZYX", "this time point only; a volume of 5 planes"),
    ],
)
def test_what_is_seen_in_words(names, spatial, words):
    assert axis_words(Axes(names, spatial), (5,) * len(names), seen=True) == words
