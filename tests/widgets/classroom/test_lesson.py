"""The lesson: what was asked of it, what it says, and that it decides nothing that the engine does not."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from napari_dojo.playground import Session, Setup
from napari_dojo.playground.exercise import Exercise, load
from napari_dojo.playground.slow import slow_motion
from napari_dojo.widgets.classroom.lesson import Lesson, fitting, unit_name

pytestmark = pytest.mark.gui  # QObject


@pytest.fixture
def lesson(qapp):
    return Lesson(load("parabola"))


def heard(lesson):
    said = []
    lesson.said.connect(lambda level, text: said.append((level, text)))
    return said


def test_choices_are_taken_over_and_wrong_ones_are_said(lesson):
    said = heard(lesson)
    assert lesson.set(hidden=(4,), learning_rate=0.1)
    assert lesson.session.setup.net.hidden == (4,)
    assert not lesson.set(learning_rate=0.0)
    assert said[-1][0] == "error"
    assert "learning rate must be above 0" in said[-1][1]
    assert not lesson.set(batch_size="many")
    assert lesson.session.setup.learning.learning_rate == 0.1


def test_a_slice_of_learning_counts_updates_and_stops_at_the_last_epoch(lesson):
    assert lesson.learn(3, 1.0, 20) == 3
    assert lesson.learn(0.4, 1.0, 20) == 0
    assert lesson.learn(float("inf"), 60.0, 1) == 497
    assert lesson.session.epochs == 1
    same = Session(load("parabola").start)
    same.epoch()
    np.testing.assert_array_equal(lesson.session.net.parameters, same.net.parameters)


def test_own_points_that_are_too_few_wait(lesson):
    lesson.set_rows(((0.0, 0.0, 0.0),))
    assert lesson.pending
    assert "not of class 1" in lesson.problem
    assert lesson.session.setup.points.kind == "parabola"  # as it was
    said = heard(lesson)
    lesson.step()
    assert lesson.session.updates == 0
    assert said[-1] == ("error", lesson.problem)
    lesson.set(hidden=(3,))  # other choices are not lost meanwhile
    lesson.set_rows(((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    assert not lesson.problem
    assert lesson.session.setup.net.hidden == (3,)
    assert lesson.session.data.counts == (2, 0, 0)


def test_points_of_a_set_become_ones_own_but_not_those_of_the_test(lesson):
    before = lesson.session.data.xy[:700]
    lesson.set(kind="custom")
    np.testing.assert_array_equal(np.array(lesson.wanted.points.rows)[:, :2], before)


def test_the_last_layer_follows_the_points():
    four = Setup().with_(kind="clusters", outputs=4, output="softmax", loss="categorical_cross_entropy")
    setup, told = fitting(four.with_(kind="xor"))
    assert (setup.net.outputs, told) == (2, "The output layer now has 2 neurons, one per class.")
    assert fitting(four.with_(kind="plane"))[0].net.outputs == 1
    setup, told = fitting(Setup().with_(kind="curve", inputs=("x", "y", "xy")))
    assert setup.net.inputs == ("x",)
    assert "depends on x alone" in told
    assert fitting(four) == (four, "")
    assert fitting(Setup().with_(kind="formula"))[0].points.formula


def test_an_exercise_that_was_begun_continues_where_it_was_left(lesson):
    lesson.learn(10, 1.0, 20)
    lesson.hints = 2
    lesson.choose("xor")
    assert lesson.session.updates == 0
    lesson.choose("parabola")
    assert (lesson.session.updates, lesson.hints) == (10, 2)
    lesson.reveal()
    lesson.start_over()
    assert (lesson.session.updates, lesson.hints, lesson.session.looks) == (0, 0, 1)


def test_the_test_is_covered_again_by_learning_and_looks_are_counted(lesson):
    said = heard(lesson)
    lesson.reveal()
    assert lesson.test == deepcopy(lesson.session).score("test")
    assert (lesson.revealed, lesson.session.looks) == (True, 1)
    lesson.step()
    assert not lesson.revealed
    assert lesson.test is None
    lesson.reveal()
    assert "revealed 2 times" in said[-1][1]


def test_the_goal_is_met_by_its_solution_and_lost_by_a_reset(lesson):
    lesson.solve()
    assert not lesson.met
    lesson.learn(float("inf"), 60.0, 20)
    lesson.learned()
    assert lesson.met
    lesson.reset()
    assert not lesson.met
    assert lesson.session.setup == load("parabola").solution


def test_slow_motion_has_the_engines_stages_and_gives_way(lesson):
    lesson.set(hidden=(3,))
    same = Session(lesson.session.setup)
    for expected in slow_motion(same):
        lesson.next_stage()
        assert (lesson.stage.kind, lesson.stage.lines) == (expected.kind, expected.lines)
        np.testing.assert_array_equal(lesson.stage.values, expected.values)
    assert lesson.stage.kind == "done"
    np.testing.assert_array_equal(lesson.session.net.parameters, same.net.parameters)
    lesson.next_stage()
    assert lesson.stage.kind == "input"
    before = lesson.session.net.parameters.copy()
    lesson.leave_slow()
    assert lesson.stage is None
    np.testing.assert_array_equal(lesson.session.net.parameters, before)
    lesson.next_stage()
    lesson.set(learning_rate=0.5)
    assert lesson.stage is None


def test_what_an_exercise_begins_with_is_not_given_away(lesson):
    lesson.choose("clusters")
    assert "Choose 4 outputs" in lesson.session.notes[0]
    assert lesson.remarks == []
    lesson.set(loss="squared_error")
    assert [note[:13] for note in lesson.remarks] == ["Squared error"]
    lesson.choose("parabola")
    lesson.set(batch_size=1000)
    assert "exceeds the 500 training points" in lesson.remarks[0]


def test_what_runs_away_is_said_and_learns_no_more(lesson):
    said = heard(lesson)
    lesson.set(kind="plane", output="linear", loss="squared_error", learning_rate=1e12)
    lesson.learn(float("inf"), 60.0, 20)
    assert lesson.session.diverged
    assert not lesson.goes
    assert np.isfinite(lesson.session.net.parameters).all()
    lesson.step()
    assert "diverged" in said[-1][1]


def test_locks_and_names(lesson):
    values = load("parabola").as_dict()
    locked = Exercise.of({**values, "controls": {"allowed": ["hidden"], "hidden": ["loss"]}}, "mine")
    lesson.open(locked)
    assert [lesson.may(name) for name in ("hidden", "loss", "seed", "weights")] == [True, False, False, False]
    lesson.set(hidden=(2, 3))
    names = [unit_name(lesson, *unit) for unit in ((-1, 1), (0, 1), (1, 2), (2, 0))]
    assert names == ["y", "h2 of layer 1", "h3 of layer 2", "out"]
