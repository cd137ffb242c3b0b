"""A network on its device, applied to images of any size."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from hashlib import sha256
from math import inf, prod
from threading import Semaphore
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dojo import device as devices
from napari_dojo.boxes import Box, scaled, slices, within
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.resample import fitted, resize
from napari_dojo.events import Control, Event, Progress
from napari_dojo.inference.cores import shares
from napari_dojo.inference.tiles import Tile, mirrored, tile_edge, tiled, tiles_of
from napari_dojo.inference.tta import Disagreement, Views, turned
from napari_dojo.nets.base import Network, oriented
from napari_dojo.nets.staged import Kept, Staged
from napari_dojo.nets.unet import UNet, fuse

__all__ = ["Predictor"]

# Of a tile: on a CPU larger ones leave its cache (a third more time per pixel at 2048 px), smaller ones are mostly halo.
LARGEST = {"cpu": 1536.0**2, "cuda": 4096.0**2, "mps": 1024.0**2}
TOGETHER = {"cpu": 512.0**2, "cuda": 4096.0**2, "mps": 1024.0**2}  # pixels of tiles that are computed as a batch
BLOCKS = {"cpu": 2816.0**2, "cuda": 4096.0**2, "mps": 2048.0**2}  # of blocks of a large image, with little halo
VOLUME = 32e6  # voxels of blocks of a large volume
# Bytes that a block may take on a CPU, by the number of spatial axes. As many blocks of planes are under way as there are cores, and half
# as many of volumes, which are larger, because their halo is most of a small one.
BLOCK_MEMORY = {2: 0.7e9, 3: 1.4e9}
BLOCK_SHARE = 0.1  # of the device's memory, which a block of a volume may take where that is more
BAND_MEMORY = 60e6  # bytes for the network on one of the bands that blocks of planes are computed in on a CPU
ARRAYS = 12.0  # bytes for a pixel: what is read, and the maps
OBJECTS = {2: 40.0, 3: 80.0}  # bytes for a pixel while objects are found in the maps, by the number of spatial axes
PART = 5e6  # voxels of a volume in which objects are found at a time, margin included
SMALLEST = 4096.0  # pixels of a tile that is not made smaller where memory is short
BYTES = 1000.0  # memory that a network takes for a pixel of a tile, at least
RESIDENT = 0.4  # share of the free memory of a GPU that an image and its maps may take
MOST = 8  # networks that a CPU computes at a time
PINNED = 2**29  # bytes of maps that go to memory which a GPU writes to itself: ten times as fast as to other memory
AHEAD = 2  # batches that a GPU is given before the first of them is done
AS_STORED = {np.dtype(t) for t in ("u1", "i1", "i2", "i4", "f4", "f8")}  # what torch computes with on all devices


@dataclass(frozen=True, eq=False)
class _Arriving:
    """Results on their way from a GPU: iterating waits until they are there."""

    results: Tensor
    there: torch.cuda.Event

    def __iter__(self) -> Iterator[Tensor]:
        self.there.synchronize()
        return iter(self.results)


class Predictor:
    """A network in evaluation, batch norm folded in.

    A GPU holds the image and its maps where they fit into a share of its memory; else tiles and their maps travel while
    others are computed.

    Parameters
    ----------
    net : is copied and stays as it is.
    tile : edge of the tiles, px; 0: what fits in memory.
    maps : predict only the first ones; 0: all.
    lowered : bfloat16 is exact enough, where a CPU computes with it: for decisions, not for intensities.

    Attributes
    ----------
    at_once : networks that are computed at a time where there are several images.
    memory : bytes for a tile or block, and for what is made of its maps, about.
    """

    def __init__(
        self, net: Network, device: devices.Device, tile: int = 0, maps: int = 0, lowered: bool = False
    ) -> None:
        lowers = lowered and net.dense and device.kind == "cpu" and devices.computes_bfloat16()
        self.device = replace(device, mixed=True) if lowers else device
        self._torch = devices.prepare(device)
        ours = deepcopy(net).eval()
        if maps:
            ours.keep(maps)
        flat = net.dims == 2 and device.kind != "mps"
        self._layout = torch.channels_last if flat else torch.contiguous_format
        self._net: Any = fuse(ours).to(self._torch).to(memory_format=self._layout)  # type: ignore[call-overload]
        self.stride: tuple[int, ...] = tuple(net.stride)
        self.receptive_radius: tuple[int, ...] = tuple(net.receptive_radius)
        self.outputs = int(ours.out_channels)
        self.dense = net.dense
        self._size, self._padded, self._dims = tuple(net.size), net.padded, net.dims
        self._of_blocks, self._kept, self._less, self._most = False, Kept(), 0.0, inf
        self.scale: tuple[int, ...] = tuple(net.scale)
        each = max(BYTES, 2 * net.bytes_per_pixel)
        self._fitting = min(LARGEST[device.kind], max(device.memory / each / 2, 512.0**2))
        self._asked = tile
        self._pixels = float(tile) ** 2 if tile else self._fitting
        self._together = min(TOGETHER[device.kind], self._fitting)
        self._pace = devices.Pace(AHEAD)
        self._take_turns(self._pixels)

    def _take_turns(self, pixels: float) -> None:
        """Threads with a tile or block of this size each take turns where they do not fit beside each other, as on a GPU."""
        fixed, each = self._bytes(pixels)
        self.memory = fixed + pixels * each
        fitting = int(self.device.memory / 2 / self.memory) if self.device.kind == "cpu" else 1
        most = self.device.cores // 2 if self._of_blocks and self._dims == 3 else self.device.cores
        self.at_once = max(1, min(most, MOST, fitting))
        self._turn = Semaphore(self.at_once)

    @property
    def fingerprint(self) -> str:
        """Of the weights."""
        found = sha256()
        for values in self._net.state_dict().values():
            found.update(np.ascontiguousarray(values.cpu().numpy()).tobytes())
        return found.hexdigest()[:16]

    @property
    def block_pixels(self) -> float:
        """Of the blocks that suit the device, halo included: the tile that was asked for, else larger than usual tiles."""
        if self._asked:
            return float(self._asked) ** 2
        flat, memory = self._dims == 2, self.device.memory / 2
        if self.device.kind == "cpu":
            usual = BLOCK_MEMORY[self._dims] - self._less
            memory = min(memory, self._most, max(usual, 0.0 if flat else BLOCK_SHARE * self.device.memory))
        fixed, each = self.for_blocks(inf)._bytes(inf)
        most = BLOCKS[self.device.kind] if flat else VOLUME
        return min(most, max((memory - fixed) / each, 512.0**2))

    @property
    def block_memory(self) -> float:
        """Bytes for a block of that size, about."""
        return self.for_blocks(self.block_pixels).memory

    def with_smaller_blocks(self, less: float, most: float = inf) -> Predictor:
        """The same, whose blocks on a CPU take that many bytes less than usual, and at most ``most``."""
        made = copy(self)
        made._less, made._most = less, most
        return made

    def for_blocks(self, pixels: float) -> Predictor:
        """The same, which computes blocks of so large a size."""
        made = copy(self)
        made._of_blocks, made._pixels = True, pixels
        if self._dims == 3 and isinstance(self._net, UNet):
            made._pixels = min(pixels, self._fitting)
        made._take_turns(pixels)
        return made

    def _bytes(self, pixels: float) -> tuple[float, float]:
        """Of a tile or block of this size, and of what is made of its maps: whatever its size, and for each pixel, about."""
        fixed, each = 0.0, self._net.bytes_per_pixel
        if isinstance(self._net, UNet) and self._box < pixels:
            fixed, each = self._box * each, Staged.bytes_per_pixel(self._net)
        if self._dims == 3:
            return max(fixed, min(PART, pixels) * OBJECTS[3]), ARRAYS + each
        return fixed, ARRAYS + max(each, OBJECTS[2])

    @property
    def _box(self) -> float:
        """Pixels of the boxes that a larger image is computed in, level by level (`Staged`); infinite: it is computed at once."""
        if not isinstance(self._net, UNet):
            return inf
        if self._dims == 3:
            return self._pixels
        if not self._of_blocks or self.device.kind != "cpu":
            return inf
        return min(BAND_MEMORY / self._net.bytes_per_pixel, self._pixels)

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised (C, *S), S a multiple of the stride -> maps (K, *S * scale)."""
        return self._net_on(torch.from_numpy(np.ascontiguousarray(x))[None].to(self._torch))[0].cpu().numpy()

    def maps(
        self,
        x: Any,
        norm: Normalization,
        zoom: float = 1.0,
        control: Control | None = None,
        part: Box | None = None,
        views: int = 1,
        back: bool = True,
        disagreement: Disagreement | None = None,
    ) -> Generator[Event, None, NDArray[np.float32]]:
        """Maps (K, *S * scale) of a raw image (C, *S), scaled by ``zoom`` for the network, and back; (K,) where it is not dense.

        Parameters
        ----------
        part : the box of an image that is not scaled whose maps (K, *part * scale) are wanted; None: all.
        views : they are the mean over that many flipped and rotated views of the image, see `tta.orientations`.
        back : on the grid of the image; else on that of the network, which may be finer or coarser.
        disagreement : adds up that of the first two views.

        Raises
        ------
        StoppedError : where ``control`` says so, between tiles.
        """
        ours, numbers = _scaled(x, norm, zoom)
        if not self.dense:
            yield Progress(1, 1)
            return self.values(numbers.apply(ours)[None])[0]
        asked = Views(views, disagreement=disagreement)
        found = yield from self._mapped(ours, numbers, control or Control(), asked, part)
        return self._back(found, x.shape[1:]) if back and part is None else found.numpy()

    def averaged(
        self, x: Any, norm: Normalization, zoom: float, control: Control, count: int
    ) -> Generator[Event, None, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """As `maps`: mean and standard deviation over ``count`` flipped and rotated views of the image."""
        ours, numbers = _scaled(x, norm, zoom)
        found = yield from self._mapped(ours, numbers, control, Views(count, deviation=True))
        mean, deviation = found.split(self.outputs)
        return self._back(mean, x.shape[1:]), self._back(deviation, x.shape[1:])

    def _mapped(
        self, x: Any, norm: Normalization, control: Control, views: Views, part: Box | None = None
    ) -> Generator[Progress, None, Tensor]:
        """Maps in main memory of an image on the grid of the network, or of a part of it."""
        with self._turn:
            devices.enter(self._torch)
            found = yield from self._tiled(self._placed(x, views), norm, control, views, part)
            if self.device.kind == "cuda" and found.device.type != "cpu" and found.nbytes <= PINNED:
                with suppress(RuntimeError):  # where there is no more memory of that kind
                    return next(iter(_sent(found[None])))
            return found.cpu()

    def zeros(self, size: Sequence[int]) -> NDArray[np.float32]:
        """Room for the maps (K, *S * scale) of an image of this size."""
        return np.zeros(self._room(size) if self.dense else (self.outputs,), np.float32)

    def tiles(self, size: Sequence[int]) -> list[Tile]:
        """How an image of this size is cut, with the receptive radius as the halo."""
        halo = tuple(-(-r // s) * s for r, s in zip(self.receptive_radius, self.stride, strict=True))
        return tiles_of(size, tile_edge(self._pixels, halo, self.stride, size), halo, self.stride)

    def _room(self, size: Sequence[int], maps: int = 0) -> tuple[int, ...]:
        return (maps or self.outputs, *(n * f for n, f in zip(size, self.scale, strict=True)))

    def values(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (N, K) of a network that is not dense, for normalised images (N, C, *S) of any size."""
        if not len(images):
            return np.zeros((0, self.outputs), np.float32)
        ours = images if not self._size else np.stack([fitted(x, self._size, self._padded) for x in images])
        more = [(0, -n % s) for n, s in zip(ours.shape[2:], self.stride, strict=True)]
        ours = np.pad(ours, [(0, 0), (0, 0), *more], mode="symmetric") if any(b for _, b in more) else ours
        each = max(1, int(self._together / prod(ours.shape[2:])))
        with self._turn:
            devices.enter(self._torch)
            found = self._values(ours, each)
            if self.device.mixed and not np.isfinite(found).all():  # half precision overflowed
                self.device = replace(self.device, mixed=False)
                found = self._values(ours, each)
        return found

    def _values(self, images: NDArray[np.float32], each: int) -> NDArray[np.float32]:
        """Values (N, K) of images of one size, ``each`` of them at a time."""
        parts = (torch.from_numpy(np.ascontiguousarray(images[i : i + each])) for i in range(0, len(images), each))
        return np.concatenate([self._net_on(part.to(self._torch)).cpu().numpy() for part in parts])

    def _back(self, maps: Tensor, size: Sequence[int]) -> NDArray[np.float32]:
        """Maps on the grid of an image of this size."""
        found: NDArray[np.float32] = maps.numpy()
        return found if found.shape[1:] == self._room(size)[1:] else resize(found, size)

    def _placed(self, x: Any, views: Views) -> Any:
        """An image on the GPU where it fits together with its maps, else as it is."""
        if self.device.kind != "cuda":
            return x
        needed = 8.0 * prod(x.shape) + 4.0 * prod(self._room(x.shape[1:], views.maps(self.outputs)))
        if needed > RESIDENT * torch.cuda.mem_get_info()[0]:
            return x
        return _tensor(x).to(self._torch)

    def _tiled(
        self, x: Any, norm: Normalization, control: Control, views: Views, part: Box | None = None
    ) -> Generator[Progress, None, Tensor]:
        """Maps of an image, tile by tile; where memory is short, from the start with smaller batches, then smaller tiles."""
        size = tuple(x.shape[1:])
        box = part or tuple((0, n) for n in size)
        while True:
            if views.disagreement:
                views.disagreement.forget()
            staged = prod(size) > self._box
            tiles = [] if staged else self.tiles(size)
            if part and len(tiles) == 1:
                tiles = [Tile(tiles[0].read, part)]
            largest = int(max((prod(b - a for a, b in tile.read) for tile in tiles), default=self._pixels))
            batch = min(len(tiles) or 1, max(1, int(self._together / largest)))
            try:
                where = x.device if isinstance(x, Tensor) else torch.device("cpu")
                if staged:
                    out = yield from self._in_stages(x, norm, control, views, box, where)
                else:
                    out = yield from self._by_tiles(x, norm, control, views, tiles, batch, where)
                    out = self._part(out, box)
                if self.device.kind == "cpu" or not self.device.mixed or bool(torch.isfinite(out).all()):
                    return out
                self.device = replace(self.device, mixed=False)  # half precision overflowed
                continue
            except Exception as e:
                if not devices.is_out_of_memory(e) or (batch == 1 and self._pixels < SMALLEST):
                    raise
            self._shrink(batch, largest)

    def _part(self, out: Tensor, box: Box) -> Tensor:
        return out[(slice(None), *slices(scaled(box, self.scale)))]

    def _by_tiles(
        self,
        x: Any,
        norm: Normalization,
        control: Control,
        views: Views,
        tiles: Sequence[Tile],
        batch: int,
        where: torch.device,
    ) -> Generator[Progress, None, Tensor]:
        """The maps of an image, up to ``batch`` tiles at a time."""
        out = torch.zeros(self._room(x.shape[1:], views.maps(self.outputs)), device=where)
        fn = self._function(norm, views, stay=isinstance(x, Tensor))
        for event in tiled(fn, x, out, tiles, self.stride, self.scale, batch):
            yield event
            control.check()
        return out

    def _in_stages(
        self, x: Any, norm: Normalization, control: Control, views: Views, wanted: Box, where: torch.device
    ) -> Generator[Progress, None, Tensor]:
        """The maps of a box of an image, see `napari_dojo.nets.staged`."""
        size = tuple(x.shape[1:])
        padded = tuple(n + -n % s for n, s in zip(size, self.stride, strict=True))
        sums = views.sums(torch.empty(self._room([b - a for a, b in wanted]), device=where))

        for k in range(views.count):

            def read(box: Box, k: int = k) -> Tensor:
                ours = turned(box, padded, k, back=True)
                part = x[(slice(None), *(slice(a, min(b, n)) for (a, b), n in zip(ours, size, strict=True)))]
                return oriented(self._input(part, norm, ours)[None], k).contiguous(memory_format=self._layout)

            def write(box: Box, y: Tensor, k: int = k) -> None:
                box, y = turned(box, padded, k, back=True), oriented(y[0], k, back=True)
                ours = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, wanted, strict=True))
                if all(a < b for a, b in ours):
                    there, y = [self._part(of, within(ours, wanted)) for of in sums], self._part(y, within(ours, box))
                    y = y.cpu() if where.type == "cpu" else y
                    views.add([of[None] for of in there], y[None], k)

            turn = tuple(b for _, b in turned([(0, n) for n in padded], padded, k))
            staged = Staged(self._net, read, turn, self._box, self._computing, turned(wanted, padded, k), self._kept)
            for done, _ in enumerate(staged.run(write), 1):
                if self.device.kind == "cuda":
                    self._pace.keep()
                yield Progress(k * staged.steps + done, views.count * staged.steps)
                control.check()
        return views.done(sums)

    def _shrink(self, batch: int, pixels: int) -> None:
        """Halve the batch of tiles of ``pixels`` px, or, where that is one, the edge of the tiles."""
        self._pace.forget()
        if self.device.kind == "cuda":
            torch.cuda.empty_cache()
        if batch == 1:
            self._pixels /= 4
        self._together = float(batch // 2 * pixels)

    def _function(self, norm: Normalization, views: Views, stay: bool) -> Any:
        """From raw parts of an image to their maps, which ``stay`` on the device, or come to main memory."""

        def fn(parts: Sequence[Any], wanted: Box) -> Iterable[Tensor]:
            y = views.of(self._net_on, torch.stack([self._input(part, norm) for part in parts]), wanted)
            if self.device.kind != "cuda":
                return y.cpu()
            self._pace.keep()
            return y if stay else _sent(y)

        return fn

    def _input(self, part: Any, norm: Normalization, box: Box | None = None) -> Tensor:
        """A raw part (C, *s) on the device, normalised, and mirrored to the size of ``box``; None: a multiple of the stride."""
        if not isinstance(part, Tensor):
            part = _tensor(part)
            part = devices.sent(part, self._torch) if self.device.kind == "cuda" else part
        x = _normalised(part, norm)
        for axis, s in enumerate(self.stride, 1):
            n = x.shape[axis]
            wanted = n + -n % s if box is None else box[axis - 1][1] - box[axis - 1][0]
            if n != wanted:
                x = x.index_select(axis, devices.sent(torch.from_numpy(mirrored(n, wanted)), x.device))
        return x.to(self._torch)

    def _net_on(self, x: Tensor, wanted: Box | None = None) -> Tensor:
        with self._computing():
            x = x.contiguous(memory_format=self._layout)
            y: Tensor = self._net(x) if wanted is None else self._net.part(x, wanted)
            return y.float()

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """The state of torch in which a network is applied."""
        if self.device.kind == "cpu":
            threads = max(1, devices.free_cores(self.device.cores) // min(shares(), self.at_once))
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)  # of this thread of Python
        half = torch.bfloat16 if self.device.kind == "cpu" else torch.float16
        with torch.inference_mode(), torch.autocast(self._torch.type, half, enabled=self.device.mixed):
            yield


def _scaled(x: Any, norm: Normalization, zoom: float) -> tuple[Any, Normalization]:
    """An image on the grid of the network, and the numbers that it is still to be normalised by."""
    if zoom == 1:
        return x, norm
    size = tuple(max(1, round(n * zoom)) for n in x.shape[1:])
    return resize(norm.apply(x), size), Normalization((0.0,) * x.shape[0], (1.0,) * x.shape[0])


def _tensor(x: Any) -> Tensor:
    """An array in main memory as a tensor that shares it where it can."""
    x = np.asarray(x)
    if x.dtype == np.uint16:
        return torch.from_numpy(np.require(x, x.dtype.newbyteorder("="), ["C", "W"])).float()
    known = x.dtype.newbyteorder("=") if x.dtype.newbyteorder("=") in AS_STORED else np.dtype(np.float64)
    return torch.from_numpy(np.require(x, known, ["C", "W"]))


def _normalised(x: Tensor, norm: Normalization) -> Tensor:
    """As `Normalization.apply`: 32 bits and more are subtracted before they are rounded to float32; all is finite.

    A GPU is not asked whether all values are numbers: it would be waited for.
    """
    kind = torch.float32 if x.dtype in (torch.uint8, torch.int8, torch.int16) else torch.float64
    column = (-1,) + (1,) * (x.ndim - 1)
    numbers = (norm.offset, [1 / s for s in norm.scale])
    offset, factor = (devices.sent(torch.tensor(v, dtype=kind), x.device).reshape(column) for v in numbers)
    out = x.to(kind).sub_(offset) if x.dtype != kind else x - offset
    out = out.mul_(factor).to(torch.float32)
    known = torch.isfinite(out)
    if x.device.type == "cpu" and bool(known.all()):
        return out
    infinite = float("inf")
    low, high = out.where(known, infinite).amin(), out.where(known, -infinite).amax()
    none = low > high
    return out.clamp(low.where(~none, 0.0), high.where(~none, 0.0)).where(~out.isnan(), 0.0)


def _sent(y: Tensor) -> _Arriving:
    """Results on their way to main memory."""
    there = torch.empty(y.shape, dtype=y.dtype, pin_memory=True)
    there.copy_(y, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return _Arriving(there, event)
