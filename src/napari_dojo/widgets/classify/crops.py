"""Small pictures of objects, cut when they are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.widgets.classify.subject import MeasuredObjects
from napari_dojo.widgets.common.layers import array_of

__all__ = ["Cutter"]

CONTEXT = 1.3  # edge of a picture over the longer side of the object


class Cutter:
    """Cuts pictures of the objects of a measured subject, as their image layers look.

    Parameters
    ----------
    edge : of a picture, px.
    """

    def __init__(self, m: MeasuredObjects, edge: int) -> None:
        self._m, self._edge = m, edge
        objects = m.objects
        wide = (objects.stop - objects.start)[:, -2:].max(axis=1) if len(objects) else np.zeros(1)
        self._least = float(np.percentile(wide, 75)) if len(objects) else 1.0  # small objects look small
        self._images = [array_of(layer) for layer in m.subject.images]

    def picture(self, row: int) -> NDArray[np.uint8]:
        """The object in the middle of (edge, edge, 3); of a volume the plane of its centre."""
        objects = self._m.objects
        sample, _ = objects.key(row)
        start, stop = objects.start[row], objects.stop[row]
        side = CONTEXT * max(self._least, float((stop - start)[-2:].max()))
        middle = (start + stop)[-2:] / 2
        plane = (int(objects.centre[row][0] + 0.5),) if len(start) == 3 else ()
        steps = (np.arange(self._edge) + 0.5) / self._edge - 0.5
        rows, columns = (np.floor(m + steps * side).astype(int) for m in middle)
        out = np.zeros((self._edge, self._edge, 3), np.float32)
        for layer, channel, colour in self._channels(sample, plane):
            size = channel.shape
            inside = ((rows >= 0) & (rows < size[0]))[:, None] & ((columns >= 0) & (columns < size[1]))
            y0, x0 = max(0, rows[0]), max(0, columns[0])
            box = np.asarray(channel[y0 : rows[-1] + 1, x0 : columns[-1] + 1], np.float32)
            if box.size == 0:
                continue
            seen = box[np.clip(rows - y0, 0, box.shape[0] - 1)[:, None], np.clip(columns - x0, 0, box.shape[1] - 1)]
            low, high = layer.contrast_limits if not layer.rgb else (0, 255 if channel.dtype == np.uint8 else 1)
            bright = np.clip(np.nan_to_num(seen - low) / max(high - low, 1e-9), 0, 1) ** layer.gamma * inside
            out += bright[..., None] * colour
        return (np.clip(out, 0, 1) * 255).astype(np.uint8)

    def _channels(self, sample: int, plane: tuple[int, ...]) -> Iterator[tuple[Any, Any, NDArray[np.float64]]]:
        """The layer, the plane (Y, X) and the colour of each channel."""
        axes, layers = self._m.subject.axes, self._m.subject.images
        if len(layers) > 1:  # they lie along a first axis
            own = Axes(axes.names[1:], axes.spatial)
            for layer, image in zip(layers, self._images, strict=True):
                colour = np.asarray(layer.colormap.map(np.array([1.0]))[0][:3])
                yield layer, own.sample(image, sample)[0][plane], colour
            return
        channels = axes.sample(self._images[0], sample)
        for k, channel in enumerate(channels[:3] if layers[0].rgb else channels):
            colour = np.eye(3)[k] if layers[0].rgb else np.full(3, 1 / len(channels))
            yield layers[0], channel[plane], colour
