"""Pixel size, channel names and description of a TIFF: ImageJ, Zeiss LSM, MetaMorph, Micro-Manager and plain files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari_dojo.data.units import in_micrometres, print_resolution
from napari_dojo.io.formats.picture import Facts

__all__ = ["UNKNOWN", "Z_STEP", "facts_of"]

COARSE = 100.0  # µm; a pixel size above it in a plain TIFF is a printer's or a screen's resolution
CENTIMETRE, MILLIMETRE, MICROMETRE = 3, 4, 5  # values of the tag ResolutionUnit; 1 none, 2 inch

Z_STEP, UNKNOWN = "zstep", "unknown"  # what we add for ImageJ, which takes a spacing that is not written for 1


def facts_of(tif: Any, kind: str, axes: str, shape: Sequence[int]) -> Facts:
    """What a TIFF that is not OME's says of its image.

    Parameters
    ----------
    tif : the open `tifffile.TiffFile`.
    kind : of the series that was read, as tifffile calls it.
    axes, shape : of the array.
    """
    imagej = _imagej(tif, axes, shape) if kind == "imagej" else Facts()
    if imagej.sizes:
        return imagej
    for maker in _MAKERS:
        found = maker(tif)
        if found.sizes:
            return found
    return imagej if kind == "imagej" else _plain(tif.pages.first)


def _imagej(tif: Any, axes: str, shape: Sequence[int]) -> Facts:
    said = tif.imagej_metadata or {}
    sizes, unit = _resolution(tif.pages.first), str(said.get("unit", ""))
    if not unit and _resolution_unit(tif.pages.first) != 1:
        sizes = {}
    elif sizes and said.get(Z_STEP) != UNKNOWN:
        sizes["Z"] = float(said.get("spacing", 1.0))  # ImageJ leaves out a spacing of 1
    sizes, known = in_micrometres(sizes, dict.fromkeys(sizes, unit))
    if sizes and unit.lower() in ("cm", "centimeter") and print_resolution(sizes["X"]):
        sizes, known = {}, None
    count = shape[axes.index("C")] if "C" in axes else 0
    labels = said.get("Labels") or ()
    planes = math.prod(n for a, n in zip(axes, shape, strict=True) if a not in "YX")
    names = tuple(str(text).split("\n")[0] for text in labels[:count]) if len(labels) == planes else ()
    return Facts(sizes, known, names, str(said.get("Info", "")))


def _plain(page: Any) -> Facts:
    unit = {CENTIMETRE: "cm", MILLIMETRE: "mm", MICROMETRE: "um"}.get(_resolution_unit(page))
    sizes = _resolution(page) if unit else {}
    sizes, unit = in_micrometres(sizes, dict.fromkeys(sizes, unit))
    if any(size > COARSE or print_resolution(size) for size in sizes.values()):
        return Facts()
    return Facts(sizes, unit)


def _resolution(page: Any) -> dict[str, float]:
    """Size of a pixel in the unit of the file."""
    sizes = {}
    for axis in "YX":
        tag = page.tags.get(f"{axis}Resolution")
        if tag is not None and tag.value is not None and tag.value[0] > 0:
            sizes[axis] = tag.value[1] / tag.value[0]
    return sizes


def _resolution_unit(page: Any) -> int:
    tag = page.tags.get("ResolutionUnit")
    return 2 if tag is None or tag.value is None else int(tag.value)


def _in(unit: str, values: Mapping[str, Any]) -> Facts:
    """Facts of the sizes that are positive numbers."""
    sizes = {a: float(v) for a, v in values.items() if isinstance(v, int | float) and v > 0}
    sizes, known = in_micrometres(sizes, dict.fromkeys(sizes, unit))
    return Facts(sizes, known)


def _lsm(tif: Any) -> Facts:
    said = tif.lsm_metadata or {}
    return _in("m", {a: said.get(f"VoxelSize{a}") for a in "ZYX"})


def _stk(tif: Any) -> Facts:
    said = tif.stk_metadata or {}
    step: Any = said.get("ZDistance")
    values = {"Y": _number(said.get("YCalibration")), "X": _number(said.get("XCalibration"))}
    step = next((_number(v) for v in step if _number(v)), None) if hasattr(step, "__iter__") else step
    return _in(str(said.get("CalibrationUnits") or "um"), {"Z": step, **values})


def _metamorph(tif: Any) -> Facts:
    """Of the XML in the description: <prop id="spatial-calibration-x" value="0.325"/> and its like."""
    from xml.etree import ElementTree

    text = (tif.pages.first.description or "").strip()
    if not text.startswith("<MetaData>"):
        return Facts()
    try:
        said = {p.get("id"): p.get("value") for p in ElementTree.fromstring(text).iter("prop")}
    except ElementTree.ParseError:
        return Facts()
    if said.get("spatial-calibration-state") == "off":
        return Facts()
    values = {a: _number(said.get(f"spatial-calibration-{a.lower()}")) for a in "YX"}
    return _in(said.get("spatial-calibration-units") or "um", values)


def _micro_manager(tif: Any) -> Facts:
    said = (tif.micromanager_metadata or {}).get("Summary") or {}
    size = _number(said.get("PixelSize_um"))
    return _in("um", {"Z": _number(said.get("z-step_um")), "Y": size, "X": size})


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


_MAKERS: tuple[Callable[[Any], Facts], ...] = (_lsm, _stk, _metamorph, _micro_manager)
