"""How a model takes an image: decided without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.errors import DojoError
from napari_dojo.inference.geometry import (
    Image,
    box_around,
    expected_diameter,
    fitted_axes,
    misfit,
    numbers_of,
    resolve,
    zoom_for,
)
from napari_dojo.io.images import Picture
from napari_dojo.models.card import Card
from napari_dojo.settings import PredictSettings

NETS: dict[int, dict[str, Any]] = {
    2: {"stem": [2, 2], "pools": [[2, 2]], "width": 8},
    3: {"stem": [1, 2, 2], "pools": [[2, 2, 2]], "width": 8},
}


def card(dims: int = 2, task: str = "semantic", **more: Any) -> Card:
    values: dict[str, Any] = {
        "name": "m", "task": task, "options": {}, "decoding": {}, "net": "unet", "net_options": NETS[dims],
        "axes": "ZYX"[-dims:], "spatial": "ZYX"[-dims:], "channels": 1, "maps": ("a", "b"),
    }  # fmt: skip
    return Card(**values | more)


@pytest.mark.parametrize(
    ("diameter", "pixel", "wanted"),
    [
        (None, None, 0.5),
        (40.0, None, 0.25),
        (40.0, (9.0, 9.0), 0.25),
        (None, (0.2, 0.2), 0.5),
        (None, (0.4, 0.4), 1.0),
        (None, (0.25, 0.25), 0.5),
        (None, (0.05, 0.05), 0.125),
    ],
)
def test_zoom_and_expected_diameter_agree(
    diameter: float | None, pixel: tuple[float, ...] | None, wanted: float
) -> None:
    known = card(diameter=20.0, zoom=0.5, pixel_size=(0.2, 0.2))
    assert zoom_for(known, diameter, pixel) == pytest.approx(wanted)
    expected = expected_diameter(known, pixel)
    assert expected is not None
    assert zoom_for(known, expected, pixel) == pytest.approx(zoom_for(known, None, pixel), rel=0.15)  # it is rounded


def test_without_knowledge_nothing_is_scaled() -> None:
    assert zoom_for(card(), 40.0, (1.0, 1.0)) == 1
    assert expected_diameter(card(), None) is None
    images = card(task="denoise", diameter=20.0, zoom=0.5)
    assert (zoom_for(images, 40.0, None), expected_diameter(images, None)) == (1.0, None)


@pytest.mark.parametrize(
    ("made", "shape", "names", "why"),
    [
        (card(), (32, 32), "YX", ""),
        (card(), (5, 32, 32), "ZYX", ""),
        (card(), (32, 32, 3), "YXC", "needs 1 channel; this image has 3 (YXC, 32 x 32 x 3)"),
        (card(channels=3), (32, 32), "YX", "needs 3 channels (or planes); this image has 1"),
        (card(channels=3), (3, 32, 32), "ZYX", ""),
        (card(channels=3, context=1), (9, 32, 32), "TYX", ""),
        (card(3), (32, 32), "YX", "is flat. Choose a stack, or a 2-D model"),
        (card(3), (5, 32, 32), "TYX", "Choose Z as its third axis, or a 2-D model"),
        (card(task="upscale", upsampling={"Z": 2}), (32, 32), "YX", "this image has no axis Z"),
    ],
)
def test_a_misfit_says_why(made: Card, shape: tuple[int, ...], names: str, why: str) -> None:
    said = misfit(made, names, shape)
    assert why in said
    assert bool(said) == bool(why)
    if why:
        with pytest.raises(DojoError):
            fitted_axes(made, names, shape)


def test_planes_become_channels_and_frames_context() -> None:
    assert fitted_axes(card(channels=3), "ZYX", (3, 32, 32)).names == "CYX"
    axes = fitted_axes(card(channels=3, context=1), "TYX", (9, 32, 32))
    assert axes.channels((9, 32, 32)) == 3


def test_who_names_the_axes() -> None:
    """A person, else the file, else the training images."""
    x, settings = np.zeros((3, 8, 9), np.uint8), PredictSettings()
    x[0, 0, 0] = 1
    assert resolve(card(), Image("x", Picture(x, "ZYX"), "TYX"), settings).axes.names == "TYX"
    assert resolve(card(), Image("x", Picture(x, "ZYX")), settings).axes.names == "ZYX"
    assert resolve(card(axes="TYX"), Image("x", Picture(x, None)), settings).axes.names == "TYX"
    colours = card(axes="YXC", channels=3)
    assert resolve(colours, Image("x", Picture(np.moveaxis(x, 0, -1), None)), settings).axes.names == "YXC"
    with pytest.raises(DojoError, match="Name the axes"):
        resolve(card(), Image("x", Picture(x, None)), settings)


@pytest.mark.parametrize(
    ("x", "why"), [(np.zeros((0, 9)), "empty"), (np.zeros((8, 9), complex), "image of numbers is needed")]
)
def test_no_image(x: Any, why: str) -> None:
    with pytest.raises(DojoError, match=why):
        resolve(card(), Image("x", Picture(x, None)), PredictSettings())


def test_samples_come_with_their_context() -> None:
    x = np.arange(3 * 8 * 9).reshape(3, 8, 9)
    given = Image("x", Picture(x, "CYX"), numbers=Normalization((0.0,) * 3, (1.0,) * 3), in_context=True)
    made = resolve(card(channels=3, context=1), given, PredictSettings())
    assert (made.axes.context, made.axes.channels(x.shape)) == (0, 3)
    assert made.numbers == given.numbers
    with pytest.raises(DojoError, match="needs 5 channels"):
        resolve(card(channels=5, context=2), given, PredictSettings())


def test_upsampling_wants_pixels_of_the_training_images() -> None:
    made = card(task="upscale", upsampling={"Y": 2, "X": 2}, pixel_size=(0.2, 0.2), unit="um")
    given = Image("x", Picture(np.eye(9), "YX", pixel_size=(0.4, 0.4)))
    with pytest.raises(DojoError, match=r"trained on pixels of 0.2 µm, and this image has 0.4"):
        resolve(made, given, PredictSettings())
    assert resolve(made, given, PredictSettings(any_size=True)).zoom == 1


def test_the_numbers_are_those_of_the_whole_image() -> None:
    stack = np.random.default_rng(0).random((4, 30, 40)) * np.array([1, 2, 3, 4])[:, None, None]
    axes, box = Axes("TYX"), ((2, 3), (0, 9), (0, 9))
    assert numbers_of(card(), stack, axes, box) == numbers_of(card(), stack, axes) == Rule().measure(stack[None])
    each = card(rule=Rule(frames="each"))
    assert numbers_of(each, stack, axes) is None
    assert numbers_of(each, stack, axes, box) == Rule().measure(stack[2][None])
    assert numbers_of(each, stack, axes, ((1, 3), (0, 9), (0, 9))) is None
    context = numbers_of(card(channels=3, context=1), stack, axes.with_context(1), box)
    assert context is not None
    assert context.scale == Rule().measure(stack[None]).scale * 3


def test_the_box_is_wider_by_what_the_network_depends_on() -> None:
    """Stride 4; radius 4 x 2 + 3 x 4 = 20 px."""
    shape, box = (3, 200, 300), ((1, 2), (70, 90), (100, 299))
    assert box_around(card(), Axes("TYX"), shape, box) == ((1, 2), (48, 112), (80, 300))
    context = Axes("TYX").with_context(1)
    assert box_around(card(), context, shape, box)[0] == (0, 3)
    whole = ((0, 3), (0, 200), (0, 300))
    assert box_around(card(), Axes("TYX"), shape, whole) == whole
    objects = card(diameter=10.0)  # two objects more to each side
    assert box_around(objects, Axes("TYX"), shape, box) == ((1, 2), (28, 132), (60, 300))
    volume = box_around(card(3), Axes("ZYX", "ZYX"), (40, 200, 300), ((9, 10), (70, 90), (100, 299)))
    assert volume == ((0, 20), (48, 112), (80, 300))
