"""What is meant for a GPU stays there, and nothing waits for it: shown on torch's meta device, whose tensors have no data.

An operation that needs a value on the CPU (``.item()``, ``bool``, a mask as an index) raises there. `Watch` sees to the rest: no
operation mixes tensors of the device with others, and what a CUDA graph records sends nothing to the device.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from given import target_of
from scipy.ndimage import gaussian_filter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_dojo import device as devices
from napari_dojo.data import batches as batches_module
from napari_dojo.data import streamed
from napari_dojo.data.axes import Axes
from napari_dojo.data.batches import Batches
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.streamed import needed
from napari_dojo.device import Device
from napari_dojo.events import Control, result_of
from napari_dojo.inference import predictor as predictor_module
from napari_dojo.inference.predictor import Predictor
from napari_dojo.models.bundle import Bundle
from napari_dojo.nets.unet import UNet
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training import learner as learner_module
from napari_dojo.training import optimizer
from napari_dojo.training.feed import Feed, Scaled
from napari_dojo.training.learner import Learner
from napari_dojo.training.prepare import prepare
from napari_dojo.training.recorder import Target, card_of

aten = torch.ops.aten
META = torch.device("meta")
CPU = Device("cpu", "CPU", 8 * 10**9, 1)
GPU = Device("cuda", "GPU", 8 * 10**9, 1)
SENDS = ("aten::to", "aten::_to_copy", "aten::copy_")
WAITS = (aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default)
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)
FUSED = (aten._fused_adamw_.default, aten._fused_adamw_.tensor_lr)


class Watch(TorchDispatchMode):
    """Refuses operations that wait for the device, or that mix what lies there with what lies elsewhere.

    ``recorded`` : by a CUDA graph, so that nothing may be sent to the device either.
    """

    def __init__(self, recorded: bool = False) -> None:
        super().__init__()
        self.recorded = recorded

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        # a single number goes with its kernel, mostly
        elsewhere = [t for t in given if t.device != META and (t.ndim or self.recorded)]
        there = any(t.device == META for t in given) or kwargs.get("device") == META
        assert not (there and func in WAITS), f"{func} waits"
        sent = elsewhere or func is aten.lift_fresh.default  # of torch.tensor
        assert not (self.recorded and sent), f"{func} of what lies in main memory"
        assert not (there and elsewhere) or func.name().partition(".")[0] in SENDS, f"{func} mixes devices"
        masks = [t for t in tree_leaves(args[1:2]) if isinstance(t, torch.Tensor) and t.dtype is torch.bool]
        assert not (masks and func in INDEXED), f"{func} by a mask waits"
        if func in FUSED:
            self.fused(*args, **kwargs)
            return None
        return func(*args, **kwargs)

    @staticmethod
    def fused(weights, gradients, means, squares, _, steps, *, lr, grad_scale, found_inf, **more):
        """What the kernel on a GPU asks for."""
        for alike in zip(weights, gradients, means, squares, strict=True):
            assert {t.dtype for t in alike} == {torch.float32}
            strides = [[s for n, s in zip(t.shape, t.stride(), strict=True) if n > 1] for t in alike]
            assert all(s == strides[0] for s in strides)
        numbers = [*steps, grad_scale, found_inf, *([lr] if isinstance(lr, torch.Tensor) else [])]
        assert all((t.device, t.dtype, t.ndim) == (META, torch.float32, 0) for t in numbers)


class Random(torch.Generator):
    """A generator of a device that has none."""

    device = META


class Pace:
    """Of a device that computes nothing."""

    def __init__(self, ahead):
        self.kept = 0

    def keep(self):
        self.kept += 1


@pytest.fixture(autouse=True)
def _on_meta(monkeypatch):
    """Let the device be torch's meta device."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **more: nullcontext())
    monkeypatch.setattr(learner_module, "prepare", lambda device: META)
    monkeypatch.setattr(batches_module, "_generator", lambda device: Random())


def discs(dims, seed):
    rng, size = np.random.default_rng(seed), {2: (48, 48), 3: (8, 24, 24)}[dims]
    y = np.zeros(size, np.int32)
    for k in range(5):
        centre = [rng.uniform(3, n - 3) for n in size]
        y[sum((g - c) ** 2 for g, c in zip(np.indices(size), centre, strict=True)) < 16] = k + 1
    return y


