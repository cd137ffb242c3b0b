"""Labels of an image that is too large for memory, in an OME-Zarr of their own: regions are read, corrected and written back."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box, slices
from napari_dojo.errors import DojoError
from napari_dojo.io.formats.ome_zarr import Layout, create_levels, opened, there, write_box

__all__ = ["LabelStore", "Region"]

LAST, REGIONS = (
    "last",
    "regions",
)  # what the store remembers: the highest number that was ever given, and what was written
OURS = "napari-dojo"


@dataclass(frozen=True, eq=False)
class Region:
    """A region as it was read.

    Attributes
    ----------
    labels : int32, as they were.
    mark : of what is on the disk, by which it is known whether another program has changed it.
    given : the number in the store of each object that was painted here.
    """

    box: Box
    labels: NDArray[np.int32]
    mark: int
    given: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelStore:
    """The labels of one image, made when they are written for the first time.

    Attributes
    ----------
    layout : axes, shape, pixel size, and the name of the labels.
    """

    path: Path
    layout: Layout

    def read(self, box: Box) -> Region:
        """The labels of a region; zeros where there are none yet. DojoError where other labels lie there."""
        if not there(self.path, self.layout):
            return Region(box, np.zeros([b - a for a, b in box], np.int32), 0)
        array = self._array()
        stored = np.asarray(array[slices(box)])
        return Region(box, stored.astype(np.int32), _mark(stored))

    def write(self, region: Region, labels: NDArray[Any]) -> Region:
        """Write corrected labels of a region; the region as it is known then.

        New objects get numbers in the store that no other object has; those that were read keep theirs, also beyond the region.

        Raises
        ------
        DojoError : the region was changed on the disk since it was read.
        """
        if labels.shape != region.labels.shape:
            raise DojoError(
                f"The region has {region.labels.shape} pixels, and the layer {labels.shape}. Open the region again."
            )
        if not there(self.path, self.layout):
            create_levels(self.path, self.layout)
        array = self._array()
        key = slices(region.box)
        if region.mark != _mark(now := np.asarray(array[key])) and now.any():
            raise DojoError(
                f"The labels of this region were changed in {self.path.name} since they were opened, perhaps by another window. "
                "Save this layer under another name, open the region again, and correct it there."
            )
        known = dict(array.attrs.get(OURS, {}))
        written, given, last = _numbered(np.asarray(labels), region, int(known.get(LAST, 0)))
        regions = [r for r in known.get(REGIONS, []) if r != [list(side) for side in region.box]]
        array.attrs[OURS] = {LAST: last, REGIONS: [*regions, [list(side) for side in region.box]]}
        write_box(self.path, self.layout, region.box, written)
        return replace(region, mark=_mark(written), given=given)

    def _array(self) -> Any:
        array = opened(self.path, self.layout)
        if tuple(array.shape) != self.layout.shape:
            raise DojoError(f"{self.path.name} holds labels of another image, {tuple(array.shape)}. Move it away.")
        return array


def _numbered(labels: NDArray[Any], region: Region, last: int) -> tuple[NDArray[np.uint32], dict[int, int], int]:
    """The labels with numbers above ``last`` for all that were not there before, those numbers, and the highest ever given."""
    numbers, where = np.unique(labels, return_inverse=True)
    known, given = set(np.unique(region.labels).tolist()) | {0}, dict(region.given)
    last = max(last, *known)
    for n in numbers.tolist():
        if n not in known and n not in given:
            last += 1
            given[n] = last
    stored = np.array([given.get(n, n) for n in numbers.tolist()], np.uint32)
    return stored[where].reshape(labels.shape), given, last


def _mark(labels: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(labels).reshape(-1).view(np.uint8).data) if labels.any() else 0
