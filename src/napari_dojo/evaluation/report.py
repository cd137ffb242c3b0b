"""Scores of a model image by image, as a table, a CSV file and a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_dojo.evaluation.figures import FIGURES, figure_of
from napari_dojo.io.atomic import check_free, write_safely
from napari_dojo.metrics.base import Score, pool
from napari_dojo.metrics.classes import CategoryCounts, ClassCounts
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.objects import InstanceCounts

__all__ = ["Report", "Row", "check_new"]

SCORES = "scores.csv"
LONGEST = 12  # rows of single images in a table


def check_new(folder: Path) -> None:
    """DojoError where a folder holds the scores of an earlier evaluation."""
    check_free(folder / name for name in (SCORES, *FIGURES))


@dataclass(frozen=True)
class Row:
    """The score of one image, and of the baseline on it where there is one."""

    name: str
    score: Score
    baseline: Score | None = None


@dataclass(frozen=True)
class Report:
    """Scores image by image, and of all together.

    Attributes
    ----------
    rows : at least one.
    baseline_name : what the baseline is called in tables and figures.
    objects : those detected in predicted images against those detected in the ground truth, where that was asked for.
    doubt : a sentence where the scores say little, because the ground truth is the same everywhere.
    annotation : how the ground truth is annotated, where a task knows several ways, by the name of the option: {"annotation":
        "strokes"}.
    """

    rows: tuple[Row, ...]
    baseline_name: str = "baseline"
    objects: InstanceCounts | None = None
    doubt: str = ""
    annotation: Mapping[str, str] = field(default_factory=dict)

    @property
    def pooled(self) -> Score:
        """One score: every object and every pixel counts once."""
        return pool(row.score for row in self.rows)

    @property
    def baseline(self) -> Score | None:
        """The baseline on the same images; None where any of them has none."""
        scores = [row.baseline for row in self.rows if row.baseline is not None]
        return pool(scores) if len(scores) == len(self.rows) else None

    def as_dict(self) -> dict[str, Any]:
        """The pooled figures, plus "images", and "baseline", the ``annotation``, "objects" and "doubt" where there are some."""
        out = self.pooled.as_dict() | {"images": len(self.rows), **self.annotation}
        if (baseline := self.baseline) is not None:
            out["baseline"] = baseline.as_dict()
        if self.objects is not None:
            out["objects"] = self.objects.as_dict()
        if self.doubt:
            out["doubt"] = self.doubt
        return out

    def table(self) -> str:
        """Plain text: the score in one line, then the figures, then single images, the lowest first."""
        pooled, baseline = self.pooled, self.baseline
        first = pooled.sentence
        if baseline is not None:
            first += f"  ({self.baseline_name}: {baseline.sentence})"
        how = "".join(f", {name}: {value}" for name, value in self.annotation.items())
        parts = [f"{first}\n{len(self.rows):,} image{'s' * (len(self.rows) != 1)}{how}"]
        if self.objects is not None:
            parts.append(f"Objects in the predicted images against those in the ground truth: {self.objects.sentence}")
        details = _detail_table(pooled, baseline, self.baseline_name)
        parts += [details] if details else []
        if len(self.rows) > 1:
            lowest = sorted(self.rows, key=lambda row: _figure_of_merit(row.score))[:LONGEST]
            more = f"The {LONGEST} images with the lowest scores:\n" if len(self.rows) > LONGEST else ""
            parts.append(more + _columns([[_short(row.name), _sentence(row.score)] for row in lowest], left=2))
        return "\n\n".join(parts) + "\n"

    def save(self, folder: Path | str) -> list[Path]:
        """Write ``scores.csv`` (a row for each image, the last for all) and a figure, where there is one of such scores; give their paths.

        Raises
        ------
        DojoError : where the folder cannot be written; no incomplete file is left.
        """
        folder = Path(folder)
        pooled, baseline = self.pooled, self.baseline
        drawn = figure_of(pooled, baseline, self.baseline_name)
        files = {SCORES: self._csv().encode()}
        if drawn is not None:
            name, figure = drawn
            picture = io.BytesIO()
            figure.savefig(picture, dpi=150, format="png")
            files[name] = picture.getvalue()
        for name, data in files.items():
            write_safely(folder / name, data)
        return [folder / name for name in files]

    def _csv(self) -> str:
        rows = [*self.rows, Row("all", self.pooled, self.baseline)]
        table = [
            {"image": row.name}
            | _flat(row.score.as_dict())
            | (_flat(row.baseline.as_dict(), "baseline") if row.baseline is not None else {})
            for row in rows
        ]
        keys = list(dict.fromkeys(key for line in table for key in line))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, keys)
        writer.writeheader()
        writer.writerows(table)
        return text.getvalue()


def _figure_of_merit(score: Score) -> float:
    """What images are sorted by."""
    if isinstance(score, InstanceCounts):
        return score.ap["0.5"]
    if isinstance(score, ClassCounts):
        return score.accuracy
    return score.psnr if isinstance(score, ImageScores) else 0.0


def _sentence(score: Score) -> str:
    """What is said of one image: of its class both, the true and the predicted one."""
    if isinstance(score, CategoryCounts) and score.pixels == 1:
        ((true, row),) = ((name, row) for name, row in zip(score.classes, score.confusion, strict=True) if any(row))
        return f"{true}, predicted as {(*score.classes, 'unsure')[row.index(1)]}"
    return score.sentence


def _short(name: str, most: int = 40) -> str:
    """A name with its middle replaced by dots where it is long."""
    half = (most - 3) // 2
    return name if len(name) <= most else f"{name[:half]}...{name[-half:]}"


def _columns(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Text in columns; the first ``left`` of them aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if i < left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _detail_table(score: Score, baseline: Score | None, name: str) -> str:
    if isinstance(score, InstanceCounts):
        return _instances_table(score, baseline if isinstance(baseline, InstanceCounts) else None, name)
    if isinstance(score, CategoryCounts):
        figures = {name: [f"{f1:.3f}"] for name, f1 in score.f1.items()}
        return _classes_table(score, ("number", "F1"), figures, (*score.classes, "unsure"))
    if isinstance(score, ClassCounts):
        figures = {name: [f"{iou:.3f}", f"{score.dice[name]:.3f}"] for name, iou in score.iou.items()}
        return _classes_table(score, ("pixels", "IoU", "Dice"), figures, score.classes)
    return ""


def _instances_table(score: InstanceCounts, baseline: InstanceCounts | None, name: str) -> str:
    rows = [["overlap needed (IoU)", *score.ap]]
    rows.append(["AP = TP / (TP + FP + FN)", *_rounded(score.ap)])
    rows.append(["F1", *_rounded(score.f1)])
    if baseline is not None:
        rows.append([f"AP of {name}", *_rounded(baseline.ap)])
    return _columns(rows) + f"\npanoptic quality (PQ) {score.pq:.3f}"


def _classes_table(
    score: ClassCounts, heads: Sequence[str], figures: Mapping[str, Sequence[str]], predicted: Sequence[str]
) -> str:
    """How many there are of each class, its ``figures``, and as what they were ``predicted``."""
    numbers = [sum(row) for row in score.confusion]
    rows = [["class", *heads]]
    shares = [["true class, predicted as:", *predicted]]
    for name, n, counts in zip(score.classes, numbers, score.confusion, strict=True):
        rows.append([name, f"{n:,}", *figures.get(name, ["-"] * (len(heads) - 1))])
        shares.append([name, *(f"{100 * c / n:.1f} %" if n else "-" for c in counts[: len(predicted)])])
    return _columns(rows) + "\n\n" + _columns(shares)


def _rounded(values: Mapping[str, float]) -> list[str]:
    return [f"{v:.3f}" for v in values.values()]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of keys, joined by "_"; lists are left out."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        key = f"{prefix}_{key}" if prefix else key
        if isinstance(value, Mapping):
            out |= _flat(value, key)
        elif not isinstance(value, list):
            out[key] = value
    return out
