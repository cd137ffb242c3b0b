"""Exercises: those of the course are what FACTS say, all can be reached, and hostile files do no harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import napari_dojo
from napari_dojo.errors import DojoError
from napari_dojo.playground import Session
from napari_dojo.playground.exercise import ALIASES, CONTROLS, IMAGES, NAMES, Exercise, as_toml, load, overview
from napari_dojo.playground.goal import figures
from napari_dojo.playground.image_settings import ImageSetup
from napari_dojo.playground.kinds import session_of

SHIPPED = Path(napari_dojo.__file__).parent / "playground" / "exercises"
DOCS = Path(__file__).resolve().parents[2] / "docs"


def reached(exercise: Exercise, seed: int, solution: bool = True) -> bool:
    """Whether the goal is met on the way, as in the lesson, with the solution, or at the end with the settings of the start."""
    chosen = exercise.solution if solution else exercise.start
    assert chosen is not None
    session = session_of(replace(chosen, seed=seed))
    for k, _ in enumerate(session.run(), 1):
        if solution and k % 4 == 0 and exercise.goal.met(figures(session)):
            return True
    return exercise.goal.met(figures(session))


def test_all_are_there() -> None:
    assert {p.stem for p in SHIPPED.glob("*.toml")} == set(NAMES)
    assert [name for name in NAMES if isinstance(load(name).start, ImageSetup)] == list(IMAGES)
    assert load("regression") == load(ALIASES["regression"])


@pytest.mark.parametrize("name", NAMES)
def test_text_and_settings(name: str) -> None:
    exercise = load(name)
    assert len(exercise.text) == 3
    assert all(sentence.endswith((".", "?")) for sentence in (*exercise.text, *exercise.hints, exercise.why))
    assert exercise.hints
    assert exercise.why
    assert exercise.solution is not None
    assert exercise.solution.data == exercise.start.data
    assert exercise.changed_though_not_allowed(exercise.solution) == []
    assert Exercise.of(exercise.as_dict(), name) == exercise


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_reaches_the_goal_and_the_start_does_not(name: str) -> None:
    """Two seeds here, ten in benchmarks/classroom.py."""
    exercise = load(name)
    seeds = 1 if name in IMAGES else 2  # images take seconds each
    assert all(reached(exercise, seed) for seed in range(seeds))
    assert not reached(exercise, 0, solution=False)


def test_the_course_is_reproduced() -> None:
    line, parabola, spiral, clusters = (load(name) for name in NAMES[:4])
    for exercise, counts in ((line, (500, 200, 200)), (parabola, (500, 200, 200)), (spiral, (500, 200, 2200))):
        points = exercise.start.points
        assert (points.training, points.validation, points.test) == counts
        assert exercise.start.learning.loss == "binary_cross_entropy"
        assert exercise.start.learning.optimizer == "sgd"
        assert exercise.start.learning.epochs == 20
        assert (exercise.start.net.output, exercise.start.net.outputs) == ("sigmoid", 1)
    assert (line.start.learning.learning_rate, line.start.learning.batch_size) == (0.01, 32)
    assert line.start.net.parameters == 3
    assert (parabola.start.learning.learning_rate, parabola.start.learning.batch_size) == (0.05, 1)
    assert parabola.start.net.hidden == ()
    assert parabola.solution is not None
    assert parabola.solution.net.parameters == 17
    assert (spiral.start.learning.learning_rate, spiral.start.learning.batch_size) == (0.002, 1)
    assert (spiral.start.net.hidden, spiral.start.net.activation) == ((1,), "relu")
    assert (spiral.start.points.label_noise, spiral.start.points.zscore) == (0.01, True)
    assert clusters.solution is not None
    assert clusters.solution.net.output == "softmax"
    assert clusters.solution.learning.loss == "categorical_cross_entropy"


def test_files_of_ones_own(tmp_path: Path) -> None:
    exercise = load("overfitting")
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(exercise), encoding="utf-8")
    assert load(path) == replace(exercise, name="mine")
    path.write_text('goal = "validation >= 0.9"\n[net]\nhidden = [3]\n[controls]\nhidden = ["l1", "weights"]\n')
    small = load(path)
    assert (small.title, small.text, small.solution) == ("mine", (), None)
    assert small.start.net.hidden == (3,)
    assert small.hidden == ("l1", "weights")
    assert set(small.hidden) <= set(CONTROLS)
    assert Exercise.of(small.as_dict(), "mine") == small
    odd = replace(small, title='a "b" \\ c')
    path.write_text(as_toml(odd), encoding="utf-8")
    assert load(path).title == odd.title


def test_what_may_not_be_changed() -> None:
    exercise = load("batch-size")
    assert exercise.changed_though_not_allowed(exercise.start.with_(batch_size=2, seed=4)) == []
    assert exercise.changed_though_not_allowed(exercise.start.with_(learning_rate=1, hidden=())) == [
        "hidden",
        "learning_rate",
    ]
    hiding = replace(load("line"), hidden=("l2", "optimizer"))
    assert hiding.changed_though_not_allowed(hiding.start.with_(l2=1, learning_rate=1)) == ["l2"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "A goal looks like"),
        ("goal = 3", "A goal looks like"),
        ('goal = "validation >= 0.9"\nformat = 2', "from a newer version. Update napari-dojo"),
        ('goal = "validation >= 0.9"\nformat = "1"', "The format of an exercise must be 1"),
        ('goal = "validation >= 0.9"\nformat = true', "The format of an exercise must be 1"),
        ('goal = "validation >= 0.9"\ncode = "import os"', "An exercise has no code"),
        ('goal = "validation >= 0.9"\ntext = "a"', "a list of at most 12 sentences"),
        ('goal = "validation >= 0.9"\ntext = [1]', "must be text of at most"),
        (f'goal = "validation >= 0.9"\ntitle = "{"a" * 700}"', "must be text of at most"),
        ('goal = "validation >= 0.9"\npoints = 3', "must be a table"),
        ('goal = "validation >= 0.9"\nsolution = 3', "must be a table"),
        ('goal = "validation >= 0.9"\n[net]\nhiden = [3]', "has no option 'hiden'"),
        ('goal = "validation >= 0.9"\n[points]\nkind = "donut"', "Points must be one of"),
        ('goal = "validation >= 0.9"\n[points]\ntraining = 99999999', "Training must lie between"),
        ('goal = "validation >= 0.9"\n[learning]\nlearning_rate = nan', "Learning rate must lie between"),
        ('goal = "validation >= 0.9"\n[solution.net]\nhidden = [99]', "whole numbers from 1 to 32"),
        ('goal = "validation >= 0.9"\n[controls]\nhidden = ["everything"]', "Unknown control 'everything'"),
        ('goal = "validation >= 0.9"\n[controls]\nallowed = "seed"', "Unknown control 'seed'"),
        ("no toml at all", "is not a valid exercise file"),
        ("a = " + "[" * 5000, "is not a valid exercise file"),
        ("a = " + "9" * 5000, "is not a valid exercise file"),
        ('a = "\xff', "is not a valid exercise file"),
        ("#" * 1_000_001, "is larger than 1000 kB"),
    ],
)
def test_broken_hostile_and_newer_files(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(DojoError, match=sentence):
        load(path)


def test_no_such_exercise() -> None:
    with pytest.raises(DojoError, match=r"There is no exercise 'donut'\. Choose one of line, parabola"):
        load("donut")


def test_the_page_of_the_docs_is_up_to_date_and_gives_nothing_away() -> None:
    page = (DOCS / "classroom-exercises.md").read_text(encoding="utf-8")
    assert page == overview(), "regenerate it with napari_dojo.playground.exercise.overview()"
    assert not any(load(name).why in page for name in NAMES)


def test_a_goal_is_met_with_the_points_of_the_exercise_alone() -> None:
    exercise = load("parabola")
    easy = exercise.start.with_(kind="custom", rows=((0, 0, 0), (1, 1, 1), (0, 1, 0)))
    session = Session(easy)
    assert exercise.goal.met({**figures(session), "validation": 1.0})
    assert exercise.other_points(easy)
    assert not exercise.met(session, validation=1.0)
    assert exercise.met(Session(exercise.start.with_(seed=3)), validation=1.0)  # another sample is the same task
    values = {**exercise.as_dict(), "controls": {"allowed": ["noise"]}}
    noisy = exercise.start.with_(noise=0.1)
    assert exercise.other_points(noisy)
    assert not Exercise.of(values, "mine").other_points(noisy)
