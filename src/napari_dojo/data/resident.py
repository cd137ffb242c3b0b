"""Samples as they lie on the device: pixel after pixel in one buffer, so that one lookup reads patches of many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dojo.data.dataset import Sample
from napari_dojo.data.kinds import Kind
from napari_dojo.data.normalize import Cleaned, Normalization
from napari_dojo.data.split import Crop
from napari_dojo.device import cores

__all__ = ["Crops", "Pixels", "Places", "Resident", "Source", "kept_as"]

WORD = 8  # bytes of a record
SLAB = 2**26  # bytes that go to a device at a time


@dataclass(frozen=True, eq=False)
class Source:
    """One training part, ready to be cropped.

    ``x`` (C, *S) as stored, ``y`` labels (*S), an image (K, *S * scale), a category or None, ``region`` (*S) on the grid
    of ``x``; ``norm`` is of ``x``, ``target`` of an image ``y``; ``weight`` : how often it is drawn, relative to others of
    its size and annotation.
    """

    x: Any
    y: Any
    region: NDArray[np.bool_] | None
    norm: Normalization
    anchors: NDArray[np.int32]  # (n, dims), places that are annotated, each label value as often as the others
    target: Normalization | None = None
    weight: float = 1.0

    @staticmethod
    def of(
        item: Sample,
        part: Crop,
        norm: Normalization,
        kind: Kind,
        seed: int = 0,
        target: Normalization | None = None,
        scale: Sequence[int] = (),
        stays: bool = False,
    ) -> Source:
        """The part of an item, with the places worth looking at; ``stays`` : an image in a file is not read as a whole."""
        x, padding = item.x, None
        if isinstance(x, np.ndarray) and (item.clean or not (stays and isinstance(x, np.memmap))):
            x, padding = (x, None) if item.clean else norm.clean(x)
            whole, x = x, x[(slice(None), *part.slices)]
            if whole is not item.x and x.size < whole.size:  # else each part keeps a copy of the whole
                x = x.copy()
        else:
            x = Cleaned(x, norm, part.box)
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


@dataclass(frozen=True, eq=False)
class Places:
    """Where the pixels of patches lie in their samples.

    Attributes
    ----------
    sample : (N,) int64.
    along : for each spatial axis the distance from the sample's outer edge, in px of ``x``; they broadcast to (N, *S).
    """

    sample: Tensor
    along: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images of many samples, one after the other in one buffer.

    Attributes
    ----------
    values : (P,), or (P, C) of several channels; int16 holds the bits of uint16, int64 those of eight bytes.
    start, size, step : of each sample its first pixel (n,), its spatial size (n, d), and the pixels between neighbours
        along each axis (n, d); int32 where that is enough for P.
    first : ``start`` in main memory.
    offset, gain : (n, C); ``(value - offset) * gain`` is normalised.
    scale : px per px of ``x`` for each spatial axis.
    """

    values: Tensor
    start: Tensor
    size: Tensor
    step: Tensor
    offset: Tensor
    gain: Tensor
    scale: tuple[int, ...]
    first: tuple[int, ...]

    @staticmethod
    def of(
        images: Sequence[Any], norms: Sequence[Normalization | None], device: torch.device, scale: tuple[int, ...]
    ) -> Pixels:
        """Images (C, *S), each with its normalisation (None: the values are as they are to be).

        8 and 16 bits stay as they are, all else becomes normalised float32.
        """
        kept = kept_as(images)
        pixels = Pixels.empty(kept, int(images[0].shape[0]), [x.shape[1:] for x in images], device, scale)
        for i, (x, norm) in enumerate(zip(images, norms, strict=True)):
            pixels.put(i, x, norm)
        return pixels

    @staticmethod
    def empty(
        kept: torch.dtype,
        channels: int,
        sizes: Sequence[Sequence[int]],
        device: torch.device,
        scale: tuple[int, ...],
    ) -> Pixels:
        """Room for samples of these spatial sizes."""
        first = np.concatenate([[0], np.cumsum([prod(map(int, s)) for s in sizes])])
        index = torch.int32 if first[-1] < 2**31 else torch.int64
        shape = (int(first[-1]),) if channels == 1 else (int(first[-1]), channels)
        start = torch.tensor(first[:-1], dtype=index, device=device)
        size = torch.ones((len(sizes), len(sizes[0])), dtype=index, device=device)
        offset = torch.zeros((len(sizes), channels), device=device)
        values = torch.empty(shape, dtype=kept, device=device)
        return Pixels(
            values,
            start,
            size,
            torch.ones_like(size),
            offset,
            torch.ones_like(offset),
            scale,
            tuple(first[:-1].tolist()),
        )

    def put(self, i: int, x: Any, norm: Normalization | None) -> None:
        """Lay image (C, *S) in the room of sample ``i``, which may be larger."""
        host, offset, gain = _stored(x, norm, self.values.dtype)
        size, first = x.shape[1:], self.first[i]
        step = [prod(size[a + 1 :]) for a in range(len(size))]
        for table, row in ((self.size, size), (self.step, step), (self.offset, offset), (self.gain, gain)):
            _lay(table[i], np.asarray(row))
        rows = host.reshape(len(host), -1).T
        _lay(self.values[first : first + len(rows)].view(len(rows), -1), rows)

    def nearest(self, places: Places) -> Tensor:
        """Pixels as stored, (N, *S), or (N, *S, C) of several channels."""
        flat = self._first(places)
        for a, at in enumerate(places.along):
            last = self._of_axis(self.size, a, places) - 1
            index = (at if self.scale[a] == 1 else at * self.scale[a]).to(last.dtype)  # at >= 0: the floor
            flat = flat + torch.minimum(index, last) * self._of_axis(self.step, a, places)
        return self._rows(flat)

    def on_grid(self, places: Places) -> Tensor:
        """Normalised (N, C, *S), of places that are pixel centres."""
        return self._normalised(_numbers(self.nearest(places)), places)

    def linear(self, places: Places) -> Tensor:
        """Normalised (N, C, *S), interpolated between the nearest pixels."""
        flat, ways = self._first(places), []
        for a, at in enumerate(places.along):
            size, step = self._of_axis(self.size, a, places), self._of_axis(self.step, a, places)
            between = (at if self.scale[a] == 1 else at * self.scale[a]) - 0.5
            index = torch.minimum(between.to(size.dtype), size - 2).clamp_(min=0)
            share = (between - index).clamp_(0, 1)
            ways.append((share if self.values.ndim == 1 else share[..., None], step * (size > 1)))
            flat = flat + index * step
        return self._normalised(self._between(flat, ways), places)

    def moved(self, device: torch.device) -> Pixels:
        """The same on another device."""
        values, start, size = (t.to(device) for t in (self.values, self.start, self.size))
        step, offset, gain = (t.to(device) for t in (self.step, self.offset, self.gain))
        return Pixels(values, start, size, step, offset, gain, self.scale, self.first)

    def _between(self, flat: Tensor, ways: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Values at ``flat`` px into the buffer, and how far to the next along each axis; float32."""
        if not ways:
            return _numbers(self._rows(flat))
        (share, step), rest = ways[0], ways[1:]
        return torch.lerp(self._between(flat, rest), self._between(flat + step, rest), share)

    def _first(self, places: Places) -> Tensor:
        return self.start[places.sample].view(-1, *(1,) * len(places.along))

    def _of_axis(self, table: Tensor, axis: int, places: Places) -> Tensor:
        return table[places.sample, axis].view(-1, *(1,) * len(places.along))

    def _rows(self, flat: Tensor) -> Tensor:
        return self.values.index_select(0, flat.reshape(-1)).view(*flat.shape, *self.values.shape[1:])

    def _normalised(self, rows: Tensor, places: Places) -> Tensor:
        rows = rows[..., None] if self.values.ndim == 1 else rows
        flat = (1,) * len(places.along)
        offset, gain = (t[places.sample].view(-1, *flat, t.shape[1]) for t in (self.offset, self.gain))
        return rows.sub_(offset).mul_(gain).movedim(-1, 1)


@dataclass(frozen=True, eq=False)
class Crops:
    """Patches cut out of many samples at once, flipped, rotated and scaled.

    Attributes
    ----------
    x : (N, C, *S) float32, normalised.
    y : an image (N, K, *S * scale) float32, a number for each patch (N,) float32, or None.
    record : what the task's record says of each pixel, (N, R, *S * scale) as stored, or None.
    turn : (N, d, d); brings a vector in the sample into the patch, without changing its length.
    zoom : (N,) px of the patch per px of the sample.
    mirrored : for each spatial axis where the patch shows what lies beyond the sample's edge; None: nowhere.
    """

    x: Tensor
    y: Tensor | None
    record: Tensor | None
    turn: Tensor
    zoom: Tensor
    mirrored: tuple[Tensor, ...] | None

    def turned(self, vectors: Tensor) -> Tensor:
        """Vectors of each pixel of the samples (N, V, d, *S) as they lie in the patches."""
        n, _, d, *size = vectors.shape
        parts = list(vectors.unbind(2))
        if self.mirrored is not None:
            signs = [torch.where(m, -1.0, 1.0)[:, None] for m in self.mirrored]
            parts = [part * sign for part, sign in zip(parts, signs, strict=True)]
        turn = self.turn.view(n, d, d, 1, *(1,) * len(size))
        found = torch.empty_like(vectors)
        for a in range(d):
            along = torch.mul(parts[0], turn[:, a, 0], out=found[:, :, a])
            for b in range(1, d):
                along.addcmul_(parts[b], turn[:, a, b])
        return found

    def known(self) -> Tensor:
        """Weight 1 where a record of one map says so, and everywhere without a record, (N, 1, *S * scale) float32."""
        if self.record is not None:
            return self.record.float()
        like = self.x if self.y is None else self.y
        return like.new_ones((len(like), 1, *like.shape[2:]))


Record = Callable[[Any, NDArray[np.bool_] | None], NDArray[Any] | None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A source and its record, both as they are kept: what `Resident.put` lays on the device."""

    source: Source
    record: NDArray[Any] | None

    @staticmethod
    def of(source: Source, record: Record) -> Prepared:
        """``record`` is a task's: (y, region) -> (R, *S) of one byte each, or None: known everywhere."""
        made = record(source.y, source.region)
        return Prepared(source, None if made is None else np.asarray(made))


@dataclass(frozen=True, eq=False)
class Resident:
    """The sources of a training on the device.

    ``record`` holds what a task remembers of each pixel, ``value`` (n,) the category of each sample, ``maps`` is how many
    bytes a record has, negative where they are signed.
    """

    x: Pixels
    y: Pixels | None
    record: Pixels | None
    value: Tensor | None
    maps: int = 0

    @staticmethod
    def of(
        sources: Sequence[Source], kind: Kind, record: Record, scale: tuple[int, ...], device: torch.device
    ) -> Resident:
        """All of them; ``record`` is a task's, see `Prepared`."""
        with ThreadPoolExecutor(cores()) as pool:
            prepared = list(pool.map(lambda s: Prepared.of(s, record), sources))
        made = Resident.empty(prepared, [s.size for s in sources], kind, scale, device)
        for i, one in enumerate(prepared):
            made.put(i, one)
        return made

    @staticmethod
    def empty(
        like: Sequence[Prepared],
        sizes: Sequence[Sequence[int]],
        kind: Kind,
        scale: tuple[int, ...],
        device: torch.device,
    ) -> Resident:
        """Room for samples of these sizes, each of which is like one of some others in types and in having a record."""
        ones = (1,) * len(sizes[0])
        first = like[0].source
        y, value, record, maps = None, None, None, 0
        if first.y is not None and not kind.dense:
            value = torch.zeros(len(sizes), device=device)
        elif first.y is not None and kind.intensities:
            fine = [tuple(n * f for n, f in zip(s, scale, strict=True)) for s in sizes]
            kept = kept_as(p.source.y for p in like)
            y = Pixels.empty(kept, len(first.y), fine, device, scale)
        known = [p.record for p in like if p.record is not None]
        if known:
            maps = len(known[0]) * (-1 if known[0].dtype == np.int8 else 1)
            record = Pixels.empty(torch.uint8 if abs(maps) == 1 else torch.int64, 1, sizes, device, ones)
        kept = kept_as(p.source.x for p in like)
        return Resident(Pixels.empty(kept, len(first.x), sizes, device, ones), y, record, value, maps)

    def put(self, i: int, one: Prepared) -> None:
        """Lay a source in the room of sample ``i``."""
        source = one.source
        self.x.put(i, source.x, source.norm)
        if self.y is not None:
            self.y.put(i, source.y, source.target)
        if self.value is not None:
            self.value[i] = float(source.y)
        if self.record is not None:
            known = np.ones((1, *source.size), np.uint8) if one.record is None else one.record
            self.record.put(i, _packed_bytes(known), None)

    @property
    def nbytes(self) -> int:
        """Memory that the samples take, in bytes."""
        kept = (self.x, self.y, self.record)
        return sum(p.values.numel() * p.values.element_size() for p in kept if p is not None)

    def moved(self, device: torch.device) -> Resident:
        """The same on another device."""
        y, record = (None if p is None else p.moved(device) for p in (self.y, self.record))
        value = None if self.value is None else self.value.to(device)
        return Resident(self.x.moved(device), y, record, value, self.maps)

    def cut(self, where: Tensor, size: Sequence[int], scale: Sequence[int], on_grid: bool, folds: bool) -> Crops:
        """The patches that ``where`` describes (see `packed`), on the device of the samples.

        ``on_grid`` : their pixels are pixels of the samples; ``folds`` : some may reach beyond a sample's edge, where it
        is mirrored.
        """
        d = len(size)
        sample, zoom, centre = where[:, 0].long(), where[:, 1], where[:, 2 : 2 + d]
        matrix = where[:, 2 + d :].view(-1, d, d)
        ones = (1,) * d
        coarse, mirrored = self._places(sample, centre, matrix, size, ones, folds)
        fine = coarse
        if any(f > 1 for f in scale):
            fine, mirrored = self._places(sample, centre, matrix, size, scale, folds)
        read = Pixels.on_grid if on_grid else Pixels.linear
        y = self.value[sample] if self.value is not None else None
        if self.y is not None:
            y = read(self.y, fine)
        record = None if self.record is None else _bytes_of(self.record.nearest(fine), self.maps)
        turn = (matrix * zoom.view(-1, 1, 1)).transpose(1, 2)
        return Crops(read(self.x, coarse), y, record, turn, zoom, mirrored if folds else None)

    def _places(
        self, sample: Tensor, centre: Tensor, matrix: Tensor, size: Sequence[int], scale: Sequence[int], folds: bool
    ) -> tuple[Places, tuple[Tensor, ...]]:
        """Where the pixels of patches lie, ``scale`` of them per px, and where they are mirrored."""
        d = len(size)
        flat = (1,) * d
        steps = []
        for b, (n, f) in enumerate(zip(size, scale, strict=True)):
            step = (torch.arange(n * f, device=centre.device, dtype=torch.float32) - (n * f - 1) / 2) / f
            steps.append(step.view(*(1,) * b, -1, *(1,) * (d - 1 - b)))
        along, mirrored = [], []
        for a in range(d):
            at = centre[:, a].view(-1, *flat)
            for b in (a,) if a < d - 2 else range(d - 2, d):  # rotations are in the plane of the last two axes
                at = at + matrix[:, a, b].view(-1, *flat) * steps[b]
            if folds:
                edge = self.x.size[sample, a].view(-1, *flat).float()
                at = at.remainder(2 * edge) - edge
                mirrored.append(at > 0)
                at = edge - at.abs()
            along.append(at)
        return Places(sample, tuple(along)), tuple(mirrored)


def packed(sample: NDArray[Any], zoom: NDArray[Any], centre: NDArray[Any], matrix: NDArray[Any]) -> Tensor:
    """Where patches lie, as one tensor (N, 2 + d + d * d): samples (N,), zoom (N,) patch px per sample px, centres (N, d) px
    and matrices (N, d, d) that bring patch px to sample px.
    """
    n = len(sample)
    parts = [sample[:, None], zoom[:, None], centre, matrix.reshape(n, -1)]
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float32, copy=False))


