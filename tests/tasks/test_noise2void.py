from __future__ import annotations

import numpy as np
import pytest
from made import made

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.scenes import line_noise
from napari_dojo.tasks import NOISE2VOID

RNG = np.random.default_rng(0)


def example(x, seed=0, region=None, **options):
    options = NOISE2VOID.options(**{"channels": len(x), **options})
    return made(NOISE2VOID, x, None, region, options, seed)


@pytest.mark.parametrize("size", [(64, 70), (9, 32, 33), (3, 3), (1, 40)])
def test_spots_are_hidden_and_nothing_else(size):
    x = RNG.normal(size=(2, *size)).astype(np.float32)
    before = x.copy()
    hidden, target, weight = example(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(target, x)
    spots = weight[0] > 0
    assert 0 < spots.mean() <= 1 / 8 or min(size) < 8
    np.testing.assert_array_equal(hidden[:, ~spots], x[:, ~spots])
    if min(size) > 4:
        assert (hidden[:, spots] != x[:, spots]).mean() > 0.95


@pytest.mark.parametrize("hide", ["neighbour", "median"])
def test_what_hides_a_spot_knows_nothing_of_it(hide):
    x = RNG.normal(size=(1, 30, 31)).astype(np.float32)
    first = example(x, hide=hide)
    for spot in np.argwhere(first[2][0] > 0):
        changed = x.copy()
        changed[(0, *spot)] += 1000
        again = example(changed, hide=hide)
        np.testing.assert_array_equal(first[2], again[2])
        assert first[0][(0, *spot)] == again[0][(0, *spot)]


def test_a_spot_is_hidden_by_a_neighbour_or_the_median_of_them():
    x = np.arange(30.0 * 31).reshape(1, 30, 31).astype(np.float32)
    hidden, _, weight = example(x)
    for i, j in np.argwhere(weight[0] > 0):
        place = divmod(int(hidden[0, i, j]), 31)
        assert 0 < max(abs(place[0] - i), abs(place[1] - j)) <= 4  # over a border, the other side
    hidden, _, weight = example(x, hide="median")
    inner = weight[0] > 0
    inner[:2] = inner[-2:] = inner[:, :2] = inner[:, -2:] = False
    np.testing.assert_array_equal(hidden[0][inner], x[0][inner])  # of a ramp it is the middle


@pytest.mark.parametrize("lines", ["x", "y"])
def test_lines_are_hidden_as_a_whole(lines):
    x = np.zeros((1, 60, 60), np.float32)
    x += np.arange(60)[:, None] ** 2 if lines == "x" else np.arange(60)[None] ** 2
    hidden, _, weight = example(x, lines=lines)
    for i, j in np.argwhere(weight[0] > 0):
        line = hidden[0, i, max(0, j - 5) : j + 6] if lines == "x" else hidden[0, max(0, i - 5) : i + 6, j]
        assert (line != (i if lines == "x" else j) ** 2).all()  # nothing there is of its own line


def test_neighbours_in_time_stay_and_regions_count():
    x = RNG.normal(size=(3, 40, 40)).astype(np.float32)
    hidden, target, _ = example(x, channels=1, context=1)
    np.testing.assert_array_equal(hidden[[0, 2]], x[[0, 2]])
    assert (hidden[1] != x[1]).any()
    np.testing.assert_array_equal(target, x[1:2])
    region = np.zeros((40, 40), bool)
    region[:, 20:] = True
    assert not example(x, region=region)[2][0, :, :20].any()


@pytest.mark.parametrize("white", [0.02, 0.0])
def test_line_noise_is_found_and_the_mask_offered(white):
    y = simulate("nuclei", (192, 192), 1).clean
    span = float(np.ptp(y))
    for axis in ("x", "y"):
        noisy = line_noise(y if axis == "x" else y.T, 0.1 * span, np.random.default_rng(0))
        noisy = noisy if axis == "x" else noisy.T
        found = Dataset.of([noisy + white * RNG.normal(0, span, y.shape)], layout=Layout(IMAGE))
        findings = NOISE2VOID.summarize(found, NOISE2VOID.options()).findings
        (warning,) = (f for f in findings if "line mask" in f.text)
        assert f"correlated along {axis}" in warning.text
        assert warning.fixes[0].value == ("lines", axis)
        again = NOISE2VOID.summarize(found, NOISE2VOID.options(lines=axis)).findings
        assert not any("use the line mask" in f.text for f in again)


def test_white_noise_needs_no_mask():
    for kind in ("nuclei", "cells", "filaments", "spots"):
        image = simulate(kind, (160, 160), 2, photons=30).image
        image = image if image.ndim == 2 else image[0]
        findings = NOISE2VOID.summarize(Dataset.of([image], layout=Layout(IMAGE)), NOISE2VOID.options()).findings
        assert not [f.text for f in findings if f.level != "ok"], kind


def test_the_baseline_takes_a_wider_filter_for_more_noise():
    clean = simulate("cells", (160, 160), 2).clean[0]
    widths = []
    for sigma in (0.02, 0.3):
        x = (clean + RNG.normal(0, sigma * np.ptp(clean), clean.shape))[None]
        _, name = NOISE2VOID.baseline([x], [x], NOISE2VOID.options())
        widths.append(float(name.split()[-2]))
    assert widths[0] < widths[1]


def test_volumes_and_series_have_their_channels():
    volume = Dataset.of(
        [np.zeros((6, 20, 20)) + RNG.random((6, 20, 20))], axes=Axes("ZYX", "ZYX"), layout=Layout(IMAGE)
    )
    assert NOISE2VOID.summarize(volume, NOISE2VOID.options()).options.channels == 1
    series = Dataset.of([RNG.random((6, 20, 20))], axes=Axes("TYX"), layout=Layout(IMAGE, context=2))
    assert series.channels == 5
    assert NOISE2VOID.summarize(series, NOISE2VOID.options(context=2)).options.channels == 1


def test_noise_in_lines_is_never_rotated_by_90_degrees():
    from napari_dojo.data.batches import Batches, Patches, Source
    from napari_dojo.data.normalize import Normalization

    assert [NOISE2VOID.augmentation(NOISE2VOID.options(lines=k)).quarter for k in ("none", "x", "y")] == [
        True,
        False,
        False,
    ]
    x = np.tile(np.arange(40, dtype=np.float32)[:, None], (1, 1, 40))  # each row is one value
    source = Source(x, None, None, Normalization((0.0,), (1.0,)), np.zeros((0, 2)))
    for quarter in (True, False):
        how = Patches(
            (16, 16),
            lambda y, region: None,
            lambda crops, random: (crops.x, crops.x, crops.known()),
            resample=False,
            quarter=quarter,
        )
        rows = np.ptp(next(Batches([source], how, 32, 1)).x.numpy(), axis=-1).max((1, 2)) == 0
        assert rows.all() == (not quarter)
        assert rows.any()
