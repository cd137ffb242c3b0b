"""Files that napari opens through this plugin: OME-Zarr as layers that stay on the disk, and microscopes' own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.io import images
from napari_dojo.io.formats.ome_zarr import Resolutions, resolutions
from napari_dojo.io.images import Picture
from napari_dojo.io.pairing import is_zarr
from napari_dojo.widgets.common.lazy import LazyImage

__all__ = ["get_reader"]

LayerData = tuple[Any, dict[str, Any], str]
COLOURS = ("green", "magenta", "cyan", "yellow", "red", "blue")  # of several channels


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """What reads these files; None where they are not ours."""
    paths = [path] if isinstance(path, str) else path
    if any(Path(p).is_dir() and not is_zarr(Path(p)) for p in paths):
        return None
    return _read


def _read(path: str | list[str]) -> list[LayerData]:
    """The layers of some files; DojoError where one cannot be read."""
    paths = [Path(p) for p in ([path] if isinstance(path, str) else path)]
    return [layer for p in paths for layer in (_stored(p) if is_zarr(p) else _files(p))]


def _stored(path: Path) -> list[LayerData]:
    found = resolutions(path)
    several = sum(not one.is_labels for one in found) > 1
    stem = path.name.removesuffix(".zarr").removesuffix(".ome")
    layers, count = [], 0
    for one in found:
        count += not one.is_labels
        name = f"{stem} {one.name}" if one.is_labels else f"{stem} (image {count})" if several else stem
        layers += _layers(one, name)
    return layers


def _layers(one: Resolutions, name: str) -> list[LayerData]:
    """One for each channel."""
    axes = one.axes
    at = axes.index("C") if "C" in axes and not one.is_labels else None
    left = axes.replace("C", "") if at is not None else axes
    place = _place(left, one.pixel_size, one.unit)
    if at is None:
        return [_layer(LazyImage(one.arrays), {"name": name, **place}, one.is_labels)]
    layers = []
    for k in range(one.arrays[0].shape[at]):
        named = one.channel_names[k] if k < len(one.channel_names) else str(k + 1)
        look = {"colormap": COLOURS[k % len(COLOURS)], "blending": "additive"} if one.arrays[0].shape[at] > 1 else {}
        layers.append(_layer(LazyImage(one.arrays, (at, k)), {"name": f"{name} {named}", **look, **place}, False))
    return layers


def _layer(image: LazyImage, about: dict[str, Any], labels: bool) -> LayerData:
    """One layer, with its display range."""
    about |= {"multiscale": len(image.levels) > 1}
    return (
        (image.data, about, "labels") if labels else (image.data, about | {"contrast_limits": _limits(image)}, "image")
    )


def _limits(image: LazyImage) -> tuple[float, float]:
    """The display range: of the middle plane of the lowest resolution, which is small."""
    level = len(image.levels) - 1
    shape = image.shape(level)
    box = [(n // 2, n // 2 + 1) for n in shape[:-2]] + [(max(0, n // 2 - 512), n // 2 + 512) for n in shape[-2:]]
    part = image.read(level, [(a, min(b, n)) for (a, b), n in zip(box, shape, strict=True)])
    low, high = (float(v) for v in np.percentile(part, [0.1, 99.9]))
    return low, high if high > low else low + 1


def _files(path: Path) -> list[LayerData]:
    """All images of a file, in memory."""
    layers = []
    for picture in images.read_all(path):
        layers.append(_in_memory(picture))
    return layers


def _in_memory(picture: Picture) -> LayerData:
    axes = picture.axes or "?" * picture.data.ndim
    at = axes.index("C") if "C" in axes and not picture.rgb else None
    left = axes.replace("C", "") if at is not None or picture.rgb else axes
    about: dict[str, Any] = {"name": picture.name, **_place(left, picture.pixel_size, picture.unit)}
    if at is not None:
        names = picture.channel_names or [str(k + 1) for k in range(picture.data.shape[at])]
        about |= {"channel_axis": at, "name": [f"{picture.name} {n}" for n in names]}
    return picture.data, {**about, "rgb": picture.rgb} if picture.rgb else about, "image"


def _place(axes: str, size: tuple[float, ...] | None, unit: str | None) -> dict[str, Any]:
    """Pixel size, unit and names of the axes, as arguments of a layer."""
    sizes = dict(zip("XYZ", (size or ())[::-1], strict=False))
    found: dict[str, Any] = {"scale": [sizes.get(a, 1.0) for a in axes]}
    if unit == "um" and size:
        found["units"] = ["um" if a in sizes else "pixel" for a in axes]
    if "?" not in axes:
        found["axis_labels"] = [a.lower() for a in axes]
    return found
