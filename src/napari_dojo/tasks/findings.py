"""What the check finds in the data of any task: sizes, images without signal, swapped or partly annotated labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import middle
from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.normalize import is_blank
from napari_dojo.data.units import unit_text
from napari_dojo.tasks.base import Finding, Fix
from napari_dojo.tasks.unlabelled import outside, unlabelled

__all__ = ["annotated_box", "blank_findings", "corner_findings", "label_findings", "size_findings", "swap_findings"]

LOOKED_AT = 6e6  # pixels in which unlabelled objects are looked for
UNLABELLED = 0.2  # of the labelled objects, from which on the annotation is called incomplete; see LOG.md
LISTED = 20  # excluded images whose reasons are listed
CHANCE = 0.05  # that objects of any of the images lie in one part without a reason, from which on nothing is claimed


def size_findings(dataset: Dataset) -> tuple[Finding, ...]:
    """What holds for the images of any task: how many, how large, and which carry no signal."""
    found = []
    sizes = [" x ".join(map(str, item.size)) for item in dataset.samples]
    kinds = sorted(set(sizes), key=sizes.count, reverse=True)
    what = ", ".join(kinds[:3]) + (", ..." if len(kinds) > 3 else "")
    n = len(sizes)
    found.append(
        Finding(
            "ok",
            f"{n} image{'s' if n > 1 else ''} of {what} px, {dataset.channels} channel{'s' if dataset.channels > 1 else ''}",
        )
    )
    found += _excluded_findings(dataset)
    found += _pixel_findings(dataset)
    tiny = [i.name for i in dataset.samples if min(i.size) < 8 and i.size[-1] < 16]
    if len(tiny) == n:
        found.append(
            Finding(
                "error",
                f"The images are too small to train on ({kinds[0]} px). At least 16 x 16 px are needed.",
                code="no images",
            )
        )
    found += blank_findings("images", [(i.name, i.x) for i in dataset.samples])
    found += _broken_findings(dataset)
    return tuple(found)


def _pixel_findings(dataset: Dataset) -> list[Finding]:
    """Images of different pixel sizes: objects of one size have several in pixels."""
    sizes = dataset.pixel_sizes
    if len(sizes) < 2:
        return []
    unit = unit_text(dataset.unit)
    figures = {name: " x ".join(dict.fromkeys(f"{s:.3g}" for s in size)) for name, size in sizes.items()}
    listed = [f"{figure} {unit}".rstrip() + f" in {name}" for name, figure in figures.items()]
    more = ", ..." if len(listed) > 3 else ""
    text = (
        f"The images have different pixel sizes ({', '.join(listed[:3])}{more}). They are trained on as they are, and predictions are "
        "not scaled by pixel size: if objects are not about equally large in pixels, resample the images to one pixel size first."
    )
    return [Finding("warning", text)]


def blank_findings(what: str, arrays: Sequence[tuple[str, Any]]) -> list[Finding]:
    """Which of the images or targets are constant, by the names of their images; what stays in its file is not looked at."""
    flat = [name for name, array in arrays if isinstance(array, np.ndarray) and is_blank(array)]
    if not flat:
        return []
    if len(flat) == len(arrays):
        text = f"All {what} are constant, so there is nothing to see. Choose other {what}."
        return [Finding("error", text, code="no images" if what == "images" else "")]
    one = flat[0] if what == "images" else f"The target of {flat[0]}"
    text = f"{one} is constant: nothing can be learned from it."
    if len(flat) > 1:
        text = f"{len(flat)} {what} are constant: nothing can be learned from them. The first: {flat[0]}."
    return [Finding("warning", text, (Fix("Exclude", "exclude", tuple(flat)),))]


def _broken_findings(dataset: Dataset) -> list[Finding]:
    """Which images hold values that are no numbers."""
    arrays = [(i.name, i.x) for i in dataset.samples if isinstance(i.x, np.ndarray) and i.x.dtype.kind == "f"]
    broken = [name for name, x in arrays if not np.isfinite(x).all()]
    if not broken:
        return []
    hold = f" and {len(broken) - 1} more images hold" if len(broken) > 1 else " holds"
    text = f"{broken[0]}{hold} NaN or infinite values: NaN are read as background, infinite values as the extremes."
    return [Finding("warning", text)]


def _excluded_findings(dataset: Dataset) -> list[Finding]:
    """What is not used, and why; of many, the last ones by name only."""
    listed, more = dataset.excluded[:LISTED], dataset.excluded[LISTED:]
    found = [Finding("warning", f"Excluded: {e.reason}") for e in listed]
    if more:
        found.append(Finding("warning", f"Excluded, too ({len(more)}): {', '.join(e.name for e in more)}."))
    return found


def swap_findings(dataset: Dataset) -> tuple[Finding, ...]:
    """Images that look like labels, with labels that look like images.

    Labels are flat pieces: most neighbours are equal. Images are not, unless they are.
    """
    swapped = [
        i.name
        for i in dataset.samples
        if i.y is not None and _roughness(np.asarray(i.y)) > 0.5 and _roughness(np.asarray(i.x[0])) < 0.3
    ]
    if not swapped:
        return ()
    text = f"Image and labels of {swapped[0]} look swapped: the labels differ from pixel to pixel, the image is flat."
    return (Finding("error", text, (Fix("Swap them", "swap", tuple(swapped)),)),)


def corner_findings(dataset: Dataset) -> tuple[Finding, ...]:
    """Images of which less than half holds labels: is the rest empty, or not yet annotated?"""
    return _corner_finding(dataset, _in_parts(dataset, 0.0), 0.0)


def _corner_finding(
    dataset: Dataset, parts: Mapping[int, Sequence[tuple[slice, int]]], diameter: float
) -> tuple[Finding, ...]:
    """``parts`` : as `_in_parts` gives them; ``diameter`` px is the margin that an object may need around it."""
    found: dict[str, str] = {}
    for i, plane in parts.items():
        found.setdefault(dataset.samples[i].name, _where(plane))
    if not found:
        return ()
    first, where = next(iter(found.items()))
    more = f" (and of {len(found) - 1} more)" if len(found) > 1 else ""
    fixes = (
        Fix("Draw the region", "region", tuple(found), lambda y: annotated_box(y, diameter)),
        Fix("It is empty", "fine"),
    )
    text = f"Labels only in the {where} of {first}{more}: is the rest empty? If not, draw the region in which every object is labelled."
    return (Finding("warning", text, fixes),)


def label_findings(dataset: Dataset, diameter: float) -> tuple[Finding, ...]:
    """Images with labels in a part only, objects that look unlabelled, and labelled ones outside of the regions.

    ``diameter`` : of the objects, px.
    """
    missing: dict[str, NDArray[Any]] = {}
    lost: dict[str, int] = {}
    pixels, parts = 0.0, _in_parts(dataset, diameter)
    for i, item in enumerate(dataset.samples):
        if item.region is not None and (n := outside(np.asarray(item.y), item.region)):
            lost[item.name] = n
        pixels += float(np.prod(item.size))
        if pixels > LOOKED_AT or i in parts:
            continue
        places = unlabelled(item.x, np.asarray(item.y), item.region, diameter)
        objects = len(np.unique(item.y)) - 1
        if len(places) >= max(2, UNLABELLED * objects):
            missing[item.name] = places
    return (*_corner_finding(dataset, parts, diameter), *_missing_finding(missing), *_lost_finding(lost))


def _missing_finding(missing: Mapping[str, NDArray[Any]]) -> tuple[Finding, ...]:
    if not missing:
        return ()
    names, n = tuple(missing), sum(map(len, missing.values()))
    where = names[0] if len(names) == 1 else f"{len(names)} images, {names[0]} among them"
    text = (
        f"{n} objects look unlabelled in {where}, and count as background: label them, or draw the region in which "
        "every object is labelled."
    )
    fixes = (
        Fix("Show them", "mark", names, {name: found.tolist() for name, found in missing.items()}),
        Fix("Draw the region", "region", names, annotated_box),
        Fix("No objects", "fine"),
    )
    return (Finding("warning", text, fixes, "unlabelled"),)


def _lost_finding(lost: Mapping[str, int]) -> tuple[Finding, ...]:
    if not lost:
        return ()
    names, n = tuple(lost), sum(lost.values())
    what = "1 labelled object lies" if n == 1 else f"{n} labelled objects lie"
    used = "is not used" if n == 1 else "are not used"
    text = f"{what} outside the region of {names[0]}{' and others' if len(names) > 1 else ''} and {used}: enlarge it."
    fixes = (Fix("Enlarge the region", "region", names, annotated_box), Fix("Leave it", "fine"))
    return (Finding("warning", text, fixes, "outside"),)


def annotated_box(y: NDArray[Any], margin: float = 0.0) -> tuple[slice, ...] | None:
    """The smallest box (one slice for each axis) that holds all labels (*S) and a margin in px; None where all are 0."""
    box = []
    for axis, n in enumerate(y.shape):
        where = np.flatnonzero((y > 0).any(axis=tuple(a for a in range(y.ndim) if a != axis)))
        if not len(where):
            return None
        box.append(slice(max(0, int(where[0] - margin)), min(n, int(where[-1] + 1 + margin))))
    return tuple(box)


def _in_parts(dataset: Dataset, diameter: float) -> dict[int, list[tuple[slice, int]]]:
    """Which samples have all labels in less than half of the plane, and where, see `_in_a_corner`.

    Of few samples among many, those are left out whose objects are so few that random places explain it.
    """
    found = {i: plane for i, item in enumerate(dataset.samples) if (plane := _in_a_corner(item, diameter))}
    labelled = sum(item.y is not None and bool(np.any(item.y)) for item in dataset.samples) if found else 0
    if 2 * len(found) >= labelled:
        return found
    return {
        i: plane
        for i, plane in found.items()
        if _chance(np.asarray(dataset.samples[i].y), diameter) * labelled < CHANCE
    }


def _chance(y: NDArray[Any], diameter: float) -> float:
    """How likely objects that lie anywhere lie as close together in the plane as those of these labels (*S)."""
    from skimage.measure import label

    n = int(label(y, background=0, return_num=True)[1])
    ends = zip(annotated_box(y) or (), y.shape, strict=True)
    spans = [np.clip((s.stop - s.start - diameter) / max(1.0, size - diameter), 0, 1) for s, size in ends][-2:]
    return float(np.prod([n * r ** (n - 1) - (n - 1) * r**n for r in spans]))


def _in_a_corner(item: Sample, margin: float) -> list[tuple[slice, int]] | None:
    """Where all labels lie in the plane, (box, size) for Y and X, if that is less than half of it; else None."""
    box = None if item.region is not None or item.y is None else annotated_box(np.asarray(item.y), margin)
    plane = [] if box is None else list(zip(box, item.size, strict=True))[-2:]
    share = np.prod([(s.stop - s.start) / n for s, n in plane])
    return plane if plane and share < 0.5 else None


def _where(plane: Sequence[tuple[slice, int]]) -> str:
    """In words where a box (y, x) lies in an image."""
    words = []
    for (box, n), (low, high) in zip(plane, (("upper", "lower"), ("left", "right")), strict=True):
        at = (box.start + box.stop) / 2 / n
        words.append(low if at < 0.4 else high if at > 0.6 else "")
    return (" ".join(w for w in words if w) or "middle") + " part"


def _roughness(a: NDArray[Any], edge: int = 512) -> float:
    """Share of horizontal neighbours that differ, 0 to 1, in the middle of an array (*S)."""
    part = a[middle(a.shape, edge)]
    return float(np.mean(part[..., 1:] != part[..., :-1])) if part.shape[-1] > 1 else 0.0
