"""What the model sees now: one labels layer, added once and changed in place while training runs."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.axes import Axes
from napari_dojo.widgets.layers import add_quietly, array_of, moved, placement, provenance
from napari_dojo.widgets.run import Runner

__all__ = ["Preview"]

EDGE = {2: (1024, 1024), 3: (24, 256, 256)}  # the largest part that is shown, px


class Preview:
    """The live layer of one training. It shows the active image, or the first that is learned from."""

    def __init__(self, viewer: Any, runner: Runner) -> None:
        self._viewer, self._runner = viewer, runner
        self._layer: Any = None
        self._images: list[Any] = []
        self._colours: dict[int, Any] = {}
        self._axes: str | None = None
        self._folder: Path | None = None
        self._on = False
        self._place: dict[str, Any] = {}
        self._looked: Any = None
        self._shown_in: Path | None = None

    @property
    def layer(self) -> Any:
        """The live layer, where there is one."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def begin(self, pairs: list[tuple[Any, Any]], axes: str | None, folder: Path) -> None:
        """A training on these layers starts."""
        self._images = [image for image, _ in pairs]
        self._colours = {id(image): labels.colormap for image, labels in pairs}
        self._axes, self._folder, self._looked = axes, folder, None

    def turn(self, on: bool) -> None:
        """Show it or not."""
        self._on = on
        if self._folder is None:
            return
        if on:
            self._looked = None
            self.follow()
        else:
            self._runner.look(None)

    def follow(self) -> None:
        """Look at the active image, if the training knows it."""
        if not self._on or self._folder is None or self._axes is None:
            return
        active = self._viewer.layers.selection.active
        there = [x for x in self._images if x in self._viewer.layers]
        image = active if any(active is x for x in there) else (there[0] if there else None)
        if image is None or image is self._looked:
            return
        path = self._folder / f"look-{len(list(self._folder.glob('look-*.npy')))}.npy"
        np.save(path, self._cut(image))
        self._looked = image
        self._runner.look(path)

    def show(self, path: str) -> None:
        """Show what the job wrote."""
        if not self._on or self._looked is None:
            return
        try:
            labels = np.load(path)
        except (OSError, ValueError):  # it is just being replaced: the next one comes soon
            return
        layer = self.layer
        if layer is None and self._layer is not None and self._shown_in == self._folder:
            self._on = False  # a person removed it
            return
        if (
            layer is not None
            and layer.data.shape == labels.shape
            and layer.metadata["napari_dojo"]["image"] == self._looked.name
        ):
            layer.data = labels
            return
        if layer is not None:
            self._viewer.layers.remove(layer)
        name = f"{self._looked.name} (what it sees now)"
        more = provenance("preview", self._looked.name)
        colours = deepcopy(self._colours[id(self._looked)])
        self._layer = add_quietly(
            self._viewer, labels, name, metadata=more, opacity=0.5, colormap=colours, **self._place
        )
        self._shown_in = self._folder

    def end(self) -> None:
        """The training is over; what it saw last stays to be looked at."""
        self._folder = None

    def _cut(self, image: Any) -> Any:
        """The part of the image to look at (C, *S), and where it lies."""
        axes = Axes.resolve(array_of(image).shape, self._axes)
        array = array_of(image)
        step = dict(zip(_world(axes, image), self._viewer.dims.current_step[-image.ndim :], strict=True))
        others = [a for a in axes.names if a != "C" and a not in axes.spatial]
        sizes = [array.shape[axes.names.index(a)] for a in others]
        where = [min(max(0, int(step.get(a, 0))), n - 1) for a, n in zip(others, sizes, strict=True)]
        index = int(np.ravel_multi_index(where, sizes)) if where else 0
        x = axes.sample(array, index)
        size = x.shape[1:]
        start = [max(0, (n - e) // 2) for n, e in zip(size, EDGE[len(size)], strict=True)]
        box = tuple(slice(a, a + e) for a, e in zip(start, EDGE[len(size)], strict=True))
        world = _world(axes, image)
        place = placement(image, [world.index(a) for a in axes.spatial])
        self._place = moved(place, start)
        return np.asarray(x[(slice(None), *box)])


def _world(axes: Axes, image: Any) -> str:
    """The letters of the dimensions that napari shows."""
    return axes.names.replace("C", "") if getattr(image, "rgb", False) else axes.names
