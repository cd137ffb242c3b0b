"""Which two layers are compared, as what, and the comparison itself; no widgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.evaluation.compare import Compared, compare_images, compare_labels
from napari_dojo.io.names import TRUTH, without, words_of
from napari_dojo.metrics.matching import Comparison, Verdicts
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.common.layers import array_of, region_mask
from napari_dojo.widgets.common.pick import images_of, labels_of, paired
from napari_dojo.widgets.common.provenance import is_prediction, made, source_among

__all__ = [
    "Asked",
    "Painted",
    "candidates",
    "comparable",
    "compared",
    "differently_placed",
    "known_kind",
    "likely_pair",
    "paint",
    "results_of",
]


def comparable(truth: Any, result: Any) -> bool:
    """Whether two layers are of one kind and size."""

    def kind(layer: Any) -> tuple[Any, ...]:
        return (layer._type_string, getattr(layer, "rgb", False), tuple(array_of(layer).shape))

    return truth is not result and kind(truth) == kind(result)


def likely_pair(layers: Sequence[Any]) -> tuple[Any, Any] | None:
    """Truth and result among layers: the newest result of a model with labels made by hand; else the first two that fit.

    Of several, those that are named as truth come first, then others that no model began, those with the image's name first.
    """
    for result in reversed(results_of(layers)):
        fitting = [x for x in labels_of(layers, ours=False) if comparable(x, result)]
        own = [x for x in fitting if not is_prediction(x.metadata)]
        named = [x for x in own if without(words_of(x.name), TRUTH) != words_of(x.name)]
        image = source_among(result.metadata, layers)
        for _, truth in paired([result if image is None else image], named or own or fitting, lambda *_: True):
            return truth, result
    layers = sorted(layers, key=lambda x: is_prediction(x.metadata))
    return next(((a, b) for i, a in enumerate(layers) for b in layers[i + 1 :] if comparable(a, b)), None)


@dataclass(frozen=True, eq=False)
class Asked:
    """What to compare: two layers, their axes, objects or classes ("automatic", "images"), and where (a Shapes layer)."""

    truth: Any
    result: Any
    axes: Axes | None
    how: Literal["automatic", "objects", "classes", "images"]
    region: Any

    def mask(self) -> NDArray[np.bool_] | None:
        """Where the truth is complete, bool (*S), S the spatial axes; None where it is everywhere."""
        if self.region is None:
            return None
        shape = array_of(self.truth).shape
        mask = region_mask(self.region, self.truth, self.axes.size(shape) if self.axes else shape[-2:])
        if not mask.any():
            raise DojoError(
                f"{self.region.name} has no closed shape on {self.truth.name}. Draw one there, or compare everywhere."
            )
        return mask


def candidates(layers: Iterable[Any]) -> list[Any]:
    """What can be compared: labels, then images; no previews, and no earlier results of this panel."""
    layers = list(layers)
    return [*labels_of(layers), *images_of(layers)]


def results_of(layers: Iterable[Any]) -> list[Any]:
    """Those that a model made."""
    return [x for x in layers if is_prediction(x.metadata)]


def known_kind(truth: Any, result: Any, wanted: Any) -> Any:
    """Images; or objects or classes, as wanted or as the layers' makers say; else automatic."""
    if truth._type_string == "image":
        return "images"
    if wanted != "automatic":
        return wanted
    kinds = [TASKS[t].result for x in (truth, result) if (t := made(x.metadata).get("task")) in TASKS]
    if any(kind.objects for kind in kinds):
        return "objects"
    named = any(kind.classes for kind in kinds) or class_names(truth) or class_names(result)
    return "classes" if named else wanted


def class_names(layer: Any) -> dict[int, str]:
    """Names of the classes by number, where the layer has them."""
    table = layer.features
    if not {"index", "class"} <= set(table):
        return {}
    return {int(i): str(name) for i, name in zip(table["index"], table["class"], strict=True)}


def differently_placed(truth: Any, result: Any) -> tuple[str, ...]:
    """A note where two layers differ in scale or position."""
    same = all(np.allclose(getattr(truth, a), getattr(result, a)) for a in ("scale", "translate"))
    return () if same else ("The layers differ in scale or position; they are compared pixel by pixel.",)


@dataclass(frozen=True, eq=False)
class Painted:
    """The verdicts at an IoU threshold, and their picture (*S), uint8."""

    verdicts: Verdicts
    image: NDArray[np.uint8]


def paint(found: Comparison, threshold: float) -> Painted:
    """The verdicts at an IoU threshold and their picture."""
    verdicts = found.at(threshold)
    return Painted(verdicts, found.paint(verdicts))


def compared(asked: Asked) -> Compared:
    """The comparison that is asked for; DojoError where it cannot be made."""
    truth, result, axes = array_of(asked.truth), array_of(asked.result), asked.axes
    if asked.how == "images":
        return compare_images(truth, result, axes or Axes.resolve(truth.shape), asked.mask())
    names = {**class_names(asked.result), **class_names(asked.truth)}
    apart = axes.names.count("T") if axes else 0
    return compare_labels(truth, result, asked.how, apart=apart, region=asked.mask(), names=names)
