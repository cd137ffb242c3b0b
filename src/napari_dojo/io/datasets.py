"""Files become pairs, and answers become files: the edge that the command line and the windows share."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import ONE_TO_ONE, ROLES, Dataset, Layout
from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.pairing import group_of, list_inputs, pair_files, stem_of

__all__ = ["DatasetFiles", "axes_of", "outputs", "read_dataset"]

IN_MEMORY = 0.4  # of the free memory may hold training images; what comes after stays in its file


@dataclass(frozen=True)
class DatasetFiles:
    """What a person named: paths, axes, how files group, and roles by a pattern of file names."""

    input: str
    target: str | None = None
    axes: str | None = None
    region: str | None = None
    group_by: str | None = None
    roles: str | None = None


def axes_of(picture: images.Picture, named: str | None, volumes: bool = True) -> Axes:
    """The axes of a file: what the user says, else what the file says, else what its shape allows."""
    squeezed = named if named and len(named) == picture.data.ndim else None
    if named and squeezed is None:  # axes of length 1 are dropped when a file is read
        squeezed = picture.axes if picture.axes and set(picture.axes) <= set(named.upper()) else named
    return Axes.resolve(picture.data.shape, squeezed or picture.axes, rgb=picture.rgb, volumes=volumes)


def read_dataset(
    given: DatasetFiles, layout: Layout = ONE_TO_ONE, most: float = float("inf")
) -> tuple[Dataset, list[str]]:
    """Read the training data, at least one image and no more after ``most`` pixels; also sentences about what was left out.

    Raises
    ------
    DojoError : where nothing is left, or files contradict each other.
    """
    both, notes = _matched(given)
    regions: dict[Path, Path] = {}
    if given.region:
        regions = dict(pair_files([p for p, _ in both], list_inputs(given.region))[0])
    roles = _roles(given.roles) if given.roles else {}
    read: list[_Read] = []
    bad: list[str] = []
    room = int(IN_MEMORY * psutil.virtual_memory().available)
    for path, target in both:
        if sum(float(np.prod(r.picture.data.shape)) for r in read) >= most:
            break
        try:
            both_of = path, target, regions.get(path)
            found = _read(*both_of, given.axes, layout, min(room, images.LAZY_ABOVE))
            if read and found.axes != read[0].axes:
                raise DojoError(
                    f"{path.name} has the axes {found.axes.names}, the images before it have {read[0].axes.names}. "
                    "Say what the axes are."
                )
        except DojoError as e:
            bad.append(str(e))
            continue
        read.append(found)
        room = max(0, room - (found.picture.data.nbytes if type(found.picture.data) is np.ndarray else 0))
    if any(type(r.picture.data) is not np.ndarray for r in read):
        notes.append(
            "The images need more memory than they should take: pieces are read from their files while it learns."
        )
    if not read:
        raise DojoError(bad[0] if len(bad) == 1 else f"None of the {len(bad)} images can be used. The first: {bad[0]}")
    if bad:
        notes.append(f"{len(bad)} of {len(both)} images {'are' if len(bad) > 1 else 'is'} left out: {bad[0]}")
    notes += dict.fromkeys(note for r in read for note in r.picture.notes)
    first = read[0]
    size = first.picture.pixel_size
    pairs = Dataset.of(
        [r.picture.data for r in read],
        None if given.target is None else [r.target for r in read],
        first.axes,
        layout=layout,
        names=[r.picture.path.name for r in read],
        groups=[group_of(r.picture.path, given.group_by) for r in read],
        regions=[r.region for r in read] if regions else (),
        roles=[roles.get(r.picture.path.name, "automatic") for r in read] if roles else (),
        pixel_size=size if size and len(size) == len(first.axes.spatial) else None,
        unit=first.picture.unit,
        target_pixel_size=first.target_size,
        channel_names=first.picture.channel_names,
    )
    return pairs, notes


def _roles(path: str) -> dict[str, str]:
    """What each file is used for, from lines of "name,role"."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            found = {row[0].strip(): row[1].strip().lower() for row in csv.reader(file) if len(row) > 1}
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise DojoError(
            f"The roles in {path} cannot be read ({e}). Each line is a file's name, a comma, a role."
        ) from e
    wrong = {name: role for name, role in found.items() if role not in ROLES}
    if wrong:
        name, role = next(iter(wrong.items()))
        raise DojoError(f"{path} gives {name} the role {role!r}; a role is one of {', '.join(ROLES)}.")
    return found


@dataclass(frozen=True, eq=False)
class _Read:
    picture: images.Picture
    axes: Axes
    target: Any
    region: Any
    target_size: tuple[float, ...] | None


def _matched(given: DatasetFiles) -> tuple[list[tuple[Path, Path | None]], list[str]]:
    """Each image with its target, and sentences about files without a partner."""
    inputs = list_inputs(given.input)
    if given.target is None:
        return [(p, None) for p in inputs], []
    found, alone, unused = pair_files(inputs, list_inputs(given.target))
    notes = []
    for kind, left in (("image", alone), ("target", unused)):
        if left:
            many = (
                f"{len(left)} {kind}s have no partner and are" if len(left) > 1 else f"1 {kind} has no partner and is"
            )
            notes.append(f"{many} left out, {left[0].name} among them.")
    return list(found), notes


def _read(path: Path, target: Path | None, region: Path | None, named: str | None, layout: Layout, room: int) -> _Read:
    """One image and what belongs to it, checked; an image of more than ``room`` bytes stays in its file."""
    picture = replace(images.read(path, lazy_above=room), path=path)
    y, size = (None, None) if target is None else _target(target, layout.labels, picture.rgb)
    if layout.planes and not (named or picture.axes) and picture.data.ndim == 3 and y is not None and y.ndim == 2:
        named = "CYX"  # a plane is wanted of a stack: nothing else fits
    these = axes_of(picture, named)
    r = None if region is None else np.asarray(images.read(region, labels=True).data) > 0
    regions = [] if r is None else [r]
    Dataset.of([picture.data], None if y is None else [y], these, layout=layout, names=[path.name], regions=regions)
    return _Read(picture, these, y, r, size)


def _target(path: Path, labels: bool, rgb: bool) -> tuple[Any, tuple[float, ...] | None]:
    """The target as it lies, the colours of one whose image has none first; its pixel size."""
    picture = images.read(path, labels=labels)
    if labels:
        return images.as_labels(picture.data, path.name, rgb=picture.rgb), picture.pixel_size
    return np.moveaxis(picture.data, -1, 0) if picture.rgb and not rgb else picture.data, picture.pixel_size


def outputs(inputs: Sequence[Path], folder: Path, overwrite: bool, mark: str = "") -> list[Path]:
    """Where the answers go, one for each input: its stem and ``mark``; DojoError where two share one or one is there."""
    paths = [folder / f"{stem_of(p)}{mark}.tif" for p in inputs]
    if len(set(paths)) < len(paths):
        twice = next(p for p in paths if paths.count(p) > 1)
        raise DojoError(f"Several inputs would be written to {twice.name}. Give them different names.")
    there = [p for p in paths if p.exists()]
    if there and not overwrite:
        raise DojoError(f"{there[0]} exists already. Choose another folder, or replace it with --overwrite.")
    return paths
