"""What every task must provide, so that the next one is tested before it is written."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from given import target_of
from made import made
from scipy.ndimage import gaussian_filter

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset
from napari_dojo.device import choose
from napari_dojo.nets import NETS
from napari_dojo.nets.unet import UNet
from napari_dojo.settings import TrainSettings, checked, fields_of
from napari_dojo.tasks import TASKS, Finding, Summary, Task
from napari_dojo.training.optimizer import Optimizer
from napari_dojo.training.prepare import prepare
from napari_dojo.training.start import AUTO, DECIDED

RNG = np.random.default_rng(0)
EVERY = pytest.mark.parametrize("name", TASKS)
DIMS = pytest.mark.parametrize("dims", [2, 3])
FOUND = {
    "values",
    "dims",
    "channels",
    "alone",
    "classes",
    "shape",
    "upright",
    "enlarged",
    "weights",
    "side",
    "planes",
    "spacing",
}  # what `check` finds in the data, which nobody sets


def discs(dims: int) -> np.ndarray:
    """Three discs or balls, two of them touching, on a ground of 0."""
    size = (32, 48) if dims == 2 else (16, 32, 48)
    y = np.zeros(size, np.int32)
    for k, at in enumerate([(15, 10), (15, 25), (22, 40)]):
        grid = np.indices(size)
        centre = (*([8] if dims == 3 else []), *at)
        y[sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < 50] = k + 1
    return y


def inside_out(target, options):
    maps = target.copy()
    maps[0] = np.where(target[0] > 0, 8, -8)
    return maps


def one_hot(target, options):
    return np.stack([(target[0] == k) * 8.0 for k in range(len(options.values))]).astype(np.float32)


def most_likely(target, options):
    return (np.arange(len(options.values)) == target[0]) * np.float32(8)


def picture(dims: int) -> np.ndarray:
    """A clean image of soft discs or balls."""
    return gaussian_filter(100.0 * (discs(dims) > 0) + 20, 1.5).astype(np.float32)


def as_it_is(target, options):
    return target


# for each task, what a perfect net would say, from what `made` makes of its targets
PERFECT = {"instances": inside_out, "semantic": one_hot, "classify": most_likely}


def images(name: str, dims: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """An input and its target, both as they lie."""
    y = target_of(name, discs(dims), picture(dims), 2)
    if TASKS[name].result.drawn:
        return (y > y.min()) + RNG.normal(0, 0.05, y.shape), y
    x = picture(dims)
    return x + RNG.normal(0, 10, x.shape), y


def pairs(name: str, dims: int = 2, x: np.ndarray | None = None) -> Dataset:
    """The task's training data; ``x`` in the place of the input."""
    task, axes = TASKS[name], "ZYX"[-dims:]
    given, y = images(name, dims)
    inputs, targets = [given if x is None else x], None if task.target is None else [y]
    if not task.result.dense:  # one value for a sample: it needs others
        inputs, targets = [*inputs, *(inputs[0] * k for k in (0.9, 0.5, 0.4))], [y, y, y - 1, y - 1]
    return Dataset.of(inputs, targets, Axes(axes, axes), layout=task.layout(task.options()))


def case(name: str, dims: int = 2):
    """The task, an input (1, *S), what it is to become, and the facts. Without a target that is the input itself."""
    task, found = TASKS[name], pairs(name, dims)
    facts = task.summarize(found, task.options())
    item = found.samples[0]
    y = np.asarray(item.x if item.y is None else item.y)
    return task, np.asarray(item.x, np.float32), y if y.dtype.kind == "i" else y.astype(np.float32), facts


def net_for(facts, dims):
    if facts.hints.network != "unet":
        return NETS[facts.hints.network](1, len(facts.maps), (1,) * dims, ((2,) * dims,), 8, **facts.hints.arguments)
    return UNet(1, len(facts.maps), (2,) * dims, ((2,) * dims,), 8, **facts.hints.arguments)


def test_tasks_are_listed_by_their_names():
    assert all(name == task.name for name, task in TASKS.items())


