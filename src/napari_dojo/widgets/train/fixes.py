"""What the buttons beside a finding do to the layers. The user's own layers stay as they are; new ones take their place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.kinds import Kind
from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.datasets import read_targets
from napari_dojo.io.images import Picture
from napari_dojo.io.pairing import list_inputs, pair_files
from napari_dojo.tasks import Fix
from napari_dojo.widgets.common.layers import (
    add_quietly,
    array_of,
    finer_place,
    joined,
    placement,
    provenance,
    result_placement,
    same_tool,
    source_of,
)
from napari_dojo.widgets.common.rows import Row
from napari_dojo.widgets.common.training_data import LARGEST, Files, Layers, changed_labels
from napari_dojo.widgets.train.pair_rows import PairRows

__all__ = ["correct", "opened", "rows_for", "work_on"]


def rows_for(fix: Fix, material: Layers) -> list[Row]:
    """The rows that a fix concerns."""
    if not fix.samples:
        return list(material.rows)
    found = [material.row(item) for item in fix.samples]
    return [row for i, row in enumerate(found) if row is not None and row not in found[:i]]


def work_on(viewer: Any, table: PairRows, material: Layers, fix: Fix) -> None:
    """Apply a fix of the kinds relabel, region, swap, exclude, show and mark to the rows it concerns."""
    if fix.kind == "show":
        _example(viewer, material, material.rows[0], fix.value)
        return
    if fix.kind == "mark":
        for sample, places in fix.value.items():
            _marked(viewer, material, sample, np.asarray(places))
        return
    for row in rows_for(fix, material):
        if fix.kind == "relabel":
            table.replace(row, replace(row, target=_relabelled(viewer, material, row, fix.value)))
        elif fix.kind == "region":
            table.replace(row, replace(row, region=_drawn(viewer, material, row, fix.value)))
        elif fix.kind == "swap":
            table.replace(row, _swapped(viewer, row))
        elif fix.kind == "exclude":
            table.replace(row, None)


def correct(viewer: Any, name: str) -> None:
    """Show and select a predicted Labels layer, brush in hand."""
    layer = viewer.layers[name]
    layer.visible = True
    viewer.layers.selection.active = layer
    if layer.mode == "pan_zoom":
        layer.mode = "paint"


def opened(viewer: Any, files: Files, kind: Kind) -> list[Row]:
    """Add the files as layers, each image with its labels or target image; what cannot be read is left out.

    Raises
    ------
    DojoError : they are too large to be opened at once.
    """
    given = files.given
    pairs: list[Any] = [(path, None) for path in list_inputs(given.input)]
    if given.target is not None:
        pairs = list(pair_files(list_inputs(given.input), list_inputs(given.target, targets=True))[0])
    read: list[tuple[str, Picture, Picture | None]] = []
    pixels = 0
    for path, target in pairs:
        with suppress(DojoError):
            pictures = list(images.read_all(path))
            targets = [None] * len(pictures) if target is None else read_targets(target, kind, pictures, given.axes)
            read += [(p.name, p, y) for p, y in zip(pictures, targets, strict=True)]
            pixels += sum(p.data.size for p in pictures)
        if pixels > LARGEST:
            raise DojoError(f"The files in {given.input} are too large to be opened at once. Open some as layers.")
    return [_added(viewer, *found, kind) for found in read]


def _added(viewer: Any, name: str, picture: Picture, target: Picture | None, kind: Kind) -> Row:
    image = viewer.add_image(picture.data, name=name, rgb=picture.rgb, **_placed(picture))
    if target is None:
        return Row((image,), None)
    if kind.drawn:
        size = replace(target, pixel_size=target.pixel_size or picture.pixel_size, unit=target.unit or picture.unit)
        return Row((image,), viewer.add_labels(target.data, name=f"{name} labels", **_placed(size)))
    return Row((image,), viewer.add_image(target.data, name=f"{name} target", rgb=target.rgb, **_placed(target)))


def _placed(picture: Picture) -> dict[str, Any]:
    size, ndim = picture.pixel_size or (), picture.data.ndim - picture.rgb
    scale = (*(1.0 for _ in range(ndim - len(size))), *size)
    return {"scale": scale, "units": [picture.unit or "pixel"] * ndim} if size else {}


def _example(viewer: Any, material: Layers, row: Row, made: Any) -> None:
    """Add the result of a fix for the first sample of an image, over it."""
    source = source_of(row.images[0], material.axes)
    x = np.asarray(source.axes.sample(joined(row.images) if len(row.images) == 1 else source.array, 0))
    found = made(x)[0]
    where = placement(row.images[0], [source.axes.names.index(a) for a in source.axes.spatial])
    place = finer_place(where, [b / a for a, b in zip(x.shape[1:], found.shape, strict=True)])
    made = provenance("example", row.images[0])
    add_quietly(viewer, found, f"{row.name} example", kind="image", metadata=made, **place)


def _marked(viewer: Any, material: Layers, sample: str, places: NDArray[Any]) -> None:
    """Circles around places of a sample, over its image."""
    row = material.row(sample)
    if row is None:
        return
    image, axes = row.images[0], material.image_axes(row)
    world = axes.names.replace("C", "")
    points = np.zeros((len(places), len(world)))
    for k, a in enumerate(axes.spatial):
        points[:, world.index(a)] = places[:, k]
    others = [a for a in world if a not in axes.spatial]
    sizes = [array_of(image).shape[axes.names.index(a)] for a in others]
    index = int(sample.rpartition("[")[2].rstrip("]")) if sample != row.name else 0
    for a, at in zip(others, np.unravel_index(index, sizes) if sizes else (), strict=True):
        points[:, world.index(a)] = at
    keep = [i for i, a in enumerate(axes.names if not image.rgb else world) if a != "C"]
    active = viewer.layers.selection.active
    viewer.add_points(
        points,
        name=f"{sample} unlabelled",
        size=max(6, round(0.03 * max(axes.size(array_of(image).shape)))),
        face_color="transparent",
        border_color="#F0E442",
        metadata=provenance("mark", row.images[0]),
        **placement(image, keep),
    )
    viewer.layers.selection.active = active


def _relabelled(viewer: Any, material: Layers, row: Row, change: Any) -> Any:
    labels = changed_labels(material, row, change)
    where = result_placement(row.images[0], material.image_axes(row))
    with same_tool(viewer, row.target) as take_over:
        row.target.visible = False
        return take_over(viewer.add_labels(labels, name=f"{row.target.name} numbered", **where))


def _drawn(viewer: Any, material: Layers, row: Row, box_of: Any) -> Any:
    """A Shapes layer with a first guess of the annotated region, ready to be moved."""
    image = row.images[0]
    box = (box_of(np.asarray(array_of(row.target))) or [slice(0, n) for n in array_of(row.target).shape])[-2:]
    (top, bottom), (left, right) = ((s.start - 0.5, s.stop - 0.5) for s in box)
    world = material.image_axes(row).names.replace("C", "") if image.rgb else material.image_axes(row).names
    layer = viewer.add_shapes(
        [[[top, left], [top, right], [bottom, right], [bottom, left]]],
        shape_type="rectangle",
        name=f"{row.name} region",
        edge_color="#F0E442",
        face_color="#F0E44218",
        edge_width=max(1.0, max(array_of(row.target).shape[-2:]) / 300),
        **placement(image, [world.index("Y"), world.index("X")]),
    )
    layer.mode = "select"
    return layer


def _swapped(viewer: Any, row: Row) -> Row:
    """The image's numbers as labels and the labels' as an image; two images change places."""
    image, labels = row.images[0], row.target
    if labels._type_string == "image":
        return replace(row, images=(labels,), target=image)
    where = {k: v for k, v in placement(image, range(image.ndim)).items()}
    numbers = np.asarray(array_of(image))
    with same_tool(viewer, labels) as take_over:
        new_labels = take_over(viewer.add_labels(numbers.astype(np.int32), name=f"{image.name} as labels", **where))
        new_image = viewer.add_image(np.asarray(array_of(labels)), name=f"{labels.name} as image", **where)
    viewer.layers.move(viewer.layers.index(new_image), viewer.layers.index(new_labels))
    image.visible = labels.visible = False
    return replace(row, images=(new_image,), target=new_labels)
