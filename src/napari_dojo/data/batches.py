"""Pairs and a task become batches: crop with margin, turn and scale, make the targets, trim, stack.

All of it runs ahead of the loop in background threads; the last step, changes of intensity, runs on the device.
Each batch has its own random generator, so that its number determines its content.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from napari_dojo.data.dataset import Crop, Sample
from napari_dojo.data.kinds import LABELS, Kind
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.resample import enlarged

__all__ = ["Batch", "Batches", "Recipe", "Source"]

Example = Callable[..., tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True)
class Batch:
    """Patches on their way to the net: ``x`` (N, C, *S), ``target`` (N, K, *S), ``weight`` (N, 1, *S), float32."""

    x: Tensor
    target: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Recipe:
    """How a patch is made.

    Attributes
    ----------
    size : of the patch, px.
    example : task.example with its options bound: (x, y, region, rng) -> (x, target, weight).
    margin : px around the patch that ``example`` needs.
    resample : turn by any angle and scale; else only flips and quarter turns.
    quarter : whether those quarter turns are made, too.
    augment : False takes patches as they lie.
    zoom : largest change of size, as a half width of the logarithm.
    aimed : share of the patches that are centred on something annotated.
    kind : what targets are: how they are cut and resampled.
    scale : target pixels per input pixel, for each axis; empty: 1.
    """

    size: tuple[int, ...]
    example: Example
    margin: int = 0
    resample: bool = True
    quarter: bool = True
    augment: bool = True
    zoom: float = 0.3
    aimed: float = 0.6
    kind: Kind = LABELS
    scale: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Source:
    """One training part, ready to be cropped.

    ``x`` (C, *S) as stored, ``y`` labels (*S), an image (K, *S * scale) or None, ``region`` (*S) on the grid of ``x``;
    ``norm`` is of ``x``, ``target`` of an image ``y``.
    """

    x: Any
    y: Any
    region: NDArray[np.bool_] | None
    norm: Normalization
    anchors: NDArray[np.int32]  # (n, dims), places that are annotated, each label value as often as the others
    target: Normalization | None = None

    @staticmethod
    def of(
        item: Sample,
        part: Crop,
        norm: Normalization,
        kind: Kind,
        seed: int = 0,
        target: Normalization | None = None,
        scale: Sequence[int] = (),
    ) -> Source:
        """The part of an item, with the places worth looking at."""
        x, padding = norm.clean(item.x) if isinstance(item.x, np.ndarray) else (item.x, None)
        x = x[(slice(None), *part.slices)]
        y = None if item.y is None else kind.crop(item.y, part.slices, scale)
        region = item.region
        if padding is not None:
            imaged = ~np.all(padding, 0)
            region = imaged if region is None else imaged & region
        region = None if region is None else region[part.slices]
        anchors = np.zeros((0, len(part.box)), np.int32) if y is None else kind.places(y, region, seed)
        return Source(x, y, region, norm, anchors, target)

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial size."""
        return tuple(self.x.shape[1:])


class Batches:
    """An endless iterator of batches, made ahead by threads, the same ones for the same seed.

    ``batch`` may be made smaller while it runs. Close it, or use it in a ``with``.
    """

    def __init__(
        self, sources: Sequence[Source], recipe: Recipe, batch: int, seed: int, start: int = 0, workers: int = 1
    ) -> None:
        self.batch = batch
        self._sources, self._recipe, self._seed, self._next = sources, recipe, seed, start
        volume = np.array([np.prod(s.size, dtype=float) for s in sources])
        weight = np.sqrt(volume) * np.array([np.sqrt(1 + min(len(s.anchors), 2000)) for s in sources])
        self._share = weight / weight.sum()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="patches")
        self._ahead: deque[Future[Batch]] = deque()
        self._many = workers + 2
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        while len(self._ahead) < self._many:
            self._ahead.append(self._pool.submit(self._make, self._next, self.batch))
            self._next += 1
        made = self._ahead.popleft().result()
        n = self.batch  # may have become smaller since
        return made if len(made) <= n else Batch(made.x[:n], made.target[:n], made.weight[:n])

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _make(self, number: int, size: int) -> Batch:
        rng = np.random.default_rng([self._seed, number])
        parts = []
        for i in rng.choice(len(self._sources), size, p=self._share):
            if self._closed.is_set():
                break
            parts.append(draw(self._sources[i], self._recipe, rng))
        xs, targets, weights = zip(*parts, strict=True) if parts else ((), (), ())
        return Batch(*(torch.from_numpy(np.stack(a)) if a else torch.empty(0) for a in (xs, targets, weights)))


