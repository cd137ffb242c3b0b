"""Slow motion: its figures are those of autograd, and it ends where a step ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from playground.plain_torch import ACTIVATIONS, OPTIMIZERS, Plain

from napari_dojo.errors import DojoError
from napari_dojo.playground import Session, Setup
from napari_dojo.playground.slow import Stage, slow_motion

SETUP = Setup().with_(kind="parabola", hidden=(3, 2), activation="tanh", learning_rate=0.05, batch_size=4)
CASES: list[dict[str, Any]] = [
    {},
    {"batch_size": 1},
    {"activation": "relu", "optimizer": "adam"},
    {"activation": "sigmoid", "optimizer": "momentum", "skip": True},
    {"loss": "squared_error", "l1": 0.01, "l2": 0.02, "optimizer": "rmsprop"},
    {"kind": "clusters", "outputs": 4, "output": "softmax", "loss": "categorical_cross_entropy"},
    {"kind": "clusters", "outputs": 4, "output": "softmax", "loss": "squared_error", "activation": "leaky_relu"},
    {"kind": "plane", "output": "linear", "loss": "squared_error", "hidden": ()},
]


def stages(session: Session, point: int | None = None) -> dict[tuple[str, int], Stage]:
    """All stages by kind and layer."""
    return {(s.kind, s.layer): s for s in slow_motion(session, point)}


@pytest.mark.parametrize("values", CASES)
def test_every_figure_is_that_of_autograd(values: dict[str, Any]) -> None:
    session = Session(SETUP.with_(**values))
    plain = Plain(session)
    n = session.data.counts[0]
    batch = plain.rng.permutation(n)[: session.setup.learning.batch_size]
    learning = session.setup.learning
    optimizer = OPTIMIZERS[learning.optimizer]([*plain.weights, *plain.biases], learning.learning_rate)
    sums = plain.sums(plain.x[batch])
    target = plain.t[batch]
    (plain.loss(sums[-1], target) + plain.penalty()).backward()
    gradients = [(w.grad.clone(), b.grad.clone()) for w, b in zip(plain.weights, plain.biases, strict=True)]  # type: ignore[union-attr]
    optimizer.step()

    found = stages(session)
    np.testing.assert_array_equal(found["input", -1].values, plain.x[batch])
    last = len(sums) - 1
    for layer, z in enumerate(sums):
        name = session.setup.net.output if layer == last else session.setup.net.activation
        for kind, wanted in (("sum", z), ("activation", ACTIVATIONS[name](z)), ("slope", z.grad)):
            np.testing.assert_allclose(found[kind, layer].values, wanted.detach(), atol=1e-12)
        for stage, weights, biases in (
            ("gradient", *gradients[layer]),
            ("update", plain.weights[layer], plain.biases[layer]),
        ):
            np.testing.assert_allclose(found[stage, layer].values, weights.detach(), atol=1e-12)
            np.testing.assert_allclose(found[stage, layer].biases, biases.detach(), atol=1e-12)  # type: ignore[arg-type]
    with torch.no_grad():
        losses = [float(plain.loss(z[None], t[None])) for z, t in zip(sums[-1], target, strict=True)]
    np.testing.assert_allclose(found["loss", -1].values, losses, atol=1e-12)
    np.testing.assert_allclose(session.net.parameters, plain.parameters(), atol=1e-12)
    with torch.no_grad():
        after = float(plain.loss(plain.sums(plain.x[batch])[-1], target))
    assert found["done", -1].values.mean() == pytest.approx(after)


@pytest.mark.parametrize("values", [*CASES, {"dropout": 0.5, "hidden": (8, 8)}])
def test_it_ends_where_a_step_ends(values: dict[str, Any]) -> None:
    slow, quick = Session(SETUP.with_(**values)), Session(SETUP.with_(**values))
    for _ in range(130 if values.get("batch_size") != 1 else 20):
        stages(slow)
        quick.step()
    np.testing.assert_array_equal(slow.net.parameters, quick.net.parameters)
    assert slow.history == quick.history
    assert slow.updates == quick.updates
    assert not slow.altered


def test_the_order_is_that_of_the_textbook() -> None:
    kinds = [(s.kind, s.layer) for s in slow_motion(Session(SETUP.with_(hidden=(3,))))]
    forward = [("input", -1), ("sum", 0), ("activation", 0), ("sum", 1), ("activation", 1), ("loss", -1)]
    back = [("slope", 1), ("gradient", 1), ("slope", 0), ("gradient", 0)]
    assert kinds == [*forward, *back, ("update", 0), ("update", 1), ("done", -1)]


def test_one_point_by_hand() -> None:
    """One neuron, all figures known: p = 1/2, slope 1/2 - 1, new = 0 + rate x 1/2 x input."""
    setup = Setup().with_(kind="custom", rows=((0.5, -0.25, 1), (-1, 1, 0)), training=1, validation=0, test=0)
    session = Session(setup.with_(initializer="zero", learning_rate=0.1), [-2, 1, 0.5])
    assert stages(session, point=0)["sum", 0].lines == ("(-2)·0.5 + 1·(-0.25) + 0.5 = -0.75",)
    session = Session(setup.with_(initializer="zero", learning_rate=0.1))
    found = stages(session, point=0)
    assert found["sum", 0].lines == ("0·0.5 + 0·(-0.25) + 0 = 0",)
    assert found["activation", 0].lines == ("sigmoid(0) = 0.5",)
    assert found["loss", -1].lines == ("target 1, output 0.5: loss 0.693",)
    assert found["slope", 0].lines == ("out: -0.5",)
    assert found["gradient", 0].lines == ("x to out: -0.25", "y to out: 0.125", "bias of out: -0.5")
    assert found["update", 0].lines[0] == "x to out: 0.025 = 0 - 0.1 x (-0.25)"
    assert found["update", 0].text == "new = old - rate x gradient."
    assert session.net.parameters == pytest.approx([0.025, -0.0125, 0.05])
    assert session.altered  # a point of one's own choice is not in the order of the epoch
    assert session.epochs == 0


def test_who_stops_before_the_end_has_changed_nothing() -> None:
    session = Session(SETUP.with_(optimizer="adam"))
    before = session.net.parameters.copy()
    motion = slow_motion(session)
    for stage in motion:
        if stage.kind == "update":
            motion.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(session.net.parameters, before)
    assert session.updates == 0
    assert session.altered
    assert not session.optimizer.mean.any()  # type: ignore[attr-defined]


def test_drawing_and_learning_meanwhile_do_no_harm() -> None:
    session, alone = Session(SETUP), Session(SETUP)
    for stage in slow_motion(session):
        session.predict(session.data.xy)
        session.score("training")
        if stage.kind == "loss":
            assert np.isfinite(stage.values).all()
    alone.step()
    np.testing.assert_array_equal(session.net.parameters, alone.net.parameters)
    motion = slow_motion(session)
    next(motion)
    session.step()
    after = session.net.parameters.copy()
    assert [s.kind for s in motion][-1] == "update"
    np.testing.assert_array_equal(session.net.parameters, after)


def test_no_such_point() -> None:
    with pytest.raises(DojoError, match="There are 500 training points; number 500"):
        next(slow_motion(Session(SETUP), 500))
