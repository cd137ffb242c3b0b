"""How to choose: the course's table, and a reason for every pairing that does not fit."""

from __future__ import annotations

import pytest

from napari_dojo.playground import NetShape
from napari_dojo.playground.advice import choose, mismatch


@pytest.mark.parametrize(
    ("problem", "classes", "wanted"),
    [
        ("two classes", 2, ("sigmoid", "binary_cross_entropy", 1)),
        ("several classes", 5, ("softmax", "categorical_cross_entropy", 5)),
        ("a number", 0, ("linear", "squared_error", 1)),
    ],
)
def test_the_table_of_the_course_fits_itself(problem: str, classes: int, wanted: tuple[str, str, int]) -> None:
    choice = choose(problem, classes)
    assert (choice.output, choice.loss, choice.outputs) == wanted
    assert choice.why.endswith(".")
    assert mismatch(classes, NetShape(output=choice.output, outputs=choice.outputs), choice.loss) == ()  # type: ignore[arg-type]


def test_an_unknown_problem() -> None:
    with pytest.raises(ValueError, match="world peace"):
        choose("world peace")


@pytest.mark.parametrize("classes", [0, 2, 4])
@pytest.mark.parametrize("output", ["sigmoid", "softmax", "linear"])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy", "categorical_cross_entropy"])
@pytest.mark.parametrize("all_outputs", [False, True])
def test_all_other_pairings_are_explained(classes: int, output: str, loss: str, all_outputs: bool) -> None:
    outputs = classes if all_outputs and classes else 1
    found = mismatch(classes, NetShape(output=output, outputs=outputs), loss)  # type: ignore[arg-type]
    fits = {
        (0, "linear", "squared_error", 1),
        (2, "sigmoid", "binary_cross_entropy", 1),
        (2, "softmax", "categorical_cross_entropy", 2),
        (4, "softmax", "categorical_cross_entropy", 4),
    }
    assert bool(found) != ((classes, output, loss, outputs) in fits)
    assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in found)


def test_the_gravest_comes_first() -> None:
    assert "always 1" in mismatch(2, NetShape(output="softmax"), "squared_error")[0]
    assert "cannot stand for 4 classes" in mismatch(4, NetShape(), "binary_cross_entropy")[0]
    assert "always 0" in mismatch(2, NetShape(), "categorical_cross_entropy")[0]
