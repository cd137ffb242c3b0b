"""Sources and a task become batches: where patches lie is drawn, then all of them are cut and made into targets at once.

Nothing here runs patch by patch, and nothing waits for the device. The number of a batch determines its content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from napari_dojo.data.augment import Intensity
from napari_dojo.data.kinds import LABELS, Kind
from napari_dojo.data.resident import Crops, Record, Resident, Source, packed

__all__ = ["Batch", "Batches", "Recipe", "Source"]


@dataclass(frozen=True)
class Batch:
    """Patches for the network: ``x`` (N, C, *S), ``target`` (N, K, *S), ``weight`` (N, 1, *S), float32."""

    x: Tensor
    target: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.x)


Targets = Callable[[Crops, Generator], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """How a patch is made.

    Attributes
    ----------
    size : of the patch, px.
    record, targets : the task's, with its options bound.
    intensity : changes the intensities of inputs; None: not at all.
    resample : rotate by any angle and scale; else only flips and quarter turns.
    quarter : whether those quarter turns are made, too.
    augment : False takes patches as they lie.
    zoom : largest change of size, as a half width of the logarithm.
    aimed : share of the patches that are centred on something annotated.
    kind : what targets are.
    scale : target pixels per input pixel, for each axis; empty: 1.
    """

    size: tuple[int, ...]
    record: Record
    targets: Targets
    intensity: Intensity | None = None
    resample: bool = True
    quarter: bool = True
    augment: bool = True
    zoom: float = 0.3
    aimed: float = 0.6
    kind: Kind = LABELS
    scale: tuple[int, ...] = ()


class Batches:
    """An endless iterator of batches, made on ``device`` when they are asked for, the same ones for the same seed.

    ``batch`` may be made smaller while it runs. ``random`` is what noise and blind spots are drawn from.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        recipe: Recipe,
        batch: int,
        seed: int,
        start: int = 0,
        device: torch.device | None = None,
    ) -> None:
        device = device or torch.device("cpu")
        self.batch = batch
        self._recipe, self._seed, self._next = recipe, seed, start
        self._scale = recipe.scale or (1,) * len(recipe.size)
        self._resident = Resident.of(sources, recipe.kind, recipe.record, self._scale, device)
        self._places = _Places(sources, recipe)
        self.device, self.random = device, _generator(device)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        where, inside = self.drawn()
        return self.made(where, folds=not (self.device.type == "cpu" and inside))

    def drawn(self) -> tuple[Tensor, bool]:
        """Where the patches of the next batch lie, on the device, and whether all are inside their samples."""
        rng = np.random.default_rng([self._seed, self._next])
        self.random.manual_seed(int(rng.integers(2**62)))
        self._next += 1
        where, inside = self._places.draw(self.batch, rng)
        if self.device.type == "cuda":
            where = where.pin_memory()
        return where.to(self.device, non_blocking=True), inside

    def made(self, where: Tensor, folds: bool = True) -> Batch:
        """The batch of such places; nothing in here waits for the device."""
        recipe = self._recipe
        on_grid = not (recipe.resample and recipe.augment)
        crops = self._resident.cut(where, recipe.size, self._scale, on_grid, folds)
        x, target, weight = recipe.targets(crops, self.random)
        if recipe.intensity is not None and recipe.augment:
            x = recipe.intensity(x, self.random)
        return Batch(x, target, weight)

    def move(self, device: torch.device) -> None:
        """To another device."""
        self._resident, self.device, self.random = self._resident.moved(device), device, _generator(device)


class _Places:
    """Where patches lie: random samples, mostly inside them, often on something annotated."""

    def __init__(self, sources: Sequence[Source], recipe: Recipe) -> None:
        self._recipe = recipe
        self._sizes = np.array([s.size for s in sources], float)
        counts = np.array([len(s.anchors) for s in sources])
        weight = np.sqrt(self._sizes.prod(1)) * np.sqrt(1 + np.minimum(counts, 2000))
        self._share = np.cumsum(weight / weight.sum())
        self._anchors = np.concatenate([s.anchors for s in sources]) if counts.any() else np.zeros((1, 1), np.int32)
        self._counts, self._first = counts, np.cumsum(counts) - counts

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Tensor, bool]:
        """``n`` patches (see `napari_dojo.data.resident.packed`), and whether all lie inside their samples."""
        recipe, sizes = self._recipe, self._sizes
        sample = np.minimum(np.searchsorted(self._share, rng.random(n), side="right"), len(sizes) - 1)
        patch, size = np.asarray(recipe.size, float), sizes[sample]
        matrix = self._matrices(n, rng)
        half = np.abs(matrix) @ (patch / 2)
        anywhere = rng.uniform(0, 1, size.shape) * size
        aimed = (rng.random(n) < recipe.aimed) & (self._counts[sample] > 0)
        which = self._first[sample] + (rng.random(n) * self._counts[sample]).astype(int)
        beside = rng.uniform(-0.6, 0.6, size.shape) * half
        centre: NDArray[Any] = np.where(aimed[:, None], self._anchors[np.where(aimed, which, 0)] + beside, anywhere)
        low, high = np.minimum(half, size / 2), np.maximum(size - half, size / 2)
        centre = np.clip(centre, low, high)
        if not (recipe.resample and recipe.augment):  # on the pixels
            centre = np.round(centre - half) + half
        inside = bool(((centre >= half - 1e-6) & (centre + half <= size + 1e-6)).all())
        return packed(sample, centre, matrix), inside

    def _matrices(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Flips, and in the last two axes an angle (any, or a quarter turn where the patch is square) and a size."""
        recipe, d = self._recipe, len(self._recipe.size)
        if not recipe.augment:
            return np.tile(np.eye(d), (n, 1, 1))
        flips = rng.choice([-1.0, 1.0], (n, d))
        if recipe.resample:
            angle = rng.uniform(0, 2 * np.pi, n)
            scale = np.asarray(np.exp(rng.uniform(-recipe.zoom, recipe.zoom, n)), np.float64)
        else:
            square = recipe.size[-1] == recipe.size[-2] and len(set(recipe.scale[-2:])) < 2
            angle = np.asarray(np.pi / 2 * rng.integers(4 if square and recipe.quarter else 1, size=n), np.float64)
            scale = np.ones(n, np.float64)
        c, s = np.cos(angle), np.sin(angle)
        turn: NDArray[np.float64] = np.zeros((n, d, d))
        turn[:, range(d), range(d)] = 1.0
        turn[:, -2, -2], turn[:, -2, -1], turn[:, -1, -2], turn[:, -1, -1] = c, -s, s, c
        found = turn * flips[:, None, :] / scale[:, None, None]
        return np.asarray(found if recipe.resample else np.rint(found), np.float64)


def _generator(device: torch.device) -> Generator:
    return Generator(device="cpu" if device.type == "mps" else device)
