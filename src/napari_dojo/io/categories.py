"""Images that have a class each, and objects that have one: a folder for each class, or a table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.channels import grey
from napari_dojo.data.dataset import Dataset, Excluded, Layout, Sample, Series
from napari_dojo.data.kinds import LABELS
from napari_dojo.data.normalize import Rule
from napari_dojo.data.objects import CONTEXT, boxes_of, crops_of
from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.pairing import is_zarr, list_inputs, pair_files, shown_names
from napari_dojo.io.tables import FILES, Columns, file_named, read_table
from napari_dojo.io.targets import DatasetFiles, axes_note, axes_of, read_files, read_targets

__all__ = ["Sides", "categories_of", "class_folders", "images_of", "read_categories"]

TABLES = (".csv", ".tsv", ".txt")
CLASS = ("class", "category", "label", "type", "kind", "phenotype")
IMAGE_CLASSES = Columns(
    "table of classes",
    "Each line is the name of an image, a comma and its class, for example: a1.tif,good",
    {"file": FILES, "class": CLASS},
    {"frame": ("frame", "t", "time", "index")},
)
OBJECT_CLASSES = Columns(
    "table of classes",
    "Each line is the name of an image, the number of an object and its class, for example: a1.tif,12,good",
    {
        "file": FILES,
        "label": ("label", "index", "object", "number", "label id", "id"),
        "class": ("class", "category", "type", "kind", "phenotype"),
    },
    {},
)
LARGEST = {2: 128, 3: 32}  # px, edge of a crop around an object


def class_folders(folder: Path) -> list[Path]:
    """The folders in a folder that may hold the images of a class each, in natural order."""
    if not folder.is_dir() or is_zarr(folder):
        return []
    inside = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and not is_zarr(p)]
    return sorted(inside, key=lambda p: natural(p.name))


def images_of(path: str | Path) -> list[Path]:
    """The images that a path means (`list_inputs`), those in its class folders among them."""
    folders = class_folders(Path(path).expanduser())
    try:
        return list_inputs(path)
    except DojoError:
        found = [image for folder in folders for image in _listed(folder)]
        if not found:
            raise
        return found


def natural(name: str) -> list[tuple[int, int | str]]:
    """A key that sorts ``a2`` before ``a10``."""
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in re.split(r"(\d+)", name.casefold()) if p]


@dataclass(frozen=True)
class Sides:
    """What a person says of the split, by the names of images as they are shown: which stay together, and what each is for."""

    groups: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)

    def group(self, name: str) -> str:
        """Of an image; its name where nothing is said."""
        return self.groups.get(name, name)

    def role(self, name: str) -> str:
        """Of an image."""
        return self.roles.get(name, "automatic")


def read_categories(given: DatasetFiles, layout: Layout, sides: Sides, most: float) -> tuple[Dataset, list[str]]:
    """Read images, or objects, with a class each, no more after ``most`` pixels; also sentences for the user.

    Without a target, ``given.input`` is a folder of class folders; with a table as target its lines are file and class
    (or file, frame and class); with labels as target ``given.classes`` is a table of file, label and class.

    Raises
    ------
    DojoError : nothing can be used, or a table does not fit the files.
    """
    if given.classes is not None:
        return _objects(given, layout, sides, most)
    wanted, excluded = _from_table(given) if given.target else _from_folders(given)
    names = _numbered([c for w in wanted for c in w.classes.values()], layout.classes)
    read, unread = read_files([(one.name, partial(_pictures, one, given)) for one in wanted], most)
    if unread and not read:
        raise DojoError(unread[0].reason)
    dataset, notes = _dataset_of(read, names, given, layout, sides)
    return replace(dataset, excluded=(*excluded, *unread, *dataset.excluded)), notes


def categories_of(
    pictures: Sequence[images.Picture], classes: Sequence[str], axes: str, layout: Layout
) -> tuple[Dataset, list[str]]:
    """The same of images in memory, each of one class and named by its path; raises as `read_categories` does."""
    wanted = [_Wanted(p.path, p.path.name, {-1: _class(c)}) for p, c in zip(pictures, classes, strict=True)]
    names = _numbered([c for w in wanted for c in w.classes.values()], layout.classes)
    read = [_Read(w, w.name, p, p.data, axes_of(p, axes)) for w, p in zip(wanted, pictures, strict=True)]
    return _dataset_of(read, names, DatasetFiles("", axes=axes), layout, Sides())


def _dataset_of(
    read: list[_Read], names: Sequence[str], given: DatasetFiles, layout: Layout, sides: Sides
) -> tuple[Dataset, list[str]]:
    """Images with a class each as a dataset; ``names`` of the classes."""
    read, odd, notes = _alike(read, given.channels)
    kept, unknown = _known(read, names)
    excluded = [*odd, *unknown]
    if not kept:
        raise DojoError(excluded[0].reason if excluded else "No image has a class.")
    first = kept[0]
    dataset = Dataset.of(
        [r.array for r in kept],
        [r.numbers(names) for r in kept],
        first.axes,
        layout=layout,
        names=[r.name for r in kept],
        groups=[sides.group(r.wanted.name) for r in kept],
        roles=[sides.role(r.wanted.name) for r in kept],
        pixel_sizes=[r.picture.pixel_size for r in kept],
        pixel_size=first.picture.pixel_size if _same_size(kept) else None,
        unit=first.picture.unit,
        channel_names=first.picture.channel_names,
        class_names=tuple(names),
    )
    known = tuple(s for s in dataset.samples if int(np.asarray(s.y)) > 0)  # frames that the table leaves out
    notes += axes_note(given.axes, first.axes)
    notes += dict.fromkeys(note for r in kept for note in r.picture.notes)
    return replace(dataset, samples=known, excluded=(*excluded, *dataset.excluded)), notes


@dataclass(frozen=True)
class _Wanted:
    """An image file and its class; frame -1 stands for all frames."""

    path: Path
    name: str
    classes: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class _Read:
    """An image with its axes, and what is known of its classes."""

    wanted: _Wanted
    name: str
    picture: images.Picture
    array: Any
    axes: Axes

    @property
    def pixels(self) -> int:
        """In all channels."""
        return prod(self.array.shape)

    def numbers(self, names: Sequence[str]) -> NDArray[np.int32]:
        """The number of its class, or of each frame's (frames,); 0 where it has none."""
        count = self.axes.count(self.array.shape)
        usual = self.wanted.classes.get(-1)
        classes = [self.wanted.classes.get(i, usual) for i in range(count)]
        found = np.array([names.index(c) + 1 if c in names else 0 for c in classes], np.int32)
        return found if count > 1 else found[0]


