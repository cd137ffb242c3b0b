"""Units of pixel sizes: lengths in micrometres, how they are written, and which sizes no microscope has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = [
    "FULL_NAMES",
    "implausible",
    "in_micrometres",
    "micrometres",
    "print_resolution",
    "same_pixels",
    "size_doubt",
    "size_ratio",
    "unit_text",
]

MICROMETRES = {
    **{"pm": 1e-6, "å": 1e-4, "nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6},
    **{"picometer": 1e-6, "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0},
    **{"millimeter": 1e3, "centimeter": 1e4, "meter": 1e6},
}
FULL_NAMES = {"um": "micrometer", "nm": "nanometer", "mm": "millimeter"}  # as OME, BioImage.IO and GEFF write them
NO_LENGTHS = ("pixel", "inch")  # a unit that says that the numbers are no sizes; inches come from printing
IMPLAUSIBLE = (1e-5, 1e4)  # µm; pixels of less or more than that are no image of a microscope
PRINTED = (72, 75, 96, 100, 120, 144, 150, 180, 200, 240, 300, 350, 360, 400, 600, 720, 1200)  # dots per inch
INCH = 25_400.0  # µm
SAME = 0.67, 1.5  # ratios of pixel sizes between which objects count as equally large
SURE = 1 / 3, 3.0  # ratios that are common
MOST = 1 / 8, 4.0  # ratios beyond which a stated pixel size is more likely wrong than right


def micrometres(unit: str | None) -> float | None:
    """How many µm the unit is; None where it is no length."""
    return MICROMETRES.get(_plain_name(unit))


def unit_text(unit: str | None) -> str:
    """The unit as it is written for people: "µm" for "um"; empty where there is none."""
    return "µm" if unit == "um" else unit or ""


def in_micrometres(sizes: Mapping[str, float], units: Mapping[str, str | None]) -> tuple[dict[str, float], str | None]:
    """Sizes by axis and their unit: "um" where they are lengths; nothing where they are no sizes or their units differ.

    Where Y and X are lengths, an axis that is none (the Z of a single plane often has no unit) is left out.
    """
    lengths = {axis for axis in sizes if micrometres(units.get(axis))}
    sizes = {axis: sizes[axis] for axis in sizes if axis in lengths} if {"Y", "X"} <= lengths else sizes
    found: dict[str, float] = {}
    names = set()
    for axis, size in sizes.items():
        length = micrometres(units.get(axis))
        found[axis] = size * (length or 1.0)
        names.add("um" if length else _plain_name(units.get(axis)))
    unit = names.pop() if len(names) == 1 else "pixel"
    nothing = unit in NO_LENGTHS or (not unit and set(found.values()) == {1.0})
    return ({}, None) if nothing else (found, unit or None)


def print_resolution(size: float) -> int | None:
    """The dots per inch of a printer or screen that a pixel of this size (µm) stands for; None where it is none."""
    return next((dpi for dpi in PRINTED if abs(size * dpi / INCH - 1) < 2e-3), None)


def implausible(size: Sequence[float]) -> bool:
    """Whether a pixel size (..., Y, X) in µm cannot be one of a microscope: far too small or large, or very oblong."""
    low, high = IMPLAUSIBLE
    return any(not low <= s <= high for s in size) or max(size[-2:]) > 20 * min(size[-2:])


def size_ratio(image: Sequence[float] | None, trained: Sequence[float] | None) -> float:
    """How many times as large the pixels of an image are as those of the training images, to scale it by.

    1 where either is unknown, they are about equal, or the stated sizes cannot both be true (`size_doubt` says so).
    """
    ratio = _ratio(image, trained)
    return 1.0 if ratio is None or SAME[0] < ratio < SAME[1] else ratio


def sizes_tell(image: Sequence[float] | None, trained: Sequence[float] | None) -> bool:
    """Whether pixel sizes say by how much an image is scaled: both are known, and may both be true."""
    return _ratio(image, trained) is not None


def _ratio(image: Sequence[float] | None, trained: Sequence[float] | None) -> float | None:
    """How many times as large as those of the training images pixels are; None: not known, or too different to be right."""
    ratio = image[-1] / trained[-1] if image and trained else 0.0
    return ratio if MOST[0] <= ratio <= MOST[1] else None


def same_pixels(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether pixels of these sizes count as equally large, along each axis."""
    return len(one) == len(other) and all(SAME[0] < a / b < SAME[1] for a, b in zip(one, other, strict=True))


def size_doubt(image: Sequence[float] | None, trained: Sequence[float] | None, unit: str | None) -> str:
    """A sentence where the pixel size of an image is far from that of the training images; else empty."""
    if not image or not trained or SURE[0] <= (ratio := image[-1] / trained[-1]) <= SURE[1]:
        return ""
    sizes = f"The pixel size is {image[-1]:.3g} {unit_text(unit)}, that of the training images {trained[-1]:.3g}"
    if MOST[0] <= ratio <= MOST[1]:
        return f"{sizes}: the image is scaled by {ratio:.2g}. If its pixel size is wrong, give a diameter."
    return f"{sizes}, which is too different to be right: it was ignored. If the result is wrong, give a diameter."


def _plain_name(unit: str | None) -> str:
    name = (unit or "").strip().replace("\\u00B5", "u").lower()
    name = name.replace("µ", "u").replace("μ", "u").replace("metre", "meter")
    if name == "reference frame":
        return ""
    return name[:-1] if len(name) > 3 and name.endswith("s") else name
