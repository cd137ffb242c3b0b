"""What a training starts from: candidates, how they are compared, and that the better one continues, in both directions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from discs import discs
from scipy.ndimage import gaussian_filter

from napari_dojo.data.dataset import Dataset
from napari_dojo.device import choose
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Event, Message, Started, Step, Tried, Validated
from napari_dojo.inference.predict import predict
from napari_dojo.models.bundle import Bundle, load, save
from napari_dojo.models.card import read_card
from napari_dojo.models.kept import MEMORY
from napari_dojo.models.library import Model, find
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import random_nuclei
from napari_dojo.tasks import TASKS
from napari_dojo.training.checks import Checks
from napari_dojo.training.corrections import KEPT
from napari_dojo.training.held import memory_of
from napari_dojo.training.judge import Judge
from napari_dojo.training.prepare import Setup, prepare
from napari_dojo.training.run import Training
from napari_dojo.training.start import AUTO, Comparison, comparison
from napari_dojo.training.train import Target, train_steps
from napari_dojo.training.trials import find_start

SETTINGS = TrainSettings(steps=200, batch=2, patch=32, width=8, depth=2, device="cpu")


def pairs(n: int = 3) -> Dataset:
    """Noisy discs and the clean ones."""
    inputs, clean = [], []
    for noisy, labels in zip(*discs(n=n), strict=True):
        y = gaussian_filter(100 + 400.0 * (labels > 0), 1).astype(np.float32)
        inputs.append(noisy + np.random.default_rng(0).normal(0, 60, y.shape).astype(np.float32))
        clean.append(y)
    return Dataset.of(inputs, clean, layout=TASKS["denoise"].layout(TASKS["denoise"].options()))


def run(
    out: Path,
    start: str | None,
    settings: TrainSettings = SETTINGS,
    last: int = 10**6,
    control: Control | None = None,
    **more: object,
) -> list[Event]:
    """All events of a training to denoise, which is stopped after the step ``last``."""
    control = control or Control()
    steps = train_steps(pairs(), "denoise", Target(out, **more), settings, None, start, control)  # type: ignore[arg-type]
    return stopped_after(last, steps, control)


def stopped_after(last: int, steps: Iterator[Event], control: Control) -> list[Event]:
    """The events of a training that is stopped after this step."""
    events = []
    for event in steps:
        events.append(event)
        control.stop = control.stop or (isinstance(event, Step) and event.step >= last)
    return events


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that denoises such discs, trained once."""
    path = tmp_path_factory.mktemp("trained") / "good"
    run(path, None, replace(SETTINGS, steps=100))
    return path


@pytest.fixture
def trained(good: Path, own_home: Path) -> Path:
    """The same as an own model."""
    return Path(shutil.copytree(good, own_home / "models" / "good", ignore=shutil.ignore_patterns("run")))


@pytest.fixture
def spoilt(trained: Path) -> Path:
    """The same with weights that undo themselves."""
    bundle = load(trained)
    with torch.no_grad():
        for p in bundle.net.parameters():
            p.mul_(-3)
    save(Bundle(bundle.card, bundle.net), trained, np.asarray(pairs().samples[0].x)[:, :32, :32])
    return trained


def told(events: list[Event]) -> str:
    """Why it started from what it did; empty where nothing was compared."""
    return next((e.plan["start"] for e in events if isinstance(e, Started)), "")


def setup_for(settings: TrainSettings, start: str | None = AUTO) -> Setup:
    task = TASKS["denoise"]
    return prepare(pairs(), task, task.options(), settings, choose("cpu"), start)  # type: ignore[arg-type]