def _listed(folder: Path) -> list[Path]:
    try:
        return list_inputs(folder)
    except DojoError:
        return []


def _from_folders(given: DatasetFiles) -> tuple[list[_Wanted], list[Excluded]]:
    """The images of each class folder; or of a pattern, whose folders are the classes."""
    root = Path(given.input).expanduser()
    folders = class_folders(root)
    if root.is_dir() and not folders:
        raise DojoError(
            f"Classes are folders: in {root.name} a folder for each class was expected, with its images. Make them, or give "
            "a table of file,class as the target."
        )
    empty = [f for f in folders if not _listed(f)]
    paths = [p for f in folders for p in _listed(f)] if folders else list_inputs(given.input)
    if not paths:
        raise DojoError(f"None of the folders in {root} holds an image. Put the images of each class into its folder.")
    names = shown_names(paths)
    wanted = [_Wanted(p, n, {-1: _class(p.parent.name)}) for p, n in zip(paths, names, strict=True)]
    return wanted, [Excluded(f.name, f"The folder {f.name} holds no image.") for f in empty]


def _from_table(given: DatasetFiles) -> tuple[list[_Wanted], list[Excluded]]:
    """The images that a table names, with their classes."""
    assert given.target is not None
    table = Path(given.target).expanduser()
    if table.is_dir() or table.suffix.lower() not in TABLES:
        raise DojoError(
            f"Classes of images are a table of file,class (CSV), and {table.name} is none. For classes of objects give the "
            "labels as the target and the table of their classes."
        )
    paths = images_of(given.input)
    names = shown_names(paths)
    classes: dict[str, dict[int, str]] = {}
    for row in read_table(table, IMAGE_CLASSES):
        name = file_named(table, row["file"], names)
        frame = _whole(table, row["frame"], "frame") if row.get("frame") else -1
        said = _class(row["class"])
        if classes.setdefault(name, {}).setdefault(frame, said) != said:
            where = f"frame {frame} of {name}" if frame >= 0 else name
            raise DojoError(f"{table.name} gives {where} two classes: {classes[name][frame]} and {said}. Keep one.")
    wanted = [_Wanted(p, n, classes[n]) for p, n in zip(paths, names, strict=True) if classes.get(n)]
    rest = [n for n in names if n not in classes]
    return wanted, [Excluded(n, f"{n} has no class in {table.name}.") for n in rest]