def feed(task, axes="YX", strokes=False, region=False, **options):
    """What a training of this task is fed with."""
    dims = len(axes.strip("CT"))
    labels = [discs(dims, seed) for seed in range(4)]
    clean = [gaussian_filter(100.0 * (y > 0) + 20, 1).astype(np.float32) for y in labels]
    noisy = [np.random.default_rng(k).normal(x, 8).clip(0).astype(np.uint16) for k, x in enumerate(clean)]
    if strokes:
        seen = [np.random.default_rng(k).random(y.shape) < 0.3 for k, y in enumerate(labels)]
        labels = [np.where(s, y + 1, 0).astype(np.int32) for s, y in zip(seen, labels, strict=True)]
        options["annotation"] = "strokes"
    targets = [target_of(task, *both, 1 + k % 2, **options) for k, both in enumerate(zip(labels, clean, strict=True))]
    if axes[0] == "C":
        noisy = [np.stack([x, x // 2]) for x in noisy]
    if axes[0] == "T":
        noisy, targets = ([np.stack([x] * 3) for x in each] for each in (noisy, targets))
    task, given = TASKS[task], TASKS[task].options(**options)
    alone = task.target is None or "factor" in options
    regions = [np.indices(y.shape)[-1] > 8 for y in labels] if region else ()
    names = {"class_names": ("bad", "good")} if task.name == "classify" else {}
    layout = task.layout(given)
    dataset = Dataset.of(
        noisy,
        None if alone else targets,
        layout.axes(Axes(axes, axes.strip("CT")), noisy[0].shape, None),
        layout=layout,
        regions=regions,
        **names,
    )
    settings = TrainSettings(steps=2, batch=2, patch=16, width=16, depth=2, validation=0.0)
    setup = prepare(dataset, task, given, settings, CPU)
    assert not setup.summary.errors
    samples = Scaled.of(setup)
    card = card_of(setup, samples.dataset, samples.split, Target(Path("model")), samples.fingerprint)
    return Feed(setup, samples, card)


CASES = {
    **{name: {"task": name} for name in TASKS},
    **{f"{name}-3d": {"task": name, "axes": "ZYX"} for name in TASKS},
    "instances-strokes": {"task": "instances", "strokes": True},
    "instances-region": {"task": "instances", "region": True},
    "semantic-region": {"task": "semantic", "region": True},
    "denoise-series": {"task": "denoise", "axes": "TYX", "context": 1},
    "noise2void-lines": {"task": "noise2void", "lines": "x"},
    "noise2void-median": {"task": "noise2void", "hide": "median", "region": True},
    "noise2void-series": {"task": "noise2void", "axes": "TYX", "context": 1},
    "upscale-alone": {"task": "upscale", "factor": 4},
    "upscale-along-z": {"task": "upscale", "axes": "ZYX", "along": "Z", "factor": 2},
}


@pytest.mark.parametrize(("case", "fused"), [*((case, True) for case in CASES), ("instances", False)])
def test_a_step_stays_on_the_device_and_waits_for_nothing(monkeypatch, case, fused):
    if fused:
        monkeypatch.setattr(optimizer, "FUSED", ("meta",))
    one = feed(**CASES[case])
    learner = Learner(Bundle.new(one.card).net, GPU, 1e-3)
    batches = Batches(one.sources(one.samples.split.training), one.patches(), 2, 0, device=META)
    learner.net.train()
    learner.optimizer.set_rate(torch.full((), 1e-3, device=META))
    share = torch.full((), 0.1, device=META)
    with Watch():
        next(batches)
        where, _ = batches.drawn()
    with Watch(recorded=True):
        loss = learner.learn(batches.made(where), one.loss, share)
    assert (loss.device, loss.ndim) == (META, 0)


def test_chunks_are_sent_to_the_device_and_replaced_there_without_waiting(monkeypatch):
    one = feed("instances")
    sources, patches = one.training_sources(), replace(one.patches(), size=(8, 8))
    monkeypatch.setattr(streamed, "SEEN", 0.1)
    with (
        Watch(),
        Batches(sources, patches, 2, 0, device=META, memory=needed(sources, patches.kind, (1, 1)) // 3) as many,
    ):
        assert many._stream is not None
        replaced, renewed = [], many._stream.renewed
        monkeypatch.setattr(many._stream, "renewed", lambda pixels: (replaced.append(r) or r for r in renewed(pixels)))
        for _ in range(4):
            assert next(many).x.device == META
            for chunk in many._stream._ahead:
                chunk.result()
        assert len(replaced) > 1  # the number of the next slot begins again at 0


def test_chunks_that_follow_go_to_where_the_others_were_moved():
    """As after a GPU had no memory even for a single patch."""
    one = feed("instances")
    sources, patches = one.training_sources(), replace(one.patches(), size=(8, 8))
    with Batches(sources, patches, 2, 0, memory=needed(sources, patches.kind, (1, 1)) // 3) as many:
        many.move(META)
        assert many._stream.resident.x.values.device == many._resident.x.values.device == META


def predicting(monkeypatch, free, sent):
    """Let a predictor compute on the device, of which so many bytes are free; ``sent`` takes its place."""
    monkeypatch.setattr(devices, "prepare", lambda device: META)
    monkeypatch.setattr(devices, "Pace", Pace)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 1e9))
    monkeypatch.setattr(predictor_module, "_sent", sent)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: torch.zeros(self.shape))


@pytest.mark.parametrize(
    ("size", "dtype", "free"),
    [
        ((110, 51), np.uint16, 1e9),
        ((110, 51), np.float32, 0),
        ((12, 40, 41), np.uint8, 1e9),
        ((12, 40, 41), np.uint8, 0),
    ],
    ids=["lies there", "arrives tile by tile", "volume", "volume that arrives box by box"],
)
def test_a_prediction_waits_for_nothing_but_its_maps(monkeypatch, size, dtype, free):
    dims, sent = len(size), []
    predicting(monkeypatch, free, lambda y: sent.append(y.shape) or torch.zeros(y.shape))
    net = UNet(1, 2, (2,) * dims, ((2,) * dims,), 8)
    predictor = Predictor(net, GPU, tile=96 if dims == 2 else 48)
    x = np.zeros((1, *size), dtype)
    norm = Normalization((1.0,), (2.0,))
    with Watch():
        assert result_of(predictor.maps(x, norm)).shape == (2, *x.shape[1:])
        # to memory that the device writes to itself; of volumes that do not fit there, each box to its place
        assert sent == ([(1, 2, *x.shape[1:])] if dims == 2 or free else [])
        assert result_of(predictor.maps(x, norm, views=2)).shape == (2, *x.shape[1:])
        if dims == 2:
            mean, deviation = result_of(predictor.averaged(x, norm, 1.0, Control(), 5))
            assert mean.shape == deviation.shape == (2, *x.shape[1:])


def test_threads_predict_on_the_gpu_that_was_chosen_before(monkeypatch):
    """A thread that nobody told begins with the first GPU of the machine, where the network may not lie."""
    predicting(monkeypatch, 1e9, lambda y: torch.zeros(y.shape))
    entered = []
    monkeypatch.setattr(devices, "enter", entered.append)
    predictor = Predictor(UNet(1, 2, (2, 2), ((2, 2),), 8), GPU)
    result_of(predictor.maps(np.zeros((1, 20, 32), np.uint16), Normalization((1.0,), (2.0,))))
    Predictor(Bundle.new(feed("classify").card).net, GPU).values(np.zeros((3, 1, 48, 48), np.float32))
    assert entered == [META, META]


def test_maps_come_to_other_memory_where_none_is_left_that_the_device_writes_to(monkeypatch):
    def full(y):
        raise RuntimeError("CUDA error: out of memory")

    predicting(monkeypatch, 1e9, full)
    predictor = Predictor(UNet(1, 2, (2, 2), ((2, 2),), 8), GPU)
    maps = result_of(predictor.maps(np.zeros((1, 20, 32), np.uint16), Normalization((1.0,), (2.0,))))
    assert maps.shape == (2, 20, 32)
