"""Training from pairs to a saved model, on tiny data."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import discs
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Event, Started, Step, Validated
from napari_dojo.inference.predict import predict
from napari_dojo.models.bundle import load
from napari_dojo.models.card import read_card
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks.instances import InstancesOptions
from napari_dojo.tasks.semantic import SemanticOptions
from napari_dojo.training.judge import Judge
from napari_dojo.training.train import Target, train_steps

SETTINGS = TrainSettings(steps=4, batch=2, patch=64, width=8, depth=2, device="cpu")


def run(out: Path, settings: TrainSettings = SETTINGS, task: str = "instances", **more: object) -> list[Event]:
    """All events of a training on discs."""
    images, labels = discs()
    options = more.pop("options", None)
    control = more.pop("control", None)
    start = more.pop("start", None)
    target = Target(out, **more)  # type: ignore[arg-type]
    return list(train_steps(Dataset.of(images, labels), task, target, settings, options, start, control))  # type: ignore[arg-type]


def test_events_begin_with_the_plan_and_end_with_a_saved_model(tmp_path: Path) -> None:
    events = run(tmp_path / "m")
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Done)
    assert events[-1].result == str(tmp_path / "m")
    assert [e.step for e in events if isinstance(e, Step)] == [1, 2, 3, 4]
    card = read_card(tmp_path / "m")
    assert card.task == "instances"
    assert card.diameter == pytest.approx(2 * np.sqrt(149 / np.pi), rel=0.02)  # a disc of radius 7 has 149 pixels
    assert card.training["steps"] == 4
    logged = [json.loads(line)["event"] for line in (tmp_path / "m/run/events.jsonl").read_text().splitlines()]
    assert logged[0] == "Started"
    assert logged[-1] == "Done"
    assert "Step" not in logged


def test_the_same_seed_and_steps_give_the_same_model(tmp_path: Path) -> None:
    run(tmp_path / "a")
    run(tmp_path / "b")
    a, b = (load(tmp_path / name).net.state_dict() for name in "ab")
    assert all(bool((a[k] == b[k]).all()) for k in a)
    run(tmp_path / "c", replace(SETTINGS, seed=1))
    c = load(tmp_path / "c").net.state_dict()
    assert any(bool((a[k] != c[k]).any()) for k in a)


def test_discs_are_found_after_a_few_dozen_steps(tmp_path: Path) -> None:
    done = run(tmp_path / "m", replace(SETTINGS, steps=150, batch=4, width=16, learning_rate=0.01))[-1]
    assert isinstance(done, Done)
    held = done.facts["baseline"]["selection_score"]  # discs are found without learning, too
    assert bool(done.facts["warning"]) == (done.facts["score"]["selection_score"] <= held)
    assert ("as good as the model" in done.facts["warning"]) == (done.facts["score"]["selection_score"] == held)
    image, labels = (a[0] for a in discs(seed=9))
    prediction = predict(load(tmp_path / "m"), image, "YX")
    assert prediction.max() == 9
    assert np.mean((prediction > 0) == (labels > 0)) > 0.97


def test_a_model_that_is_no_better_than_no_learning_says_so(tmp_path: Path) -> None:
    done = run(tmp_path / "m", replace(SETTINGS, steps=1))[-1]
    assert isinstance(done, Done)
    assert done.facts["score"]["selection_score"] < done.facts["baseline"]["selection_score"]
    assert "no better than the baseline" in done.facts["warning"]


def test_an_existing_model_is_kept_without_overwrite(tmp_path: Path) -> None:
    run(tmp_path / "m")
    with pytest.raises(DojoError, match="exists already"):
        run(tmp_path / "m")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(DojoError, match="is not a model"):
        run(tmp_path / "other", overwrite=True)
    assert (tmp_path / "other" / "thesis.txt").read_text() == "mine"
    assert isinstance(run(tmp_path / "m", overwrite=True)[-1], Done)


def test_a_run_is_resumed_where_it_was(tmp_path: Path) -> None:
    run(tmp_path / "m")
    events = run(tmp_path / "m", replace(SETTINGS, steps=7), resume=True)
    assert [e.step for e in events if isinstance(e, Step)] == [5, 6, 7]


def test_a_resumed_run_keeps_its_batch_unless_another_one_is_asked_for(tmp_path: Path) -> None:
    run(tmp_path / "m")
    for asked, batch in ((0, 2), (1, 1)):
        started = run(tmp_path / "m", replace(SETTINGS, batch=asked, steps=5), resume=True)[0]
        assert isinstance(started, Started)
        assert started.plan["batch"] == batch


def test_a_run_that_was_killed_while_its_model_was_saved_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    once = replace(SETTINGS, steps=1)
    with monkeypatch.context() as patch:
        patch.setattr("napari_dojo.training.recorder.bundles.save", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "m", once)
    assert isinstance(run(tmp_path / "m", once, resume=True)[-1], Done)


def test_a_run_that_was_killed_before_its_first_check_takes_nothing_from_the_model_that_it_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "m")
    images, labels = discs()
    data = Dataset.of(images, [1 + (y > 0) for y in labels])
    with monkeypatch.context() as patch:
        patch.setattr("napari_dojo.training.loop.KEEP_EVERY", -1.0)
        steps = train_steps(data, "semantic", Target(tmp_path / "m", overwrite=True), replace(SETTINGS, steps=1000))
        while not (isinstance(event := next(steps), Step) and event.step == 3):
            pass
        steps.close()
    assert read_card(tmp_path / "m").task == "instances"  # until the first check of the new one
    again = list(train_steps(data, "semantic", Target(tmp_path / "m", resume=True), SETTINGS))
    assert [e.step for e in again if isinstance(e, Step)] == [3, 4]
    assert isinstance(again[-1], Done)
    assert read_card(tmp_path / "m").task == "semantic"


def test_the_decoding_is_chosen_where_the_best_weights_were_found_before_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, out = Control(), tmp_path / "m"
    for event in train_steps(
        Dataset.of(*discs()), "instances", Target(out), replace(SETTINGS, steps=10), control=control
    ):
        control.stop = control.stop or (isinstance(event, Validated) and event.step == 2)
    state = torch.load(out / "run/state.pt")
    torch.save({**state, "best": 2.0}, out / "run/state.pt")
    before, seen, tuned = load(out), [], Judge.tuned

    def noted(judge: Judge, maps: list[NDArray[np.float32]], *more: object) -> object:
        seen.append(maps)
        return tuned(judge, maps, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Judge, "tuned", noted)
    run(out, resume=True)
    after = load(out)
    assert after.card.training["steps"] == 4
    assert all(bool((v == before.net.state_dict()[k]).all()) for k, v in after.net.state_dict().items())
    assert len(seen) == 1


def test_stop_before_the_first_check_keeps_what_there_is(tmp_path: Path) -> None:
    control = Control()
    images, labels = discs()
    found: list[Event] = []
    settings = replace(SETTINGS, steps=1000)
    for event in train_steps(
        Dataset.of(images, labels), "instances", Target(tmp_path / "m"), settings, control=control
    ):
        found.append(event)
        control.stop = control.stop or isinstance(event, Step)
    assert not any(isinstance(e, Validated) for e in found)
    assert isinstance(found[-1], Done)
    assert predict(load(tmp_path / "m"), images[0], "YX").shape == (96, 96)


def test_fine_tuning_begins_with_the_weights_of_the_start(tmp_path: Path) -> None:
    run(tmp_path / "a")
    start = load(tmp_path / "a")
    run(tmp_path / "b", replace(SETTINGS, steps=1, learning_rate=1e-12), start=start)
    a, b = (load(tmp_path / name).net.state_dict() for name in "ab")
    weights = [k for k in a if k.endswith("weight")]
    assert all(bool((abs(a[k] - b[k]) < 1e-4).all()) for k in weights)
    assert read_card(tmp_path / "b").parent == "a"


def test_objects_three_times_as_large_are_scaled_to_those_of_the_start(tmp_path: Path) -> None:
    run(tmp_path / "a")
    images, labels = discs()
    large = (
        [np.kron(x, np.ones((3, 3), x.dtype)) for x in images],
        [np.kron(y, np.ones((3, 3), y.dtype)) for y in labels],
    )
    start = load(tmp_path / "a")
    list(train_steps(Dataset.of(*large), "instances", Target(tmp_path / "b"), replace(SETTINGS, steps=1), start=start))
    card = read_card(tmp_path / "b")
    assert card.zoom == pytest.approx(1 / 3, rel=0.02)
    assert card.diameter == pytest.approx(3 * start.card.diameter, rel=0.02)  # type: ignore[operator]
    assert predict(load(tmp_path / "b"), large[0][0], "YX").shape == (288, 288)


def test_semantic_learns_classes_from_strokes(tmp_path: Path) -> None:
    images, labels = discs()
    strokes = [np.where(y > 0, 2, 1) * (np.indices(y.shape)[0] % 4 == 0) for y in labels]
    settings = replace(SETTINGS, steps=60, learning_rate=0.01)
    options = SemanticOptions(classes=("ground", "disc"))
    list(train_steps(Dataset.of(images, strokes), "semantic", Target(tmp_path / "m"), settings, options))
    prediction = predict(load(tmp_path / "m"), images[0], "YX")
    assert set(np.unique(prediction)) == {1, 2}
    assert np.mean((prediction == 2) == (labels[0] > 0)) > 0.95
    assert read_card(tmp_path / "m").maps == ("ground", "disc")


def test_objects_are_trained_from_strokes(tmp_path: Path) -> None:
    images, labels = discs()
    strokes = [np.where(y > 0, y + 1, 1) * (np.indices(y.shape)[0] % 6 < 2) for y in labels]
    options = InstancesOptions(annotation="strokes")
    steps = train_steps(
        Dataset.of(images, strokes), "instances", Target(tmp_path / "m"), replace(SETTINGS, steps=10), options
    )
    events = list(steps)
    assert isinstance(events[-1], Done)
    assert "strokes in separate objects" in events[-1].facts["sentence"]
    assert events[-1].facts["score_from"] == "training"
    assert "annotation" not in read_card(tmp_path / "m").options  # it is scored against whole objects


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (np.zeros((64, 64)), np.ones((64, 64), int), "constant"),
        (np.random.default_rng(0).random((64, 64)), np.zeros((64, 64), int), "No object is labelled"),
        (np.random.default_rng(0).random((4, 4)), np.ones((4, 4), int), "too small"),
    ],
)
def test_what_cannot_be_learned_is_refused_before_anything_is_written(
    tmp_path: Path, images: NDArray[np.float64], labels: NDArray[np.int_], said: str
) -> None:
    with pytest.raises(DojoError, match=said):
        list(train_steps(Dataset.of([images], [labels]), "instances", Target(tmp_path / "m"), SETTINGS))
    assert not (tmp_path / "m").exists()


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        DojoError,
        match=r"^The disk of .* is full\. Free space there, or choose another folder\. What was written before is kept\.$",
    ):
        run(tmp_path / "m")


@pytest.mark.parametrize("first", [2, 6])  # the test output; the state of the run
def test_after_a_first_save_on_a_full_disk_the_same_command_can_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Nothing half stays there, and the folder that was named is named, not that of the run."""
    write, written = Path.write_bytes, []

    def full(path: Path, data: bytes) -> int:
        if len(written) == first:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return write(path, data)

    (tmp_path / "m").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(DojoError, match=rf"^The disk of {tmp_path / 'm'} is full"):
            run(tmp_path / "m", replace(SETTINGS, steps=1))
    assert list((tmp_path / "m").iterdir()) == []
    assert isinstance(run(tmp_path / "m", replace(SETTINGS, steps=1))[-1], Done)


def test_what_a_kill_left_of_a_first_save_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "m"
    out.mkdir()
    (out / "README.md").write_text("mine")
    with pytest.raises(DojoError, match="exists already"):
        run(out, replace(SETTINGS, steps=1))
    (out / "weights-0123456789ab.pt").write_bytes(b"half")
    (out / ".0123.part").write_bytes(b"half")
    run(out, replace(SETTINGS, steps=1))
    assert sorted(p.name[:8] for p in out.iterdir()) == [
        *("README.m", "cover.pn", "rdf.yaml", "run", "test_inp", "test_out", "weights-")
    ]
    with pytest.raises(DojoError, match="exists already"):
        run(out, replace(SETTINGS, steps=1))
