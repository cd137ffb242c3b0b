"""A network on its device, applied to images of any size."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo import device as devices
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.resample import resize
from napari_dojo.events import Control, Progress
from napari_dojo.inference.tiles import Tile, tile_edge, tiled, tiles_of
from napari_dojo.nets.base import Network
from napari_dojo.nets.unet import fuse

__all__ = ["Predictor"]

TILE_PIXELS = {"cpu": 1024.0**2, "cuda": 2048.0**2, "mps": 1024.0**2}
SMALLEST = 4096.0  # pixels of a tile that is not made smaller where memory is short


class Predictor:
    """A network in evaluation, batch norm folded in.

    Parameters
    ----------
    net : is copied and stays as it is.
    tile : edge of the tiles, px; 0: what fits in memory.
    """

    def __init__(self, net: Network, device: devices.Device, tile: int = 0) -> None:
        self.device = device
        self._torch = devices.prepare(device)
        self._net = fuse(deepcopy(net).eval()).to(self._torch)
        self.stride: tuple[int, ...] = tuple(net.stride)
        self.receptive_radius: tuple[int, ...] = tuple(net.receptive_radius)
        self.outputs = int(net.out_channels)
        self.dense = net.dense
        self.scale: tuple[int, ...] = tuple(net.scale)
        self._pixels = float(tile) ** 2 if tile else TILE_PIXELS[device.kind]

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised (C, *S), S a multiple of the stride -> maps (K, *S * scale)."""
        with torch.inference_mode(), torch.autocast(self._torch.type, torch.float16, enabled=self.device.mixed):
            y = self._net(torch.from_numpy(np.ascontiguousarray(x))[None].to(self._torch))
            return y[0].float().cpu().numpy()

    def maps(
        self, x: Any, norm: Normalization, zoom: float = 1.0, control: Control | None = None
    ) -> Generator[Progress, None, NDArray[np.float32]]:
        """Maps (K, *S * scale) of a raw image (C, *S), scaled by ``zoom`` for the network, and back; (K,) where it is not dense.

        Raises
        ------
        StoppedError : where ``control`` says so, between tiles.
        """
        size = tuple(x.shape[1:])
        if zoom != 1:
            x = resize(norm.apply(x), tuple(max(1, round(n * zoom)) for n in size))
            norm = Normalization((0.0,) * x.shape[0], (1.0,) * x.shape[0])
        if not self.dense:
            yield Progress(1, 1)
            return self._whole(norm.apply(x))
        out = self.zeros(x.shape[1:])
        for event in self.steps(x, norm, out):
            yield event
            if control is not None:
                control.check()
        return out if zoom == 1 else resize(out, size)

    def _whole(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (K,) for a normalised image (C, *S), mirrored to a multiple of the stride."""
        more = [(0, -n % s) for n, s in zip(x.shape[1:], self.stride, strict=True)]
        return self(np.pad(x, [(0, 0), *more], mode="symmetric"))

    def zeros(self, size: Sequence[int]) -> NDArray[np.float32]:
        """Room for the maps (K, *S * scale) of an image of this size."""
        return np.zeros((self.outputs, *(n * f for n, f in zip(size, self.scale, strict=True))), np.float32)

    def tiles(self, size: Sequence[int]) -> list[Tile]:
        """How an image of this size is cut: the halo is the receptive radius, or, in volumes, half of it, blended."""
        halo = self.receptive_radius if len(size) == 2 else tuple(-(-r // 2) for r in self.receptive_radius)
        blend = 0 if len(size) == 2 else min(8, *halo)
        halo = tuple(-(-h // s) * s for h, s in zip(halo, self.stride, strict=True))
        return tiles_of(size, tile_edge(self._pixels, halo, self.stride, size), halo, self.stride, blend)

    def steps(self, x: Any, norm: Normalization, out: NDArray[np.float32]) -> Iterator[Progress]:
        """Raw (C, *S) into maps ``out`` (K, *S * scale), tile by tile. Halves tiles where memory is short."""
        while True:
            try:
                tiles = self.tiles(x.shape[1:])
                yield from tiled(lambda part: self(norm.apply(part)), x, out, tiles, self.stride, self.scale)
                return
            except Exception as e:
                if not devices.is_out_of_memory(e) or self._pixels < SMALLEST:
                    raise
                self._pixels /= 4
                out[...] = 0
                if self.device.kind == "cuda":
                    torch.cuda.empty_cache()