@EVERY
def test_words(name):
    task = TASKS[name]
    assert task.title
    assert task.sentence.endswith(".")
    assert task.name.isidentifier()


@EVERY
@pytest.mark.parametrize("which", ["options", "decoding"])
def test_options_are_frozen_and_declared_once(name, which):
    cls = getattr(TASKS[name], which)
    made = cls()
    declared = fields_of(cls)
    assert {f.name for f in dataclasses.fields(cls)} - {f.name for f in declared} <= FOUND
    for field in declared:
        assert field.option.label
        assert field.option.help.endswith(".")
    assert checked(cls, {f.name: f.default for f in declared}) == made
    with pytest.raises(FrozenInstanceError):
        made.other = 1


@EVERY
@DIMS
def test_check_understands_good_data(name, dims):
    task, _, _, facts = case(name, dims)
    assert isinstance(facts, Summary)
    assert all(isinstance(f, Finding) for f in facts.findings)
    assert not facts.errors
    assert isinstance(facts.options, task.options)
    assert isinstance(facts.decoding, task.decoding)
    assert len(set(facts.maps)) == len(facts.maps) > 0
    assert all(f >= 1 for f in task.layout(facts.options).upsampling.values())


@EVERY
@DIMS
def test_a_start_that_is_found_out_is_nothing_where_no_model_fits(name, dims, monkeypatch):
    monkeypatch.setattr("napari_dojo.training.start.models", lambda: [])
    task, settings = TASKS[name], TrainSettings(steps=300)
    data, device = pairs(name, dims), choose("cpu")
    auto, none = (prepare(data, task, task.options(), settings, device, start) for start in (AUTO, None))
    assert auto.comparison == none.comparison == DECIDED
    assert auto.start is None
    assert auto.plan == none.plan
    assert [f.text for f in auto.findings] == [f.text for f in none.findings]


@EVERY
def test_check_refuses_images_without_signal(name):
    task, x = TASKS[name], images(name)[0]
    assert task.summarize(pairs(name, x=np.zeros(x.shape)), task.options()).errors