def test_the_better_model_continues_with_its_trial(trained: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "look-0.npy", pairs().samples[0].x)
    events = run(tmp_path / "m", AUTO, last=40, control=Control(look={"image": str(tmp_path / "look-0.npy")}))
    why = told(events)
    assert why.startswith("Started from good: PSNR ")
    assert " dB " in why
    assert why.endswith("from nothing.")
    assert Message("info", why) in events
    tried = [e for e in events if isinstance(e, Tried)]
    assert [(e.start, e.step) for e in tried] == [
        ("good", 0),
        ("good", 20),
        ("nothing", 10),
    ]  # half of a trial was enough
    reached = [e.score["selection_score"] for e in tried]
    assert max(reached[:2]) > reached[2]
    assert f"{tried[1].figure} " in why
    assert f"{tried[2].figure} " in why
    assert type(events[1]) is Tried  # before the first step of all
    run_of = tmp_path / "m" / "run"
    assert [e.preview for e in tried] == [str(run_of / f"preview{k}-0.npy") for k in ("", "", "1")]
    first = next(e for e in events if isinstance(e, Validated))
    assert first.preview == tried[1].preview  # that of the start that won, not of the last one that was tried
    assert [e.step for e in events if isinstance(e, Step)] == list(range(21, 41))  # a tenth of all was its trial
    card = read_card(tmp_path / "m")
    assert card.parent == "good"
    assert card.training["start"] == why
    assert card.training["steps"] == 40
    logged = [json.loads(line) for line in (tmp_path / "m/run/events.jsonl").read_text().splitlines()]
    assert why in [e.get("text") for e in logged]
    assert [e["start"] for e in logged if e["event"] == "Tried"] == ["good", "good", "nothing"]


@pytest.mark.parametrize("tried", [True, False])
def test_a_new_model_that_does_better_continues(
    spoilt: Path, tmp_path: Path, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tried:
        monkeypatch.setattr(Training, "hopeless", False)
    events = run(tmp_path / "m", AUTO, last=21)
    assert told(events).startswith("Started from nothing: PSNR " if tried else "Started from nothing: good predicts ")
    assert told(events).endswith("from good." if tried else "worse, before any training, than a new network.")
    found = [(e.start, e.step) for e in events if isinstance(e, Tried)]
    assert found == [("good", 0), *([("good", 20), ("nothing", 20)] if tried else [])]
    assert [e.step for e in events if isinstance(e, Step)] == [21] if tried else list(range(1, 22))
    assert read_card(tmp_path / "m").parent is None
    assert isinstance(events[-1], Done)


@pytest.mark.parametrize(("start", "parent"), [("none", None), ("good", "good")])
def test_none_and_a_name_decide(trained: Path, tmp_path: Path, start: str, parent: str | None) -> None:
    events = run(tmp_path / "m", start, replace(SETTINGS, steps=2))
    assert isinstance(events[0], Started)
    assert told(events) == ""
    assert read_card(tmp_path / "m").parent == parent


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DojoError, match="no model 'gone'"):
        run(tmp_path / "m", "gone")


@pytest.mark.parametrize("start", ["good", AUTO])
def test_the_model_is_never_worse_than_its_start(trained: Path, tmp_path: Path, start: str) -> None:
    before = read_card(trained).score["selection_score"]
    done = run(tmp_path / "m", start, replace(SETTINGS, learning_rate=1.0))[-1]
    assert isinstance(done, Done)
    assert done.facts["score"]["selection_score"] >= before - 1e-3


