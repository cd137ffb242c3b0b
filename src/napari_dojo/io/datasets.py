"""Files become datasets, and predictions become files: the edge that the command line and the windows share."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_dojo.data.axes import Axes
from napari_dojo.data.channels import chosen, grey, in_order
from napari_dojo.data.dataset import ONE_TO_ONE, Dataset, Excluded, Layout
from napari_dojo.data.kinds import LABELS
from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.categories import Sides, images_of, read_categories
from napari_dojo.io.names import as_file_name, nearest, stem_of
from napari_dojo.io.pairing import common_folder, group_of, list_inputs, pair_files, shown_names
from napari_dojo.io.plates import plate_above
from napari_dojo.io.roles import read_roles
from napari_dojo.io.targets import DatasetFiles, axes_note, axes_of, read_files, read_targets

__all__ = ["DatasetFiles", "axes_of", "outputs", "read_dataset", "read_targets"]

IN_MEMORY = 0.4  # of the free memory may hold training images; what comes after stays in its file


def read_dataset(
    given: DatasetFiles, layout: Layout = ONE_TO_ONE, most: float = float("inf")
) -> tuple[Dataset, list[str]]:
    """Read the training data, at least one image and no more after ``most`` pixels; also sentences for the user.

    What cannot be used is listed in ``Dataset.excluded`` with its reason. Axes of length 1 that a file leaves out are
    kept where other files have them: an image beside movies is a movie of one frame.

    Raises
    ------
    DojoError : where nothing is left, or a table or an expression does not fit the files.
    """
    if not layout.kind.dense:
        return _categories(given, layout, most)
    found = _matched(given)
    names = dict(zip(found.inputs, shown_names(found.inputs), strict=True))
    regions, notes = _regions(given, found, names)
    roles = read_roles(given.roles, list(names.values())) if given.roles else {}
    groups = _groups(given.group_by, names)
    files = [(path, target, regions.get(path)) for path, target in found.pairs]
    memory = _Memory()
    read, unread = read_files([(names[f[0]], partial(memory.read, f, given, layout)) for f in files], most)
    some = len({r.picture.path for r in read}) + len(unread)
    if some < len(files):
        notes.append(f"The first {some} of {len(files)} images were looked at; the plan for all of them may differ.")
    read, odd = _alike(read, names)
    if not read:
        first = unread[0].reason
        many = f"None of the {len(unread)} images can be used. The first: {first}"
        raise DojoError(first if len(unread) == 1 else many)
    if any(type(r.picture.data) is not np.ndarray for r in read):
        notes.append("The images need more memory than is free: patches are read from their files during training.")
    notes += dict.fromkeys(note for r in read for note in r.picture.notes)
    one = read[0]
    notes += axes_note(given.axes, one.axes)
    size = one.picture.pixel_size
    dataset = Dataset.of(
        [in_order(r.picture.data, r.axes.names, r.picture.channel_names, one.picture.channel_names) for r in read],
        None if given.target is None else [r.target for r in read],
        one.axes,
        layout=layout,
        names=[_name(r, names) for r in read],
        groups=[groups[r.picture.path] for r in read],
        regions=[r.region for r in read] if regions else (),
        roles=[roles.get(names[r.picture.path], "automatic") for r in read] if roles else (),
        pixel_sizes=[r.picture.pixel_size for r in read],
        pixel_size=size if size and len(size) == len(one.axes.spatial) else None,
        unit=one.picture.unit,
        target_pixel_size=one.target_size,
        channel_names=one.picture.channel_names,
    )
    return replace(dataset, excluded=(*found.excluded, *unread, *odd, *dataset.excluded)), notes


def _categories(given: DatasetFiles, layout: Layout, most: float) -> tuple[Dataset, list[str]]:
    """Images, or objects, with a class each; what the user says of groups and roles holds for their files."""
    paths = images_of(given.input)
    names = dict(zip(paths, shown_names(paths), strict=True))
    roles = read_roles(given.roles, list(names.values())) if given.roles else {}
    groups = _groups(given.group_by, names) if given.group_by else {}
    return read_categories(given, layout, Sides({names[p]: g for p, g in groups.items()}, roles), most)


class _Memory:
    """The memory that training images may take; those that come when it is used up stay in their files."""

    def __init__(self) -> None:
        self._room = int(IN_MEMORY * psutil.virtual_memory().available)

    def read(self, files: tuple[Path, Path | None, Path | None], given: DatasetFiles, layout: Layout) -> list[_Read]:
        """The images of a file, with target and region."""
        found = _read(files, given, layout, min(self._room, images.LAZY_ABOVE))
        used = sum(r.picture.data.nbytes for r in found if type(r.picture.data) is np.ndarray)
        self._room = max(0, self._room - used)
        return found


@dataclass(frozen=True, eq=False)
class _Read:
    picture: images.Picture
    axes: Axes
    target: Any
    region: Any
    target_size: tuple[float, ...] | None

    @property
    def pixels(self) -> int:
        """In all channels."""
        return prod(self.picture.data.shape)


@dataclass(frozen=True)
class _Matched:
    """The files that were named: all images, those that have a target with it, and what is excluded."""

    inputs: tuple[Path, ...]
    pairs: tuple[tuple[Path, Path | None], ...]
    excluded: tuple[Excluded, ...] = ()


def _matched(given: DatasetFiles) -> _Matched:
    inputs = list_inputs(given.input)
    if given.target is None:
        return _Matched(tuple(inputs), tuple((p, None) for p in inputs))
    one, two = Path(given.input).expanduser(), Path(given.target).expanduser()
    if one.is_file() and two.is_file():
        return _Matched((one,), ((one, two),))
    targets = list_inputs(given.target, targets=True)
    found, alone, unused = pair_files(inputs, targets)
    excluded = [_without_partner(p, "target", unused) for p in alone]
    excluded += [_without_partner(p, "image", alone) for p in unused]
    pairs = {a: b for a, b in found}
    return _Matched(tuple(p for p in inputs if p in pairs or p in set(alone)), tuple(pairs.items()), tuple(excluded))


def _without_partner(path: Path, kind: str, others: Sequence[Path]) -> Excluded:
    """Why a file has no partner, with the name most alike of those that have none either."""
    alike = nearest(path.name, [p.name for p in others[:100]])
    more = f"; most alike is {alike}" if alike else ""
    return Excluded(path.name, f"{path.name} has no {kind} of the same name{more}.")


def _regions(given: DatasetFiles, found: _Matched, names: dict[Path, str]) -> tuple[dict[Path, Path], list[str]]:
    """The region mask of each image, and a sentence about images without one."""
    if not given.region:
        return {}, []
    used = [p for p, _ in found.pairs]
    regions, alone, unused = pair_files(used, list_inputs(given.region, targets=True))
    notes = []
    if alone:
        notes.append(f"{_some([names[p] for p in alone])} no region: all of the image counts as annotated.")
    if unused:
        notes.append(f"{_some([p.name for p in unused])} no image that this region belongs to.")
    return dict(regions), notes


def _some(names: Sequence[str]) -> str:
    return f"{names[0]} has" if len(names) == 1 else f"{len(names)} files ({', '.join(names[:3])}, ...) have"


def _groups(regex: str | None, names: dict[Path, str]) -> dict[Path, str]:
    """The group of each image; DojoError where the expression fits none of the names."""
    groups = {path: group_of(name, regex) for path, name in names.items()}
    if regex and all(groups[path] == group_of(name, None) for path, name in names.items()):
        fits = any(re.search(regex, group_of(name, None)) for name in names.values())
        if not fits:
            raise DojoError(
                f"The expression {regex!r} for groups fits none of the names, such as {group_of(next(iter(names.values())), None)}. "
                "Correct it, or leave it away."
            )
    return groups


def _alike(read: Sequence[_Read], names: dict[Path, str]) -> tuple[list[_Read], list[Excluded]]:
    """The images with the channels and axes that most have, axes of length 1 added; and the others with the reason."""
    if not read:
        return [], []
    counts = [r.axes.own_channels(r.picture.data.shape) for r in read]
    channels = max(counts, key=counts.count)  # the first of those that are equally many
    usual = [r.axes for r, n in zip(read, counts, strict=True) if n == channels]
    most = max(usual, key=lambda a: (len(a.names), usual.count(a)))
    read = [_with_axes(r, most) if n == channels else r for r, n in zip(read, counts, strict=True)]
    kinds = [(r.axes.names, n) for r, n in zip(read, counts, strict=True)]
    best = max([k for k in kinds if k[1] == channels], key=kinds.count)
    kept, odd = [], []
    for r, kind in zip(read, kinds, strict=True):
        if kind == best:
            kept.append(r)
            continue
        name = _name(r, names)
        reason = (
            f"{name} has the axes {kind[0]} and {kind[1]} channel{'s' if kind[1] > 1 else ''}; most images have {best[0]} "
            f"and {best[1]}. Say what the axes are, or choose images of one kind."
        )
        odd.append(Excluded(name, reason))
    return kept, odd


def _with_axes(read: _Read, axes: Axes) -> _Read:
    """The same with axes of length 1 where it lacks some, and in this order."""
    own, y, r = read.axes, read.target, read.region
    if own.names == axes.names or not set(own.names) <= set(axes.names):
        return read
    plain, wanted = own.without_channels(), axes.without_channels()
    for before, after in (
        (plain.names, wanted.names),
        (own.names, axes.names),
        (_with_channel(own), _with_channel(axes)),
    ):
        if y is not None and y.ndim == len(before):
            y = _grown(y, before, after)
            break
    if r is not None and r.ndim == len(plain.names):
        r = _grown(r, plain.names, wanted.names)
    picture = replace(read.picture, data=_grown(read.picture.data, own.names, axes.names))
    return replace(read, picture=picture, axes=axes, target=y, region=r)


def _with_channel(axes: Axes) -> str:
    """The axes of a target of several channels beside an input of these axes, as `Dataset.of` takes it."""
    at = min(axes.names.index(a) for a in axes.spatial)
    return axes.names if "C" in axes.names else f"{axes.names[:at]}C{axes.names[at:]}"


def _grown(array: Any, own: str, wanted: str) -> Any:
    """An array of axes ``own`` in the order of ``wanted``, with axes of length 1 where it lacks some."""
    array = array.transpose([own.index(a) for a in wanted if a in own])
    return array[tuple(slice(None) if a in own else None for a in wanted)]


def _name(read: _Read, names: dict[Path, str]) -> str:
    """What the user knows it by: the file, and which of its images where it has several."""
    picture = read.picture
    return names[picture.path] + (f" (image {picture.image + 1})" if picture.images > 1 else "")


def _read(files: tuple[Path, Path | None, Path | None], given: DatasetFiles, layout: Layout, room: int) -> list[_Read]:
    """The images of a file, each with its target and its region, checked; those of more than ``room`` bytes stay there."""
    path, target, region = files
    pictures = [replace(p, path=path) for p in images.read_all(path, lazy_above=room)]
    targets = [None] * len(pictures) if target is None else read_targets(target, layout.kind, pictures, given.axes)
    masks = [None] * len(pictures) if region is None else read_targets(region, LABELS, pictures, given.axes)
    return [_one(*these, given, layout) for these in zip(pictures, targets, masks, strict=True)]


def _one(
    picture: images.Picture,
    target: images.Picture | None,
    region: images.Picture | None,
    given: DatasetFiles,
    layout: Layout,
) -> _Read:
    """One image with its target and region, its axes and channels as they are used, checked."""
    y = None if target is None else target.data
    named, count = given.axes, picture.data.ndim
    if layout.planes and not (named or picture.axes) and count == 3 and y is not None and y.ndim == 2:
        named = "CYX"  # a plane is wanted of a stack: nothing else fits
    these = axes_of(picture, named)
    if given.channel and y is not None and layout.kind.intensities and y.shape == picture.data.shape:  # they lie alike
        y = chosen(y, these.names, given.channel, picture.channel_names, file=picture.name)[0]
    picture, names = images.with_channels(picture, these.names, given.channels, given.channel)
    if target is not None and y is not None and target.rgb and "C" in these.names and "C" not in names:
        y = _as_grey(y, these.names)
    these = Axes(names, these.spatial)
    r = None if region is None else np.asarray(region.data) > 0
    regions = [] if r is None else [r]
    Dataset.of([picture.data], None if y is None else [y], these, layout=layout, names=[picture.name], regions=regions)
    if target is not None:
        picture = replace(picture, notes=(*picture.notes, *target.notes))
    return _Read(picture, these, y, r, None if target is None else target.pixel_size)


def _as_grey(y: Any, axes: str) -> Any:
    """A target in colours as one channel, as its image is, where its colours are grey, too."""
    one = grey(y, axes) if y.ndim == len(axes) else None
    return y if one is None else one


def outputs(inputs: Sequence[Path], folder: Path, mark: str = "") -> list[Path]:
    """Where predictions go, one for each input: its stem and ``mark``; the folders of inputs are mirrored.

    Raises
    ------
    DojoError : two inputs share an output (case does not matter).
    """
    root = common_folder(inputs)
    root = plate_above(root) or root
    end = f"{as_file_name(mark)}.tif"
    paths = [folder / os.path.relpath(os.path.abspath(p.parent), root) / f"{stem_of(p)}{end}" for p in inputs]
    taken: dict[str, Path] = {}
    for source, path in zip(inputs, paths, strict=True):
        other = taken.setdefault(str(path).casefold(), source)
        if other is not source:
            raise DojoError(
                f"The predictions of {other.name} and {source.name} would both be written to {path.name}. "
                "Rename one of them, or choose some by a pattern such as '*.tif'."
            )
    return paths