@EVERY
@DIMS
@pytest.mark.parametrize("with_region", [False, True])
def test_targets_of_a_patch(name, dims, with_region):
    task, x, y, facts = case(name, dims)
    region = None
    if with_region:
        region = np.ones((y if task.result.dense else x).shape[-dims:], bool)
        region[..., :20] = False
    before = x.copy(), y.copy()
    out, target, weight = made(task, x, y, region, facts.options)
    assert out.dtype == target.dtype == weight.dtype == np.float32
    assert out.shape == x.shape
    size = y.shape[-dims:] if task.result.dense else ()
    assert target.shape[1:] == size
    assert weight.shape == (1, *size)
    assert np.isfinite(target).all()
    assert weight.min() >= 0
    assert weight.max() > 0
    if with_region and task.result.dense:
        assert not weight[..., :20].any()
    again = made(task, x, y, region, facts.options)
    for a, b in zip((out, target, weight), again, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@EVERY
def test_an_empty_patch_makes_a_target(name):
    task, x, y, facts = case(name)
    for value in (0, int(y.max())):
        _, target, weight = made(task, x, np.full_like(y, value), None, facts.options)
        batch = [torch.from_numpy(a)[None] for a in (target, weight)]
        assert torch.isfinite(task.loss(torch.zeros(1, len(facts.maps), *target.shape[1:]), *batch, facts.options))


@EVERY
@DIMS
def test_a_tiny_net_learns_one_patch(name, dims):
    task, x, y, facts = case(name, dims)
    if not task.result.drawn:  # as normalised as the house does it
        x, y = x / 100 - 0.2, y / 100 - 0.2 if task.result.intensities else y
    parts = made(task, x, y, None, facts.options)
    x, target, weight = (torch.from_numpy(np.ascontiguousarray(p))[None] for p in parts)
    torch.manual_seed(0)
    net = net_for(facts, dims)
    optimizer = Optimizer(net, 5e-3, torch.device("cpu"))
    losses = []
    for _ in range(30):
        loss = task.loss(net(x), target, weight, facts.options)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(torch.ones(()), torch.tensor(True))
        losses.append(loss.item())
    assert loss.ndim == 0
    assert np.isfinite(losses).all()
    drawn = task.result.dense and not task.result.intensities
    assert losses[-1] < (0.7 if drawn else 0.95) * losses[0]


@EVERY
def test_what_has_no_weight_teaches_nothing(name):
    task, x, y, facts = case(name)
    _, target, weight = made(task, x, y, None, facts.options)
    out = torch.randn(1, len(facts.maps), *target.shape[1:], requires_grad=True)
    loss = task.loss(out, torch.from_numpy(target)[None], torch.from_numpy(weight)[None] * 0, facts.options)
    loss.backward()
    assert torch.isfinite(loss)
    assert not out.grad.any()


@EVERY
@DIMS
def test_perfect_maps_give_the_truth_and_the_truth_scores_best(name, dims):
    task, x, y, facts = case(name, dims)
    target = made(task, x, y, None, facts.options)[1]
    maps = PERFECT.get(name, as_it_is)(target, facts.options)
    assert len(maps) == len(facts.maps)
    found = task.decode(maps, facts.decoding, facts.options)
    assert found.shape == y.shape
    np.testing.assert_array_equal(task.decode(maps, facts.decoding, facts.options), found)
    right = task.score(y, y, None, facts.options)
    best = right.selection_score
    assert task.score(found, y, None, facts.options).selection_score > 0.95 * best
    assert isinstance(right.as_dict(), dict)
    other = np.roll(y, 5, -1) if task.result.dense else y - 1
    wrong = task.score(other, y, None, facts.options)
    if task.target is None:  # nobody knows what is right: the pooled score lies between the two
        assert min(best, wrong.selection_score) <= (right + wrong).selection_score <= max(best, wrong.selection_score)
        return
    assert wrong.selection_score < 0.9 * best
    assert best > (right + wrong).selection_score > wrong.selection_score


@EVERY
@DIMS
def test_baseline(name, dims):
    task, x, y, facts = case(name, dims)
    (found,), method = task.baseline([x], [y], facts.options)
    assert method
    assert found.shape == y.shape
    assert (
        task.score(found, y, None, facts.options).selection_score
        <= task.score(y, y, None, facts.options).selection_score
    )


def test_a_task_has_no_field_that_most_leave_alone():
    assert len(dataclasses.fields(Task)) <= 16
    assert all(f.default is f.default_factory is dataclasses.MISSING for f in dataclasses.fields(Task))


def test_tasks_need_no_torch_but_to_learn():
    code = """
import sys
import numpy as np
from napari_dojo.data.dataset import Dataset
from napari_dojo.tasks import TASKS
labels = np.kron([[1, 2], [3, 1]], np.ones((12, 12), int))
for task in TASKS.values():
    options = task.options()
    y = labels if task.result.drawn else labels.astype(np.float32)
    x = labels + np.random.default_rng(0).random(labels.shape)
    y = np.kron(y, np.ones((2, 2))) if task.layout(options).upsampling else y
    inputs, targets = [x], None if task.target is None else [y]
    if not task.result.dense:
        inputs, targets = [x, x + 1], [np.int32(1), np.int32(2)]
    pairs = Dataset.of(inputs, targets, layout=task.layout(options))
    facts = task.summarize(pairs, options)
    item = task.prepare(pairs, facts.options).samples[0]
    y = item.x if item.y is None else item.y
    task.supervision.record(y, None, facts.options)
    maps = np.zeros((len(facts.maps), *np.shape(y)[-2:]), np.float32)
    found = task.decode(maps, facts.decoding, facts.options)
    task.score(found, y, None, facts.options).selection_score
    task.baseline([item.x], [y], facts.options)
loaded = {"torch", "napari", "bioimageio", "qtpy"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)
