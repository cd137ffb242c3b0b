"""The goal of an exercise: a short text that the program checks, and that cannot be fooled."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dojo.errors import DojoError

if TYPE_CHECKING:
    from napari_dojo.playground.session import Session

__all__ = ["FIGURES", "Goal", "figures"]

LONGEST = 200
# What a goal may speak of, and how it is said. The test is not among them: it is looked at once, at the end.
FIGURES = {
    "parameters": "parameters",
    "layers": "hidden layers",
    "units": "hidden units",
    "training": "on training",
    "validation": "on validation",
    "gap": "between training and validation",
    "training_loss": "as training loss",
    "validation_loss": "as validation loss",
    "epochs": "epochs",
    "updates": "updates",
}
SHARES = ("training", "validation", "gap")
SIGNS = {
    ast.GtE: (">=", "at least"),
    ast.LtE: ("<=", "at most"),
    ast.Gt: (">", "more than"),
    ast.Lt: ("<", "less than"),
}


@dataclass(frozen=True)
class Goal:
    """Comparisons that all have to hold: figure, sign and number, as in "validation >= .95 and parameters <= 20"."""

    text: str
    parts: tuple[tuple[str, str, float], ...]

    @classmethod
    def of(cls, text: str) -> Goal:
        """Read a goal; DojoError where it is none. Nothing in it is ever run."""
        try:
            tree = ast.parse(text.strip() if isinstance(text, str) and len(text) <= LONGEST else "", mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise _not_a_goal(text) from None
        joined = isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And)
        return cls(text.strip(), tuple(_part(text, node) for node in (tree.values if joined else [tree])))  # type: ignore[attr-defined]

    def met(self, values: Mapping[str, float | None]) -> bool:
        """Whether all hold. What is missing or no number holds for nothing."""
        if any(not math.isfinite(values.get(name) or 0) for name in ("training_loss", "validation_loss")):
            return False
        return all(_holds(values.get(name), sign, number) for name, sign, number in self.parts)

    @property
    def sentence(self) -> str:
        """In words: at least 95 % on validation, at most 20 parameters."""
        words = dict(SIGNS.values())
        said = []
        for name, sign, number in self.parts:
            shown = f"{100 * number:g} %" if name in SHARES else f"{number:g}"
            said.append(f"{words[sign]} {shown} {FIGURES[name]}")
        return ", ".join(said)


def figures(session: Session) -> dict[str, float | None]:
    """What goals speak of, as it is now; None where a set has no points. In regression shares are those explained."""
    training, validation = session.score("training"), session.score("validation")
    shape = session.setup.net
    return {
        "parameters": shape.parameters,
        "layers": len(shape.hidden),
        "units": sum(shape.hidden),
        "training": training.value if training else None,
        "validation": validation.value if validation else None,
        "gap": training.value - validation.value if training and validation else None,
        "training_loss": training.loss if training else None,
        "validation_loss": validation.loss if validation else None,
        "epochs": session.epochs,
        "updates": session.updates,
    }


def _part(text: str, node: ast.expr) -> tuple[str, str, float]:
    """One comparison of a figure with a number."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SIGNS:
        name, number = node.left, node.comparators[0]
        if isinstance(name, ast.Name) and name.id in FIGURES and isinstance(number, ast.Constant):
            value = number.value
            if type(value) in (int, float) and abs(value) <= 1e9:  # type: ignore[arg-type]
                return name.id, SIGNS[type(node.ops[0])][0], float(value)  # type: ignore[arg-type]
    raise _not_a_goal(text)


def _holds(value: float | None, sign: str, number: float) -> bool:
    if value is None or not math.isfinite(value):
        return False
    return {">=": value >= number, "<=": value <= number, ">": value > number, "<": value < number}[sign]


def _not_a_goal(text: object) -> DojoError:
    return DojoError(
        f'A goal is written as "validation >= 0.95 and parameters <= 20", of {", ".join(FIGURES)}; '
        f"got {str(text)[:60]!r}."
    )
