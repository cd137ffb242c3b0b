"""What the scripts of shipped models share: the score on a card is that of official test images."""

from __future__ import annotations

from dataclasses import replace

from napari_dojo.evaluation.report import Report
from napari_dojo.models.card import Card


def tested(card: Card, report: Report) -> Card:
    """A card with the score of these test images, and that of the baseline."""
    score, held = report.pooled, report.baseline
    test = {"sentence": score.sentence, **score.as_dict(), "from": "test"}
    baseline = {"sentence": held.sentence, **held.as_dict(), "method": report.baseline_name} if held else {}
    return replace(card, score=test, baseline=baseline, data={**card.data, "test": test})