def _lay(room: Tensor, values: NDArray[Any]) -> None:
    """Put an array in its place on the device, slab by slab; a GPU is not waited for."""
    if room.device.type == "cpu":
        room.numpy()[...] = values
        return
    on_gpu = room.device.type == "cuda"
    rows = max(1, SLAB // max(1, values[:1].nbytes))
    for at in range(0, len(values), rows):
        part = values[at : at + rows]
        host = torch.empty(part.shape, dtype=room.dtype, pin_memory=on_gpu)
        host.numpy()[...] = part
        room[at : at + rows].copy_(host, non_blocking=on_gpu)


def kept_as(images: Iterable[Any]) -> torch.dtype:
    """How such images are kept, see `Pixels`."""
    dtypes = {np.dtype(x.dtype) for x in images}
    if len(dtypes) == 1 and dtypes <= {np.dtype(np.uint8), np.dtype(np.int64)}:
        return torch.uint8 if np.dtype(np.uint8) in dtypes else torch.int64
    return torch.int16 if dtypes <= {np.dtype(np.uint8), np.dtype(np.uint16)} else torch.float32


def _stored(
    x: Any, norm: Normalization | None, kept: torch.dtype
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
    """An image (C, *S) as it is kept, and the offset and gain (C,) that normalise it then."""
    offset, gain = np.zeros(len(x), np.float32), np.ones(len(x), np.float32)
    if kept == torch.float32:
        return (np.asarray(x, np.float32) if norm is None else norm.apply(x)), offset, gain
    if norm is not None:
        offset, gain = np.asarray(norm.offset, np.float32), (1 / np.asarray(norm.scale, np.float64)).astype(np.float32)
    x = np.asarray(x)
    return (x.astype(np.uint16, copy=False).view(np.int16) if kept == torch.int16 else x), offset, gain


def _numbers(rows: Tensor) -> Tensor:
    """Stored values as float32."""
    return (rows.int() & 0xFFFF if rows.dtype == torch.int16 else rows).float()


def _packed_bytes(record: NDArray[Any]) -> NDArray[Any]:
    """A record (R, *S) of one byte each in a form that is looked up at once: (1, *S), eight bytes in an int64 where R > 1."""
    if len(record) == 1:
        return record.view(np.uint8)
    if len(record) > WORD:
        raise ValueError(f"a record has {len(record)} maps; {WORD} are possible")
    full = np.zeros((*record.shape[1:], WORD), np.uint8)
    full[..., : len(record)] = np.moveaxis(record.view(np.uint8), 0, -1)
    return full.view(np.int64)[..., 0][None]


def _bytes_of(rows: Tensor, maps: int) -> Tensor:
    """What `_packed_bytes` has put together, looked up: (N, *S) -> (N, R, *S)."""
    found = rows[..., None] if rows.dtype == torch.uint8 else rows[..., None].view(torch.uint8)
    found = found[..., : abs(maps)].movedim(-1, 1)
    return found.view(torch.int8) if maps < 0 else found
