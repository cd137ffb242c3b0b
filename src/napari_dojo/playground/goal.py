"""The goal of an exercise: comparisons that the program checks."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_dojo.errors import DojoError

if TYPE_CHECKING:
    from napari_dojo.playground.trainer import Trainer

__all__ = ["FIGURES", "Goal", "figures"]

LONGEST = 200
# The quantities that a goal can use, and their wording. The test set is not among them: it is revealed at the end.
FIGURES = {
    "parameters": "parameters",
    "layers": "hidden layers",
    "units": "hidden units",
    "training": "on training",
    "validation": "on validation",
    "shifted": "on validation images shifted by 1 px",
    "gap": "between training and validation",
    "training_loss": "as training loss",
    "validation_loss": "as validation loss",
    "epochs": "epochs",
    "updates": "updates",
}
SHARES = ("training", "validation", "shifted", "gap")
SIGNS = {
    ast.GtE: (">=", "at least"),
    ast.LtE: ("<=", "at most"),
    ast.Gt: (">", "more than"),
    ast.Lt: ("<", "less than"),
}


@dataclass(frozen=True)
class Goal:
    """Comparisons that must all be true, such as "validation >= .95 and parameters <= 20"."""

    text: str
    parts: tuple[tuple[str, str, float], ...]

    @classmethod
    def of(cls, text: str) -> Goal:
        """Parse a goal without evaluating any code; DojoError if it is not a goal."""
        try:
            tree = ast.parse(text.strip() if isinstance(text, str) and len(text) <= LONGEST else "", mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise _not_a_goal(text) from None
        joined = isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And)
        return cls(text.strip(), tuple(_part(text, node) for node in (tree.values if joined else [tree])))  # type: ignore[attr-defined]

    def met(self, values: Mapping[str, float | None]) -> bool:
        """Whether all comparisons are true. Missing and NaN values count as false."""
        if any(not math.isfinite(values.get(name) or 0) for name in ("training_loss", "validation_loss")):
            return False
        return all(_holds(values.get(name), sign, number) for name, sign, number in self.parts)

    @property
    def sentence(self) -> str:
        """The goal in words, such as "at least 95 % on validation, at most 20 parameters"."""
        words = dict(SIGNS.values())
        said = []
        for name, sign, number in self.parts:
            shown = f"{100 * number:g} %" if name in SHARES else f"{number:g}"
            said.append(f"{words[sign]} {shown} {FIGURES[name]}")
        return ", ".join(said)


def figures(session: Trainer[Any]) -> dict[str, float | None]:
    """The current value of every quantity; None if there is none. For regression, R² instead of accuracy."""
    training, validation = session.score("training"), session.score("validation")
    return {
        **dict.fromkeys(FIGURES),
        **session.own_figures,
        "training": training.value if training else None,
        "validation": validation.value if validation else None,
        "gap": training.value - validation.value if training and validation else None,
        "training_loss": training.loss if training else None,
        "validation_loss": validation.loss if validation else None,
        "epochs": session.epochs,
        "updates": session.updates,
    }


def _part(text: str, node: ast.expr) -> tuple[str, str, float]:
    """One comparison of a quantity with a number."""
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
        f'A goal looks like "validation >= 0.95 and parameters <= 20", with {", ".join(FIGURES)}; '
        f"got {str(text)[:60]!r}."
    )
