"""One update in slow motion: forward pass, loss, back-propagation and new weights, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from napari_dojo.playground.activations import Array
from napari_dojo.playground.losses import LOSSES, loss_gradient, point_losses
from napari_dojo.playground.net import Net
from napari_dojo.playground.session import Session
from napari_dojo.playground.settings import TITLES

__all__ = ["Stage", "slow_motion"]


@dataclass(frozen=True)
class Stage:
    """One stage of an update.

    Attributes
    ----------
    kind : "input", "sum", "activation", "loss", "slope", "gradient", "update" or "done".
    layer : the dense layer, from 0; -1 for "input", "loss" and "done".
    text : what happens, in one or two sentences.
    values : (points, units) for input, sum, activation and slope; (inputs, units) for gradients and new weights;
        (points,) for the loss.
    biases : (units,), gradients or new values of the biases, for "gradient" and "update"; else None.
    lines : the numbers, one line per unit (for the first point) or per weight and bias.
    """

    kind: str
    layer: int
    text: str
    values: Array
    biases: Array | None = None
    lines: tuple[str, ...] = ()


def slow_motion(session: Session, point: int | None = None) -> Iterator[Stage]:
    """One update, stage by stage, with the next mini-batch of `Session.step` or with a single training point.

    The weights change between the last "update" and "done". If the iteration stops earlier, or the session was trained
    meanwhile, they stay unchanged.
    """
    x, target = session.next_batch() if point is None else session.training_point(point)
    masks = session.dropout_masks(len(x))
    # On a copy, so that the decision surface can be drawn between two stages.
    net, began = Net(session.net.shape, session.net.parameters), session.updates
    session.altered = altered = session.altered or point is not None
    session.altered = True  # until the last stage, because a mini-batch is missing
    with np.errstate(all="ignore"):
        output = net.forward(x, masks)
        slope = loss_gradient(session.setup.learning.loss, net.shape.output, output, target)
        net.backward(slope, masks)
        net.gradient += session.penalty_gradient()
    yield Stage("input", -1, _of_points("The inputs of the network", x), x, lines=_inputs(net, x))
    yield from _forward(net, masks)
    loss = _loss(session, net, target)
    yield loss
    yield from _backward(session, net, target, slope, masks)
    optimizer = deepcopy(session.optimizer)
    change = optimizer.step(net.gradient, session.setup.learning.learning_rate)
    yield from _updates(session, net, change)
    if session.updates != began:
        return
    session.optimizer, session.altered = optimizer, altered
    session.apply(change)
    after = Net(session.net.shape, session.net.parameters)
    after.forward(x, masks)
    now = point_losses(
        session.setup.learning.loss, net.shape.output, after.layers[-1].sums, after.layers[-1].outputs, target
    )
    text = f"The loss was {_n(loss.values.mean())} before the update; with the new weights it is {_n(now.mean())}."
    yield Stage("done", -1, text, now)


def _forward(net: Net, masks: list[Array] | None) -> Iterator[Stage]:
    """Weighted sums and activations, layer by layer."""
    for number, layer in enumerate(net.layers):
        last = number == len(net.layers) - 1
        name = net.shape.output if last else net.shape.activation
        sources, came = net.shape.sources(number), layer.inputs[0]
        lines = []
        for unit in range(layer.biases.size):
            links = [f"{_in(w)}·{_in(v)}" for w, v in zip(layer.weights[:, unit], came, strict=True)]
            lines.append(f"{' + '.join(links)} + {_in(layer.biases[unit])} = {_n(layer.sums[0, unit])}")
        text = f"Each unit adds up its inputs ({', '.join(sources)}), each times its weight, and the bias"
        yield Stage("sum", number, _of_points(text, layer.sums), layer.sums, lines=tuple(lines))
        shown = TITLES.get(name, name)
        pairs = zip(layer.sums[0], layer.outputs[0], strict=True)
        lines = [f"{shown}({_n(z)}) = {_n(a)}" for z, a in pairs]
        text = f"{'The output' if last else 'Each unit'} applies {shown} to its sum"
        if masks and not last:
            text += "; dropout switches some units off and scales up the others"
        out = layer.outputs if last or not masks else layer.outputs * masks[number]
        yield Stage("activation", number, _of_points(text, out), out, lines=tuple(lines))


def _loss(session: Session, net: Net, target: Array) -> Stage:
    """The loss of each point."""
    name, last = session.setup.learning.loss, net.layers[-1]
    with np.errstate(all="ignore"):
        loss = point_losses(name, net.shape.output, last.sums, last.outputs, target)
    wanted, got = (", ".join(_n(v) for v in row) for row in (target[0], last.outputs[0]))
    text = f"The {TITLES[name]} compares outputs and targets"
    return Stage(
        "loss", -1, _of_points(text, target), loss, lines=(f"target {wanted}, output {got}: loss {_n(loss[0])}",)
    )


def _backward(session: Session, net: Net, target: Array, slope: Array, masks: list[Array] | None) -> Iterator[Stage]:
    """Gradients by the weighted sums and by the weights, from the last layer to the first."""
    learning = session.setup.learning
    for number in range(len(net.layers) - 1, -1, -1):
        layer = net.layers[number]
        if number == len(net.layers) - 1:
            fits = LOSSES[learning.loss].partner == net.shape.output
            text = "Gradient of the loss by the output's sum: " + (
                "output minus target" if fits else "the derivative of the loss times that of the activation"
            )
            text += f", divided by the {len(slope)} points" if len(slope) > 1 else ""
        else:
            text = (
                "Chain rule: gradients of the next layer times the weights, added up, times the activation's derivative"
            )
        yield Stage("slope", number, _of_points(text, slope), slope, lines=_units(net, number, slope))
        text = "The gradient of a weight is its input times the gradient of its unit"
        text += ", added up over the points" if len(slope) > 1 else ""
        text += "; the L1 and L2 penalties are added" if learning.l1 or learning.l2 else ""
        yield Stage(
            "gradient",
            number,
            f"{text}. The gradient of a bias is that of its unit.",
            layer.weight_gradient,
            layer.bias_gradient,
            tuple(f"{name}: {_n(g)}" for name, g in _links(net, number, layer.weight_gradient, layer.bias_gradient)),
        )
        if number:
            before = net.layers[number - 1]
            slope = slope @ layer.weights[: before.biases.size].T
            if masks:
                slope = slope * masks[number - 1]
            slope = slope * before.activation.derivative(before.outputs)


def _updates(session: Session, net: Net, change: Array) -> Iterator[Stage]:
    """New = old - rate x gradient, for every weight."""
    learning = session.setup.learning
    plain = learning.optimizer == "sgd"
    with np.errstate(all="ignore"):
        new = Net(net.shape)
        new.parameters[:] = net.parameters - change
        step = Net(net.shape)
        step.parameters[:] = change / learning.learning_rate
    title = TITLES[learning.optimizer]
    text = "new = old - rate x gradient" if plain else f"new = old - rate x step of {title}"
    for number in range(len(net.layers)):
        old, made = net.layers[number], new.layers[number]
        parts = [_links(net, number, a.weights, a.biases) for a in (made, old, step.layers[number])]
        gradients = _links(net, number, old.weight_gradient, old.bias_gradient)
        lines = []
        for (name, now), (_, before), (_, move), (_, gradient) in zip(*parts, gradients, strict=True):
            line = f"{name}: {_n(now, 4)} = {_n(before, 4)} - {learning.learning_rate:g} x {_in(move)}"
            lines.append(line if plain else f"{line} (gradient {_n(gradient)})")
        yield Stage("update", number, f"{text}.", made.weights, made.biases, tuple(lines))


def _links(net: Net, number: int, weights: Array, biases: Array) -> list[tuple[str, float]]:
    """Name and value of every weight and bias of a layer."""
    names = _names(net, number)
    links = [
        (f"{source} to {name}", float(weights[row, i]))
        for i, name in enumerate(names)
        for row, source in enumerate(net.shape.sources(number))
    ]
    return links + [(f"bias of {name}", float(biases[i])) for i, name in enumerate(names)]


def _inputs(net: Net, x: Array) -> tuple[str, ...]:
    return tuple(f"{name} = {_n(v)}" for name, v in zip(net.shape.sources(0), x[0], strict=True))


def _units(net: Net, number: int, values: Array) -> tuple[str, ...]:
    return tuple(f"{name}: {_n(v)}" for name, v in zip(_names(net, number), values[0], strict=True))


def _names(net: Net, number: int) -> list[str]:
    """The names of a layer's units: h1, h2, ...; for the output layer out1, out2, ..., or out if there is only one."""
    units = net.layers[number].biases.size
    if number < len(net.layers) - 1:
        return [f"h{i + 1}" for i in range(units)]
    return ["out"] if units == 1 else [f"out{i + 1}" for i in range(units)]


def _of_points(text: str, values: Array) -> str:
    return f"{text}." if len(values) == 1 else f"{text}. Values of the first of {len(values)} points."


def _in(value: float) -> str:
    """A number within a formula, in brackets if it is negative."""
    return f"({_n(value)})" if value < 0 else _n(value)


def _n(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}g}"
