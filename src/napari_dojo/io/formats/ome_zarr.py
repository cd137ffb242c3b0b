"""OME-Zarr (0.1 to 0.5) and plain Zarr arrays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import slices
from napari_dojo.data.axes import LETTERS
from napari_dojo.data.units import in_micrometres
from napari_dojo.errors import DojoError
from napari_dojo.io.formats import picture as shared
from napari_dojo.io.formats.picture import Picture, Wanted, in_order, lazy, plane_size
from napari_dojo.io.pairing import is_zarr, stem_of
from napari_dojo.io.remote import address, is_remote, open_zarr

__all__ = [
    "Layout",
    "Resolutions",
    "create",
    "create_levels",
    "opened",
    "read_zarr",
    "remove",
    "resolutions",
    "there",
    "write_box",
    "write_levels",
    "write_zarr",
]

WRITERS = 2  # threads that compress a part each
SMALLEST = 512  # px; an edge of the lowest resolution is at most this long


def read_zarr(path: Path, wanted: Wanted) -> Picture:
    """The full resolution of an image; of a converted file with several images, the one that is wanted.

    Raises
    ------
    DojoError : a group that is no image, such as a plate.
    """
    import zarr

    node = open_zarr(path)
    if isinstance(node, zarr.Array):
        return _picture(path, node, {}, wanted)
    attributes = dict(node.attrs)
    about: Any = attributes.get("ome", attributes)  # 0.5 nests them
    if "multiscales" not in about:
        if "bioformats2raw.layout" in about and (images := _converted(path)):
            one = read_zarr(images[wanted.image], Wanted(wanted.labels, wanted.lazy_above))
            return replace(one, path=path, image=wanted.image, images=len(images))
        if names := _labels_in(node):
            return replace(read_zarr(path / "labels" / names[0], wanted), path=path)
        raise _no_image(path, node)
    scales = about["multiscales"][0]
    array = node[scales["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise ValueError("its first resolution is no array")
    return _picture(path, array, about, wanted)


def _no_image(path: Path, group: Any) -> DojoError:
    inside = "" if is_remote(path) else ", ".join(sorted(name for name, _ in group.members(max_depth=0))[:5])
    return DojoError(
        f"An OME-Zarr image was expected, but {address(path)} is a group of others ({inside or 'empty'}). "
        "Name the folder of one image in it."
    )


def _labels_in(group: Any) -> list[str]:
    """The labels in a group without an image, as a prediction of objects is."""
    if "labels" not in group:
        return []
    attributes = dict(group["labels"].attrs)
    names: list[str] = attributes.get("ome", attributes).get("labels", [])
    return names


def _converted(path: Path) -> list[Path]:
    """The images of a file that bioformats2raw has converted: folders called 0, 1, 2 ...; of remote ones they are not known."""
    if is_remote(path):
        return []
    return sorted((p for p in path.iterdir() if p.name.isdecimal() and is_zarr(p)), key=lambda p: int(p.name))


@dataclass(frozen=True, eq=False)
class Resolutions:
    """An image in a store, or labels of it, that stay there.

    Attributes
    ----------
    arrays : Zarr, from the full resolution down, with ``axes``, one letter each; "?" is an axis of another name.
    pixel_size : (Y, X) or (Z, Y, X), in ``unit``; None: not known.
    is_labels : what the store says that it is.
    """

    name: str
    arrays: tuple[Any, ...]
    axes: str
    pixel_size: tuple[float, ...] | None
    unit: str | None
    channel_names: tuple[str, ...] = ()
    is_labels: bool = False


def resolutions(path: Path) -> list[Resolutions]:
    """The images of a store with all their resolutions, and their labels; nothing is read but what describes them.

    Raises
    ------
    DojoError : a group that is no image.
    """
    import zarr

    node = open_zarr(path)
    if isinstance(node, zarr.Array):
        return [_resolutions(path.name, [node], {})]
    attributes = dict(node.attrs)
    about: Any = attributes.get("ome", attributes)
    if "multiscales" not in about and "bioformats2raw.layout" in about:
        return [one for image in _converted(path) for one in resolutions(image)]
    found = [_of_group(path.name, node, about)] if "multiscales" in about else []
    for name in _labels_in(node):
        group: Any = node[f"labels/{name}"]
        attributes = dict(group.attrs)
        found.append(_of_group(name, group, attributes.get("ome", attributes), is_labels=True))
    if not found:
        raise _no_image(path, node)
    return found


def _of_group(name: str, group: Any, about: Any, is_labels: bool = False) -> Resolutions:
    arrays = [group[level["path"]] for level in about["multiscales"][0]["datasets"]]
    return replace(_resolutions(name, arrays, about), is_labels=is_labels)


def _resolutions(name: str, arrays: Sequence[Any], about: Mapping[str, Any]) -> Resolutions:
    axes, size, unit, channels = _facts(arrays[0], about)
    return Resolutions(name, tuple(arrays), axes, size, unit, channels)


def _picture(path: Path, array: Any, about: Mapping[str, Any], wanted: Wanted) -> Picture:
    names, size, unit, channels = _facts(array, about)
    data = lazy(array) if array.nbytes > wanted.lazy_above else np.asarray(array[...])
    return Picture(data, names, False, size, unit, channels, path)


def _facts(array: Any, about: Mapping[str, Any]) -> tuple[str, tuple[float, ...] | None, str | None, tuple[str, ...]]:
    """Axes, pixel size, its unit, and names of channels."""
    scales = about.get("multiscales", [{}])[0]
    axes = scales.get("axes") or list(
        "tczyx"[-array.ndim :] if scales and array.ndim == 5 else "?" * (array.ndim - 2) + "yx"
    )
    axes = [a if isinstance(a, dict) else {"name": a} for a in axes]
    names = "".join(a["name"].upper() if a["name"].upper() in tuple(LETTERS) else "?" for a in axes)
    if len(names) != array.ndim:
        raise ValueError(f"it names {len(names)} axes for {array.ndim} dimensions")
    size = np.ones(array.ndim)
    stated = False
    for level in (scales, *scales.get("datasets", ())[:1]):
        for change in level.get("coordinateTransformations", ()):
            if change.get("type") == "scale" and "scale" in change:
                size, stated = size * np.asarray(change["scale"], float), True
    sizes = {a: float(v) for a, v in zip(names, size, strict=True) if a in "ZYX"} if stated else {}
    units: dict[str, str | None] = {n: a.get("unit") for n, a in zip(names, axes, strict=True)}
    sizes, unit = in_micrometres(sizes, units)
    channels = tuple(str(c.get("label", "")) for c in about.get("omero", {}).get("channels", ()))
    return names, plane_size(sizes, names), unit, channels if any(channels) else ()


@dataclass(frozen=True)
class Layout:
    """How an image lies in OME-Zarr, and what is known of it.

    Attributes
    ----------
    axes : one letter of "TZCYX" for each axis, in that order.
    shape, chunks : of the full resolution.
    pixel_size : (Y, X) or (Z, Y, X), in ``unit``; None: not known.
    labels : the name of the labels that it is, in the group ``labels``; empty: it is an image.
    name : of the image; empty: that of the store.
    """

    axes: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    pixel_size: tuple[float, ...] | None = None
    unit: str | None = None
    channel_names: tuple[str, ...] = ()
    labels: str = ""
    description: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if list(self.axes) != sorted(self.axes, key="TCZYX".index):
            raise ValueError(f"OME-Zarr has axes in the order TCZYX, not {self.axes}")

    def level(self, k: int) -> tuple[int, ...]:
        """The shape of resolution ``k``: planes are half as large along Y and X each time."""
        return tuple(-(-n // 2**k) if a in "YX" else n for a, n in zip(self.axes, self.shape, strict=True))

    @property
    def levels(self) -> int:
        """Resolutions, down to the one that fits in a chunk or so."""
        edge = max(n for a, n in zip(self.axes, self.shape, strict=True) if a in "YX")
        return 1 + max(0, int(np.ceil(np.log2(edge / SMALLEST))))


def create(store: Path, layout: Layout) -> Any:
    """Make an OME-Zarr (0.5; 0.4 in a store that is 0.4) with its full resolution, zeros; that array.

    Labels are put into the group ``labels`` of the store, beside an image that is there.
    """
    group = _group(store, layout, "a")
    made = _array(group, "0", layout.shape, layout)
    _describe(store, group, layout, 1)
    return made


def opened(store: Path, layout: Layout) -> Any:
    """The full resolution of what `create` made, to be written to."""
    return _group(store, layout, "r+")["0"]


def there(store: Path, layout: Layout) -> bool:
    """Whether something lies where this image, or these labels, would."""
    return (store / "labels" / layout.labels).exists() if layout.labels and is_zarr(store) else store.exists()


def remove(store: Path, layout: Layout) -> None:
    """Remove an image and its store, or labels of that name, and no others; DojoError where a store is none."""
    if layout.labels and is_zarr(store):
        shutil.rmtree(store / "labels" / layout.labels, ignore_errors=True)
    elif is_zarr(store):
        shutil.rmtree(store)
    elif store.exists():
        raise DojoError(f"{store} is no OME-Zarr, and is not replaced by one. Choose another name.")


def write_levels(store: Path, layout: Layout) -> Iterator[tuple[int, int]]:
    """Write the lower resolutions, a part at a time, and name them; gives how many parts of how many are done."""
    group = _group(store, layout, "r+")
    count, done = sum(1 for k in range(1, layout.levels) for _ in _boxes(layout.level(k), layout)), 0
    for k in range(1, layout.levels):
        source, below = group[str(k - 1)], _array(group, str(k), layout.level(k), layout)

        def write(box: tuple[slice, ...], source: Any = source, below: Any = below) -> None:
            wide = tuple(
                slice(2 * s.start, min(2 * s.stop, n)) if a in "YX" else s
                for a, s, n in zip(layout.axes, box, source.shape, strict=True)
            )
            below[box] = _halved(np.asarray(source[wide]), layout)

        with ThreadPoolExecutor(WRITERS) as pool:
            written = [pool.submit(write, box) for box in _boxes(layout.level(k), layout)]
            try:
                for future in written:
                    future.result()
                    done += 1
                    yield done, count
            finally:
                pool.shutdown(cancel_futures=True)
    _describe(store, group, layout, layout.levels)


def create_levels(store: Path, layout: Layout) -> None:
    """Make an OME-Zarr with all its resolutions, zeros, to be written box by box (`write_box`)."""
    create(store, layout)
    group = _group(store, layout, "r+")
    for k in range(1, layout.levels):
        _array(group, str(k), layout.level(k), layout)
    _describe(store, group, layout, layout.levels)


def write_box(store: Path, layout: Layout, box: Sequence[tuple[int, int]], values: NDArray[Any]) -> None:
    """Write a box of the full resolution, from and to along each axis, and what it changes in the lower ones."""
    group = _group(store, layout, "r+")
    group["0"][slices(box)] = values
    flat = [a in "YX" for a in layout.axes]
    for k in range(1, layout.levels):
        box = [(a // 2, -(-b // 2)) if f else (a, b) for (a, b), f in zip(box, flat, strict=True)]
        above = group[str(k - 1)]
        wide = tuple(
            slice(2 * a, min(2 * b, n)) if f else slice(a, b)
            for (a, b), f, n in zip(box, flat, above.shape, strict=True)
        )
        group[str(k)][slices(box)] = _halved(np.asarray(above[wide]), layout)


def write_zarr(part: Path, picture: Picture, labels: bool) -> None:
    """Write OME-Zarr 0.5 with lower resolutions; axes in the order TCZYX."""
    data, axes = in_order(picture, "TCZYX")
    chunks = tuple(min(n, shared.TILE) if a in "YX" else 1 for a, n in zip(axes, data.shape, strict=True))
    about = (picture.pixel_size, picture.unit, picture.channel_names)
    named = ("labels" if labels else "", picture.description, stem_of(picture.path))
    layout = Layout(axes, data.shape, chunks, data.dtype.name, *about, *named)
    stored = create(part, layout)
    if hasattr(data, "dask"):
        import dask.array as da

        store: Any = da.store  # its types do not know Zarr arrays
        store(data.rechunk(chunks), stored, lock=False)
    else:
        stored[...] = data
    for _ in write_levels(part, layout):
        pass


def _group(store: Path, layout: Layout, mode: Any) -> Any:
    import zarr

    version: Any = None if mode == "r+" or is_zarr(store) else 3
    root = zarr.open_group(str(store), mode=mode, zarr_format=version)
    return root.require_group(f"labels/{layout.labels}") if layout.labels else root


def _array(group: Any, name: str, shape: tuple[int, ...], layout: Layout) -> Any:
    chunks = tuple(min(n, c) for n, c in zip(shape, layout.chunks, strict=True))
    old = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if group.metadata.zarr_format == 2 else {}
    names = {} if old else {"dimension_names": [a.lower() for a in layout.axes]}
    return group.create_array(
        name, shape=shape, chunks=chunks, dtype=layout.dtype, fill_value=0, overwrite=True, **old, **names
    )


def _describe(store: Path, group: Any, layout: Layout, levels: int) -> None:
    """Write the metadata of an image, or of labels and the group that names them."""
    import zarr

    version = "0.5" if group.metadata.zarr_format == 3 else "0.4"
    size = dict(zip("XYZ", (layout.pixel_size or ())[::-1], strict=False))
    unit = {"unit": "micrometer"} if layout.unit == "um" else {}
    space = {a: {"type": "space", **(unit if a in size else {})} for a in "ZYX"}  # no unit: not known
    kinds = {"T": {"type": "time"}, "C": {"type": "channel"}, **space}
    of = {"version": version} if version == "0.4" else {}
    scales = [[size.get(a, 1.0) * (2**k if a in "YX" else 1) for a in layout.axes] for k in range(levels)]
    image: dict[str, Any] = {
        **of,
        "name": layout.labels or layout.name or store.stem,
        "axes": [{"name": a.lower(), **kinds[a]} for a in layout.axes],
        "datasets": [
            {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for k, scale in enumerate(scales)
        ],
    }
    about: dict[str, Any] = {"multiscales": [image]}
    if layout.channel_names and not layout.labels:
        about["omero"] = {"channels": [{"label": name} for name in layout.channel_names]}
    if layout.labels:
        about["image-label"] = {**of, "source": {"image": "../../"}}
    if layout.description:
        image["metadata"] = {"description": layout.description}
    _attributes(group, version, about)
    if layout.labels:
        parent = zarr.open_group(str(store / "labels"), mode="r+")
        known: Any = dict(parent.attrs)
        names = known.get("ome", known).get("labels", [])
        _attributes(parent, version, {"labels": list(dict.fromkeys([*names, layout.labels]))})


def _attributes(group: Any, version: str, about: dict[str, Any]) -> None:
    """0.5 nests them."""
    group.attrs.update({"ome": {"version": "0.5", **about}} if version == "0.5" else about)


def _boxes(shape: tuple[int, ...], layout: Layout) -> Iterator[tuple[slice, ...]]:
    """Parts of whole chunks that fit in memory several times."""
    edges = [c * max(1, SMALLEST * 2 // c) if a in "YX" else c for a, c in zip(layout.axes, layout.chunks, strict=True)]
    starts = [range(0, n, e) for n, e in zip(shape, edges, strict=True)]
    for at in product(*starts):
        yield tuple(slice(i, min(n, i + e)) for i, n, e in zip(at, shape, edges, strict=True))


def _halved(x: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Planes half as large: of labels every second pixel, of images the mean of 2 x 2."""
    axes = [i for i, a in enumerate(layout.axes) if a in "YX"]
    if layout.labels:
        return x[tuple(slice(None, None, 2) if i in axes else slice(None) for i in range(x.ndim))]
    mean: NDArray[Any] = np.pad(
        x, [(0, x.shape[i] % 2 if i in axes else 0) for i in range(x.ndim)], mode="edge"
    ).astype(np.float32)
    for i in axes:
        first, second = (tuple(slice(k, None, 2) if j == i else slice(None) for j in range(x.ndim)) for k in (0, 1))
        mean = (mean[first] + mean[second]) / 2
    return mean.astype(x.dtype) if x.dtype.kind == "f" else np.rint(mean).astype(x.dtype)