def _whole(table: Path, text: str, what: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        raise DojoError(f"{table.name} names the {what} {text!r}, which is no whole number. Correct it.") from None


def _class(name: str) -> str:
    """The name of a class as it is kept: composed characters, no blanks around it."""
    found = " ".join(unicodedata.normalize("NFC", name).split())
    if not found:
        raise DojoError("A class has no name. Give each class a name.")
    return found


def _numbered(classes: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names of the classes in the order of their numbers."""
    return list(known) or sorted(set(classes), key=natural)


def _pictures(wanted: _Wanted, given: DatasetFiles) -> list[_Read]:
    """All images of a file."""
    found = []
    for picture in images.read_all(wanted.path):
        axes = axes_of(picture, given.axes)
        if given.channel:
            picture, names = images.with_channels(picture, axes.names, given.channels, given.channel)
            axes = Axes(names, axes.spatial)
        name = wanted.name + (f" (image {picture.image + 1})" if picture.images > 1 else "")
        found.append(_Read(wanted, name, picture, picture.data, axes))
    return found


def _alike(read: list[_Read], channels: int | None) -> tuple[list[_Read], list[Excluded], list[str]]:
    """The images with the axes that most have, grey and colour ones made alike; the others with the reason; notes."""
    if not read:
        return [], [], []
    plain = [r.axes.without_channels().names for r in read]
    usual = max(plain, key=plain.count)
    fine = [r for r, names in zip(read, plain, strict=True) if names == usual]
    odd = [
        Excluded(r.name, f"{r.name} has the axes {r.axes.names}, most images have {usual}. Choose images of one kind.")
        for r, names in zip(read, plain, strict=True)
        if names != usual
    ]
    counts = [r.axes.own_channels(r.array.shape) for r in fine]
    colours = [r for r in fine if r.picture.rgb]
    notes = []
    if colours and channels in (None, 1) and (bare := [_grey(r) for r in colours]) and all(b is not None for b in bare):
        swap = {id(r): b for r, b in zip(colours, bare, strict=True)}
        fine = [swap.get(id(r)) or r for r in fine]
    elif colours and channels in (None, 3) and len(colours) < len(fine) and set(counts) == {1, 3}:
        grey_ones = len(fine) - len(colours)
        notes.append(
            f"{grey_ones} of {len(fine)} images are grey; they are used as colour images whose channels are equal."
        )
        fine = [r if r.picture.rgb else _coloured(r, colours[0].axes) for r in fine]
    elif channels == 3 and set(counts) == {1}:
        fine = [_coloured(r, Axes("YXC", "YX")) if r.axes.names == "YX" else r for r in fine]
    counts = [r.axes.own_channels(r.array.shape) for r in fine]
    most = channels if channels in counts else max(counts, key=counts.count)
    for r, n in zip(fine, counts, strict=True):
        if n != most:
            what = f"{r.name} has {n} channel{'s' * (n > 1)}, and {most} {'is' if most == 1 else 'are'} used."
            odd.append(Excluded(r.name, f"{what} Choose one channel, or images of one kind."))
    fine = [r for r, n in zip(fine, counts, strict=True) if n == most]
    first = fine[0].axes.names if fine else ""
    return [_in_order(r, first) for r in fine], odd, notes


def _grey(read: _Read) -> _Read | None:
    """A colour image whose channels are equal as one of a single channel; else None."""
    data = grey(np.asarray(read.array), read.axes.names)
    return None if data is None else replace(read, array=data, axes=read.axes.without_channels())


def _coloured(read: _Read, like: Axes) -> _Read:
    """A grey image with three equal channels."""
    at = like.names.index("C")
    array = np.asarray(read.array)
    if "C" in read.axes.names:
        array = np.take(array, 0, read.axes.names.index("C"))
    return replace(read, array=np.stack([array] * 3, at), axes=like)


def _in_order(read: _Read, names: str) -> _Read:
    """The same with its axes in another order, and with C where others have it."""
    own = read.axes.names
    if own == names:
        return read
    array = np.asarray(read.array).transpose([own.index(a) for a in names if a in own])
    array = array[tuple(slice(None) if a in own else None for a in names)]
    return replace(read, array=array, axes=Axes(names, read.axes.spatial))


def _known(read: Sequence[_Read], names: Sequence[str]) -> tuple[list[_Read], list[Excluded]]:
    """Images whose class is among those that are known, and the others."""
    kept, unknown = [], []
    for r in read:
        if set(r.wanted.classes.values()) & set(names):
            kept.append(r)
        else:
            said = next(iter(r.wanted.classes.values()))
            unknown.append(Excluded(r.name, f"{r.name} is of the class {said}, which is none of {', '.join(names)}."))
    return kept, unknown


def _same_size(read: Sequence[_Read]) -> bool:
    """Whether all images have one pixel size, for each of their spatial axes."""
    sizes = {r.picture.pixel_size for r in read}
    first = read[0].picture.pixel_size
    return len(sizes) == 1 and first is not None and len(first) == len(read[0].axes.spatial)


# objects ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Labelled:
    """An image (C, *S) with labels (*S), and the class of some of its objects by number."""

    read: _Read
    x: Any
    labels: NDArray[Any]
    classes: Mapping[int, str]

    @cached_property
    def numbers(self) -> set[int]:
        """Of the objects that are there."""
        return set(boxes_of(self.labels)[0].tolist())

    @property
    def pixels(self) -> int:
        """That may belong to objects."""
        return self.labels.size


def _objects(given: DatasetFiles, layout: Layout, sides: Sides, most: float) -> tuple[Dataset, list[str]]:
    """Crops around objects, with the class that a table gives each."""
    wanted, excluded = _object_table(given)
    labelled, unread = read_files(
        [(one.name, partial(_labelled, one, labels, classes, given)) for one, labels, classes in wanted], most
    )
    excluded += unread
    read, odd, notes = _alike([item.read for item in labelled], given.channels)
    fine = {r.wanted.name: r for r in read}
    labelled = [
        replace(item, read=fine[item.read.name], x=fine[item.read.name].axes.sample(fine[item.read.name].array, 0))
        for item in labelled
        if item.read.wanted.name in fine
    ]
    excluded += odd
    if not labelled:
        raise DojoError(excluded[0].reason if excluded else "No object has a class.")
    names = _numbered([c for item in labelled for c in item.classes.values()], layout.classes)
    side, edge = _crop_size(labelled, layout)
    samples: list[Sample] = []
    for item in labelled:
        excluded += _lost(item)
        samples += _crops(item, names, (side, edge), sides, alone=len(labelled) < FEW)
    if not samples:
        raise DojoError(excluded[0].reason if excluded else "No object has a class.")
    first = labelled[0].read
    return Dataset(
        tuple(samples),
        first.axes.spatial,
        first.axes.names,
        pixel_size=first.picture.pixel_size if _same_size([item.read for item in labelled]) else None,
        unit=first.picture.unit,
        channel_names=first.picture.channel_names,
        excluded=tuple(excluded),
        class_names=tuple(names),
        side=side,
    ), notes


FEW = 10  # images, below which objects of one image may train and validate


def _object_table(given: DatasetFiles) -> tuple[list[tuple[_Wanted, Path, dict[int, str]]], list[Excluded]]:
    """Each image with its labels' file and the classes of its objects."""
    assert given.classes is not None
    if given.target is None:
        raise DojoError("Classes of objects need their labels, too. Give them as the target.")
    table = Path(given.classes).expanduser()
    pairs, alone, _ = pair_files(images_of(given.input), list_inputs(given.target, targets=True))
    names = dict(zip([p for p, _ in pairs], shown_names([p for p, _ in pairs]), strict=True))
    classes: dict[str, dict[int, str]] = {}
    for row in read_table(table, OBJECT_CLASSES):
        name = file_named(table, row["file"], list(names.values()))
        number, said = _whole(table, row["label"], "object"), _class(row["class"])
        if classes.setdefault(name, {}).setdefault(number, said) != said:
            both = f"{classes[name][number]} and {said}"
            raise DojoError(f"{table.name} gives object {number} of {name} two classes: {both}. Keep one.")
    wanted = [(_Wanted(p, names[p], {-1: ""}), y, classes[names[p]]) for p, y in pairs if names[p] in classes]
    excluded = [Excluded(p.name, f"{p.name} has no labels of the same name.") for p in alone]
    return wanted, excluded


def _labelled(wanted: _Wanted, labels: Path, classes: Mapping[int, str], given: DatasetFiles) -> list[_Labelled]:
    """The one image of a file, with its labels."""
    read = _pictures(wanted, given)
    if len(read) > 1 or read[0].axes.count(read[0].array.shape) > 1:
        raise DojoError(f"{wanted.name} holds several images or frames. Save each as a separate file.")
    (target,) = read_targets(labels, LABELS, [read[0].picture], given.axes)
    y = np.asarray(target.data)
    size = read[0].axes.size(read[0].array.shape)
    if y.shape != size:
        raise DojoError(f"The labels of {wanted.name} must have its size {size}; they have {y.shape}.")
    return [_Labelled(read[0], None, y, classes)]


def _crop_size(labelled: Sequence[_Labelled], layout: Layout) -> tuple[float, int]:
    """Px of an image that each crop shows, and px of the crop: room for most objects and some of their surroundings."""
    if layout.side and layout.size:
        return layout.side, layout.size[-1]
    extents = []
    for item in labelled:
        values, first, last = boxes_of(item.labels)
        extents += (last - first)[np.isin(values, list(item.classes))].max(1, initial=1).tolist()
    side = float(np.ceil(np.percentile(extents or [8], 90) * (1 + 2 * CONTEXT)))
    step = 8 if side <= 32 else 16
    edge = int(np.ceil(side / step)) * step
    return max(side, 8.0), int(np.clip(edge, 16, LARGEST[labelled[0].labels.ndim]))


def _lost(item: _Labelled) -> list[Excluded]:
    """A sentence where the table names objects that are not in the labels."""
    name, lost = item.read.wanted.name, sorted(set(item.classes) - item.numbers)
    if not lost:
        return []
    many = f"{len(lost)} objects of the table are" if len(lost) > 1 else f"object {lost[0]} of the table is"
    return [Excluded(name, f"{name}: {many} not in its labels ({', '.join(map(str, lost[:5]))}).")]


def _crops(
    item: _Labelled, names: Sequence[str], size: tuple[float, int], sides: Sides, *, alone: bool
) -> list[Sample]:
    """A sample for each object that has a class; ``size`` as of `_crop_size`, ``alone`` : each object is a group."""
    (side, edge), name, x = size, item.read.wanted.name, np.asarray(item.x)
    numbers = [n for n in sorted(item.numbers & set(item.classes)) if item.classes[n] in names]
    whole = Series([x])
    norm = whole.normalization(Rule())
    seen = norm.invert(norm.apply(norm.clean(x)[0]))  # a crop alone does not tell what padding and hot pixels are
    crops = crops_of(seen, item.labels, numbers, edge, side=side, alone=True)
    return [
        Sample(
            f"{name} [{n}]",
            crop,
            np.asarray(names.index(item.classes[n]) + 1, np.int32),
            whole=whole,
            group=f"{name} [{n}]" if alone else sides.group(name),
            role=sides.role(name),
            clean=True,
        )
        for n, crop in zip(numbers, crops, strict=True)
    ]
