"""Forward, backward and learning, against a plain PyTorch loop in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from playground.plain_torch import Plain

from napari_dojo.errors import DojoError
from napari_dojo.playground import NetShape, Session, Setup
from napari_dojo.playground.net import Net, initial_weights, set_parameters
from napari_dojo.playground.optimizers import OPTIMIZERS

SMALL = {"training": 61, "validation": 20, "test": 10, "batch_size": 8, "epochs": 3, "hidden": (5, 4)}


def same_as_torch(**values: Any) -> None:
    """The loss curve and the weights after it."""
    session = Session(Setup().with_(**{**SMALL, **values}))
    plain = Plain(session)
    wanted = plain.curve(session.setup.learning.epochs)
    for _ in session.run():
        pass
    assert session.ended is None
    got = np.array([[r.training.loss, r.validation.loss] for r in session.history])  # type: ignore[union-attr]
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(session.net.parameters, plain.parameters(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
@pytest.mark.parametrize("activation", ["linear", "sigmoid", "tanh", "relu", "leaky_relu"])
def test_every_activation_and_optimizer(activation: str, optimizer: str) -> None:
    same_as_torch(kind="parabola", activation=activation, optimizer=optimizer, learning_rate=0.02)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("output", ["sigmoid", "softmax", "linear"])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy", "categorical_cross_entropy"])
def test_every_loss_with_every_output_also_where_they_do_not_fit(loss: str, output: str, outputs: int) -> None:
    same_as_torch(
        kind="clusters", classes=3, loss=loss, output=output, outputs=outputs, activation="tanh", learning_rate=0.02
    )


@pytest.mark.parametrize("kind", ["plane", "curve"])
def test_regression(kind: str) -> None:
    inputs = ("x", "x2", "sin_x") if kind == "curve" else ("x", "y")
    same_as_torch(kind=kind, inputs=inputs, output="linear", loss="squared_error", learning_rate=0.1)


@pytest.mark.parametrize("batch_size", [1, 16, 0, 61, 1000])
def test_every_batch_size(batch_size: int) -> None:
    if batch_size == 1000:  # torch's split and ours both take what is there
        session = Session(Setup().with_(**{**SMALL, "batch_size": batch_size}))
        assert "batch size 1000 exceeds the 61" in session.notes[0]
    same_as_torch(kind="moons", activation="tanh", learning_rate=0.1, batch_size=batch_size)


@pytest.mark.parametrize("hidden", [(), (3,), (5, 4)])
def test_skip_and_prices(hidden: tuple[int, ...]) -> None:
    same_as_torch(kind="xor", hidden=hidden, skip=True, activation="tanh", l1=0.003, l2=0.01, learning_rate=0.1)


@pytest.mark.parametrize("initializer", ["glorot", "he", "random", "zero"])
def test_every_initializer(initializer: str) -> None:
    inputs = ("x", "y", "x2", "y2", "xy", "sin_x", "sin_y")
    same_as_torch(
        kind="circle", inputs=inputs, initializer=initializer, activation="relu", zscore=True, learning_rate=0.05
    )


def test_a_deep_net() -> None:
    same_as_torch(kind="spiral", hidden=(32,) * 8, optimizer="adam", initializer="he", learning_rate=0.001, epochs=2)


def test_initial_weights() -> None:
    rng = np.random.default_rng(0)
    shape = NetShape(inputs=("x", "y"), hidden=(32, 32), initializer="glorot")
    for initializer, limits in (("glorot", (6 / 34, 6 / 64, 6 / 33)), ("he", (3, 6 / 32, 6 / 32))):
        shape = NetShape(hidden=(32, 32), initializer=initializer)  # type: ignore[arg-type]
        net = Net(shape, initial_weights(shape, rng))
        for layer, limit in zip(net.layers, limits, strict=True):
            assert 0.8 * np.sqrt(limit) < np.abs(layer.weights).max() <= np.sqrt(limit)
            assert not layer.biases.any()
    assert not initial_weights(NetShape(hidden=(4,), initializer="zero"), rng).any()
    drawn = initial_weights(NetShape(hidden=(32, 32), initializer="random"), rng)
    assert 0.9 < drawn[drawn != 0].std() < 1.1


def test_units_that_begin_alike_stay_alike() -> None:
    session = Session(Setup().with_(kind="blobs", hidden=(4,), activation="tanh", initializer="zero", epochs=5))
    for _ in session.run():
        pass
    assert not session.net.layers[0].weights.any()


def test_parameters_are_checked() -> None:
    net = Net(NetShape(hidden=(4,)))
    set_parameters(net.parameters, np.arange(17.0))
    assert net.layers[1].biases[0] == 16
    with pytest.raises(DojoError, match="There are 17 weights and biases, but 3 were given"):
        set_parameters(net.parameters, np.zeros(3))
    for bad in (np.nan, np.inf, 1e9):
        with pytest.raises(DojoError, match="must lie between"):
            set_parameters(net.parameters, np.full(17, bad))
    assert net.layers[1].biases[0] == 16


def test_optimizers_are_reset() -> None:
    gradient = np.array([1.0, -2.0])
    np.testing.assert_allclose(OPTIMIZERS["sgd"](2).step(gradient, 0.1), [0.1, -0.2])
    momentum = OPTIMIZERS["momentum"](2)
    momentum.step(gradient, 0.1)
    np.testing.assert_allclose(momentum.step(gradient, 0.1), [0.19, -0.38])
    np.testing.assert_allclose(OPTIMIZERS["adam"](2).step(gradient, 0.1), [0.1, -0.1], rtol=1e-6)
    np.testing.assert_allclose(
        OPTIMIZERS["rmsprop"](2).step(gradient, 0.1), [0.1 / 0.1**0.5, -0.1 / 0.1**0.5], rtol=1e-6
    )
