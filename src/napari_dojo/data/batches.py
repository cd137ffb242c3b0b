"""Sources and a task become batches: where patches lie is drawn, then all of them are cut and made into targets at once.

Nothing here runs patch by patch, and nothing waits for the device. The number of a batch determines its content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from napari_dojo.data.patches import WIDE, Patches
from napari_dojo.data.resident import Prepared, Resident, Source, packed
from napari_dojo.data.streamed import Streamed, needed, weight_of
from napari_dojo.device import cores, sent

__all__ = ["Batch", "Batches", "Patches", "Source"]


@dataclass(frozen=True)
class Batch:
    """Patches for the network: ``x`` (N, C, *S), ``target`` (N, K, *S), ``weight`` (N, 1, *S), float32."""

    x: Tensor
    target: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.x)


class Batches:
    """An endless iterator of batches, made on ``device`` when they are asked for, the same ones for the same seed.

    ``batch`` may be made smaller while it runs. ``random`` is what noise and blind spots are drawn from. Sources that take
    more than ``memory`` bytes there are streamed, see `napari_dojo.data.streamed`; then close it, or use it in a ``with``.
    ``share`` (k, n): the batches are part k of n of larger ones, of which the other parts are made elsewhere.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        patches: Patches,
        batch: int,
        seed: int,
        start: int = 0,
        device: torch.device | None = None,
        memory: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.device = device or torch.device("cpu")
        self.batch, self._share = batch, share
        self.random = _generator(self.device)
        self._patches, self._seed, self._next = patches, seed, start
        self._scale = patches.scale or (1,) * len(patches.size)
        self._stream: Streamed | None = None
        if memory is not None and needed(sources, patches.kind, self._scale) > memory:
            self._stream = Streamed(sources, patches, self._scale, memory, self.device, seed + start + share[0])
            self._resident, shown = self._stream.resident, self._stream.shown
        else:
            self._resident = Resident.of(sources, patches.kind, patches.record, self._scale, self.device)
            shown = list(sources)
        self._places = _Places(shown, patches, alike=self._stream is not None)

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads that read ahead, where there are any."""
        if self._stream is not None:
            self._stream.close()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        where, inside = self.drawn()
        return self.made(where, folds=not (self.device.type == "cpu" and inside))

    def drawn(self) -> tuple[Tensor, bool]:
        """Where the patches of the next batch lie, see `napari_dojo.data.resident.packed`, on the device, and whether all are inside."""
        rng = np.random.default_rng([self._seed, self._next])
        part, parts = self._share
        if self._stream is not None:
            for i, source in self._stream.renewed(self.batch * prod(self._patches.size)):
                self._places.put(i, source)
        self.random.manual_seed(int(rng.integers(2**62)) + part)
        self._next += 1
        where, inside = self._places.draw(self.batch * parts, rng)
        where = where[part * self.batch : (part + 1) * self.batch]
        return sent(where, self.device), inside

    def made(self, where: Tensor, folds: bool = True) -> Batch:
        """The batch of such places, (N, 2 + d + d * d), see `napari_dojo.data.resident.packed`; nothing in here waits for the device."""
        patches = self._patches
        on_grid = not (patches.resample and patches.augment)
        crops = self._resident.cut(where, patches.size, self._scale, on_grid, folds)
        x, target, weight = patches.targets(crops, self.random)
        if patches.intensity is not None and patches.augment:
            x = patches.intensity(x, self.random)
        return Batch(x, target, weight)

    def forget_graph(self) -> None:
        """Draw from another generator, after one that a CUDA graph was to read could not be recorded with it."""
        seed = self.random.initial_seed()
        self.random = _generator(self.device).manual_seed(seed)

    def renew(self, sources: Sequence[Source]) -> None:
        """Other targets for the same images; chunks of streamed ones follow when they are read again."""
        if self._stream is not None:
            self._stream.renew(sources)
            return
        with ThreadPoolExecutor(cores()) as pool:
            prepared = pool.map(lambda s: Prepared.of(s, self._patches.record), sources)
            for i, (source, one) in enumerate(zip(sources, prepared, strict=True)):
                self._resident.put(i, one)
                self._places.put(i, source)

    def move(self, device: torch.device) -> None:
        """To another device."""
        self._resident, self.device, self.random = self._resident.moved(device), device, _generator(device)
        if self._stream is not None:
            self._stream.resident = self._resident


class _Places:
    """Where patches lie: random samples, mostly inside them, often on something annotated."""

    def __init__(self, sources: Sequence[Source], patches: Patches, alike: bool = False) -> None:
        self._patches = patches
        self._sizes = np.array([s.size for s in sources], float)
        self._anchors = [s.anchors for s in sources]
        weight = np.ones(len(sources)) if alike else np.array([weight_of(s) for s in sources])
        self._share = np.cumsum(weight / weight.sum())
        self._index()

    def put(self, i: int, source: Source) -> None:
        """Another sample in the place of sample ``i``."""
        self._sizes[i], self._anchors[i] = source.size, source.anchors
        self._index()

    def _index(self) -> None:
        self._counts = np.array([len(a) for a in self._anchors])
        self._first = np.cumsum(self._counts) - self._counts
        some = [a for a in self._anchors if len(a)]
        self._all = np.concatenate([*some, np.zeros((1, self._sizes.shape[1]), np.int32)])

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Tensor, bool]:
        """``n`` patches (see `napari_dojo.data.resident.packed`), and whether all lie inside their samples."""
        patches, sizes = self._patches, self._sizes
        sample = np.minimum(np.searchsorted(self._share, rng.random(n), side="right"), len(sizes) - 1)
        patch, size = np.asarray(patches.size, float), sizes[sample]
        matrix, zoom = self._matrices(n, rng)
        half = np.abs(matrix) @ (patch / 2)
        anywhere = rng.uniform(0, 1, size.shape) * size
        aimed = (rng.random(n) < patches.aimed) & (self._counts[sample] > 0)
        which = self._first[sample] + (rng.random(n) * self._counts[sample]).astype(int)
        beside = rng.uniform(-0.6, 0.6, size.shape) * half
        centre: NDArray[Any] = np.where(aimed[:, None], self._all[np.where(aimed, which, 0)] + beside, anywhere)
        low, high = np.minimum(half, size / 2), np.maximum(size - half, size / 2)
        centre = np.clip(centre, low, high)
        if patches.shift and patches.augment:
            centre = centre + rng.uniform(-patches.shift, patches.shift, size.shape) * patch
        if not (patches.resample and patches.augment):  # on the pixels
            centre = np.round(centre - half) + half
        inside = bool(((centre >= half - 1e-6) & (centre + half <= size + 1e-6)).all())
        return packed(sample, zoom, centre, matrix), inside

    def _matrices(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Flips, in the last two axes an angle (any, or a quarter turn where the patch is square), and a size; the size."""
        patches, d = self._patches, len(self._patches.size)
        if not patches.augment:
            return np.tile(np.eye(d), (n, 1, 1)), np.ones(n)
        flips = rng.choice([-1.0, 1.0], (n, d)) if patches.flips else np.ones((n, d))
        if patches.resample:
            angle = rng.uniform(-patches.angle, patches.angle, n)
            most = np.where(rng.random(n) < patches.wide, WIDE, patches.zoom) if patches.wide else patches.zoom
            scale = np.asarray(np.exp(rng.uniform(-most, most, n)), np.float64)
        else:
            square = patches.size[-1] == patches.size[-2] and len(set(patches.scale[-2:])) < 2
            angle = np.asarray(np.pi / 2 * rng.integers(4 if square and patches.quarter else 1, size=n), np.float64)
            scale = np.ones(n, np.float64)
        c, s = np.cos(angle), np.sin(angle)
        turn: NDArray[np.float64] = np.zeros((n, d, d))
        turn[:, range(d), range(d)] = 1.0
        turn[:, -2, -2], turn[:, -2, -1], turn[:, -1, -2], turn[:, -1, -1] = c, -s, s, c
        found = turn * flips[:, None, :] / scale[:, None, None]
        return np.asarray(found if patches.resample else np.rint(found), np.float64), scale


def _generator(device: torch.device) -> Generator:
    return Generator(device="cpu" if device.type == "mps" else device)
