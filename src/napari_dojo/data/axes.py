"""Axis order: from an array as it lies, "TZCYX", to canonical samples (C, *S) and back.

The only place that knows what the axes of an array mean. T counts frames or separate images, C channels, Z planes;
``S`` is (Y, X) or (Z, Y, X).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import DojoError

__all__ = ["LETTERS", "Axes", "own_channels"]

LETTERS = "TZCYX"


@dataclass(frozen=True)
class Axes:
    """What each axis of an array is, and which of them a net works in.

    Attributes
    ----------
    names : one letter of "TZCYX" for each axis of the array, in its order.
    spatial : "YX" (planes one by one) or "ZYX" (volumes).
    along, context : this many frames or planes to each side along this axis ("T" or "Z") are channels of a sample, too,
        the nearest ones repeated at the ends; "" and 0 : none.
    """

    names: str
    spatial: str = "YX"
    along: str = ""
    context: int = 0

    def __post_init__(self) -> None:
        wrong = [a for a in self.names if a not in LETTERS]
        if wrong or len(set(self.names)) != len(self.names) or not set("YX") <= set(self.names):
            raise DojoError(
                f"Axes are named by letters of {LETTERS}, each at most once, with Y and X among them; "
                f"got {self.names!r}. Write for example YX, ZYX, TYX or CYX."
            )
        if self.spatial not in ("YX", "ZYX"):
            raise DojoError(f"A network works in YX or ZYX; got {self.spatial!r}.")
        if not set(self.spatial) <= set(self.names):
            raise DojoError(
                f"Volumes are needed (an axis Z), but this image has the axes {self.names}. "
                "Choose a stack, name its third axis Z, or use a 2-D model."
            )

    @staticmethod
    def resolve(shape: Sequence[int], names: str | None = None, *, rgb: bool = False, volumes: bool = True) -> Axes:
        """Decide the axes of an array from what is known of it.

        Parameters
        ----------
        shape : of the array.
        names : what the user or the file says; None where nobody does.
        rgb : the file or layer says that the last axis holds colours.
        volumes : work in ZYX where there is a Z; else plane by plane.

        Raises
        ------
        DojoError : where ``names`` does not fit, or several readings are possible (they are named).
        """
        n = len(shape)
        if names is None:
            names = _guess(shape, rgb)
        names = names.upper().replace("S", "C")
        if len(names) == n - 1 and rgb and "C" not in names:
            names += "C"
        if len(names) != n:
            raise DojoError(
                f"The axes {names} name {len(names)} dimensions, but the image has {n}: {_times(shape)}. "
                f"Name each one, for example {_example(n)}."
            )
        return Axes(names, "ZYX" if volumes and "Z" in names else "YX")

    def count(self, shape: Sequence[int]) -> int:
        """Number of samples in an array of this shape."""
        return prod(shape[i] for i in self._others)

    def channels(self, shape: Sequence[int]) -> int:
        """Number of channels of a sample of an array of this shape, context included."""
        return self.own_channels(shape) * (1 + 2 * self.context)

    def own_channels(self, shape: Sequence[int]) -> int:
        """Number of channels in an array of this shape."""
        return shape[self.names.index("C")] if "C" in self.names else 1

    def size(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Spatial size S of an array of this shape."""
        return tuple(shape[self.names.index(a)] for a in self.spatial)

    def sample(self, array: Any, index: int) -> Any:
        """Sample number ``index`` as (C, *S): a view of numpy, lazy for dask; with context, which comes in order, a copy."""
        where = np.unravel_index(index, tuple(array.shape[i] for i in self._others)) if self._others else ()
        if self.along not in (names := [self.names[i] for i in self._others]):
            own = self._part(array, where)
            return np.concatenate([own] * (1 + 2 * self.context)) if self.context else own
        at, last = names.index(self.along), array.shape[self.names.index(self.along)] - 1
        near = [min(max(int(where[at]) + k, 0), last) for k in range(-self.context, self.context + 1)]
        return np.concatenate([self._part(array, (*where[:at], k, *where[at + 1 :])) for k in near])

    def _part(self, array: Any, where: Sequence[Any]) -> Any:
        key: list[Any] = [slice(None)] * array.ndim
        for axis, i in zip(self._others, where, strict=True):
            key[axis] = int(i)
        part = array[tuple(key)]
        left = [a for i, a in enumerate(self.names) if i not in self._others]
        if "C" in left:
            return part.transpose([left.index(a) for a in "C" + self.spatial])
        return part.transpose([left.index(a) for a in self.spatial])[None]

    def part(self, array: Any, index: int, box: Sequence[tuple[int, int]]) -> Any:
        """A box (from and to along each axis of S) of sample ``index`` as (C, *s); nothing else is read, whatever the array."""
        key: list[Any] = [slice(None)] * array.ndim
        for name, (a, b) in zip(self.spatial, box, strict=True):
            key[self.names.index(name)] = slice(a, b)
        return self.sample(array[tuple(key)], index)

    def put(self, out: Any, index: int, box: Sequence[tuple[int, int]], values: NDArray[Any]) -> None:
        """Write a box of sample ``index``, (C, *s) or, without channels, (*s); ``out`` is numpy, memory-mapped or Zarr."""
        others = [self.names[i] for i in self._others]
        where = dict(zip(others, np.unravel_index(index, [out.shape[i] for i in self._others]), strict=True))
        spans = dict(zip(self.spatial, box, strict=True))
        key = [slice(None) if a == "C" else slice(*spans[a]) if a in spans else int(where[a]) for a in self.names]
        left = [a for a in self.names if a not in others]
        mine = ("C" if "C" in self.names else "") + self.spatial
        out[tuple(key)] = values.reshape(values.shape[-len(mine) :]).transpose([mine.index(a) for a in left])

    def index_in(self, other: Axes, index: int, shape: Sequence[int]) -> int:
        """The number of a sample in an array of ``shape`` with the same axes in another order, ``other``."""
        sizes = dict(zip(other.names, shape, strict=True))
        mine, theirs = ([a.names[i] for i in a._others] for a in (self, other))
        if not mine:
            return 0
        where = dict(zip(mine, np.unravel_index(index, [sizes[a] for a in mine]), strict=True))
        return int(np.ravel_multi_index([where[a] for a in theirs], [sizes[a] for a in theirs]))

    def frames(self, array: Any) -> list[Any]:
        """All samples (C, *S), without neighbours: what the intensities of an image or a series are measured on."""
        alone = replace(self, along="", context=0)
        return [alone.sample(array, i) for i in range(self.count(array.shape))]

    def without_channels(self) -> Axes:
        """The axes of labels that belong to such an image."""
        return Axes(self.names.replace("C", ""), self.spatial)

    def with_context(self, context: int) -> Axes:
        """The same with this many context frames, else context planes where planes are worked on one by one."""
        others = [self.names[i] for i in self._others]
        along = next((a for a in "TZ" if a in others), "")
        return replace(self, along=along if context else "", context=context)

    def result(
        self, shape: Sequence[int], channels: int | None = None, scale: Sequence[int] = ()
    ) -> tuple[Axes, tuple[int, ...]]:
        """Axes and shape of the prediction for an array of this shape.

        ``channels`` None means that it has no channel axis (labels); more than one puts C where it was, or
        before the spatial axes. ``scale`` multiplies the spatial axes (super-resolution).
        """
        sizes = dict(zip(self.names, shape, strict=True))
        for a, f in zip(self.spatial, scale or [1] * len(self.spatial), strict=True):
            sizes[a] *= f
        names = self.names
        if channels is None or (channels == 1 and "C" not in names):
            names = names.replace("C", "")
        elif "C" not in names:
            at = min(names.index(a) for a in self.spatial)
            names = names[:at] + "C" + names[at:]
        sizes["C"] = channels or 1
        return Axes(names, self.spatial), tuple(sizes[a] for a in names)

    @property
    def _others(self) -> tuple[int, ...]:
        return tuple(i for i, a in enumerate(self.names) if a != "C" and a not in self.spatial)


