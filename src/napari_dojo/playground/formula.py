"""Formulas of x and y, parsed without evaluating any code."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.settings import LONGEST_FORMULA

__all__ = ["Formula"]

DEEPEST = 30
FUNCTIONS = ("sin", "cos", "tan", "tanh", "exp", "log", "sqrt", "abs")
OPERATORS = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power}
COMPARISONS = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}
EXAMPLE = 'Write it as "y < 2x² - 0.4", with x, y, pi, numbers, + - * / ^ and sin, cos, tan, tanh, exp, log, sqrt, abs.'
# Common notation and its Python equivalent.
WRITTEN = {"²": "**2", "³": "**3", "^": "**", "−": "-", "·": "*", "×": "*", "≤": "<=", "≥": ">="}
NUMBER_BEFORE = re.compile(rf"(?<![A-Za-z_.])(\d+\.?\d*|\.\d+|pi\b)[ ]*(?=(?:x|y|pi|{'|'.join(FUNCTIONS)})\b|\()")


class Formula:
    """A comparison such as "y < 2x² - 0.4", true for class 1.

    Only numbers, x, y, pi, arithmetic and the functions above are allowed; anything else raises DojoError.
    ``numpy`` is the formula as numpy code, generated from the parsed tree.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST_FORMULA:
            raise DojoError(f"A formula has 1 to {LONGEST_FORMULA} characters. {EXAMPLE}")
        self._text = text
        try:
            tree = ast.parse(_python(text), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise DojoError(f"The formula {text[:60]!r} cannot be read. {EXAMPLE}") from None
        if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or type(tree.ops[0]) not in COMPARISONS:
            raise DojoError(f"The formula {text[:60]!r} must contain exactly one < or >. {EXAMPLE}")
        self._sides, self._compare = (tree.left, tree.comparators[0]), COMPARISONS[type(tree.ops[0])]
        sides = [self._clean(side) for side in self._sides]
        self.numpy = ast.unparse(ast.Compare(sides[0], tree.ops, sides[1:]))

    def __call__(self, x: Array, y: Array) -> NDArray[np.bool_]:
        """Where the formula is true, bool, for x and y of the same shape. Undefined values (sqrt(-1)) count as false."""
        with np.errstate(all="ignore"):
            left, right = (_value(side, x, y) for side in self._sides)
            return np.broadcast_to(self._compare(left, right), np.shape(x)).copy()

    def _clean(self, node: ast.expr, depth: int = 0) -> ast.expr:
        """The expression as numpy code; DojoError for anything but plain arithmetic."""
        if depth > DEEPEST:
            raise DojoError(f"The formula {self._text[:60]!r} is nested too deeply. {EXAMPLE}")
        new: ast.expr
        if (isinstance(node, ast.Constant) and type(node.value) in (int, float)) or (
            isinstance(node, ast.Name) and node.id in ("x", "y", "pi")
        ):
            new = node
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            new = ast.UnaryOp(node.op, self._clean(node.operand, depth + 1))
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            new = ast.BinOp(self._clean(node.left, depth + 1), node.op, self._clean(node.right, depth + 1))
        elif _is_function(node):
            new = ast.Call(ast.Name(f"np.{node.func.id}"), [self._clean(node.args[0], depth + 1)], [])  # type: ignore[attr-defined]
        else:
            raise DojoError(
                f"The formula {self._text[:60]!r} contains something other than arithmetic of x and y. {EXAMPLE}"
            )
        return new if {"x", "y"} & {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} else self._number(node)

    def _number(self, node: ast.expr) -> ast.expr:
        """The value of a subexpression without x and y."""
        with np.errstate(all="ignore"):
            value = float(_value(node, 0, 0))
        if not abs(value) <= 1e9:
            raise DojoError(
                f"The formula {self._text[:60]!r} contains a value that is undefined or larger than 1e9. {EXAMPLE}"
            )
        return ast.Constant(int(value) if value == int(value) else value)


def _python(text: str) -> str:
    """The formula in Python notation: 2x² becomes 2*x**2, (x + 1)(x - 1) becomes (x + 1)*(x - 1)."""
    for written, wanted in WRITTEN.items():
        text = text.replace(written, wanted)
    return re.sub(r"\)\s*\(", ")*(", NUMBER_BEFORE.sub(r"\1*", text.strip()))


def _is_function(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in FUNCTIONS
        and len(node.args) == 1
        and not node.keywords
    )


def _value(node: ast.expr, x: Any, y: Any) -> Any:
    """The value of an expression that `Formula._clean` accepted."""
    match node:
        case ast.Constant():
            return np.float64(node.value)  # type: ignore[arg-type]
        case ast.Name():
            return {"x": x, "y": y, "pi": np.float64(np.pi)}[node.id]
        case ast.UnaryOp():
            return -_value(node.operand, x, y) if isinstance(node.op, ast.USub) else _value(node.operand, x, y)
        case ast.BinOp():
            return OPERATORS[type(node.op)](_value(node.left, x, y), _value(node.right, x, y))
        case ast.Call(func=ast.Name(id=name)):
            return getattr(np, name)(_value(node.args[0], x, y))
    raise AssertionError(ast.dump(node))
