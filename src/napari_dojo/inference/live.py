"""The live preview of a plane while strokes are painted: what is in view first, then the rest. No torch.

Features are computed tile by tile, once, and kept; after each stroke only the classifier is fitted and applied again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from math import ceil, prod, sqrt
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box, slices, wider, within
from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.data.pixel_classifier import PixelClassifier, pixel_features
from napari_dojo.device import cores
from napari_dojo.events import Control, Event, Previewed
from napari_dojo.tasks.strokes import numbered_like, objects_of

__all__ = ["LivePlane", "classifier_of", "live_steps"]

TILE = 256  # px
MARGIN = 48  # px around a tile that its features see
KEPT = 64  # tiles whose features are kept; larger planes are predicted in view only
QUICK = 400.0**2  # pixels that are sorted for the first look
WAIT = 0.01  # s between two looks for a new stroke


@dataclass(frozen=True, eq=False)
class LivePlane:
    """One plane (C, Y, X), normalised, and the features of its tiles as far as they were asked for, with ``lines`` or without."""

    x: NDArray[np.float32]
    tiles: OrderedDict[tuple[int, int], NDArray[np.float32]]
    lines: bool = False
    _turn: Lock = field(default_factory=Lock)

    @staticmethod
    def of(plane: NDArray[Any], lines: bool = False, norm: Normalization | None = None) -> LivePlane:
        """A plane as it lies, (C, Y, X); ``norm`` : of its stack, where it belongs to one."""
        norm = norm or Rule().measure(plane)
        return LivePlane(norm.apply(norm.clean(plane)[0]), OrderedDict(), lines)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.x.shape[1], self.x.shape[2]

    @property
    def whole(self) -> Box:
        """All of it."""
        return (0, self.size[0]), (0, self.size[1])

    def places(self, box: Box) -> list[tuple[int, int]]:
        """The tiles that meet a box."""
        rows, columns = (range(a // TILE, (b - 1) // TILE + 1) for a, b in box)
        return list(product(rows, columns))

    def tile(self, place: tuple[int, int]) -> NDArray[np.float32]:
        """Features (F, rows, columns) of a tile; they are the same for any part of the plane that is looked at."""
        with self._turn:
            if place in self.tiles:
                self.tiles.move_to_end(place)
                return self.tiles[place]
        inner = self.box_of(place)
        wide = wider(inner, MARGIN, self.size)
        found = pixel_features(self.x[(slice(None), *slices(wide))], self.lines)
        found = np.ascontiguousarray(found[(slice(None), *slices(within(inner, wide)))])
        with self._turn:
            self.tiles[place] = found
            while len(self.tiles) > KEPT:
                self.tiles.popitem(last=False)
        return found

    def box_of(self, place: tuple[int, int]) -> Box:
        """Where a tile lies."""
        return tuple((k * TILE, min(n, (k + 1) * TILE)) for k, n in zip(place, self.size, strict=True))

    def marked(self, strokes: NDArray[np.integer[Any]]) -> list[tuple[NDArray[np.float32], NDArray[np.integer[Any]]]]:
        """The features and the strokes of the tiles that have strokes (Y, X)."""
        found = []
        for place in sorted({(int(r) // TILE, int(c) // TILE) for r, c in np.argwhere(strokes > 0)}):
            (a, b), (c, d) = self.box_of(place)
            found.append((self.tile(place), strokes[a:b, c:d]))
        return found

    def probabilities(self, classifier: PixelClassifier, box: Box, step: int = 1) -> NDArray[np.float32]:
        """Of each class in a box (K, rows, columns), of every ``step``-th pixel from its corner on."""
        (a, b), (c, d) = box
        found = np.zeros((len(classifier.classes), *self.x[0, a:b:step, c:d:step].shape), np.float32)

        def fill(place: tuple[int, int]) -> None:
            to, of = zip(
                *(_every(side, tile, step) for side, tile in zip(box, self.box_of(place), strict=True)), strict=True
            )
            values = np.ascontiguousarray(self.tile(place)[(slice(None), *of)])
            if values.size:
                found[(slice(None), *to)] = classifier.probabilities(values)

        with ThreadPoolExecutor(min(4, cores())) as pool:
            list(pool.map(fill, self.places(box)))
        return found


def _every(side: tuple[int, int], tile: tuple[int, int], step: int) -> tuple[slice, slice]:
    """Every ``step``-th pixel of a box's side that lies in a tile: its place among all of them, and in the tile."""
    start, (low, high) = side[0], tile
    first = max(0, -(-(low - start) // step))
    end = min(side[1], high)
    return slice(first, -(-(end - start) // step)), slice(start + first * step - low, end - low, step)


def live_steps(folder: Path, control: Control) -> Iterator[Event]:
    """Predict what ``control.look`` asks for, until it says stop; a newer wish ends an older one between its parts.

    A wish: ``image`` and ``strokes`` (paths of .npy, (C, Y, X) and (Y, X)), ``view`` (a `Box`), ``objects`` (else classes) and
    its ``number``; in a stack also its ``stack``, the image and the strokes of ``others`` of its planes, and ``largest``, the largest
    number of a stroke.
    """
    planes = _Planes()
    done: int | None = None
    while not control.stop:
        look = control.look
        if not look or look["number"] == done:
            time.sleep(WAIT)
            continue
        done = look["number"]
        yield from _previews(planes, look, folder, control)


class _Planes:
    """The planes that were asked for last, as many as hold the features of two large ones; those of a stack are normalised alike."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, bool], LivePlane] = OrderedDict()
        self._norms: dict[str, Normalization] = {}

    def plane(self, path: str, look: dict[str, Any]) -> LivePlane:
        """The plane of a file, for a wish."""
        key = path, not look["objects"]
        if key not in self._found:
            x = np.load(path)
            stack = look.get("stack", path)
            if stack not in self._norms:
                self._norms[stack] = Rule().measure(x)
            self._found[key] = LivePlane.of(x, key[1], self._norms[stack])
        self._found.move_to_end(key)
        while len(self._found) > 2 and sum(len(p.tiles) for p in self._found.values()) > 2 * KEPT:
            self._found.popitem(last=False)
        return self._found[key]


def classifier_of(marked: Sequence[tuple[LivePlane, NDArray[np.integer[Any]]]]) -> PixelClassifier | None:
    """Fitted to planes and their strokes (Y, X): 0 not annotated, else classes; None where those are fewer than two."""
    parts = [part for plane, strokes in marked for part in plane.marked(strokes)]
    if len({int(v) for _, classes in parts for v in np.unique(classes[classes > 0])}) < 2:
        return None
    return PixelClassifier([features for features, _ in parts], [classes for _, classes in parts])


def _previews(planes: _Planes, look: dict[str, Any], folder: Path, control: Control) -> Iterator[Event]:
    """The part in view, coarse where it is large, then the whole plane."""
    began = time.monotonic()
    strokes = np.load(look["strokes"]).astype(np.int32)
    known = [(planes.plane(image, look), np.load(path)) for image, path in look.get("others", ())]
    plane = planes.plane(look["image"], look)
    known.append((plane, strokes))
    classifier = classifier_of([(p, np.minimum(s, 2) if look["objects"] else s) for p, s in known])
    if classifier is None:
        return
    largest = look.get("largest", int(strokes.max()))
    steps = _steps(plane, look["view"])
    for k, (box, step) in enumerate(steps):
        if control.stop or (control.look or look)["number"] != look["number"]:
            return
        found = _result(plane, classifier, strokes, box, step, largest if look["objects"] else None)
        path = folder / f"live-{look['number']}-{k}.npy"
        np.save(path, found)
        yield Previewed(
            str(path), [list(side) for side in box], look["number"], time.monotonic() - began, k + 1 == len(steps)
        )


def _steps(plane: LivePlane, view: Sequence[tuple[int, int]]) -> list[tuple[Box, int]]:
    """The boxes to predict one after the other, each of every n-th pixel: what is in view, then the whole plane if it is not too large."""
    seen = tuple((max(0, a), min(n, b)) for (a, b), n in zip(view, plane.size, strict=True))
    steps: list[tuple[Box, int]] = []
    if all(a < b for a, b in seen):
        steps.append((seen, max(1, ceil(sqrt(prod(b - a for a, b in seen) / QUICK)))))
    if len(plane.places(plane.whole)) <= KEPT:
        steps += [(plane.whole, 1)] if not steps or steps[0] != (plane.whole, 1) else []
    elif steps and steps[0][1] > 1:
        steps.append((seen, 1))
    return steps


def _result(
    plane: LivePlane, classifier: PixelClassifier, strokes: NDArray[np.int32], box: Box, step: int, largest: int | None
) -> NDArray[np.int32]:
    """Objects in a box (rows, columns), those without a stroke numbered from ``largest`` + 1 on; where that is None, classes."""
    probabilities = plane.probabilities(classifier, box, step)
    (a, b), (c, d) = box
    if largest is not None:
        drawn, x = strokes[a:b:step, c:d:step], plane.x[:, a:b:step, c:d:step]
        found = numbered_like(objects_of(probabilities[-1], x, drawn), drawn, largest)
    else:
        found = np.asarray(classifier.classes, np.int32)[probabilities.argmax(0)]
    return found if step == 1 else found.repeat(step, 0).repeat(step, 1)[: b - a, : d - c]
