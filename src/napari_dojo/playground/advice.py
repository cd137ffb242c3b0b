"""Which output activation, loss and number of outputs a problem needs, and why other combinations do not work."""

from __future__ import annotations

from dataclasses import dataclass

from napari_dojo.playground.settings import TITLES, NetShape

__all__ = ["Choice", "choose", "mismatch"]


@dataclass(frozen=True)
class Choice:
    """One row of the course's table: the output layer and loss for a kind of problem."""

    problem: str
    output: str
    loss: str
    outputs: int
    why: str


def choose(problem: str, classes: int = 2) -> Choice:
    """The recommended output layer and loss for "two classes", "several classes" or "a number".

    ``classes`` counts for several classes only. For hidden layers, ReLU is the usual choice.
    """
    if problem == "two classes":
        why = (
            "One output is enough for two classes: sigmoid turns its sum into the probability of class 1, "
            "and binary cross-entropy penalizes a low probability of the true class."
        )
        return Choice(problem, "sigmoid", "binary_cross_entropy", 1, why)
    if problem == "several classes":
        why = (
            "Each class has its own output: softmax turns the sums into probabilities that add up to 1, "
            "and categorical cross-entropy penalizes a low probability of the true class."
        )
        return Choice(problem, "softmax", "categorical_cross_entropy", classes, why)
    if problem == "a number":
        why = (
            "The output is the number itself, so it needs no activation (sigmoid also works if all numbers lie "
            "between 0 and 1), and squared error measures how far it is from the target."
        )
        return Choice(problem, "linear", "squared_error", 1, why)
    raise ValueError(problem)


def mismatch(classes: int, net: NetShape, loss: str) -> tuple[str, ...]:
    """Reasons why output layer and loss do not suit the points, one sentence each, the most serious first.

    ``classes`` is 0 for regression. Empty if everything fits.
    """
    if not classes:
        return tuple(_for_numbers(net, loss))
    return tuple(_for_classes(classes, net, loss))


def _for_numbers(net: NetShape, loss: str) -> list[str]:
    found = []
    if net.output == "softmax":
        found.append("Softmax of a single output is always 1, so nothing can be learned. Choose linear.")
    if loss != "squared_error":
        found.append(f"{_title(loss)} is for probabilities. To predict a number, choose squared error.")
    if net.output == "sigmoid":
        found.append("Sigmoid gives only values between 0 and 1, but the targets may lie outside. Choose linear.")
    return found


def _for_classes(classes: int, net: NetShape, loss: str) -> list[str]:
    found = []
    if net.outputs == 1:
        if net.output == "softmax":
            found.append("Softmax of a single output is always 1, so nothing can be learned. Choose sigmoid.")
        if classes > 2:
            found.append(
                f"One output cannot stand for {classes} classes: it would put them in an order, and a probability "
                f"ends at 1. Choose {classes} outputs with softmax and categorical cross-entropy."
            )
        if loss == "categorical_cross_entropy":
            found.append(
                "Categorical cross-entropy compares the outputs of several classes; with one output it is always 0. "
                "Choose binary cross-entropy."
            )
    elif net.output == "sigmoid":
        found.append(
            "With sigmoid, each output is independent, so a point may belong to all classes or to none. "
            "With softmax, the probabilities of all classes add up to 1."
        )
    elif net.output == "softmax" and loss == "binary_cross_entropy":
        found.append(
            "Binary cross-entropy treats each output as an independent yes or no, but softmax makes one choice. "
            "Choose categorical cross-entropy."
        )
    if net.output == "linear" and loss != "squared_error":
        found.append(
            f"{_title(loss)} needs probabilities, but a linear output may be below 0 or above 1, where the gradient "
            f"is 0. Choose {'sigmoid' if net.outputs == 1 else 'softmax'}."
        )
    if loss == "squared_error":
        found.append(
            "Squared error is for numbers: if a probability is very wrong, its gradient is nearly 0 and training is "
            "slow. Cross-entropy keeps a large gradient."
        )
    return found


def _title(name: str) -> str:
    title = TITLES[name]
    return title[0].upper() + title[1:]
