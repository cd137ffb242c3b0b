"""What files a person named as training data, the axes of an image file, and the target of each image in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Excluded
from napari_dojo.data.kinds import Kind
from napari_dojo.errors import DojoError
from napari_dojo.io import images, outlines
from napari_dojo.io.names import is_by_product
from napari_dojo.io.pairing import OUTLINES

__all__ = ["DatasetFiles", "axes_note", "axes_of", "read_files", "read_targets"]


@dataclass(frozen=True)
class DatasetFiles:
    """What a person named: paths, axes, how files group, roles by a pattern of file names, and channels.

    Attributes
    ----------
    channel : the channel that is used, by number (1 is the first) or name.
    channels : how many a model takes; None: any number.
    classes : a table of file, label and class, where objects have classes.
    """

    input: str
    target: str | None = None
    axes: str | None = None
    region: str | None = None
    group_by: str | None = None
    roles: str | None = None
    channel: str | None = None
    channels: int | None = None
    classes: str | None = None


def axes_of(picture: images.Picture, named: str | None, volumes: bool = True) -> Axes:
    """The axes of a file: what the user says, else what the file says, else what its shape allows."""
    squeezed = named if named and len(named) == picture.data.ndim else None
    if named and squeezed is None:  # axes of length 1 are dropped when a file is read
        squeezed = picture.axes if picture.axes and set(picture.axes) <= set(named.upper()) else named
    return Axes.resolve(picture.data.shape, squeezed or picture.axes, rgb=picture.rgb, volumes=volumes)


def axes_note(named: str | None, used: Axes) -> list[str]:
    """A sentence where the images lack axes that a person named, else nothing."""
    if not named or len(used.names) >= len(named):
        return []
    return [f"The images have the axes {used.names}, not {named.upper()}, and are used as such."]


class _Sized(Protocol):
    @property
    def pixels(self) -> int: ...


T = TypeVar("T", bound=_Sized)


def read_files(files: Sequence[tuple[str, Callable[[], Sequence[T]]]], most: float) -> tuple[list[T], list[Excluded]]:
    """What functions read of the file that each is named for; files that cannot be read, with the reason.

    After ``most`` pixels no more is read.
    """
    read: list[T] = []
    unread: list[Excluded] = []
    pixels = 0
    for name, reading in files:
        if pixels >= most:
            break
        try:
            found = reading()
        except DojoError as e:
            unread.append(Excluded(name, str(e) if name in str(e) else f"{name}: {e}"))
            continue
        read += found
        pixels += sum(one.pixels for one in found)
    return read, unread


def read_targets(
    path: Path, kind: Kind, pictures: Sequence[images.Picture], named: str | None = None
) -> list[images.Picture]:
    """Read the target of each image of a file, its axes in the order of its image's where both files name them.

    Parameters
    ----------
    path : labels, a target image, or the outlines of objects.
    kind : what is wanted. Images come as they lie; colours come first where the image has none.
    pictures : the images of one file.
    named : their axes, as a person says.

    Raises
    ------
    DojoError : unreadable, not as many as images, or no labels where labels are wanted.
    """
    if kind.drawn and is_by_product(path):
        raise DojoError(
            f"{path.name} holds probabilities or the like by its name, not labels. Choose the segmentation."
        )
    if kind.drawn and path.suffix.lower() in OUTLINES:
        return [_drawn(path, picture, named) for picture in pictures]
    found = list(images.read_all(path, labels=kind.drawn))
    if len(found) != len(pictures):
        raise DojoError(
            f"Each image needs its own target: {pictures[0].path.name} holds {len(pictures)} and {path.name} holds "
            f"{len(found)}. Save each image and each target as a file."
        )
    found = [_in_order_of(picture, p) for p, picture in zip(found, pictures, strict=True)]
    if kind.drawn:
        return [replace(p, data=images.as_labels(p.data, p.name, rgb=p.rgb)) for p in found]
    return [
        replace(p, data=np.moveaxis(p.data, -1, 0)) if p.rgb and not picture.rgb else p
        for p, picture in zip(found, pictures, strict=True)
    ]


def _in_order_of(picture: images.Picture, target: images.Picture) -> images.Picture:
    """A target with its axes in the order of its image's (TIFF has ZCYX, OME-Zarr CZYX); C of it alone before the spatial ones."""
    own, wanted = target.axes or "", picture.axes or ""
    if not own or not wanted or picture.rgb or target.rgb:
        return target
    if "C" not in wanted:
        at = min(wanted.index(a) for a in "ZYX" if a in wanted)
        wanted = f"{wanted[:at]}C{wanted[at:]}"
    wanted = "".join(a for a in wanted if a in own)
    if len(wanted) < len(own) or wanted == own:
        return target
    return replace(target, data=target.data.transpose([own.index(a) for a in wanted]), axes=wanted)


def _drawn(path: Path, picture: images.Picture, named: str | None) -> images.Picture:
    """Outlines as the labels of an image."""
    axes = axes_of(picture, named).names
    sizes = dict(zip(axes, picture.data.shape, strict=True))
    left = axes.replace("C", "")
    data, notes = outlines.read_labels(path, [sizes[a] for a in left], left)
    return images.Picture(data, left, path=path, notes=notes)
