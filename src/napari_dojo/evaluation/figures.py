"""Figures of scores: AP over IoU, the confusion of classes, PSNR and its kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dojo.metrics.base import Score
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.models.cover import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "figure_of"]

FIGURES = AP, CONFUSION, IMAGES = "ap.png", "confusion.png", "scores.png"  # names of their files


def figure_of(score: Score, baseline: Score | None, name: str) -> tuple[str, Figure] | None:
    """File name and figure of a pooled score; None for scores of a few numbers, such as those of strokes."""
    if isinstance(score, InstanceCounts):
        return AP, _ap_figure(score, baseline if isinstance(baseline, InstanceCounts) else None, name)
    if isinstance(score, ClassCounts):
        return CONFUSION, _confusion_figure(score)
    if isinstance(score, ImageScores):
        return IMAGES, _image_figure(score, baseline if isinstance(baseline, ImageScores) else None, name)
    return None


def _new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # not pyplot, which keeps figures and chooses a backend for all

    return Figure(figsize=(width, height), layout="constrained")


def _ap_figure(score: InstanceCounts, baseline: InstanceCounts | None, name: str) -> Figure:
    figure = _new_figure(5, 3.5)
    axes = figure.add_subplot()
    both = [("model", score, "o-"), (name, baseline, "s--")]
    for (label, values, style), role in zip(both, ("model", "baseline"), strict=True):
        if values is not None:
            axes.plot(
                values.thresholds, list(values.ap.values()), style, color=COLOURS[role], label=label, clip_on=False
            )
    axes.set(xlabel="overlap needed (IoU)", ylabel="AP", ylim=(0, 1), xticks=score.thresholds)
    axes.set_title(score.sentence, fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _confusion_figure(score: ClassCounts) -> Figure:
    names = list(score.classes)
    counts = np.asarray(score.confusion, float)
    shares = (counts / np.maximum(1, counts.sum(1, keepdims=True)))[:, :-1]
    side = 2.2 + 0.7 * len(names)
    figure = _new_figure(side + 0.8, side)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        colour = "black" if share > 0.5 else "white"
        axes.text(j, i, f"{100 * share:.0f} %", ha="center", va="center", color=colour, fontsize="small")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(f"{score.selection_name} {score.selection_score:.2f}", fontsize="medium")
    return figure


def _image_figure(score: ImageScores, baseline: ImageScores | None, name: str) -> Figure:
    figure = _new_figure(6, 3)
    bars = [("model", "model", score)] + ([(name, "baseline", baseline)] if baseline is not None else [])
    for axes, (key, title) in zip(
        figure.subplots(1, 3), {"psnr": "PSNR (dB)", "ssim": "SSIM", "pearson": "Pearson r"}.items(), strict=True
    ):
        for label, role, values in bars:
            height = values.as_dict()[key]
            bar = axes.bar(label, height, color=COLOURS[role])
            axes.bar_label(bar, [f"{height:.1f}" if key == "psnr" else f"{height:.2f}"])
        axes.margins(y=0.12)
        axes.set_title(title, fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
