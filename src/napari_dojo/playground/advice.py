"""How to choose: which last activation, loss and number of outputs a problem needs, and why a wrong pairing is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from napari_dojo.playground.settings import TITLES, NetShape

__all__ = ["Choice", "choose", "mismatch"]


@dataclass(frozen=True)
class Choice:
    """A row of the course's table."""

    problem: str
    output: str
    loss: str
    outputs: int
    why: str


def choose(problem: str, classes: int = 2) -> Choice:
    """What a problem needs: "two classes", "several classes" (so many of them) or "a number".

    Elsewhere, in the hidden layers, ReLU is the usual choice.
    """
    if problem == "two classes":
        why = (
            "One output is enough for two classes: sigmoid turns its sum into the probability of class 1, "
            "and binary cross-entropy asks how surprised one must be by the right answer."
        )
        return Choice(problem, "sigmoid", "binary_cross_entropy", 1, why)
    if problem == "several classes":
        why = (
            "Each class has an output of its own: softmax turns the sums into probabilities that add up to 1, "
            "and categorical cross-entropy asks how little of that went to the right class."
        )
        return Choice(problem, "softmax", "categorical_cross_entropy", classes, why)
    if problem == "a number":
        why = (
            "The output is the number itself, so its sum is left alone (sigmoid would do if all numbers lie between "
            "0 and 1), and squared error asks how far off it is."
        )
        return Choice(problem, "linear", "squared_error", 1, why)
    raise ValueError(problem)


def mismatch(classes: int, net: NetShape, loss: str) -> tuple[str, ...]:
    """Why these choices do not suit the points, a sentence each, the gravest first; none where they fit.

    ``classes`` is 0 where a number is to be predicted.
    """
    if not classes:
        return tuple(_for_numbers(net, loss))
    return tuple(_for_classes(classes, net, loss))


def _for_numbers(net: NetShape, loss: str) -> list[str]:
    found = []
    if net.output == "softmax":
        found.append("Softmax over one output is always 1, so that nothing can be learned. Take linear.")
    if loss != "squared_error":
        found.append(
            f"{_title(loss)} takes numbers for probabilities; where a number is to be predicted, "
            "squared error says how far off it is."
        )
    if net.output == "sigmoid":
        found.append("Sigmoid gives only numbers between 0 and 1, and the points may have others. Take linear.")
    return found


def _for_classes(classes: int, net: NetShape, loss: str) -> list[str]:
    found = []
    if net.outputs == 1:
        if net.output == "softmax":
            found.append("Softmax over one output is always 1, so that nothing can be learned. Take sigmoid.")
        if classes > 2:
            found.append(
                f"One output has to count from 0 to {classes - 1}, as if class 2 lay between 1 and 3; and a "
                f"probability ends at 1. Take {classes} outputs with softmax and categorical cross-entropy."
            )
        if loss == "categorical_cross_entropy":
            found.append(
                "Categorical cross-entropy compares the outputs of several classes; with one output it is always 0. "
                "Take binary cross-entropy."
            )
    elif net.output == "sigmoid":
        found.append(
            "Sigmoid judges each output by itself, so that a point may belong to all classes or to none. "
            "Softmax makes them share one certainty."
        )
    elif net.output == "softmax" and loss == "binary_cross_entropy":
        found.append(
            "Binary cross-entropy takes each output for a yes or no of its own, but softmax makes them one choice. "
            "Take categorical cross-entropy."
        )
    if net.output == "linear" and loss != "squared_error":
        found.append(
            f"{_title(loss)} needs probabilities, but a linear output may be below 0 or above 1, where nothing "
            f"is learned. Take {'sigmoid' if net.outputs == 1 else 'softmax'}."
        )
    if loss == "squared_error":
        found.append(
            "Squared error is for numbers: when a probability is very wrong, its slope is nearly flat and little is "
            "learned. Cross-entropy stays steep."
        )
    return found


def _title(name: str) -> str:
    title = TITLES[name]
    return title[0].upper() + title[1:]
