"""The session: however it is driven, the same numbers; what runs away is stopped; the test is counted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground import Session, Setup
from napari_dojo.playground.goal import Goal, figures
from napari_dojo.playground.losses import decide, targets

PARABOLA = Setup().with_(kind="parabola", hidden=(4,), activation="tanh", learning_rate=0.05, batch_size=8, epochs=4)


def made(**values: Any) -> Session:
    """A session on the parabola."""
    return Session(PARABOLA.with_(**values))


def learned(session: Session, epochs: int | None = None) -> Session:
    """After all its epochs."""
    for _ in session.run(epochs):
        pass
    return session


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_however_it_is_driven_the_numbers_are_the_same(dropout: float) -> None:
    whole = learned(made(dropout=dropout))
    steps, epochs, slices, paused = (made(dropout=dropout) for _ in range(4))
    while steps.epochs < 4:
        steps.step()
    for _ in range(4):
        epochs.epoch()
    while slices.epochs < 4:
        slices.advance(0.0003, last=4)
    paused.step()
    next(paused.run())
    learned(paused)
    for other in (steps, epochs, slices, paused):
        np.testing.assert_array_equal(other.net.parameters, whole.net.parameters)
        assert other.history == whole.history
        assert other.updates == whole.updates == 4 * 63
        assert not other.altered


def test_judging_and_drawing_in_between_change_nothing() -> None:
    one, other = made(dropout=0.2), made(dropout=0.2)
    for _ in range(100):
        one.step()
        other.step()
        other.score("test")
        other.predict(other.data.xy)
    np.testing.assert_array_equal(one.net.parameters, other.net.parameters)


def test_reset_to_the_same_and_to_new_start_weights() -> None:
    session = made()
    start = session.net.parameters.copy()
    first = learned(session).history
    session.reset()
    np.testing.assert_array_equal(session.net.parameters, start)
    assert learned(session).history == first
    xy = session.data.xy
    session.reset(new=True)
    assert session.setup.attempt == 1
    assert session.data.xy is xy
    assert not np.array_equal(session.net.parameters, start)
    new = session.net.parameters.copy()
    np.testing.assert_array_equal(Session(PARABOLA.with_(attempt=1)).net.parameters, new)
    session.reset()
    np.testing.assert_array_equal(session.net.parameters, new)


def test_run_goes_to_the_epochs_that_are_set_and_on_when_asked() -> None:
    session = made()
    records = list(session.run())
    assert [r.epoch for r in records] == [1, 2, 3, 4]
    assert list(session.run()) == []
    assert [r.epoch for r in session.run(2)] == [5, 6]
    assert [r.epoch for r in session.history] == list(range(7))


@pytest.mark.parametrize("rate", [1e9, 1e12])
@pytest.mark.parametrize(("output", "loss"), [("linear", "squared_error"), ("sigmoid", "binary_cross_entropy")])
def test_what_runs_away_is_stopped_and_the_last_good_weights_are_kept(rate: float, output: str, loss: str) -> None:
    session = learned(made(output=output, loss=loss))
    good = session.net.parameters.copy()
    session.change(session.setup.with_(learning_rate=rate))
    learned(session, 3)
    assert session.diverged
    assert session.epochs == 4
    np.testing.assert_array_equal(session.net.parameters, good)
    assert "diverged in epoch 5" in str(session.ended)
    assert "The weights of epoch 4 are restored" in str(session.ended)
    assert "Try a learning rate of 0.05" in str(session.ended)
    for again in (session.step, session.epoch, lambda: session.advance(0.01), lambda: list(session.run(1))):
        with pytest.raises(DojoError, match="diverged in epoch 5"):
            again()
    session.change(session.setup.with_(learning_rate=0.01))
    assert session.ended is None
    assert [r.epoch for r in session.run(1)] == [5]
    assert np.isfinite(session.net.parameters).all()
    session.reset()
    assert not session.diverged


def test_running_away_by_single_steps_is_noticed_at_once() -> None:
    session = made(kind="plane", hidden=(), output="linear", loss="squared_error", learning_rate=1e12)
    start = session.net.parameters.copy()
    for _ in range(10_000):
        session.step()
        if session.diverged:
            break
    np.testing.assert_array_equal(session.net.parameters, start)
    assert np.isfinite([r.training.loss for r in session.history]).all()  # type: ignore[union-attr]


def test_no_goal_is_fooled_by_nan() -> None:
    values = dict.fromkeys(("parameters", "layers", "units", "epochs", "updates"), 3.0)
    values |= dict.fromkeys(("training", "validation", "gap", "training_loss", "validation_loss"), math.nan)  # type: ignore[arg-type]
    for text in ("parameters <= 20", "validation >= 0", "validation_loss < 1e9", "gap <= 1", "epochs <= 20"):
        assert not Goal.of(text).met(values)
    wild = made(initializer="zero", output="linear", loss="categorical_cross_entropy", outputs=2, hidden=())
    assert math.isnan(wild.history[0].training.loss)  # type: ignore[union-attr]
    assert not Goal.of("parameters <= 20").met(figures(wild))
    learned(wild)
    assert wild.diverged
    assert "Choose softmax" in str(wild.ended)
    assert not Goal.of("validation >= 0").met(figures(wild))


def test_outputs_that_are_not_finite_are_wrong() -> None:
    p = np.array([[np.nan], [0.2], [0.5], [0.51], [np.inf]])
    assert decide(p, 2).tolist() == [-1, 0, 0, 1, -1]
    assert decide(np.array([[0.1, 0.7, 0.2], [np.nan, 1, 0]]), 3).tolist() == [1, -1]
    assert decide(np.array([[-3.0], [1.4], [1.6], [9]]), 4).tolist() == [0, 1, 2, 3]
    assert decide(np.array([[0.25]]), 0).tolist() == [0.25]


def test_targets() -> None:
    value = np.array([0.0, 2, 1])
    assert targets(value, 3, 1).tolist() == [[0], [2], [1]]
    assert targets(value, 3, 3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    with pytest.raises(DojoError, match="has 2 neurons but needs 1 or 3 \\(one per class\\)"):
        targets(value, 3, 2)
    with pytest.raises(DojoError, match="needs 1 \\(the number to predict\\)"):
        targets(value, 0, 2)


def test_early_stopping_takes_the_best_weights_back() -> None:
    setup = Setup().with_(kind="blobs", noise=0.4, training=20, hidden=(16,), optimizer="adam", learning_rate=0.05)
    session = Session(setup.with_(batch_size=4, epochs=500, patience=7))
    snapshots = [session.net.parameters.copy()]
    for _ in session.run():
        snapshots.append(session.net.parameters.copy())
    losses = [r.validation.loss for r in session.history]  # type: ignore[union-attr]
    best = 1 + int(np.argmin(losses[1:]))
    assert session.epochs == best + 7
    np.testing.assert_array_equal(session.net.parameters, snapshots[best])
    assert session.score("validation").loss == losses[best]  # type: ignore[union-attr]
    assert f"The weights of epoch {best} are restored" in str(session.ended)
    assert not session.diverged
    session.epoch()
    assert session.epochs == best + 8


def test_the_test_is_counted_as_looked_at() -> None:
    session = Session(PARABOLA, looks=2)
    session.score("training")
    session.score("validation")
    assert session.looks == 2
    score = session.score("test")
    assert score is not None
    assert score.count == 200
    session.reset()
    assert session.looks == 3
    learned(session)
    assert session.looks == 3


def test_scores_by_hand() -> None:
    session = made()
    part = session.data.part("validation")
    p = session.predict(session.data.xy[part])[:, 0]
    t = session.data.value[part]
    score = session.score("validation")
    assert score is not None
    assert score.loss == pytest.approx(-np.mean(t * np.log(p) + (1 - t) * np.log(1 - p)))
    assert score.accuracy == np.mean((p > 0.5) == t)
    assert score.r2 is None
    assert score.value == score.accuracy
    regression = learned(Session(Setup().with_(kind="plane", output="linear", loss="squared_error", learning_rate=0.1)))
    score = regression.score("test")
    assert score is not None
    part = regression.data.part("test")
    error = regression.predict(regression.data.xy[part])[:, 0] - regression.data.value[part]
    assert score.loss == pytest.approx(0.5 * np.mean(error**2))
    assert score.r2 == pytest.approx(1 - np.mean(error**2) / np.var(regression.data.value[part]))
    assert score.accuracy is None


def test_an_empty_set_has_no_score() -> None:
    session = made(validation=0, patience=3)
    assert session.score("validation") is None
    assert learned(session).history[-1].validation is None
    assert any("Early stopping has no effect" in note for note in session.notes)
    assert not Goal.of("validation >= 0").met(figures(session))


def test_choices_change_on_the_way() -> None:
    session = made()
    session.step()
    weights = session.net.parameters.copy()
    session.change(session.setup.with_(epochs=9, patience=3))
    assert not session.altered  # another end is no other way
    session.change(session.setup.with_(learning_rate=0.5, batch_size=1, activation="relu", optimizer="adam"))
    np.testing.assert_array_equal(session.net.parameters, weights)
    assert session.altered
    session.epoch()
    assert session.updates == 1 + (500 - 8)
    session.change(session.setup.with_(hidden=(3,)))
    assert session.updates == session.epochs == 0
    assert not session.altered
    np.testing.assert_array_equal(session.net.parameters, made(hidden=(3,)).net.parameters)
    session.change(session.setup.with_(kind="circle", seed=3))
    np.testing.assert_array_equal(session.data.xy, made(kind="circle", seed=3).data.xy)


def test_a_change_before_the_start_is_as_if_it_had_been_chosen() -> None:
    session = made()
    session.change(PARABOLA.with_(loss="squared_error", activation="relu", optimizer="momentum"))
    assert not session.altered
    assert (
        learned(session).history == learned(made(loss="squared_error", activation="relu", optimizer="momentum")).history
    )


@pytest.mark.parametrize(
    "values", [{"outputs": 3}, {"kind": "formula", "formula": "y <"}, {"kind": "custom", "rows": ()}]
)
def test_a_change_that_does_not_fit_leaves_all_as_it_was(values: dict[str, Any]) -> None:
    session = made()
    session.step()
    before = session.net.parameters.copy()
    with pytest.raises(DojoError):
        session.change(session.setup.with_(**values))
    assert session.setup == PARABOLA
    np.testing.assert_array_equal(session.net.parameters, before)
    session.epoch()


def test_own_points_come_and_go_while_the_net_stays() -> None:
    rows = tuple((float(x), float(y), float(y < x)) for x, y in np.random.default_rng(0).uniform(-1, 1, (30, 2)))
    session = made(kind="custom", rows=rows)
    session.epoch()
    weights = session.net.parameters.copy()
    session.change(session.setup.with_(rows=(*rows, (0.5, -0.5, 1.0))))
    np.testing.assert_array_equal(session.net.parameters, weights)
    assert sum(session.data.counts) == 31
    session.epoch()
    with pytest.raises(DojoError, match="of class 1"):
        session.change(session.setup.with_(rows=((0, 0, 0), (1, 1, 2))))


def test_weights_by_hand() -> None:
    session = made()
    session.set_weight(0, 1, 2, -0.75)
    session.set_weight(1, None, 0, 0.25)
    assert session.net.layers[0].weights[1, 2] == session.net.parameters[6] == -0.75
    assert session.net.layers[1].biases[0] == session.net.parameters[16] == 0.25
    assert session.altered
    with pytest.raises(DojoError, match="A weight must lie between"):
        session.set_weight(0, 0, 0, math.nan)
    other = Session(PARABOLA, session.net.parameters)
    np.testing.assert_array_equal(other.predict([[0.1, 0.2]]), session.predict([[0.1, 0.2]]))
    session.reset()
    assert not session.altered


def test_one_coordinate_has_no_y() -> None:
    with pytest.raises(DojoError, match="depends on x alone"):
        Session(Setup().with_(kind="curve"))


def test_huge_coordinates() -> None:
    rows = ((1e100, 0, 0), (2e99, 1, 1), (1e90, 2, 0), (-1e100, 3, 1)) * 5
    for inputs in (("x", "y"), ("x2", "xy")):
        learned(made(kind="custom", rows=rows, inputs=inputs))
        assert not learned(made(kind="custom", rows=rows, inputs=inputs, zscore=True)).diverged


def test_notes() -> None:
    assert made().notes == []
    notes = made(hidden=(), skip=True, dropout=0.5, output="linear").notes
    assert len(notes) == 3
    assert notes[0].startswith("Binary cross-entropy needs probabilities")


def test_sessions_do_not_meet() -> None:
    one, other = made(), made()
    one.epoch()
    assert other.epochs == 0
    np.testing.assert_array_equal(other.net.parameters, made().net.parameters)
    assert replace(one.setup) == other.setup
