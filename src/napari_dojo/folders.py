"""Files become pairs, and answers become files: the edge that the command line and the windows share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo import images
from napari_dojo.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.files import group_of, list_inputs, pair_files, stem_of
from napari_dojo.pairs import Pairs

__all__ = ["Given", "axes_of", "read_pairs"]


@dataclass(frozen=True)
class Given:
    """What a person named on the command line: paths, axes, and how files group."""

    input: str
    target: str | None = None
    axes: str | None = None
    region: str | None = None
    group_by: str | None = None


def axes_of(picture: images.Picture, named: str | None, volumes: bool = True) -> Axes:
    """The axes of a file: what the user says, else what the file says, else what its shape allows."""
    squeezed = named if named and len(named) == picture.data.ndim else None
    if named and squeezed is None:  # axes of length 1 are dropped when a file is read
        squeezed = picture.axes if picture.axes and set(picture.axes) <= set(named.upper()) else named
    return Axes.resolve(picture.data.shape, squeezed or picture.axes, rgb=picture.rgb, volumes=volumes)


def read_pairs(given: Given, labels: bool) -> tuple[Pairs, list[str]]:
    """Read the training data; also sentences about what was left out.

    Raises
    ------
    DojoError : where nothing is left, or files contradict each other.
    """
    inputs = list_inputs(given.input)
    notes: list[str] = []
    both: list[tuple[Path, Path | None]] = [(p, None) for p in inputs]
    if given.target is not None:
        found, alone, unused = pair_files(inputs, list_inputs(given.target))
        both = list(found)
        for kind, left in (("image", alone), ("target", unused)):
            if left:
                notes.append(
                    f"{len(left)} {kind}{'s have' if len(left) > 1 else ' has'} no partner and {'are' if len(left) > 1 else 'is'} left out, {left[0].name} among them."
                )
    regions = {}
    if given.region:
        region_pairs, _, _ = pair_files([p for p, _ in both], list_inputs(given.region))
        regions = dict(region_pairs)
    xs: list[Any] = []
    ys: list[Any] = []
    rs: list[Any] = []
    names: list[str] = []
    bad: list[str] = []
    axes: Axes | None = None
    size: tuple[float, ...] | None = None
    unit: str | None = None
    for path, target in both:
        try:
            picture = images.read(path)
            these = axes_of(picture, given.axes)
            y = None if target is None else _target(target, labels)
            r = None if path not in regions else np.asarray(images.read(regions[path], labels=True).data) > 0
            if axes is not None and these.names != axes.names:
                raise DojoError(
                    f"{path.name} has the axes {these.names}, the images before it have {axes.names}. Name them with --axes."
                )
            Pairs.of(
                [picture.data],
                None if y is None else [y],
                these,
                labels=labels,
                names=[path.name],
                regions=[] if r is None else [r],
            )
        except DojoError as e:
            bad.append(str(e))
            continue
        axes = axes or these
        size, unit = (size, unit) if xs else (picture.pixel_size, picture.unit)
        xs.append(picture.data)
        ys.append(y)
        rs.append(r)
        names.append(path.name)
        notes += [n for n in picture.notes if n not in notes]
    if bad and (not xs or len(both) == len(bad)):
        raise DojoError(bad[0] if len(bad) == 1 else f"None of the {len(bad)} images can be used. The first: {bad[0]}")
    if bad:
        notes.append(f"{len(bad)} of {len(both)} images {'are' if len(bad) > 1 else 'is'} left out: {bad[0]}")
    groups = [group_of(n, given.group_by) for n in names]
    pairs = Pairs.of(
        xs,
        None if given.target is None else ys,
        axes,
        labels=labels,
        names=names,
        groups=groups,
        regions=rs if any(r is not None for r in rs) else (),
        pixel_size=size if size and axes and len(size) == len(axes.spatial) else None,
        unit=unit,
    )
    return pairs, notes


def _target(path: Path, labels: bool) -> Any:
    picture = images.read(path, labels=labels)
    return images.as_labels(picture.data, path.name, rgb=picture.rgb) if labels else picture.data


def outputs(inputs: Sequence[Path], folder: Path, overwrite: bool) -> list[Path]:
    """Where the answers go, one for each input, same stem; DojoError where two share one or one is there already."""
    paths = [folder / f"{stem_of(p)}.tif" for p in inputs]
    if len(set(paths)) < len(paths):
        twice = next(p for p in paths if paths.count(p) > 1)
        raise DojoError(f"Several inputs would be written to {twice.name}. Give them different names.")
    there = [p for p in paths if p.exists()]
    if there and not overwrite:
        raise DojoError(f"{there[0]} exists already. Choose another folder, or replace it with --overwrite.")
    return paths
