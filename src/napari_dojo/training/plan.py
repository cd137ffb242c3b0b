"""The plan: patch, batch, depth, width and learning rate from the data, the device and the time. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from napari_dojo.data.dataset import Dataset
from napari_dojo.data.split import Split
from napari_dojo.device import Device
from napari_dojo.errors import DojoError
from napari_dojo.models.card import Card
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import Hints, Summary

__all__ = ["MINUTES", "Data", "Plan", "make_plan", "own_zoom", "paced", "plan_for"]

MINUTES = 5.0  # where nothing else is said
PIXELS = 8 * 128 * 128  # per update on a CPU: about 0.2 s on two cores
SET_UP = 6.0  # seconds that reading, preparing and saving take about
LARGE, TYPICAL = 72.0, 48.0  # objects larger than the first are scaled to the second, px
ENOUGH = 3000  # steps after which more of them teach less than larger ones
RUNGS = ((0.25, 0.5), (0.5, 0.5), (0.5, 0.75), (1, 0.75), (1, 1), (2, 1), (2, 1.5), (4, 1.5), (8, 1.5))  # batch, width
LEAST = 0.25  # of a step's time, however small the batch: a GPU is not full then
FEWEST = 16  # px in the plane of the largest training part
MANY = 10  # images from which on their objects are taken to have all sizes
THIN = 7.0  # objects thinner than this, in px, need a net that works on the pixels


@dataclass(frozen=True)
class Data:
    """What the plan needs to know of the training data.

    Attributes
    ----------
    sizes : spatial size of each training part, px.
    channels, outputs : C and K.
    diameter, thickness : of the objects in px, None where the task has none.
    spacing : relative pixel size of each spatial axis, smallest 1.
    hints : what the task would like.
    images : that these parts are of; 0: not counted.
    """

    sizes: tuple[tuple[int, ...], ...]
    channels: int
    outputs: int
    diameter: float | None = None
    thickness: float | None = None
    spacing: tuple[float, ...] = ()
    hints: Hints = field(default_factory=Hints)
    images: int = 0


@dataclass(frozen=True)
class Plan:
    """What a training will do; plain values, shown before the start.

    Attributes
    ----------
    zoom : factor by which images are scaled before the net sees them.
    patch : px at the net's scale; ``batch`` patches per update, on each device.
    stem, pools, width, growth : the net, see `napari_dojo.nets.unet.UNet`.
    learning_rate : the largest.
    steps : updates; an estimate where ``minutes`` rule.
    minutes : the budget, or None.
    epoch : updates that cover the training area once.
    few : a new network learns from so few images that they hardly show all sizes of objects.
    """

    zoom: float
    patch: tuple[int, ...]
    batch: int
    stem: tuple[int, ...]
    pools: tuple[tuple[int, ...], ...]
    width: int
    growth: float
    learning_rate: float
    steps: int
    minutes: float | None
    epoch: int
    few: bool = False

    @property
    def net(self) -> dict[str, object]:
        """Arguments of the net, but for channels."""
        return {
            "stem": list(self.stem),
            "pools": [list(p) for p in self.pools],
            "width": self.width,
            "growth": self.growth,
        }

    @property
    def stride(self) -> tuple[int, ...]:
        """Image sizes must be multiples of this, for each spatial axis."""
        return tuple(prod(steps) for steps in zip(self.stem, *self.pools, strict=True))

    @property
    def long(self) -> str:
        """``about 1,300 steps in 5 min``; two digits, more are not known before the first step."""
        plural = "s" * (self.steps != 1)
        if not self.minutes:
            return f"{self.steps:,} step{plural}"
        return f"about {int(float(f'{self.steps:.2g}')):,} step{plural} in {self.minutes:g} min"

    @property
    def sentence(self) -> str:
        """What the user reads."""
        scaled = f", images scaled by {self.zoom:.2g}" if self.zoom != 1 else ""
        return f"{self.long}, batch size {self.batch}, patches of {' x '.join(map(str, self.patch))} px{scaled}"


def own_zoom(diameter: float | None) -> float:
    """By which a new network sees images with objects of this diameter, in px, scaled."""
    return TYPICAL / diameter if diameter and diameter > LARGE else 1.0


def make_plan(
    data: Data,
    device: Device,
    settings: TrainSettings,
    start: dict[str, object] | None = None,
    zoom: float | None = None,
) -> Plan:
    """Decide everything that the user did not; ``start`` are the net arguments of a model to start from.

    ``zoom`` : by which the network sees images scaled; None: as a new network does, see `own_zoom`.

    Raises
    ------
    DojoError : the parts to train on are a few pixels each, or what was asked for does not fit in memory.
    """
    dims, hints = len(data.sizes[0]), data.hints
    zoom = own_zoom(data.diameter) if zoom is None else zoom
    largest = max(data.sizes, key=lambda size: prod(size[-2:]))
    if prod(max(1, round(n * zoom)) for n in largest[-2:]) < FEWEST:
        size = " x ".join(map(str, largest))
        scaled = f", and is scaled by {zoom:.2g} for the network" if zoom != 1 else ""
        raise DojoError(
            f"What is left to train on has {size} px at most{scaled}. Exclude images that small, or add larger ones."
        )
    smallest = tuple(int(np.median([s[a] for s in data.sizes]) * zoom) for a in range(dims))
    spacing = data.spacing or (1.0,) * dims
    fine = hints.fine or (data.thickness is not None and data.thickness * zoom < THIN)
    cells = _cells(smallest, spacing, fine, settings.depth or hints.levels or (4 if dims == 2 else 3))
    stem, pools = cells[0], tuple(cells[1:])
    width = settings.width or (hints.width or (32 if prod(stem) > 1 else 16)) * (1 if device.kind == "cpu" else 2)
    growth = 1.5
    if start:
        stem, pools = tuple(start["stem"]), tuple(tuple(p) for p in start["pools"])  # type: ignore[arg-type,attr-defined]
        width, growth = int(start["width"]), float(start["growth"])  # type: ignore[call-overload,arg-type]
    stride = [prod(steps) for steps in zip(stem, *pools, strict=True)]
    edge = settings.patch or (hints.patch if dims == 2 else round((hints.pixels or 0) ** (1 / 3)))
    patch = tuple(
        max(s, round(min(p, -(-n // s) * s) / s) * s)
        for p, n, s in zip(_patch(dims, spacing, data.diameter, zoom, edge), smallest, stride, strict=True)
    )
    pixels = (hints.pixels or PIXELS) * (1 if device.kind == "cpu" else 4)
    batch = settings.batch or int(np.clip(pixels // prod(patch), 1, 64))
    batch = _fitting(batch, patch, _bytes_per_pixel(width, stem), device, asked=bool(settings.batch))
    area = sum(prod(s) for s in data.sizes) * zoom**dims
    epoch = max(1, round(area / (batch * device.together * prod(patch))))
    minutes = settings.minutes if settings.minutes or settings.steps or settings.epochs else MINUTES
    if minutes and not (settings.steps or settings.epochs):
        learning = max(1.0, 0.8 * (minutes * 60 - SET_UP))
        steps = max(1, int(learning / _seconds_per_step(batch * prod(patch), width, stem, device)))
    else:
        minutes, steps = None, settings.steps or epoch * (settings.epochs or 1)
    rate = settings.learning_rate or (5e-4 if start else hints.rate or 3e-3)
    few = not start and 0 < data.images < MANY
    return Plan(zoom, patch, batch, stem, pools, width, growth, rate, steps, minutes, epoch, few)


def paced(plan: Plan, seconds: float, device: Device) -> Plan:
    """The plan for a device on which its step takes ``seconds``: the largest batch and width that still leave `ENOUGH` steps.

    The time of a step is taken to grow with the batch, and with the width to the power 1.8.
    """
    assert plan.minutes is not None
    learning = max(1.0, 0.8 * (plan.minutes * 60 - SET_UP))

    def scaled(more: float, wider: float) -> Plan:
        batch, width = max(1, round(plan.batch * more)), max(8, round(plan.width * wider / 8) * 8)
        took = seconds * max(more * wider**1.8, LEAST)
        epoch = max(1, round(plan.epoch / more))
        return replace(plan, batch=batch, width=width, epoch=epoch, steps=max(1, int(learning / took)))

    found = [scaled(*rung) for rung in RUNGS]
    bytes_ = [p.batch * prod(p.patch) * _bytes_per_pixel(p.width, p.stem) for p in found]
    fine = [p for p, b in zip(found, bytes_, strict=True) if p.steps >= ENOUGH and b <= device.memory]
    return fine[-1] if fine else found[0]


def plan_for(
    dataset: Dataset,
    split: Split,
    summary: Summary,
    device: Device,
    settings: TrainSettings,
    start: Card | None = None,
    *,
    resize: bool = True,
) -> Plan:
    """The plan of a training on these data, which fine-tunes the model ``start`` if one is given.

    ``resize`` : objects of another size than the start's are brought to its size.

    Raises
    ------
    DojoError : where that model is for other data.
    """
    sizes = tuple(tuple(b - a for a, b in p.box) for p in split.training)
    spacing = tuple(s / min(dataset.pixel_size) for s in dataset.pixel_size) if dataset.pixel_size else ()
    images = len({p.item for p in split.training})
    objects = (summary.diameter, summary.thickness)
    data = Data(sizes, dataset.channels, len(summary.maps), *objects, spacing, summary.hints, images)
    if start is None:
        return make_plan(data, device, settings)
    if start.channels != dataset.channels or start.spatial != dataset.spatial:
        raise DojoError(
            f"The model to start from ({start.name}) is for {start.spatial} with {start.channels} channels; these data are "
            f"{dataset.spatial} with {dataset.channels}. Start from another model, or from nothing."
        )
    zoom = start.zoom
    if resize and start.diameter and summary.diameter and not 1 / 1.5 < summary.diameter / start.diameter < 1.5:
        zoom = start.zoom * start.diameter / summary.diameter
    return make_plan(replace(data, diameter=None, thickness=None), device, settings, start.net_options, zoom)


def _cells(size: Sequence[int], spacing: Sequence[float], fine: bool, levels: int) -> list[tuple[int, ...]]:
    """Stem and pools: at each level those axes get coarser whose pixels are not yet coarser than the others'."""
    cell = np.asarray(spacing, float)
    left = np.asarray(size, float)
    cells: list[tuple[int, ...]] = []
    for level in range(levels):
        step = tuple(
            2 if c <= 1.5 * cell.min() and n >= 8 and not (level == 0 and fine) else 1
            for c, n in zip(cell, left, strict=True)
        )
        if level and max(step) == 1:
            break
        cells.append(step)
        cell = cell * step
        left = left / step
    return cells


