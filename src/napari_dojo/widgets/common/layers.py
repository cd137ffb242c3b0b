"""Layers to arrays and back: axes, pixel size and unit out of a layer, the place of a result in space into one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo import __version__
from napari_dojo.boxes import middle
from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import ONE_TO_ONE, Layout
from napari_dojo.errors import DojoError
from napari_dojo.widgets.common.lazy import stored
from napari_dojo.widgets.common.numbering import number_by_itself
from napari_dojo.widgets.common.provenance import made, watch_corrections

__all__ = [
    "Source",
    "add_quietly",
    "array_of",
    "axes_choices",
    "axes_of_labels",
    "class_look",
    "finer_place",
    "fingerprint",
    "fits",
    "fits_as",
    "holds_labels",
    "joined",
    "labels_from",
    "likely_axes",
    "new_labels",
    "provenance",
    "region_mask",
    "result_placement",
    "same_grid",
    "same_tool",
    "source_of",
]

TOOL = ("brush_size", "contiguous", "n_edit_dimensions", "preserve_labels", "contour", "opacity", "blending", "mode")
FLAT = 0.12  # share of neighbours that differ, of which labels have less
MEANING = {"Z": "Z (planes of a volume)", "T": "time, or separate images", "C": "channels"}


@dataclass(frozen=True, eq=False)
class Source:
    """What a model needs to know of an image layer.

    Attributes
    ----------
    name : of the layer.
    array : as it lies, the finest level where there are several; numpy, dask or zarr.
    axes : what its dimensions are, and which a net works in.
    pixel_size : for each spatial axis in ``unit``, um where it is a length; None where unknown.
    """

    name: str
    array: Any
    axes: Axes
    pixel_size: tuple[float, ...] | None
    unit: str | None


def array_of(layer: Any) -> Any:
    """The data of a layer, the finest level where there are several, without transparency; what lies on the disk as dask."""
    found = stored(layer.data[0] if layer.multiscale else layer.data)
    return found[..., :3] if getattr(layer, "rgb", False) else found


def same_grid(a: Any, b: Any) -> bool:
    """Whether image ``b`` may be a channel beside ``a``."""
    return not b.rgb and tuple(array_of(a).shape) == tuple(array_of(b).shape)


def axes_of_labels(labels: Any) -> str:
    """The axes of a labels layer: as the model knew that made it, else the likeliest."""
    known = str(made(labels.metadata).get("axes", ""))
    choices = [names for names, _ in axes_choices(labels) if "C" not in names]
    return known if len(known) == array_of(labels).ndim else choices[0]


def axes_choices(layer: Any) -> tuple[tuple[str, str], ...]:
    """What the dimensions of an image layer may be: (axes, words), the likeliest first; one where it is clear."""
    rgb = "C" if getattr(layer, "rgb", False) else ""
    extra = array_of(layer).ndim - 2 - len(rgb)
    if extra < 1:
        return (("YX" + rgb, ""),)
    letters = "ZT" if rgb else "ZTC"
    found = []
    for first in permutations(letters, extra):
        if "T" in first[1:] or first[:2] == ("C", "Z"):  # T comes first, C after Z: the usual orders
            continue
        words = (
            MEANING[first[0]] if extra == 1 else ", ".join({"Z": "Z", "T": "time", "C": "channels"}[a] for a in first)
        )
        found.append(("".join(first) + "YX" + rgb, words))
    likely = likely_axes(layer)
    return tuple(sorted(found, key=lambda choice: choice[0] != likely))


def likely_axes(layer: Any) -> str:
    """The axes as the layer's own labels name them, else as its sizes suggest."""
    array = array_of(layer)
    rgb = "C" if getattr(layer, "rgb", False) else ""
    named = "".join(str(a).upper()[:1] for a in layer.axis_labels)
    if len(named) == array.ndim - len(rgb) and set(named) <= set("TZCYX") and len(set(named)) == len(named):
        return named + rgb
    extra = array.ndim - 2 - len(rgb)
    if extra == 1 and not rgb and array.shape[0] <= 4:
        return "CYX"
    return {0: "", 1: "Z", 2: "TZ" if rgb else "ZC"}.get(extra, "TZC"[-extra:] if extra < 3 else "TZC") + "YX" + rgb


