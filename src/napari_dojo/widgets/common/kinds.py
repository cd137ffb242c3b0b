"""How predictions of each kind are shown: as which layer, how they are counted, and what is said of them in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import CATEGORY, CLASSES, IMAGE, LABELS, Kind
from napari_dojo.inference.tables import UNSURE, class_names
from napari_dojo.inference.tiff_sink import predicted_by
from napari_dojo.models.card import Card
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.common.layers import class_look
from napari_dojo.widgets.common.pick import images_of, labels_of
from napari_dojo.widgets.common.words import counted

__all__ = ["LOOKS", "Look", "layers_for", "look_of", "result_name"]


@dataclass(frozen=True)
class Look:
    """How predictions of one kind are shown.

    Attributes
    ----------
    layer : napari's type of layer, of predictions and of targets: "labels" or "image".
    count : (card, values, axes of the image) -> what there is of each.
    words : (card, count) -> that in words.
    dress : card -> arguments of a Labels layer.
    """

    layer: str
    count: Callable[[Card, NDArray[Any], Axes], Counter[str]]
    words: Callable[[Card, Counter[str]], str]
    dress: Callable[[Card], dict[str, Any]]


def look_of(card: Card) -> Look:
    """How predictions of a model are shown."""
    return LOOKS[TASKS[card.task].result]


def layers_for(kind: Kind, layers: Sequence[Any], ours: bool = True) -> list[Any]:
    """The layers that may hold values of a kind; uncorrected predictions among them where ``ours``."""
    return LISTS[LOOKS[kind].layer](layers, ours)


def result_name(card: Card, model: str, image: str, channel: int = 0, channels: int = 1) -> str:
    """What the layer of a prediction for an image is called; ``channel`` : which of the predicted ``channels`` it is."""
    which = f" {card.maps[channel]}" if channels > 1 else ""
    return f"{image}{which} {predicted_by(model) if TASKS[card.task].result.intensities else model}"


def _count_objects(card: Card, values: NDArray[Any], axes: Axes) -> Counter[str]:
    ours = axes.without_channels()
    samples = (ours.sample(values, i) for i in range(ours.count(values.shape)))
    return Counter(objects=sum(_objects_in(y) for y in samples))


def _objects_in(y: NDArray[Any]) -> int:
    """How many numbers above 0 there are."""
    few = y.size > 0 and int(y.min()) >= 0 and int(y.max()) < y.size
    return int(np.count_nonzero(np.bincount(y.ravel())[1:] if few else np.unique(y[y > 0])))


def _objects_in_words(card: Card, count: Counter[str]) -> str:
    return counted(count["objects"], "object")


def _count_pixels(card: Card, values: NDArray[Any], axes: Axes) -> Counter[str]:
    return Counter({name: int((values == v).sum()) for v, name in class_names(card).items()})


def _shares_in_words(card: Card, count: Counter[str]) -> str:
    return ", ".join(f"{name} {n / max(1, count.total()):.0%}" for name, n in count.items())


def _class_colours(card: Card) -> dict[str, Any]:
    names = class_names(card)
    return class_look(list(names), list(names.values()))


def _count_categories(card: Card, values: NDArray[Any], axes: Axes) -> Counter[str]:
    ours = axes.without_channels()
    frames = values if values.ndim < 2 else [ours.sample(values, i).flat[0] for i in range(ours.count(values.shape))]
    named = class_names(card)
    return Counter(named.get(int(v), UNSURE) for v in np.ravel(frames))


def _categories_in_words(card: Card, count: Counter[str]) -> str:
    if count.total() == 1:
        return next(iter(count))
    return ", ".join(f"{name} ({n:,})" for name, n in count.most_common())


def _tint(card: Card) -> dict[str, Any]:
    return {**_class_colours(card), "opacity": 0.3}


def _count_images(card: Card, values: NDArray[Any], axes: Axes) -> Counter[str]:
    return Counter(images=axes.count(values.shape) if values.ndim == len(axes.names) else 1)


def _caution(card: Card, count: Counter[str]) -> str:
    how = "look at the residual" if card.target is None and not card.upsampling else "compare it with a measured image"
    return f"Predicted, not measured: {how} before you trust it."


LISTS = {"labels": labels_of, "image": images_of}  # the layers of a type that people work with
LOOKS: dict[Kind, Look] = {
    LABELS: Look("labels", _count_objects, _objects_in_words, lambda card: {}),
    CLASSES: Look("labels", _count_pixels, _shares_in_words, _class_colours),
    CATEGORY: Look("labels", _count_categories, _categories_in_words, _tint),
    IMAGE: Look("image", _count_images, _caution, lambda card: {}),
}
