"""Surfaces and maps: the right output at the right place."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_dojo.playground import Session, Setup
from napari_dojo.playground.surface import Grid, input_maps, neuron_maps, surface


def test_each_field_holds_the_output_at_its_middle() -> None:
    session = Session(Setup().with_(kind="spiral", zscore=True, hidden=(5, 3), activation="tanh", inputs=("x", "xy")))
    grid = Grid.of(session.data, session.setup.net.inputs, 20, (-8, 8, -4, 12))
    shown = surface(session.net, grid, 2)
    assert shown.shape == (20, 20, 1)
    x, y = -8 + 0.8 * (np.arange(20) + 0.5), -4 + 0.8 * (np.arange(20) + 0.5)
    for row, column in ((0, 0), (3, 17), (19, 4)):  # row 0 is the lowest y
        assert shown[row, column, 0] == pytest.approx(session.predict([[x[column], y[row]]])[0, 0])
    hard = surface(session.net, grid, 2, hard=True)
    np.testing.assert_array_equal(hard, shown[:, :, 0] > 0.5)
    maps = neuron_maps(session.net, grid)
    assert [m.shape for m in maps] == [(5, 20, 20), (3, 20, 20), (1, 20, 20)]
    np.testing.assert_array_equal(maps[2][0], shown[:, :, 0])
    session.predict([[x[17], y[3]]])
    np.testing.assert_allclose(maps[0][:, 3, 17], session.net.layers[0].outputs[0])
    np.testing.assert_allclose(
        input_maps(grid)[:, 3, 17], session.data.inputs(np.array([[x[17], y[3]]]), ("x", "xy"))[0]
    )


def test_several_classes() -> None:
    session = Session(Setup().with_(kind="clusters", outputs=4, output="softmax", loss="categorical_cross_entropy"))
    grid = Grid.of(session.data, ("x", "y"), 30)
    shown = surface(session.net, grid, 4)
    np.testing.assert_allclose(shown.sum(2), 1)
    np.testing.assert_array_equal(surface(session.net, grid, 4, hard=True), shown.argmax(2))


def test_all_points_lie_within() -> None:
    for kind in ("line", "spiral", "curve"):
        data = Session(Setup().with_(kind=kind, inputs=("x",))).data
        left, right, bottom, top = Grid.of(data, ("x",), 5).extent
        assert left < data.xy[:, 0].min() < data.xy[:, 0].max() < right
        assert bottom < data.xy[:, 1].min() <= data.xy[:, 1].max() < top
        assert right - left == pytest.approx(top - bottom)


def test_all_maps_of_a_frame_take_less_than_ten_milliseconds() -> None:
    session = Session(Setup().with_(kind="spiral", hidden=(8, 8, 8), activation="tanh"))
    grid = Grid.of(session.data, session.setup.net.inputs, 50)
    times = []
    for _ in range(20):
        began = time.process_time()
        neuron_maps(session.net, grid)
        times.append(time.process_time() - began)
    assert min(times) < 0.01
