"""One update in slow motion: sums, activations, outputs and loss forward, gradients back, and new = old - rate x gradient."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from napari_dojo.playground.activations import Array
from napari_dojo.playground.losses import LOSSES, loss_slope, losses_of
from napari_dojo.playground.net import Net
from napari_dojo.playground.session import Session
from napari_dojo.playground.settings import TITLES

__all__ = ["Stage", "slow_motion"]


@dataclass(frozen=True)
class Stage:
    """Where the teacher can stop.

    Attributes
    ----------
    kind : "input", "sum", "activation", "loss", "slope", "gradient", "update" or "done".
    layer : number of the layer of weights, from 0; -1 for the input and the loss, and when all is done.
    text : what happens here, in a sentence or two.
    values : at neurons, (points, units), of the input, sums, activations and slopes; at links, (inputs, units), of
        gradients and new weights; (points,) of the loss.
    biases : (units,), the same of the biases, for "gradient" and "update"; else None.
    lines : the figures, one line for each unit (of the first point) or for each link and bias.
    """

    kind: str
    layer: int
    text: str
    values: Array
    biases: Array | None = None
    lines: tuple[str, ...] = ()


def slow_motion(session: Session, point: int | None = None) -> Iterator[Stage]:
    """One update, stage by stage: of the next mini-batch as `Session.step` takes it, or of one training point alone.

    The weights change between the last "update" and "done"; who stops before has changed nothing. So it is too where
    the session went on by itself meanwhile.
    """
    x, target = session.next_batch() if point is None else session.training_point(point)
    kept = session.masks(len(x))
    # On a copy, so that surfaces may be drawn with the net between two stages.
    net, began = Net(session.net.shape, session.net.parameters), session.updates
    session.altered = altered = session.altered or point is not None
    session.altered = True  # until it has come to its end: a mini-batch would be missing
    with np.errstate(all="ignore"):
        output = net.forward(x, kept)
        slope = loss_slope(session.setup.learning.loss, net.shape.output, output, target)
        net.backward(slope, kept)
        net.gradient += session.price_slope()
    yield Stage("input", -1, _of_points("What the net is given", x), x, lines=_inputs(net, x))
    yield from _forward(net, kept)
    loss = _loss(session, net, target)
    yield loss
    yield from _backward(session, net, target, slope, kept)
    optimizer = deepcopy(session.optimizer)
    change = optimizer.change(net.gradient, session.setup.learning.learning_rate)
    yield from _updates(session, net, change)
    if session.updates != began:
        return
    session.optimizer, session.altered = optimizer, altered
    session.apply(change)
    after = Net(session.net.shape, session.net.parameters)
    after.forward(x, kept)
    now = losses_of(
        session.setup.learning.loss, net.shape.output, after.layers[-1].sums, after.layers[-1].outputs, target
    )
    text = f"The loss of these points was {_n(loss.values.mean())}; with the new weights it is {_n(now.mean())}."
    yield Stage("done", -1, text, now)


def _forward(net: Net, kept: list[Array] | None) -> Iterator[Stage]:
    """Sums and activations, layer by layer."""
    for number, layer in enumerate(net.layers):
        last = number == len(net.layers) - 1
        name = net.shape.output if last else net.shape.activation
        sources, came = net.shape.sources(number), layer.inputs[0]
        lines = []
        for unit in range(layer.biases.size):
            links = [f"{_in(w)}·{_in(v)}" for w, v in zip(layer.weights[:, unit], came, strict=True)]
            lines.append(f"{' + '.join(links)} + {_in(layer.biases[unit])} = {_n(layer.sums[0, unit])}")
        text = (
            f"Each unit adds up what comes in ({', '.join(sources)}), each times the weight of its link, and its bias"
        )
        yield Stage("sum", number, _of_points(text, layer.sums), layer.sums, lines=tuple(lines))
        shown = TITLES.get(name, name)
        pairs = zip(layer.sums[0], layer.outputs[0], strict=True)
        lines = [f"{shown}({_n(z)}) = {_n(a)}" for z, a in pairs]
        text = f"{'The output' if last else 'Each unit'} makes {shown} of its sum"
        if kept and not last:
            text += "; dropout switches some units off and makes the others larger"
        out = layer.outputs if last or not kept else layer.outputs * kept[number]
        yield Stage("activation", number, _of_points(text, out), out, lines=tuple(lines))


def _loss(session: Session, net: Net, target: Array) -> Stage:
    """How wrong the outputs are."""
    name, last = session.setup.learning.loss, net.layers[-1]
    with np.errstate(all="ignore"):
        loss = losses_of(name, net.shape.output, last.sums, last.outputs, target)
    wanted, got = (", ".join(_n(v) for v in row) for row in (target[0], last.outputs[0]))
    text = f"The {TITLES[name]} says how wrong that is"
    return Stage("loss", -1, _of_points(text, target), loss, lines=(f"wanted {wanted}, got {got}: loss {_n(loss[0])}",))


def _backward(session: Session, net: Net, target: Array, slope: Array, kept: list[Array] | None) -> Iterator[Stage]:
    """Slopes at the sums and gradients of the links, from the last layer to the first."""
    learning = session.setup.learning
    for number in range(len(net.layers) - 1, -1, -1):
        layer = net.layers[number]
        if number == len(net.layers) - 1:
            fits = LOSSES[learning.loss].partner == net.shape.output
            text = "How the loss changes with the output's sum: " + (
                "output minus target" if fits else "the slope of the loss times the slope of the activation"
            )
            text += f", divided by the {len(slope)} points" if len(slope) > 1 else ""
        else:
            text = (
                "Back along the links: each weight times the slope that it fed, added up, times the activation's slope"
            )
        yield Stage("slope", number, _of_points(text, slope), slope, lines=_units(net, number, slope))
        text = "The gradient of a link is what came in times the slope of the unit that it feeds"
        text += ", added up over the points" if len(slope) > 1 else ""
        text += "; L1 and L2 add their price" if learning.l1 or learning.l2 else ""
        yield Stage(
            "gradient",
            number,
            f"{text}. The gradient of a bias is the slope itself.",
            layer.weight_gradient,
            layer.bias_gradient,
            tuple(f"{name}: {_n(g)}" for name, g in _links(net, number, layer.weight_gradient, layer.bias_gradient)),
        )
        if number:
            before = net.layers[number - 1]
            slope = slope @ layer.weights[: before.biases.size].T
            if kept:
                slope = slope * kept[number - 1]
            slope = slope * before.activation.slope(before.outputs)


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
    text = "new = old - rate x gradient" if plain else f"new = old - rate x what {title} makes of the gradient"
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
    """Every link and bias of a layer by its name."""
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
    """What the units of a layer are called: h1, h2, ..., and the outputs out1, out2, ..., or out alone."""
    units = net.layers[number].biases.size
    if number < len(net.layers) - 1:
        return [f"h{i + 1}" for i in range(units)]
    return ["out"] if units == 1 else [f"out{i + 1}" for i in range(units)]


def _of_points(text: str, values: Array) -> str:
    return f"{text}." if len(values) == 1 else f"{text}; the figures are those of the first of {len(values)} points."


def _in(value: float) -> str:
    """A figure within a sum or product: in brackets where it is negative."""
    return f"({_n(value)})" if value < 0 else _n(value)


def _n(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}g}"