def draw(
    source: Source, recipe: Recipe, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """One random patch: x (C, *size), target (K, *size), weight (1, *size)."""
    size = np.asarray(recipe.size)
    matrix = _turn(recipe, len(size), rng)  # patch px -> source px
    half = np.abs(matrix) @ (size / 2)
    centre = _centre(source, recipe, half, rng)
    window = size + 2 * recipe.margin
    x, y, region = _gather(source, matrix, centre, window, recipe)
    x, target, weight = recipe.example(x, y, region, rng)
    m, kind = recipe.margin, recipe.kind
    inner = (slice(None), *(slice(m, m + n) for n in recipe.size))
    target, weight = (kind.inner(a, m, recipe.size, recipe.scale) for a in (target, weight))
    return np.ascontiguousarray(x[inner]), np.ascontiguousarray(target), np.ascontiguousarray(weight)


def _turn(recipe: Recipe, dims: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Flips, and in the last two axes an angle (any, or a quarter turn where the patch is square) and a size."""
    if not recipe.augment:
        return np.eye(dims)
    matrix = np.diag(rng.choice([-1.0, 1.0], dims))
    scale = np.exp(rng.uniform(-recipe.zoom, recipe.zoom)) if recipe.resample else 1.0
    angle = rng.uniform(0, 2 * np.pi) if recipe.resample else np.pi / 2 * rng.integers(4)
    square = recipe.size[-1] == recipe.size[-2] and len(set(recipe.scale[-2:])) < 2
    if not recipe.resample and not (square and recipe.quarter):
        angle = 0.0
    c, s = np.cos(angle), np.sin(angle)
    turn = np.eye(dims)
    turn[-2:, -2:] = [[c, -s], [s, c]]
    return np.asarray(turn @ matrix / scale) if recipe.resample else np.rint(turn @ matrix)


def _centre(source: Source, recipe: Recipe, half: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
    """Where the patch lies in the source: mostly inside, often on something annotated."""
    size = np.asarray(source.size, float)
    if len(source.anchors) and rng.random() < recipe.aimed:
        centre = source.anchors[rng.integers(len(source.anchors))] + rng.uniform(-0.6, 0.6, len(size)) * half
    else:
        centre = rng.uniform(0, size)
    low, high = np.minimum(half, size / 2), np.maximum(size - half, size / 2)
    centre = np.clip(centre, low, high)
    if not recipe.resample or not recipe.augment:
        centre = np.round(centre - np.asarray(recipe.size) / 2) + np.asarray(recipe.size) / 2  # on the pixels
    return np.asarray(centre)


def _gather(
    source: Source, matrix: NDArray[Any], centre: NDArray[Any], window: NDArray[Any], recipe: Recipe
) -> tuple[NDArray[np.float32], Any, NDArray[np.bool_] | None]:
    """The window around ``centre``, mirrored beyond the source's edges: x normalised (C, *window), y and region finer."""
    wide = np.abs(matrix) @ window
    first = np.rint(centre - wide / 2).astype(int)
    if _is_turn(matrix) and (first >= 0).all() and (first + wide <= source.size).all():
        return _taken(source, matrix, first, wide.astype(int), recipe)
    far = np.abs(matrix) @ (window / 2) + 1
    low = np.clip(np.floor(centre - far), 0, None).astype(int)
    high = np.minimum(np.ceil(centre + far).astype(int), source.size)
    low = np.minimum(low, high - 1)
    scale = np.asarray(recipe.scale or (1,) * len(window))
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    finer = tuple(slice(a * f, b * f) for a, b, f in zip(low, high, scale, strict=True))
    crop = (matrix.astype(np.float32), centre - 0.5 - low, high - low)
    where = _grid(window, np.ones_like(scale), *crop)
    there = where if (scale == 1).all() else _grid(window * scale, scale, *crop)
    x = _sample(source.norm.apply(source.x[(slice(None), *box)]), where, "bilinear")
    y: Any = source.y
    if y is None or not recipe.kind.dense:
        pass
    elif not recipe.kind.intensities:
        y = _sample_labels(np.asarray(source.y[box]), where)
    else:
        y = np.asarray(source.y[(slice(None), *finer)])
        y = _sample(source.target.apply(y) if source.target else y.astype(np.float32), there, "bilinear")
    region = (
        None
        if source.region is None
        else _sample(source.region[None][(slice(None), *box)].astype(np.float32), there, "nearest")[0] > 0.5
    )
    return x, y, region


def _is_turn(matrix: NDArray[Any]) -> bool:
    """Whether it does nothing but flip and turn by quarters."""
    return bool(np.isin(matrix, (-1, 0, 1)).all() and (np.abs(matrix).sum(0) == 1).all())


def _taken(
    source: Source, matrix: NDArray[Any], low: NDArray[Any], window: NDArray[Any], recipe: Recipe
) -> tuple[NDArray[np.float32], Any, NDArray[np.bool_] | None]:
    """The same without resampling: a window that starts at ``low``, inside the source, flipped and turned."""
    scale = recipe.scale or (1,) * len(window)
    box = tuple(slice(a, a + n) for a, n in zip(low, window, strict=True))
    finer = tuple(slice(a * f, (a + n) * f) for a, n, f in zip(low, window, scale, strict=True))
    order = np.abs(matrix).argmax(1)  # for each axis of the source the patch's
    back = np.argsort(order)

    def turned(a: NDArray[Any]) -> NDArray[Any]:
        """(..., *window) as it lies in the source -> as it lies in the patch."""
        ahead = a.ndim - len(order)
        flipped = tuple(s - len(order) for s, p in enumerate(order) if matrix[s, p] < 0)
        a = np.flip(a, flipped)
        return a.transpose(*range(ahead), *(ahead + back))

    x = turned(source.norm.apply(source.x[(slice(None), *box)]))
    y: Any = source.y
    if y is None or not recipe.kind.dense:
        pass
    elif not recipe.kind.intensities:
        y = turned(np.asarray(source.y[box])).astype(np.int64 if source.y.dtype.itemsize > 4 else np.int32)
    else:
        y = np.asarray(source.y[(slice(None), *finer)])
        y = turned(source.target.apply(y) if source.target else y.astype(np.float32))
    region = None
    if source.region is not None:
        region = turned(enlarged(source.region[box], scale))
    return x, y, region


def _grid(
    window: NDArray[Any], scale: NDArray[Any], matrix: NDArray[Any], middle: NDArray[Any], size: NDArray[Any]
) -> Tensor:
    """Where each pixel of a window lies in a crop of ``size`` px, as `grid_sample` wants it: (1, *window, dims).

    ``middle`` is the window's middle in the crop's pixels; the window has ``scale`` pixels for each of the crop's.
    """
    axes = [
        (torch.arange(int(n), dtype=torch.float32) - (int(n) - 1) / 2) / int(f)
        for n, f in zip(window, scale, strict=True)
    ]
    mesh = torch.meshgrid(*axes, indexing="ij")
    grid: list[Tensor] = []  # the last axis first, -1 to 1 over the pixels' outer edges
    for a in reversed(range(len(window))):
        at = torch.full_like(mesh[a], float(middle[a]))
        for b in np.flatnonzero(matrix[a]):
            at += float(matrix[a, b]) * mesh[b]
        grid.append((2 * at + 1) / int(size[a]) - 1)
    return torch.stack(grid, -1)[None]


def _sample(x: NDArray[np.float32], where: Tensor, mode: str) -> NDArray[np.float32]:
    return grid_sample(
        torch.from_numpy(np.ascontiguousarray(x))[None],
        where,
        mode=mode,
        padding_mode="reflection",
        align_corners=False,
    )[0].numpy()


def _sample_labels(y: NDArray[Any], where: Tensor) -> NDArray[np.integer[Any]]:
    """Labels of any size, through numbers that float32 holds exactly."""
    if y.size and int(y.max()) >= 2**24:
        values, inverse = np.unique(y, return_inverse=True)
        index = _sample(inverse.reshape(y.shape).astype(np.float32)[None], where, "nearest")[0]
        return values[index.astype(np.int64)].astype(np.int64)
    return _sample(y.astype(np.float32)[None], where, "nearest")[0].astype(np.int32)