def strokes() -> Dataset:
    """Discs with a stroke on each, and some on the background."""
    inputs, labels = discs(n=2)
    drawn = []
    for y in labels:
        stroke = np.zeros_like(y)
        for n in np.unique(y)[1:]:
            middle = np.argwhere(y == n)[(y == n).sum() // 2]
            stroke[tuple(slice(max(0, m - 1), m + 2) for m in middle)] = n + 1
        stroke = np.where(y > 0, stroke, 0)
        stroke[::12, ::3] = np.where(y[::12, ::3] == 0, 1, stroke[::12, ::3])
        drawn.append(stroke)
    return Dataset.of(inputs, drawn)


def test_strokes_are_held_out_for_the_comparison_and_then_trained_on(own_home: Path, tmp_path: Path) -> None:
    known, settings = own_home / "models" / "discs", replace(SETTINGS, steps=60)
    list(train_steps(Dataset.of(*discs(n=4)), "instances", Target(known), settings))
    options = TASKS["instances"].options(annotation="strokes")
    whole = prepare(strokes(), TASKS["instances"], options, SETTINGS, choose("cpu"), AUTO)  # type: ignore[arg-type]
    assert whole.comparison.by == "trials"
    held = whole.comparison.held
    assert held is not None
    assert f"on {held.pieces} of {held.of} annotated places" in whole.comparison.finding.text
    target = Target(tmp_path / "m", corrections=True)
    control = Control()
    steps = train_steps(strokes(), "instances", target, SETTINGS, options, AUTO, control)
    events = stopped_after(5, steps, control)
    why = told(events)
    assert "agreement with the strokes" in why
    assert why.endswith(f"Compared on {held.pieces} of {held.of} annotated places; now all are trained on.")
    assert [e.step for e in events if isinstance(e, Step)] == list(range(1, 6))  # it began again, with all of them
    card = read_card(tmp_path / "m")
    assert card.split["training"] == 2
    assert card.split["validation"] == 0
    again = prepare(strokes(), TASKS["instances"], options, SETTINGS, choose("cpu"), AUTO)  # type: ignore[arg-type]
    assert [m.name for m in again.comparison.models] == ["discs"]


def test_a_start_that_agrees_with_the_strokes_is_tried_whatever_the_classifier_says(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(train_steps(Dataset.of(*discs(n=10)), "instances", Target(own_home / "models" / "discs"), SETTINGS))
    monkeypatch.setattr(
        Checks, "loss", lambda self, net: 1.0
    )  # by the classifier's objects it is as far as a new network
    options, control = TASKS["instances"].options(annotation="strokes"), Control()
    steps = train_steps(strokes(), "instances", Target(tmp_path / "m"), SETTINGS, options, AUTO, control)
    events = stopped_after(1, steps, control)
    assert [e.start for e in events if isinstance(e, Tried) and e.step] == ["discs", "nothing"]


def test_a_model_trained_on_corrections_is_no_start_for_others_and_stays_near_its_own(
    own_home: Path, tmp_path: Path
) -> None:
    known, settings = own_home / "models" / "discs", replace(SETTINGS, steps=20)
    data = Dataset.of(*discs(n=4))
    list(train_steps(Dataset.of(*discs(n=10)), "instances", Target(known), settings))
    more = replace(settings, learning_rate=0.01, validation=0.0)
    free, near = tmp_path / "free", own_home / "models" / "near"
    list(train_steps(data, "instances", Target(free), more, start=load(known)))
    (known / "run" / MEMORY).unlink()
    list(train_steps(data, "instances", Target(near, corrections=True), more, start=load(known)))
    start, apart, close = (torch.cat([p.ravel() for p in load(m).net.parameters()]) for m in (known, free, near))
    assert read_card(free).training["steps"] == read_card(near).training["steps"] == 20
    torch.testing.assert_close(close - start, (apart - start) * (1 - KEPT), rtol=0.05, atol=1e-3)
    setup = prepare(data, TASKS["instances"], TASKS["instances"].options(), SETTINGS, choose("cpu"), AUTO)
    assert [m.name for m in setup.comparison.models] == ["discs"]


@pytest.mark.parametrize("given", [True, False])
def test_a_resumed_retraining_on_corrections_stays_near_its_start_too(
    given: bool, own_home: Path, tmp_path: Path
) -> None:
    known, out, settings = own_home / "models" / "discs", tmp_path / "m", replace(SETTINGS, steps=2)
    data = Dataset.of(*discs(n=4))
    list(train_steps(data, "instances", Target(known), settings))
    (known / "run" / MEMORY).unlink()
    start, more = load(known), replace(settings, learning_rate=0.01, validation=0.0)
    list(train_steps(data, "instances", Target(out, corrections=True), more, start=start))
    again = Target(out, corrections=True, resume=True)
    list(train_steps(data, "instances", again, replace(more, steps=4), start=start if given else None))
    average, model = torch.load(out / "run" / "state.pt")["average"], load(out)
    assert model.card.training["steps"] == 4
    for name, value in start.net.named_parameters():
        torch.testing.assert_close(model.net.state_dict()[name], average[name].lerp(value.detach(), KEPT))


def test_corrections_rehearse_what_their_start_was_trained_on(own_home: Path, tmp_path: Path) -> None:
    known, settings = own_home / "models" / "discs", replace(SETTINGS, steps=2)
    list(train_steps(Dataset.of(*discs(n=4)), "instances", Target(known), settings))
    memory = memory_of(known)
    assert 0 < len(memory) <= 4
    assert all(s.x.shape == (1, *s.y.shape) and s.y.any() for s in memory)
    one = Dataset.of(*discs(n=1))
    for corrections in (False, True):
        target = Target(tmp_path / str(corrections), corrections=corrections)
        events = list(train_steps(one, "instances", target, replace(settings, validation=0.0), start=load(known)))
        said = [e.text for e in events if isinstance(e, Message)]
        assert (
            any(text.startswith(f"Rehearses {len(memory)} parts of the images of discs") for text in said)
            == corrections
        )
        assert read_card(target.out).data["images"] == 1
        assert read_card(target.out).training["learning_rate"] == (1e-3 if corrections else 5e-4)
        assert bool(memory_of(target.out)) != corrections


@pytest.mark.parametrize("corrections", [False, True])
def test_corrections_are_decoded_as_their_start_unless_the_retrained_network_fits_otherwise(
    corrections: bool, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, settings = own_home / "models" / "discs", replace(SETTINGS, steps=2, validation=0.0)
    data = Dataset.of(*discs(n=1))
    seen: list[tuple[bool, float]] = []
    remembered: list[bool] = []

    def score(judge: Judge, maps: list[np.ndarray], decoding: Any) -> Any:
        remembered.append(any(np.array_equal(judge.sources[0].x, part.x) for part in memory_of(known)[:1]))
        return scored(judge, maps, decoding)

    def tuned(judge: Judge, maps: list[np.ndarray], decoding: Any, also: Any) -> Any:
        of_start = known.exists() and np.array_equal(maps[0], judge.predict(load(known).net)[0])
        seen.append((of_start, decoding.split))
        remembered.clear()
        assert also(decoding) >= 0
        assert remembered == [True] * (corrections and len(seen) == 2)  # what the start knew counts, too
        return replace(decoding, split=0.3 if len(seen) == 1 else 0.25)

    scored = Judge.score
    monkeypatch.setattr(Judge, "score", score)

    monkeypatch.setattr(Judge, "tuned", tuned)
    list(train_steps(data, "instances", Target(known), settings))
    list(train_steps(data, "instances", Target(tmp_path / "m", corrections=corrections), settings, start=load(known)))
    assert seen[1:] == [(False, 0.3 if corrections else 0.2)]
    assert read_card(tmp_path / "m").decoding["split"] == 0.25


def test_a_start_is_not_chosen_for_agreeing_with_its_own_accepted_objects(tmp_path: Path) -> None:
    start, (inputs, _) = load(find("nuclei-fluorescence")), discs(n=2)
    accepted = Dataset.of(inputs, [predict(start, x) for x in inputs])
    target, settings = (
        Target(tmp_path / "m", corrections=True),
        replace(SETTINGS, steps=3, width=0, depth=0, learning_rate=0.05),
    )
    list(train_steps(accepted, "instances", target, replace(settings, validation=0.0), start=start))
    weights = [torch.cat([p.ravel() for p in b.net.parameters()]) for b in (start, load(target.out))]
    assert (weights[0] - weights[1]).abs().max() > 1e-5


@pytest.mark.parametrize(("as_predicted", "corrections"), [(False, False), (True, False), (True, True)])
def test_objects_are_brought_to_the_size_of_the_start_unless_it_finds_them_as_they_are(
    as_predicted: bool, corrections: bool, tmp_path: Path
) -> None:
    """What it predicted itself agrees with it best at the scale of the prediction; large objects at a smaller one."""
    start, (inputs, labels) = load(find("nuclei-fluorescence")), discs(n=1)
    times = np.ones((4, 4) if as_predicted else (10, 10), np.float32)
    large = np.kron(inputs[0], times)
    truth = predict(start, large) if as_predicted else np.kron(labels[0], times).astype(np.int32)
    data = Dataset.of([large], [truth])
    settings = replace(SETTINGS, steps=1, width=0, depth=0, validation=0.0)
    out = tmp_path / "m"
    list(train_steps(data, "instances", Target(out, corrections=corrections), settings, start=start))
    card = read_card(out)
    assert card.zoom == 1 if as_predicted else card.zoom < 0.7
    if as_predicted and corrections:
        assert card.decoding == start.card.decoding  # nothing that is accepted speaks for another
    again = list(train_steps(data, "instances", Target(out, resume=True), replace(settings, steps=2)))
    assert isinstance(again[-1], Done)
    assert read_card(out).zoom == card.zoom


def test_short_trainings_compare_with_the_baseline(trained: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "m", AUTO, replace(SETTINGS, steps=20))[-1]
    assert isinstance(done, Done)
    better = read_card(trained).score["selection_score"] > done.facts["baseline"]["selection_score"]
    assert "before any training" in done.facts["start"]
    assert "for the baseline" in done.facts["start"]
    assert (read_card(tmp_path / "m").parent == "good") == better


def test_a_spoilt_model_does_not_beat_the_baseline(spoilt: Path, tmp_path: Path) -> None:
    assert told(run(tmp_path / "m", AUTO, replace(SETTINGS, steps=20))).startswith("Started from nothing: good has ")


def test_corrections_start_from_what_predicted_them(tmp_path: Path) -> None:
    """Without validation the last weights are kept, but the start is still compared by its score."""
    start, image = (
        load(find("nuclei-fluorescence")),
        random_nuclei(1, (128, 128)).image,
    )  # another model finds other outlines
    data = Dataset.of([image], [predict(start, image)])
    settings = replace(SETTINGS, steps=1, width=0, depth=0, validation=0.0)
    done = list(train_steps(data, "instances", Target(tmp_path / "m", corrections=True), settings, start=AUTO))[-1]
    assert isinstance(done, Done)
    assert done.facts["start"].startswith("Started from nuclei-fluorescence: mean AP 1.000 before any training")


def test_without_validation_it_says_so(trained: Path) -> None:
    found = setup_for(replace(SETTINGS, validation=0.0))
    assert found.comparison.by == "baseline"
    assert "no validation" in found.comparison.finding.text


def test_stopped_trials_keep_the_best_so_far(trained: Path, tmp_path: Path) -> None:
    control, found = Control(), []
    for event in train_steps(pairs(), "denoise", Target(tmp_path / "m"), SETTINGS, None, AUTO, control):
        found.append(event)
        control.stop = control.stop or type(event).__name__ == "Progress"
    assert isinstance(found[-1], Done)
    assert read_card(tmp_path / "m").parent == "good"


def test_a_resumed_run_keeps_its_start(trained: Path, tmp_path: Path) -> None:
    run(tmp_path / "m", AUTO, last=26)
    trained.rename(trained.with_name(".gone"))
    events = run(tmp_path / "m", "none", last=40, resume=True)
    assert any(isinstance(e, Message) and e.text.startswith("Resumed after step") for e in events)
    assert not any(isinstance(e, Message) and "Started from" in e.text for e in events)
    card = read_card(tmp_path / "m")
    assert (card.parent, card.training["steps"]) == ("good", 40)


@pytest.mark.parametrize(
    "change", [{"width": 4}, {"depth": 3}], ids=["another width was asked for", "another depth was asked for"]
)
def test_what_does_not_fit_is_not_tried(trained: Path, change: dict[str, int]) -> None:
    assert [m.name for m in setup_for(SETTINGS).comparison.models] == ["good"]
    setup = setup_for(replace(SETTINGS, **change))
    assert setup.comparison.models == ()
    assert not [f for f in setup.findings if f.code == "start"]


def test_at_most_two_are_compared_those_that_look_most_alike(trained: Path) -> None:
    bundle, sample = load(trained), np.asarray(pairs().samples[0].x)[:, :32, :32]
    for name, noise in (("near", -2.0), ("far", -9.0), ("farther", -20.0)):
        card = replace(bundle.card, name=name, data={"seen": {"noise": [noise, noise]}})
        save(Bundle(card, bundle.net), trained.with_name(name), sample)
    assert {m.name for m in setup_for(SETTINGS).comparison.models} == {"good", "near"}


def test_the_nearest_own_and_the_nearest_shipped_model_are_compared(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, sample = load(trained), np.asarray(pairs().samples[0].x)[:, :32, :32]
    shipped = tmp_path / "shipped"
    monkeypatch.setattr("napari_dojo.models.library.shipped_folder", lambda: shipped)
    for name, folder, noise in (
        ("like", shipped, -2.0),
        ("unlike", shipped, -5.0),
        ("mine", trained.parent, -9.0),
        ("far", trained.parent, -20.0),
    ):
        card = replace(bundle.card, name=name, data={"seen": {"noise": [noise, noise]}})
        save(Bundle(card, bundle.net), folder / name, sample)
    shutil.rmtree(trained)
    assert [m.name for m in setup_for(SETTINGS).comparison.models] == ["like", "mine"]


def model() -> Model:
    from napari_dojo.models.library import models

    return models()[0]


@pytest.mark.parametrize(
    ("settings", "steps", "scores", "validated", "by", "seconds", "trial"),
    [
        ({"minutes": 5.0}, 999, True, True, "trials", 24.0, 0),
        ({"minutes": 600.0}, 999, True, True, "trials", 120.0, 0),
        ({}, 999, True, True, "trials", 24.0, 0),
        ({"minutes": 0.5}, 999, True, True, "baseline", 0.0, 0),
        ({"minutes": 0.5}, 999, False, True, "nothing", 0.0, 0),
        ({"steps": 1000}, 1000, True, True, "trials", 0.0, 100),
        ({"steps": 100}, 100, True, True, "baseline", 0.0, 0),
        ({"epochs": 9}, 2000, True, True, "trials", 0.0, 200),
        ({"minutes": 5.0}, 999, True, False, "baseline", 0.0, 0),
        ({"minutes": 5.0}, 999, False, False, "nothing", 0.0, 0),
    ],
)
def test_how_they_are_compared(
    settings: dict[str, float], steps: int, scores: bool, validated: bool, by: str, seconds: float, trial: int
) -> None:
    plan = setup_for(replace(SETTINGS, steps=steps), None).plan
    found = comparison((model(),), scores, validated, TrainSettings(**settings), plan)  # type: ignore[arg-type]
    assert (found.by, found.seconds, found.steps) == (by, pytest.approx(seconds), trial)
    assert model().name in found.finding.text


@pytest.mark.parametrize(("reached", "started"), [(0.9, "good"), (0.8, "nothing"), (0.0, "nothing")])
def test_a_model_as_good_as_the_baseline_is_better_than_nothing(reached: float, started: str) -> None:
    """Where annotation is easy or coarse both agree with it; a short training from nothing would have to get there first."""
    method = {"selection_score": 0.9 if reached else 0.0, "method": "Otsu and watershed"}

    def candidate(model: Model | None, before: Any) -> Any:
        name = f"agreement with the strokes {reached:.3f}"
        return SimpleNamespace(
            begin=lambda: None, leave=lambda better: None, took=0.0, baseline=method, reached=reached, figure=name
        )

    good = Model("good", Path("good"), read_card(find("nuclei-fluorescence")), "own")
    steps = find_start(candidate, Comparison((good,), "baseline", "the training is short"), Control())
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value[1].startswith(f"Started from {started}: ")
    assert f"against {method['selection_score']:.3f} for the baseline (Otsu and watershed)." in end.value.value[1]


@pytest.mark.parametrize(
    ("first", "second", "started"), [(0.6, 0.8, "second"), (0.8, 0.6, "first"), (0.6, 0.6, "first")]
)
def test_the_better_of_two_models_is_taken_before_any_training(first: float, second: float, started: str) -> None:
    left: list[tuple[str, str]] = []

    def candidate(model: Model | None, before: Any) -> Any:
        assert model is not None
        reached, held = {"first": first, "second": second}[model.name], {"selection_score": 0.5, "method": "Otsu"}
        leave = lambda better: left.append((model.name, better.name))  # noqa: E731
        about = {"name": model.name, "took": 0.0, "baseline": held, "reached": reached, "figure": f"AP {reached}"}
        return SimpleNamespace(begin=lambda: None, leave=leave, **about)

    models = tuple(Model(n, Path(n), read_card(find("nuclei-fluorescence")), "own") for n in ("first", "second"))
    found = Comparison(models, "baseline", "the training is short")
    assert "the better of first and second if it beats the baseline" in found.finding.text
    with pytest.raises(StopIteration) as end:
        next(find_start(candidate, found, Control()))
    best, why = end.value.value
    assert best.name == started
    assert why.startswith(f"Started from {started}: AP {max(first, second)} ")
    assert left == [("second" if started == "first" else "first", started)]