def _patch(dims: int, spacing: Sequence[float], diameter: float | None, zoom: float, wanted: int) -> tuple[int, ...]:
    """Edge of a patch: room for a few objects, within what one update may hold."""
    if dims == 2:
        edge = wanted or int(np.clip(5 * (diameter or 0) * zoom, 128, 256))
        return (edge, edge)
    edge = wanted or 64
    ratio = max(spacing) / min(spacing)
    return tuple(max(8, round(edge / min(4.0, s / min(spacing)))) if ratio > 1.5 else edge for s in spacing)


def _fitting(batch: int, patch: Sequence[int], bytes_: float, device: Device, asked: bool) -> int:
    """The largest batch up to this one that fits into memory; ``asked`` : a person wants it, so a smaller one is no answer.

    Raises
    ------
    DojoError : it was asked for and does not fit.
    """
    most = max(1, int(device.memory / (prod(patch) * bytes_)))
    if batch <= most:
        return batch
    if not asked:
        return 2 ** int(np.log2(most))
    size = " x ".join(map(str, patch))
    raise DojoError(
        f"Batch size {batch} with patches of {size} px needs about {batch * prod(patch) * bytes_ / 1e9:,.0f} GB of memory; "
        f"{device.memory / 1e9:.1f} GB are free. Choose batch size {most} or smaller, or smaller patches."
    )


def _bytes_per_pixel(width: int, stem: tuple[int, ...]) -> float:
    """Memory that training holds for a pixel of a batch: measured about 30 maps of the finest level."""
    return 4.0 * 30 * width / prod(stem)


def _seconds_per_step(pixels: int, width: int, stem: tuple[int, ...], device: Device) -> float:
    """A guess before the first step; 2 CPU cores take 0.06 (bfloat16) to 0.25 s for `PIXELS` at width 32 and a stem of 4."""
    work = pixels / PIXELS * (width / 32) ** 1.8 * 4 / prod(stem)
    return 0.12 * work * 2 / device.cores if device.kind == "cpu" else 0.01 + 0.004 * work
