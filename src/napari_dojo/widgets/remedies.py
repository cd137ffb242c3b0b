"""What the buttons beside a finding do to the layers. The user's own layers stay as they are; new ones take their place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from napari_dojo import images
from napari_dojo.errors import DojoError
from napari_dojo.files import list_inputs, pair_files
from napari_dojo.images import Picture
from napari_dojo.tasks import Fix
from napari_dojo.widgets.layers import array_of, placement, result_placement
from napari_dojo.widgets.material import LARGEST, Files, Layers, changed_labels
from napari_dojo.widgets.rows import PairRows, Row

__all__ = ["opened", "rows_for", "work_on"]


def rows_for(fix: Fix, material: Layers) -> list[Row]:
    """The rows that a remedy concerns."""
    if not fix.items:
        return list(material.rows)
    found = [material.row(item) for item in fix.items]
    return [row for i, row in enumerate(found) if row is not None and row not in found[:i]]


def work_on(viewer: Any, table: PairRows, material: Layers, fix: Fix) -> None:
    """Apply a remedy of the kinds relabel, region, swap and leave out to the rows it concerns."""
    for row in rows_for(fix, material):
        if fix.kind == "relabel":
            table.replace(row, replace(row, labels=_relabelled(viewer, material, row, fix.value)))
        elif fix.kind == "region":
            table.replace(row, replace(row, region=_drawn(viewer, material, row, fix.value)))
        elif fix.kind == "swap":
            table.replace(row, _swapped(viewer, row))
        elif fix.kind == "leave out":
            table.replace(row, None)


def opened(viewer: Any, files: Files) -> list[Row]:
    """Add the files as layers, each image with its labels; what cannot be read is left out.

    Raises
    ------
    DojoError : they are too large to be opened at once.
    """
    given = files.given
    pairs, *_ = pair_files(list_inputs(given.input), list_inputs(given.target or given.input))
    read, pixels = [], 0
    for path, target in pairs:
        with suppress(DojoError):
            picture, labels = images.read(path), images.read(target, labels=True)
            read.append((path.name, picture, images.as_labels(labels.data, target.name, rgb=labels.rgb)))
            pixels += labels.data.size
        if pixels > LARGEST:
            raise DojoError(f"The files in {given.input} are too large to be opened at once. Open some as layers.")
    return [_added(viewer, *found) for found in read]


def _added(viewer: Any, name: str, picture: Picture, labels: Any) -> Row:
    size = picture.pixel_size or ()

    def place(ndim: int) -> dict[str, Any]:
        scale = (*(1.0 for _ in range(ndim - len(size))), *size)
        return {"scale": scale, "units": [picture.unit or "pixel"] * ndim} if size else {}

    image = viewer.add_image(picture.data, name=name, rgb=picture.rgb, **place(picture.data.ndim - picture.rgb))
    return Row((image,), viewer.add_labels(labels, name=f"{name} labels", **place(labels.ndim)))


def _relabelled(viewer: Any, material: Layers, row: Row, change: Any) -> Any:
    labels = changed_labels(material, row, change)
    where = result_placement(row.images[0], material.image_axes(row))
    row.labels.visible = False
    return viewer.add_labels(labels, name=f"{row.labels.name} numbered", **where)


def _drawn(viewer: Any, material: Layers, row: Row, box_of: Any) -> Any:
    """A Shapes layer with a first guess of the annotated region, ready to be moved."""
    image = row.images[0]
    box = (box_of(np.asarray(array_of(row.labels))) or [slice(0, n) for n in array_of(row.labels).shape])[-2:]
    (top, bottom), (left, right) = ((s.start - 0.5, s.stop - 0.5) for s in box)
    world = material.image_axes(row).names.replace("C", "") if image.rgb else material.image_axes(row).names
    layer = viewer.add_shapes(
        [[[top, left], [top, right], [bottom, right], [bottom, left]]],
        shape_type="rectangle",
        name=f"{row.name} region",
        edge_color="#F0E442",
        face_color="#F0E44218",
        edge_width=max(1.0, max(array_of(row.labels).shape[-2:]) / 300),
        **placement(image, [world.index("Y"), world.index("X")]),
    )
    layer.mode = "select"
    return layer


def _swapped(viewer: Any, row: Row) -> Row:
    """The image's numbers as labels and the labels' as an image."""
    image, labels = row.images[0], row.labels
    where = {k: v for k, v in placement(image, range(image.ndim)).items()}
    numbers = np.asarray(array_of(image))
    new_labels = viewer.add_labels(numbers.astype(np.int32), name=f"{image.name} as labels", **where)
    new_image = viewer.add_image(np.asarray(array_of(labels)), name=f"{labels.name} as image", **where)
    viewer.layers.move(viewer.layers.index(new_image), viewer.layers.index(new_labels))
    image.visible = labels.visible = False
    return replace(row, images=(new_image,), labels=new_labels)