def fits(image: Any, target: Any, layout: Layout = ONE_TO_ONE) -> bool:
    """Whether a target of this shape may belong to the image, whatever its axes are."""
    return any(fits_as(image, target, names, layout) for names, _ in axes_choices(image))


def fits_as(image: Any, target: Any, names: str, layout: Layout = ONE_TO_ONE) -> bool:
    """Whether a target of this shape may belong to the image with these axes."""
    shape, wanted = tuple(array_of(image).shape), tuple(array_of(target).shape)
    if target is image or (layout.kind.intensities and getattr(target, "rgb", False) != getattr(image, "rgb", False)):
        return False
    axes = layout.axes(Axes(names), shape, wanted)
    channels = (None, axes.own_channels(shape)) if layout.kind.intensities else (None,)
    return any(axes.result(shape, c, layout.scale(axes.spatial))[1] == wanted for c in channels)


def source_of(layer: Any, names: str | None = None, volumes: bool = True) -> Source:
    """An image layer as a model sees it.

    Parameters
    ----------
    layer : a napari image layer.
    names : its axes, ``TZCYX``; the likeliest where None.
    volumes : the net works in ZYX where there is a Z; else plane by plane.

    Raises
    ------
    DojoError : where the axes do not fit the layer, or it has fewer than two dimensions.
    """
    array = array_of(layer)
    if array.ndim < 2:
        raise DojoError(f"An image of at least two dimensions is needed; {layer.name} has {array.ndim}.")
    axes = Axes.resolve(array.shape, names or likely_axes(layer), volumes=volumes)
    size, unit = _pixel_size(layer, axes)
    return Source(layer.name, array, axes, size, unit)


def joined(layers: Sequence[Any]) -> Any:
    """The arrays of image layers; several of the same size become channels, stacked along a first axis."""
    arrays = [array_of(layer) for layer in layers]
    if len(arrays) == 1:
        return arrays[0]
    if all(type(a) is np.ndarray for a in arrays):
        return np.stack(arrays)
    import dask.array as da

    return da.stack([da.asarray(a) for a in arrays])


def new_labels(viewer: Any, image: Any, classes: bool = False) -> Any:
    """Add an empty labels layer over an image, ready to paint: brush in hand, one piece a stroke.

    ``classes`` : numbers mean classes, which get colours that stay; else objects, of which each has its own number.
    """
    axes = Axes.resolve(array_of(image).shape, likely_axes(image))
    shape = axes.result(array_of(image).shape, None)[1]
    look = class_look(range(1, 8), [f"class {k}" for k in range(1, 8)]) if classes else {}
    layer = viewer.add_labels(
        np.zeros(shape, np.int32), name=f"{image.name} labels", **result_placement(image, axes), **look
    )
    layer.contiguous = False
    layer.brush_size = max(3, round(min(shape[-2:]) / 60))
    layer.selected_label = 1
    layer.mode = "paint"
    if not classes:
        number_by_itself(viewer, layer)
    viewer.layers.selection.active = layer
    return layer


@contextmanager
def same_tool(viewer: Any, old: Any) -> Iterator[Callable[[Any], Any]]:
    """While a Labels layer takes the place of ``old``: the function given takes over its brush, mode and look.

    The new layer is selected where the old one was, and paints with the next free number; else the selection stays.
    """
    active, taken = viewer.layers.selection.active, []
    tool = {name: getattr(old, name) for name in TOOL}  # a layer that is hidden loses its mode

    def take_over(new: Any) -> Any:
        for name, value in tool.items():
            setattr(new, name, value)
        new.selected_label = int(np.max(array_of(new), initial=0)) + 1
        taken.append(new)
        return new

    yield take_over
    viewer.layers.selection.active = taken[0] if taken and active is old else active


