"""Convolution, pooling and both networks: exact gradients, known outputs, and what a shift does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_dojo.errors import DojoError
from napari_dojo.playground.convolution import Pair, Pooling, columns, mosaic
from napari_dojo.playground.image_settings import Architecture
from napari_dojo.playground.images import shifted
from napari_dojo.playground.losses import loss_gradient, point_losses
from napari_dojo.playground.net import set_parameters

LOSS = "categorical_cross_entropy"


def pair(**values: object) -> Pair:
    """Both networks with biases that are not 0, so that no sum lies in the kink of ReLU."""
    made = Pair(Architecture(**values), np.random.default_rng(0))  # type: ignore[arg-type]
    made.parameters += np.random.default_rng(1).normal(0, 0.1, len(made.parameters))
    return made


@pytest.mark.parametrize("pooling", ["max", "global", "none"])
def test_gradients_are_those_of_finite_differences(pooling: str) -> None:
    rng = np.random.default_rng(2)
    both, x, target = pair(kernels=(3, 4), pooling=pooling, hidden=(5,)), rng.random((4, 12, 12, 1)), np.eye(10)[:4]

    def loss() -> float:
        return sum(
            float(point_losses(LOSS, "softmax", net.sums, p, target).mean())
            for net in both.nets
            for p in [net.forward(x)]
        )

    for net in both.nets:
        net.backward(loss_gradient(LOSS, "softmax", net.forward(x), target))
    found, step = both.gradient.copy(), 1e-6
    for i in rng.choice(len(found), 60, replace=False):
        kept = both.parameters[i]
        both.parameters[i] = kept + step
        above = loss()
        both.parameters[i] = kept - step
        below = loss()
        both.parameters[i] = kept
        assert (above - below) / (2 * step) == pytest.approx(found[i], abs=1e-7)


def test_a_convolution_is_that_of_torch() -> None:
    both, x = pair(kernels=(3,)), np.random.default_rng(3).random((2, 12, 12, 1))
    layer = both.cnn.convolutions[0]
    assert layer.layer is not None
    wanted = torch.nn.functional.conv2d(
        torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(layer.kernels), torch.tensor(layer.layer.biases), padding=1
    ).relu()
    np.testing.assert_allclose(layer.forward(x).transpose(0, 3, 1, 2), wanted.numpy(), atol=1e-12)


def test_columns_and_pooling_of_a_known_image() -> None:
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(columns(x)[5], [0, 1, 2, 4, 5, 6, 8, 9, 10])
    np.testing.assert_array_equal(columns(x)[0], [0, 0, 0, 0, 0, 1, 0, 4, 5])
    np.testing.assert_array_equal(Pooling().forward(x)[0, :, :, 0], [[5, 7], [13, 15]])


def test_with_global_pooling_a_shift_changes_nothing() -> None:
    """As far as the digit stays away from the border; a dense network sees another image."""
    both = pair(kernels=(4, 3), pooling="global")
    x = np.zeros((1, 12, 12, 1))
    x[0, 4:8, 4:8, 0] = np.random.default_rng(4).random((4, 4))
    moved = shifted(x, np.array([[1, -1]]))
    np.testing.assert_allclose(both.cnn.forward(x), both.cnn.forward(moved), atol=1e-12)
    assert not np.allclose(both.dense.forward(x), both.dense.forward(moved), atol=1e-3)


def test_both_networks_share_one_vector() -> None:
    both = pair()
    assert both.cnn.end == both.shape.parameters == 2698
    assert both.dense.end - both.cnn.end == both.shape.dense_parameters == 2645
    assert both.is_weight.sum() == 5343 - (8 + 16 + 10) - (17 + 10)
    set_parameters(both.parameters, np.ones(5343))
    assert both.cnn.convolutions[0].kernels.min() == 1
    with pytest.raises(DojoError, match="5343 weights"):
        set_parameters(both.parameters, np.ones(3))


def test_a_mosaic_has_gaps() -> None:
    shown = mosaic(np.ones((3, 2, 2)), 2)
    assert shown.shape == (5, 5)
    assert np.isnan(shown).sum() == 5 + 4 + 4
