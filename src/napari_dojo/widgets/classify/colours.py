"""Colours of the classes: as safe for the colour-blind as nine can be."""

from __future__ import annotations

from napari_dojo.widgets.classify.subject import UNSURE

__all__ = ["CLASS_COLOURS", "UNSURE_COLOUR", "colour_of"]

# Okabe and Ito, and two that differ from them in lightness
CLASS_COLOURS = (
    *("#0072B2", "#E69F00", "#CC79A7", "#009E73", "#56B4E9", "#D55E00", "#F0E442"),
    *("#7F4FC9", "#8C5A3C"),
)
UNSURE_COLOUR = "#BBBBBB"


def colour_of(number: int) -> str:
    """The colour of a number in the layer of classes; transparent for objects without a class."""
    if number == UNSURE:
        return UNSURE_COLOUR
    return CLASS_COLOURS[number - 1] if 1 <= number <= len(CLASS_COLOURS) else "transparent"
