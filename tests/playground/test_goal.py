"""Goals: read without being run, said in words, held against what a session has reached."""

from __future__ import annotations

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground import Session, Setup
from napari_dojo.playground.goal import FIGURES, Goal, figures


def test_words_and_comparisons() -> None:
    goal = Goal.of("validation >= .95 and parameters <= 20")
    assert goal.sentence == "at least 95 % on validation, at most 20 parameters"
    values: dict[str, float | None] = {"validation": 0.95, "parameters": 20}
    assert goal.met(values)
    assert not goal.met({**values, "parameters": 21})
    assert not goal.met({**values, "validation": 0.949})
    assert not goal.met({**values, "validation": None})
    assert not goal.met({"parameters": 3})
    assert Goal.of("gap < 0.1").met({"gap": 0.05})
    assert not Goal.of("gap < 0.1").met({"gap": 0.1})
    assert not Goal.of("units > 4").met({"units": 4})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "parameters",
        "test >= 0.9",
        "validation >= parameters",
        "validation >= .9 or parameters <= 3",
        "not validation >= .9",
        "validation != .9",
        "0.9 <= validation <= 1",
        "validation >= -1",
        "validation >= True",
        "validation >= 'a'",
        "validation >= 1e999",
        "__import__('os').system('true') >= 0",
        "(validation).real >= 0",
        "validation >= (lambda: 0)()",
        "parameters <= " + "9" * 150,
        "(" * 150,
        "validation >= 0 " + "and validation >= 0 " * 50,
        3,
        None,
    ],
)
def test_what_is_no_goal(text: str) -> None:
    with pytest.raises(DojoError, match="A goal looks like"):
        Goal.of(text)


def test_figures_of_a_session() -> None:
    session = Session(Setup().with_(kind="parabola", hidden=(4, 3), batch_size=8))
    session.epoch()
    found = figures(session)
    assert set(found) == set(FIGURES)
    assert found["parameters"] == 12 + 15 + 4
    assert (found["layers"], found["units"], found["epochs"], found["updates"]) == (2, 7, 1, 63)
    training, validation = session.score("training"), session.score("validation")
    assert training is not None
    assert validation is not None
    assert found["gap"] == training.value - validation.value
    assert found["validation_loss"] == validation.loss
    assert session.looks == 0
