from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.widgets.compare.profile import POINTS, Profile, along, line_of

pytestmark = pytest.mark.gui
RAMP = np.arange(40.0)[:, None] + np.zeros(30)


def curves(profile):
    return [np.asarray(c.getData()[1]) for c in profile.plot.plotItem.curves]


def test_values_along_a_line_whatever_the_layers_place(viewer):
    plain = viewer.add_image(RAMP)
    finer = viewer.add_image(np.repeat(RAMP, 2, 0), scale=(0.5, 1), translate=(-0.25, 0))
    ends = np.array([[5.0, 10], [25, 10]])
    wanted = np.linspace(5, 25, POINTS)
    np.testing.assert_allclose(along(plain, ends, (0, 0)), wanted, atol=1e-6)
    np.testing.assert_allclose(along(finer, ends, (0, 0)), wanted, atol=0.51)
    outside = along(plain, np.array([[30.0, 10], [60, 10]]), (0, 0))
    assert np.isnan(outside[-1])
    assert outside[0] == 30


def test_the_plane_that_is_shown(viewer):
    stack = viewer.add_image(np.stack([RAMP, 100 + RAMP]))
    ends = np.array([[5.0, 3], [5, 20]])
    for plane in (0, 1):
        np.testing.assert_allclose(along(stack, ends, (plane, 0, 0)), 100 * plane + 5)
    colours = viewer.add_image(np.stack([RAMP] * 3, -1) / 40, rgb=True)
    np.testing.assert_allclose(along(colours, ends, (0, 0, 0)), 5 / 40)


def test_the_plot_follows_the_line_and_the_layers(qtbot, viewer):
    viewer.add_image(RAMP, name="image")
    profile = Profile(viewer)
    qtbot.addWidget(profile)
    assert line_of(viewer.layers) is None
    profile.button.click()
    shapes = viewer.layers["line"]
    assert shapes.mode == "add_line"
    shapes.add([[5, 5], [25, 5]], shape_type="line")
    profile.follow()
    qtbot.waitUntil(lambda: len(curves(profile)) == 1)
    np.testing.assert_allclose(curves(profile)[0], np.linspace(5, 25, POINTS), atol=1e-6)
    other = viewer.add_image(2 * RAMP, name="prediction")
    profile.follow()
    qtbot.waitUntil(lambda: len(curves(profile)) == 2)
    other.visible = False
    qtbot.waitUntil(lambda: len(curves(profile)) == 1)
    shapes.data = [[[10, 5], [20, 5]]]
    qtbot.waitUntil(lambda: abs(curves(profile)[0][0] - 10) < 1e-6)
    profile.end()
