"""Settings of the classroom: defaults, shapes, plain values and back, and one sentence for each wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground import Learning, NetShape, PointSet, Setup


def test_widths_parameters_and_sources() -> None:
    assert NetShape().parameters == 3
    assert NetShape(hidden=(4,)).parameters == 17
    deep = NetShape(inputs=("x", "y", "xy"), hidden=(8, 4), outputs=3, skip=True)
    assert deep.widths == ((3, 8), (8, 4), (7, 3))
    assert deep.parameters == 32 + 36 + 24
    assert deep.sources(0) == ("x", "y", "xy")
    assert deep.sources(2) == ("h1", "h2", "h3", "h4", "x", "y", "xy")
    assert NetShape(skip=True).widths == ((2, 1),)


def test_what_is_written_in_other_ways() -> None:
    assert NetShape(inputs=("x²", "sin x", "x2")).inputs == ("x2", "sin_x")
    for none in ((), ("0",), (0,), ("none",), ("",)):
        assert NetShape(hidden=none).hidden == ()  # type: ignore[arg-type]
    assert Setup().with_(hidden="8, 4").net.hidden == (8, 4)


def test_plain_values_and_back() -> None:
    setup = Setup().with_(
        kind="custom", rows=((0, 0.5, 1), (1, 2, 0)), hidden=(3, 4), optimizer="adam", noise=0.5, seed=7, attempt=2
    )
    assert Setup.of(setup.as_dict()) == setup
    assert Setup.of(Setup().as_dict()) == Setup()
    assert setup.with_(learning_rate=0.5).learning.learning_rate == 0.5
    assert setup.with_(learning_rate=0.5).points == setup.points


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"learning_rate": 0}, "learning rate must be above 0"),
        ({"learning_rate": -1}, "must lie between"),
        ({"learning_rate": float("nan")}, "must lie between"),
        ({"learning_rate": float("inf")}, "must lie between"),
        ({"hidden": (0, 3)}, "whole numbers from 1 to 32"),
        ({"hidden": (33,)}, "whole numbers from 1 to 32"),
        ({"hidden": (1,) * 9}, "up to 8"),
        ({"hidden": ("a",)}, "whole numbers"),
        ({"hidden": (2.5,)}, "whole numbers"),
        ({"inputs": ()}, "got none"),
        ({"inputs": ("x", "z")}, "got z"),
        ({"outputs": 9}, "Outputs must lie between 1 and 8"),
        ({"activation": "os.system"}, "Activation must be one of"),
        ({"training": 0}, "Training must lie between 1"),
        ({"training": 10**9}, "Training must lie between 1"),
        ({"dropout": 1}, "Dropout must lie between"),
        ({"label_noise": "a"}, "Label noise must be a number"),
        ({"epochs": 1.5}, "Epochs must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"attempt": 5000}, "attempt must be a whole number"),
        ({"formula": "x" * 300}, "at most 200 characters"),
        ({"rows": 3}, "list of x, y and class"),
        ({"rows": ((1, 2, 10**400),)}, "x, y and its class"),
        ({"nonsense": 3}, "got nonsense"),
    ],
)
def test_wrong_values(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DojoError, match=sentence):
        Setup().with_(**values)


@pytest.mark.parametrize("values", [{"points": 3}, {"net": {"hiden": []}}, {"other": {}}, {"learning": None}])
def test_wrong_parts(values: dict[str, Any]) -> None:
    with pytest.raises(DojoError):
        Setup.of(values)


def test_values_are_checked_also_where_they_are_made_directly() -> None:
    with pytest.raises(DojoError, match="above 0"):
        Learning(learning_rate=0)
    assert PointSet().n_classes == 2
