"""Rows of the table of pairs as values: images with their targets, what a task takes, which layers fit together. No Qt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_dojo.data.dataset import ONE_TO_ONE, Layout
from napari_dojo.data.kinds import LABELS, Kind
from napari_dojo.tasks import Task
from napari_dojo.widgets.common.kinds import layers_for
from napari_dojo.widgets.common.layers import array_of
from napari_dojo.widgets.common.pick import shapes_of

__all__ = ["Row", "Targets", "kind_of", "of_one_kind", "region_of", "told_apart"]

TARGET = re.compile(r"clean|target|truth|high|sharp|fine|dense|dapi|stain|gt\b|label", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Row:
    """One image and its target, as layers.

    ``images`` : the channels of one input, one layer or several of the same size; ``target`` : labels or an image, None
    where the task takes none; ``region`` : a Shapes layer, or the Labels layer of
    accepted places; None means that the whole image is annotated; ``role`` : as
    `napari_dojo.data.dataset.Item` has it; ``more`` : further images that are predicted from the same input.
    """

    images: tuple[Any, ...]
    target: Any
    region: Any = None
    role: str = "automatic"
    more: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """What the user knows it by."""
        return str(self.images[0].name)

    @property
    def targets(self) -> tuple[Any, ...]:
        """All its targets."""
        return () if self.target is None else (self.target, *self.more)

    @property
    def layers(self) -> tuple[Any, ...]:
        """All layers of it."""
        return (*self.images, *self.targets, *([] if self.region is None else [self.region]))


@dataclass(frozen=True)
class Targets:
    """What a task takes as targets: their kind (None: none), how they lie, and whether images alone will do."""

    kind: Kind | None = LABELS
    layout: Layout = ONE_TO_ONE
    word: str = "labels"
    optional: bool = False

    @staticmethod
    def of(task: Task, options: Any) -> Targets:
        """What this task takes."""
        layout, target = task.layout(options), task.target
        if target is None:
            return Targets(None, layout, "", True)
        return Targets(target.kind, layout, target.word, target.optional)

    @property
    def dense(self) -> bool:
        """Whether they lie on the pixels of an image, so that layers can be targets."""
        return self.kind is None or self.kind.dense

    @property
    def drawn(self) -> bool:
        """Whether a person paints them."""
        return self.kind is not None and self.kind.drawn

    @property
    def images(self) -> bool:
        """Whether they are images, as inputs are."""
        return self.kind is not None and self.kind.intensities

    def among(self, layers: Sequence[Any], ours: bool = True) -> list[Any]:
        """The layers that may be a target to something."""
        return layers_for(self.kind, layers, ours) if self.kind is not None and self.dense else []


def region_of(image: Any, layers: Sequence[Any]) -> Any:
    """The Shapes layer that names the image and a region."""
    return next((x for x in shapes_of(layers) if x.name.startswith(f"{image.name} region")), None)


def told_apart(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Of images that were paired both ways round, the way whose second name is that of a target; each image once."""
    kept: list[tuple[Any, Any]] = []
    for a, b in sorted(pairs, key=lambda pair: not TARGET.search(pair[1].name)):
        if not any(x is y for pair in kept for x in pair for y in (a, b)):
            kept.append((a, b) if not TARGET.search(a.name) or TARGET.search(b.name) else (b, a))
    return [pair for pair in pairs if any(pair[0] is a and pair[1] is b for a, b in kept)] or kept


def kind_of(image: Any) -> tuple[int, int]:
    """What the images of one model have in common: dimensions and colours."""
    shape = array_of(image).shape
    return len(shape), shape[-1] if image.rgb else 0


def of_one_kind(pairs: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """The pairs whose images are of the kind that most of them have."""
    kinds = [kind_of(image) for image, _ in pairs]
    return [pair for pair, kind in zip(pairs, kinds, strict=True) if kind == max(kinds, key=kinds.count)]
