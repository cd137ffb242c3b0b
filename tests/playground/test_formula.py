"""Formulas: what people write is understood, and nothing else is ever run."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground.formula import Formula

X, Y = np.random.default_rng(0).uniform(-1, 1, (2, 50))


@pytest.mark.parametrize(
    ("text", "same", "wanted"),
    [
        ("y < 0.5*x + 0.1", "y < 0.5 * x + 0.1", Y < 0.5 * X + 0.1),
        ("y < 2x² - 0.4", "y < 2 * x ** 2 - 0.4", Y < 2 * X**2 - 0.4),
        ("y<2 x^2-.4", "y < 2 * x ** 2 - 0.4", Y < 2 * X**2 - 0.4),
        ("y ≥ −x·3", "y >= -x * 3", Y >= -3 * X),
        ("x² + y² < 0.5", "x ** 2 + y ** 2 < 0.5", X**2 + Y**2 < 0.5),
        ("0.6 sin(2 pi x) > y", "0.6 * np.sin(6.283185307179586 * x) > y", 0.6 * np.sin(2 * np.pi * X) > Y),
        ("(x + 1)(x - 1) < y", "(x + 1) * (x - 1) < y", (X + 1) * (X - 1) < Y),
        ("y < 1e-1x", "y < 0.1 * x", Y < 0.1 * X),
        ("y < x - 2**-1", "y < x - 0.5", Y < X - 0.5),
        ("sqrt(x) > abs(y)", "np.sqrt(x) > np.abs(y)", np.nan_to_num(np.sqrt(np.maximum(X, 0)), nan=-1) > np.abs(Y)),
        ("1 < 2", "1 < 2", np.ones(50, bool)),
    ],
)
def test_what_people_write(text: str, same: str, wanted: np.ndarray) -> None:
    formula = Formula(text)
    np.testing.assert_array_equal(formula(X, Y), wanted)
    code = formula.numpy
    if "pi" not in text:
        assert code == same
    with np.errstate(all="ignore"):
        shown = eval(code, {"np": np, "x": X, "y": Y})  # as "Show the code" would run it
    np.testing.assert_array_equal(np.broadcast_to(shown, 50), wanted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "y",
        "y < x < 1",
        "y == x",
        "y < __import__('os').system('true')",
        "y < x.__class__",
        "y < ().__class__.__bases__[0]",
        "y < [x][0]",
        "y < (lambda: x)()",
        "y < sin",
        "y < sin(x, out=x)",
        "y < sin(*[x])",
        "y < exec('x')",
        "y < open('f')",
        "y < x if x < 1 else y",
        "y < x or x",
        "y < x; import os",
        "y < 'a'",
        "y < f'{x}'",
        "y < True",
        "y < 1j",
        "y < None",
        "y < z",
        "y < np.x",
        "y < 9**9**9**9",
        "y < x**9**9**9",
        "y < 1/0",
        "y < 1e999 x",
        "y < " + "9" * 190,
        "y < " + "-" * 150 + "x",
        "y < " + "(" * 190,
        "y < " + "x" * 300,
        "y < \x00",
        "y\n<\nx\nimport os",
        "y < (x := 3)",
        "y < await x",
        "y < x @ x",
        "y < x // 2",
        "y < ~x",
    ],
)
def test_all_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(DojoError, match=r"^(A formula|The formula).* Write it as") as caught:
        Formula(text)
    assert len(str(caught.value)) < 300


def test_no_text() -> None:
    with pytest.raises(DojoError, match="A formula has 1 to 200"):
        Formula(3)  # type: ignore[arg-type]


def test_where_it_has_no_value_it_does_not_hold() -> None:
    assert not Formula("log(x - 5) < y")(X, Y).any()
    assert not Formula("log(x - 5) > y")(X, Y).any()
    assert Formula("y < exp(1000 x²)")(np.ones(3), np.ones(3)).all()
