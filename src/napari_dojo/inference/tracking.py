"""Objects followed through the frames of a series by laptrack (extra "tracking"): tracks, consistent numbers, files.

Lineages (which cell divided into which) are not followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.units import FULL_NAMES
from napari_dojo.errors import DojoError
from napari_dojo.inference.tables import Table, measure
from napari_dojo.io.atomic import replacing

__all__ = ["Tracked", "series_axes", "track", "write_geff"]

GAP = 1  # frames in which an object may be missed
MISSING = 'Tracking needs laptrack. Install it with: pip install "napari-dojo[tracking]"'
GEFF = "1.1"  # version of the format that is written


@dataclass(frozen=True, eq=False)
class Tracked:
    """Objects followed through a series.

    Attributes
    ----------
    tracks : (n, 2 + d) as napari's Tracks layer has it: track, frame, (Z), Y, X in px; sorted by track and frame.
    labels : the labels with the number of its track for each object; (T, *S).
    table : one row for each object: ``track``, ``frame``, ``index`` (its number before), place, size; as ``tracks`` is sorted.
    """

    tracks: NDArray[np.float64]
    labels: NDArray[np.int32]
    table: Table

    @property
    def count(self) -> int:
        """How many tracks there are."""
        return len(np.unique(self.tracks[:, 0]))

    @property
    def sentence(self) -> str:
        """``12 tracks through 40 frames, 9 of them through all``."""
        frames = len(self.labels)
        whole = int((np.bincount(self.tracks[:, 0].astype(int), minlength=1)[1:] == frames).sum()) if self.count else 0
        return f"{self.count:,} track{'s' * (self.count != 1)} through {frames:,} frames, {whole:,} of them through all"


def series_axes(names: str, ndim: int) -> Axes:
    """The axes of a labelled series: as named, else with time first.

    Raises
    ------
    DojoError : one image, or axes without time.
    """
    if ndim < 3:
        raise DojoError("Tracking needs a series of images (an axis T). These labels are one image.")
    names = names if "T" in names else {3: "TYX", 4: "TZYX"}.get(ndim, names)
    if "T" not in names:
        raise DojoError(f"Tracking needs a series of images (an axis T). These labels have the axes {names}.")
    return Axes(names, "ZYX" if "Z" in names else "YX")


def track(
    labels: NDArray[Any],
    axes: Axes,
    longest: float | None = None,
    pixel_size: Sequence[float] | None = None,
    unit: str | None = None,
) -> Tracked:
    """Follow objects from frame to frame: all pairs at once, so that the sum of the squared steps is smallest.

    (Linear assignment: Jaqaman et al. 2008, Nature Methods 5:695. An object may be missed in one frame.)

    Parameters
    ----------
    labels : objects with axes ``axes``, T first among them; numbers of different frames mean nothing.
    longest : step from frame to frame, px along X; the typical diameter of the objects where None.
    pixel_size, unit : of the spatial axes; planes further apart than pixels count as that.

    Raises
    ------
    DojoError : laptrack is not installed; there are no objects.
    """
    try:
        from laptrack import LapTrack
    except ImportError:
        raise DojoError(MISSING) from None
    table = measure(labels, None, axes, pixel_size, unit, ("equivalent_diameter",))
    if not len(table["index"]):
        raise DojoError("There are no objects to follow.")
    if longest is None:
        longest = max(3.0, float(np.median(table["equivalent_diameter_px"])))
    letters = axes.spatial.lower()
    places = np.stack([table[f"centroid_{a}_px"] for a in letters], 1)
    step = np.ones(len(letters)) if pixel_size is None else np.asarray(pixel_size) / pixel_size[-1]
    frames = int(labels.shape[axes.names.index("T")])
    rows = [np.flatnonzero(table["frame"] == t) for t in range(frames)]
    first, last = next(t for t, r in enumerate(rows) if len(r)), max(t for t, r in enumerate(rows) if len(r))
    most = float(longest) ** 2
    tracker: Any = LapTrack  # whose defaults mypy does not see
    gaps = {"gap_closing_cutoff": most, "gap_closing_max_frame_count": GAP + 1}  # laptrack counts frames on
    lap = tracker(cutoff=most, splitting_cutoff=False, **gaps)
    tree = lap.predict([places[r] * step for r in rows[first : last + 1]])
    links = np.array([(rows[first + a][i], rows[first + b][j]) for (a, i), (b, j) in tree.edges], int).reshape(-1, 2)
    return _tracked(labels, axes, table, _tracks_of(len(places), links, table["frame"]), places)


def write_geff(path: Path, tracked: Tracked, axes: Axes, size: Sequence[float] | None, unit: str | None) -> None:
    """Write tracks as a graph in a GEFF folder (Zarr): objects are nodes, steps are edges.

    Parameters
    ----------
    size, unit : of the spatial axes; places are then in this unit, else in px.

    Raises
    ------
    DojoError : the folder exists, or cannot be written.
    """
    import zarr

    if path.exists():
        raise DojoError(f"{path} exists already. Choose another name, or move it away.")
    known = size is not None and unit
    step = np.asarray(size, float) if size is not None and known else np.ones(len(axes.spatial))
    number, frame = tracked.tracks[:, 0].astype(np.uint64), tracked.tracks[:, 1].astype(np.int64)
    places = tracked.tracks[:, 2:] * step
    properties = {"t": frame, **{a.lower(): places[:, k] for k, a in enumerate(axes.spatial)}, "track": number}
    same = np.flatnonzero(number[1:] == number[:-1])
    with replacing(path) as part:
        root = zarr.open_group(part, mode="w", zarr_format=2)
        nodes, edges = root.create_group("nodes"), root.create_group("edges")
        nodes.create_array("ids", data=np.arange(len(number), dtype=np.uint64))
        edges.create_array("ids", data=np.stack([same, same + 1], 1).astype(np.uint64))
        edges.create_group("props")
        held = nodes.create_group("props")
        for name, values in properties.items():
            held.create_group(name).create_array("values", data=values)
        root.attrs["geff"] = {
            "geff_version": GEFF,
            "directed": True,
            "axes": [_axis("t", "time", frame, None)]
            + [_axis(a.lower(), "space", properties[a.lower()], unit if known else None) for a in axes.spatial],
            "node_props_metadata": {
                name: {"identifier": name, "dtype": str(values.dtype), "varlength": False}
                for name, values in properties.items()
            },
            "edge_props_metadata": {},
            "track_node_props": {"tracklet": "track"},
        }


def _axis(name: str, kind: str, values: NDArray[Any], unit: str | None) -> dict[str, Any]:
    ends = {"min": float(values.min()), "max": float(values.max())}
    return {"name": name, "type": kind, **({"unit": FULL_NAMES.get(unit, unit)} if unit else {}), **ends}


def _tracks_of(count: int, links: NDArray[np.intp], frames: NDArray[Any]) -> NDArray[np.int64]:
    """The track of each object, 1..n in the order of their first frames."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    _, track = connected_components(graph, directed=False)
    _, first = np.unique(track, return_index=True)  # rows are in the order of frames
    order = np.empty(len(first), int)
    order[np.lexsort((first, np.asarray(frames)[first]))] = np.arange(1, len(first) + 1)
    return np.asarray(order[track], np.int64)


def _tracked(
    labels: NDArray[Any], axes: Axes, table: Table, track: NDArray[np.int64], places: NDArray[np.float64]
) -> Tracked:
    out, row = np.zeros(labels.shape, np.int32), 0
    for t in range(axes.count(labels.shape)):
        before, after = np.asarray(axes.sample(labels, t)[0]), axes.sample(out, t)[0]
        numbers = table["index"][table["frame"] == t]
        mine = track[row : row + len(numbers)]
        row += len(numbers)
        at = np.searchsorted(numbers, before).clip(0, max(0, len(numbers) - 1))
        if len(numbers):
            after[...] = np.where(numbers[at] == before, mine[at], 0)
    order = np.lexsort((table["frame"], track))
    tracks = np.column_stack([track, table["frame"], places])[order]
    columns = {"track": track[order], **{k: v[order] for k, v in table.items()}}
    return Tracked(tracks.astype(np.float64), out, columns)
