"""What the scripts of shipped models share: scores of official test images, and a memory of simulated ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.batches import Source
from napari_dojo.data.resample import resize, resize_labels
from napari_dojo.evaluation.report import Report
from napari_dojo.models.card import Card, read_card
from napari_dojo.training.held import keep_memory


def tested(card: Card, report: Report) -> Card:
    """A card with the score of these test images, and that of the baseline."""
    score, held = report.pooled, report.baseline
    test = {"sentence": score.sentence, **score.as_dict(), "from": "test"}
    baseline = {"sentence": held.sentence, **held.as_dict(), "method": report.baseline_name} if held else {}
    return replace(card, score=test, baseline=baseline, data={**card.data, "test": test})


def remember(model: Path, made: Iterable[tuple[NDArray[Any], NDArray[Any]]], edge: int = 128) -> None:
    """Give a model a memory: of each image (C, Y, X) the part with the most objects in its labels (Y, X), as 8 bits.

    It lies at the scale of the network.
    """
    card, found = read_card(model), []
    for image, drawn in made:
        size = [round(card.zoom * n) for n in drawn.shape]
        x, labels = resize(image.astype(np.float32), size), resize_labels(drawn, size)
        low, high = float(x.min()), float(np.percentile(x, 99.95))
        x = np.clip(np.rint(255 * (x - low) / (high - low)), 0, 255).astype(np.uint8)
        norm = card.rule.measure(x)
        rows, columns = (range(0, n - edge + 1, edge // 4) for n in x.shape[1:])
        boxes = [(slice(a, a + edge), slice(b, b + edge)) for a in rows for b in columns]
        box = max(boxes, key=lambda at: len(np.unique(labels[at])))
        y = labels[box].astype(np.uint16)
        found.append(Source(x[(slice(None), *box)], y, None, norm, np.zeros((0, 2), np.int32)))
    keep_memory(model / "run", found)
