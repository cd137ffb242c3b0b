"""What the readers of microscopes' own files share: the optional packages, and names of axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from napari_dojo.data.axes import LETTERS
from napari_dojo.errors import DojoError
from napari_dojo.io.formats.picture import Picture, plane_size

__all__ = ["package", "picture_of"]


def package(name: str, path: Path) -> Any:
    """An optional package that reads a format; DojoError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as e:
        raise DojoError(
            f"{path.name} is read by the package {name}, which is not installed. Install it (pip install 'napari-dojo[formats]'), or "
            "save the image as OME-TIFF."
        ) from e


def picture_of(
    path: Path,
    data: Any,
    axes: str,
    sizes: Mapping[str, float],
    channels: Sequence[str] = (),
    image: tuple[int, int] = (0, 1),
) -> Picture:
    """A picture from what such a file holds.

    Parameters
    ----------
    axes : a letter for each axis of ``data``; "S" at the end holds colours, and other letters than TZCYX are not known.
    sizes : micrometres by axis; 0 where not known.
    image : its number, and how many there are.
    """
    colours = axes.endswith("S") and data.shape[-1] in (3, 4) and "C" not in _long(axes, data.shape)
    if colours and "C" in axes:
        at = axes.index("C")
        data, axes = data[(slice(None),) * at + (0,)], axes.replace("C", "")
    names = "".join("C" if colours and a == "S" else a if a in LETTERS else "?" for a in axes)
    size = plane_size(sizes, names)
    return Picture(
        data, names, colours, size, "um" if size else None, tuple(channels), path, image=image[0], images=image[1]
    )


def _long(axes: str, shape: Sequence[int]) -> str:
    return "".join(a for a, n in zip(axes, shape, strict=True) if n > 1)
