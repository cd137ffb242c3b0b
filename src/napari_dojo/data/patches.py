"""How a training's patches are made: plain values and a task's functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

from napari_dojo.data.augment import Intensity
from napari_dojo.data.kinds import LABELS, Kind

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from napari_dojo.data.resident import Crops, Record

__all__ = ["Patches"]

WIDE = 1.0  # largest change of size of some patches, as a half width of the logarithm


@dataclass(frozen=True)
class Patches:
    """How a patch is made.

    Attributes
    ----------
    size : of the patch, px.
    record, targets : the task's, with its options bound.
    intensity : changes the intensities of inputs; None: not at all.
    resample : rotate by any angle and scale; else only flips and quarter turns.
    quarter : whether those quarter turns are made, too.
    augment : False takes patches as they lie.
    zoom : largest change of size, as a half width of the logarithm.
    wide : share of the patches whose size is changed by up to `WIDE` instead.
    flips : whether patches are flipped.
    angle : largest angle that patches are rotated by, in radians.
    shift : largest shift of a patch that shows all of a sample, as a share of its edge.
    aimed : share of the patches that are centred on something annotated.
    kind : what targets are.
    scale : target pixels per input pixel, for each axis; empty: 1.
    """

    size: tuple[int, ...]
    record: Record
    targets: Callable[[Crops, Generator], tuple[Tensor, Tensor, Tensor]]
    intensity: Intensity | None = None
    resample: bool = True
    quarter: bool = True
    augment: bool = True
    zoom: float = 0.3
    wide: float = 0.0
    flips: bool = True
    angle: float = pi
    shift: float = 0.0
    aimed: float = 0.6
    kind: Kind = LABELS
    scale: tuple[int, ...] = ()
