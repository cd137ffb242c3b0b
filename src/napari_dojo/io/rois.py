"""Labels as the regions of interest of ImageJ: exact outlines along the pixels' edges, one for each object and plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import replacing

if TYPE_CHECKING:
    from roifile import ImagejRoi

__all__ = ["outlines", "write_rois"]

MOVE, LINE, CLOSE = 0.0, 1.0, 4.0  # the words of a path in ImageJ

Corner = tuple[int, int]


def write_rois(path: Path, labels: Any, axes: Axes, classes: Sequence[Mapping[int, str]] = ()) -> int:
    """Write a zip that ImageJ's ROI Manager opens; the number of regions in it.

    Parameters
    ----------
    path : ends in ``.zip``.
    labels : whole numbers, 0 is no object. Each plane gets separate regions, at its position in the stack. Regions are
        called by their label, in a stack with the place (``7-z3``, ``7-t2``, as ImageJ counts).
    axes : of the labels, without C.
    classes : of each sample (frame, plane or volume, as ``axes`` counts them) the class of its labels. A region with a
        class is called by it, too (``7 mitotic``, ``7-z3 mitotic``), and belongs to the group of that class in ImageJ,
        1, 2, ... in the order in which classes are named first; labels without a class have no group.

    Raises
    ------
    DojoError : no object, a full disk, a folder that cannot be written.
    """
    from roifile import roiwrite

    groups = {name: k for k, name in enumerate(dict.fromkeys(c for part in classes for c in part.values()), 1)}
    rois = []
    for where, plane in _planes(labels, axes):
        own = classes[_sample(where, labels.shape, axes)] if classes else {}
        for number, roi in _rois(plane, where):
            if number in own:
                roi.name, roi.group = f"{roi.name} {own[number]}", groups[own[number]]
            rois.append(roi)
    if not rois:
        raise DojoError("There is no object to write as a region. Apply a model that finds some first.")
    with replacing(path, sum(len(roi.tobytes()) for roi in rois)) as part:
        roiwrite(part, rois, mode="w")
    return len(rois)


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.int32]]:
    """The closed lines around what is True in a plane, each as its corners (n, 2) of x and y.

    The corners lie between pixels: (0, 0) is the upper left corner of the first one, as in ImageJ. Pixels that touch at
    a corner are inside one line; a hole is a separate line in the opposite direction.
    """
    ahead = _edges(mask)
    found = []
    while ahead:
        here = start = next(iter(ahead))
        points: list[Corner] = []
        steps: list[Corner] = []
        while not points or here != start:
            points.append(here)
            steps.append(_take(ahead, here, steps[-1] if steps else None))
            here = (here[0] + steps[-1][0], here[1] + steps[-1][1])
        before = [steps[-1], *steps[:-1]]
        corners = [p for p, a, b in zip(points, before, steps, strict=True) if a != b]
        found.append(np.asarray(corners, np.int32))
    return found


def _edges(mask: NDArray[np.bool_]) -> dict[Corner, list[Corner]]:
    """The sides of pixels between True and False: from each corner (x, y) its steps, with True at the right hand."""
    rim = np.pad(mask, 1).astype(np.int8)
    across, down = np.diff(rim, axis=0), np.diff(rim, axis=1)
    sides = (
        (across == 1, (-1, 0), (1, 0)),  # the top of a pixel: to the right
        (down == -1, (0, -1), (0, 1)),
        (across == -1, (0, 0), (-1, 0)),
        (down == 1, (0, 0), (0, -1)),
    )
    ahead: dict[Corner, list[Corner]] = {}
    for there, (dx, dy), step in sides:
        y, x = np.nonzero(there)
        for corner in zip((x + dx).tolist(), (y + dy).tolist(), strict=True):
            ahead.setdefault(corner, []).append(step)
    return ahead


def _take(ahead: dict[Corner, list[Corner]], here: Corner, came: Corner | None) -> Corner:
    """The next step from a corner, used up; where there are two, the left one."""
    steps = ahead[here]
    left = (came[1], -came[0]) if came else steps[0]
    step = left if left in steps else steps[0]
    steps.remove(step)
    if not steps:
        del ahead[here]
    return step


def _sample(where: Mapping[str, int], shape: Sequence[int], axes: Axes) -> int:
    """Which sample the plane at this place in the stack belongs to."""
    others = [a for a in axes.names if a not in axes.spatial]
    sizes = [shape[axes.names.index(a)] for a in others]
    return int(np.ravel_multi_index([where[a] for a in others], sizes)) if others else 0


def _planes(labels: Any, axes: Axes) -> Iterator[tuple[dict[str, int], NDArray[Any]]]:
    """Each plane (Y, X) with its place in the stack, counted from 0."""
    flat = Axes(axes.names)
    letters = [a for a in flat.names if a not in "YX"]
    sizes = [labels.shape[flat.names.index(a)] for a in letters]
    for i in range(flat.count(labels.shape)):
        where = np.unravel_index(i, sizes) if letters else ()
        yield {a: int(k) for a, k in zip(letters, where, strict=True)}, np.asarray(flat.sample(labels, i)[0])


def _rois(plane: NDArray[Any], where: dict[str, int]) -> Iterator[tuple[int, ImagejRoi]]:
    """The regions of a plane, with the labels they are of."""
    from scipy.ndimage import find_objects

    values, ranks = np.unique(plane, return_inverse=True)
    ranks = ranks.reshape(plane.shape)
    for rank, box in enumerate(find_objects(ranks + 1)):
        if values[rank] > 0 and box is not None:
            lines = [line + np.asarray([box[1].start, box[0].start]) for line in outlines(ranks[box] == rank)]
            name = "-".join([str(values[rank]), *(f"{a.lower()}{k + 1}" for a, k in where.items())])
            yield int(values[rank]), _roi(lines, name, where)


def _roi(lines: list[NDArray[np.int32]], name: str, where: dict[str, int]) -> ImagejRoi:
    """A traced outline, or a path of several where the object has holes or pieces."""
    from roifile import ROI_TYPE, ImagejRoi

    corners = np.concatenate(lines)
    roi = ImagejRoi.frompoints(corners, name=name)
    roi.roitype = ROI_TYPE.TRACED
    roi.right, roi.bottom = (int(n) for n in corners.max(0))  # the corners are edges already, not pixels
    if len(lines) > 1:
        words = [[(MOVE if i == 0 else LINE, *p) for i, p in enumerate(line)] for line in lines]
        path = [n for line in words for n in [*(v for word in line for v in word), CLOSE]]
        roi.roitype, roi.n_coordinates = ROI_TYPE.RECT, 0
        roi.integer_coordinates, roi.subpixel_coordinates = None, None
        roi.multi_coordinates = np.asarray(path, np.float32)
        roi.shape_roi_size = len(path)
    if len(where) == 1:  # a plain stack counts its planes; a hyperstack its frames and its planes
        roi.position = next(iter(where.values())) + 1
    else:
        roi.t_position, roi.z_position = (where[a] + 1 if a in where else 0 for a in "TZ")
    return roi