def own_channels(x: Any, context: int) -> Any:
    """The channels of a sample (C, *S), or of its numbers (C,), without those of its context frames or planes."""
    many = len(x) // (1 + 2 * context)
    return x[context * many : (context + 1) * many]


def _guess(shape: Sequence[int], rgb: bool) -> str:
    n = len(shape)
    if n == 2:
        return "YX"
    if n == 3 and rgb and shape[-1] in (3, 4):
        return "YXC"
    if n < 2:
        raise DojoError(f"An image of at least two dimensions is needed; this one has the shape {_times(shape)}.")
    raise DojoError(
        f"What the {n} dimensions ({_times(shape)}) of this image are cannot be told from the file. "
        f"Name the axes, {_candidates(shape)}: T frames or separate images, Z planes of a volume, C channels."
    )


def _candidates(shape: Sequence[int]) -> str:
    n = len(shape)
    if n == 3:
        names = ["ZYX", "TYX", "CYX"] + (["YXC"] if shape[-1] <= 4 else [])
    elif n == 4:
        names = ["TZYX", "ZCYX", "TCYX", "CZYX"]
    else:
        names = ["TZCYX", "TCZYX"]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _example(n: int) -> str:
    return {2: "YX", 3: "ZYX, TYX or CYX", 4: "TZYX or CZYX"}.get(n, "TZCYX")


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "()"