def holds_labels(image: Any) -> bool:
    """Whether an image looks like labels that a reader took for an image: whole numbers in flat pieces."""
    array = array_of(image)
    if image.rgb or type(array) is not np.ndarray or array.dtype.kind not in "biuf":
        return False
    part = np.asarray(array[(*(n // 2 for n in array.shape[:-2]), *middle(array.shape[-2:], 256))], float)
    if part.shape[-1] < 2 or not np.isfinite(part).all() or part.min() != 0 or part.max() == 0:
        return False
    return bool((part == np.rint(part)).all() and (part[:, 1:] != part[:, :-1]).mean() < FLAT)


def labels_from(viewer: Any, mask: Any, image: Any) -> Any:
    """Add a labels layer with the numbers of an image layer ``mask``, in the place of ``image``."""
    shape, wanted = array_of(image).shape, tuple(array_of(mask).shape)
    axes = next(a for names, _ in axes_choices(image) if (a := Axes(names)).result(shape, None)[1] == wanted)
    numbers = np.rint(array_of(mask)).astype(np.int32)
    return viewer.add_labels(numbers, name=f"{mask.name} as labels", **result_placement(image, axes))


def region_mask(shapes: Any, image: Any, size: Sequence[int]) -> NDArray[np.bool_]:
    """Where the closed shapes of a layer lie on an image: bool (*size), size the last axes of the image (Y, X or Z, Y, X).

    A shape counts in all planes, or, where its layer has the plane's axis and it lies in one plane, in that one.
    """
    from skimage.draw import polygon2mask

    mask = np.zeros(tuple(size), bool)
    for vertices, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in ("line", "path"):
            continue
        outline = _outline(np.asarray(vertices, float), kind)
        world = np.asarray([shapes.data_to_world(v) for v in outline])
        missing = image.ndim - world.shape[1]
        world = np.pad(world, ((0, 0), (max(0, missing), 0)))[:, max(0, -missing) :]
        on_image = np.asarray([image.world_to_data(v) for v in world])
        flat = polygon2mask(tuple(size[-2:]), on_image[:, -2:])
        plane = on_image[:, -3] if len(size) == 3 and missing <= 0 and shapes.ndim >= 3 else None
        if plane is not None and np.ptp(plane) < 0.5:
            mask[int(np.clip(round(float(plane[0])), 0, size[0] - 1))] |= flat
        else:
            mask |= flat
    return mask


def _outline(vertices: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """The corners of a shape; of an ellipse, which is given by its box, points on it."""
    if kind != "ellipse":
        return vertices
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    centre = vertices.mean(axis=0)
    a, b = (vertices[1] - vertices[0]) / 2, (vertices[3] - vertices[0]) / 2
    return np.asarray(centre + np.cos(angle) * a + np.sin(angle) * b)


def result_placement(layer: Any, axes: Axes) -> dict[str, Any]:
    """Where labels of an image lie in space, as arguments of a new layer: the image's dimensions without its channels."""
    world = axes.names.replace("C", "") if getattr(layer, "rgb", False) else axes.names
    keep = [i for i, a in enumerate(world) if a != "C"]
    return placement(layer, keep)


def placement(layer: Any, keep: Sequence[int]) -> dict[str, Any]:
    """The transforms, units and axis names of these dimensions of a layer, as arguments of a new one."""
    square = np.ix_(keep, keep)
    affine = layer.affine.affine_matrix
    rows = [*keep, affine.shape[0] - 1]
    n = layer.ndim
    labels = [str(layer.axis_labels[i]) for i in keep]
    plain = all(name.startswith("-") for name in labels)
    return {
        "scale": np.asarray(layer.scale)[keep],
        "translate": np.asarray(layer.translate)[keep],
        "rotate": np.asarray(layer.rotate)[square],
        "shear": _shear_matrix(layer.shear, n)[square],
        "affine": affine[np.ix_(rows, rows)],
        "units": [layer.units[i] for i in keep],
        **({} if plain else {"axis_labels": labels}),
    }


def moved(where: Mapping[str, Any], start: Sequence[float]) -> dict[str, Any]:
    """The same for a part of the array that starts at ``start``."""
    step = np.asarray(where["rotate"]) @ np.asarray(where["shear"]) @ (np.asarray(where["scale"]) * np.asarray(start))
    return {**where, "translate": np.asarray(where["translate"]) + step}


def finer_place(where: Mapping[str, Any], factors: Sequence[float]) -> dict[str, Any]:
    """The same for an array with ``factor`` pixels for each old one: the outer edges of the pixels stay where they are."""
    if all(f == 1 for f in factors):
        return dict(where)
    place = moved(where, [(1 / f - 1) / 2 for f in factors])
    return {**place, "scale": np.asarray(where["scale"]) / np.asarray(factors)}


def provenance(kind: str, source: Any, **facts: Any) -> dict[str, Any]:
    """What made a layer, for its metadata: ``kind`` is "result", "preview", "comparison", "classes", "honesty" or "example".

    ``source`` : the layer that it is made from, or its name where that is all that is known.
    """
    of = {"image": source} if isinstance(source, str) else {"image": source.name, "image_id": str(source.unique_id)}
    made = {"kind": kind, **of, "made by": f"napari-dojo {__version__}"}
    return {"napari_dojo": {**made, "when": datetime.now().isoformat(timespec="seconds"), **facts}}


def fingerprint(array: Any) -> int:
    """A number that is another one where any value of an array is: whether a person has changed what a layer was given."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).data)


def class_look(values: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """Colours and names of classes, as arguments of a labels layer; safe for the colour-blind (Okabe and Ito)."""
    okabe_ito = ("#0072B2", "#E69F00", "#CC79A7", "#009E73", "#56B4E9", "#D55E00", "#F0E442")
    if len(values) > len(okabe_ito):
        return {}
    colours: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colours |= {int(v): okabe_ito[k] for k, v in enumerate(values)}
    return {"colormap": colours, "features": {"index": list(values), "class": list(names)}}


def add_quietly(viewer: Any, data: Any, name: str, kind: str = "labels", **more: Any) -> Any:
    """Add a layer of napari's type ``kind``, and leave selection, camera and position in the stack as they were."""
    from napari.layers import Layer

    selected, active = set(viewer.layers.selection), viewer.layers.selection.active
    camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it
    centre, zoom, step = camera.center, camera.zoom, viewer.dims.current_step
    had_layers, ndim = len(viewer.layers) > 0, viewer.dims.ndim
    layer = viewer.add_layer(Layer.create(data, {"name": name, **more}, kind))
    watch_corrections(layer)
    if had_layers:
        viewer.layers.selection = {x for x in selected if x in viewer.layers}
        if active in viewer.layers:
            viewer.layers.selection.active = active
            viewer.layers.selection.update(selected)
        camera.center, camera.zoom = centre, zoom
        if viewer.dims.ndim == ndim:
            viewer.dims.current_step = step
    return layer


def _shear_matrix(shear: Any, n: int) -> NDArray[np.float64]:
    shear = np.asarray(shear, float)
    if shear.ndim == 2:
        return shear
    full = np.eye(n)
    full[np.triu_indices(n, 1)] = shear
    return full


def _pixel_size(layer: Any, axes: Axes) -> tuple[tuple[float, ...] | None, str | None]:
    world = axes.names.replace("C", "") if getattr(layer, "rgb", False) else axes.names
    where = [world.index(a) for a in axes.spatial]
    size = [abs(float(layer.scale[i])) for i in where]
    units = [layer.units[i] for i in where]
    lengths = [_micrometres(u) for u in units]
    if all(f is not None for f in lengths):
        return tuple(s * f for s, f in zip(size, lengths, strict=True) if f is not None), "um"
    if size == [1.0] * len(size):
        return None, None
    return tuple(size), None


def _micrometres(unit: Any) -> float | None:
    """How many um the unit is; None where it is no length."""
    try:
        return float((1 * unit).to("micrometer").magnitude)
    except Exception:  # pint says this in several ways: not a length
        return None
