"""Scores of a model on images whose truth is known, as a table, a file and figures.

The scores themselves are values of `metrics`; a task hands them over one image at a time.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.data.dataset import Dataset
from napari_dojo.errors import DojoError
from napari_dojo.evaluation.figures import figure_of
from napari_dojo.metrics.base import Score, pool
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.objects import InstanceCounts

if TYPE_CHECKING:
    pass

__all__ = ["Baseline", "Report", "Row", "evaluate_model", "evaluate_pairs", "objects_found", "score_pair"]

LONGEST = 12  # rows of single images in a table
Classes = Sequence[str] | Mapping[int, str]


@dataclass(frozen=True)
class Row:
    """The score of one image, and of the baseline on it where there is one."""

    name: str
    score: Score
    baseline: Score | None = None


@dataclass(frozen=True)
class Baseline:
    """What the model is held against: its name for the table, and a function from the input to a result."""

    name: str
    predict: Callable[[Any], Any]


@dataclass(frozen=True)
class Report:
    """Scores image by image, and of all together.

    Attributes
    ----------
    kind : "labels-instances", "classes" or "image".
    rows : at least one.
    left_out : name of an image that could not be judged, and why.
    baseline_name : what the baseline is called in tables and figures.
    objects : those found in predicted images against those found in true ones, where that was asked for.
    """

    kind: str
    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    baseline_name: str = "baseline"
    objects: InstanceCounts | None = None

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
        """The pooled figures, plus "images", "baseline" (where there is one) and "skipped" (where there are any)."""
        out = self.pooled.as_dict() | {"images": len(self.rows)}
        if (baseline := self.baseline) is not None:
            out["baseline"] = baseline.as_dict()
        if self.objects is not None:
            out["objects"] = self.objects.as_dict()
        if self.skipped:
            out["skipped"] = dict(self.skipped)
        return out

    def table(self) -> str:
        """Plain text: what was found in one line, then the figures, then single images, the lowest first."""
        pooled, baseline = self.pooled, self.baseline
        first = pooled.sentence
        if baseline is not None:
            first += f"  ({self.baseline_name}: {baseline.sentence})"
        parts = [f"{first}\n{len(self.rows):,} image{'s' * (len(self.rows) != 1)}"]
        if self.objects is not None:
            parts.append(f"Objects in the predicted images against those in the true ones: {self.objects.sentence}")
        details = _detail_table(pooled, baseline, self.baseline_name)
        parts += [details] if details else []
        if len(self.rows) > 1:
            lowest = sorted(self.rows, key=lambda row: _figure_of_merit(row.score))[:LONGEST]
            more = f"The {LONGEST} images with the lowest scores:\n" if len(self.rows) > LONGEST else ""
            parts.append(more + _columns([[_short(row.name), row.score.sentence] for row in lowest], left=2))
        if self.skipped:
            parts.append("Skipped:\n" + "\n".join(f"{name}: {why}" for name, why in self.skipped))
        return "\n\n".join(parts) + "\n"

    def save(self, folder: Path | str) -> list[Path]:
        """Write ``scores.csv`` (a row for each image, the last for all) and a figure; give their paths.

        Raises
        ------
        DojoError : where the folder cannot be written.
        """
        folder = Path(folder)
        pooled, baseline = self.pooled, self.baseline
        name, figure = figure_of(pooled, baseline, self.baseline_name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write_csv(folder / "scores.csv")
            figure.savefig(folder / name, dpi=150, format="png")
        except OSError as e:
            raise DojoError(
                f"The scores could not be written to {folder}: {e.strerror or e}. Choose a folder that can be written."
            ) from e
        return [folder / "scores.csv", folder / name]

    def _write_csv(self, path: Path) -> None:
        rows = [*self.rows, Row("all", self.pooled, self.baseline)]
        table = [
            {"image": row.name}
            | _flat(row.score.as_dict())
            | (_flat(row.baseline.as_dict(), "baseline") if row.baseline is not None else {})
            for row in rows
        ]
        keys = list(dict.fromkeys(key for line in table for key in line))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, keys)
            writer.writeheader()
            writer.writerows(table)


# an image at a time -------------------------------------------------------------------------------------------------


def score_pair(
    kind: str, truth: ArrayLike, result: ArrayLike, region: ArrayLike | None = None, classes: Classes = ()
) -> Score:
    """The score of one result.

    Parameters
    ----------
    kind : "labels-instances" (label images (*S)), "classes" (class images (*S)) or "image" (images (C, *S)).
    truth, result : of the same shape.
    region : bool (*S), the part to be judged; None = all.
    classes : "classes" only: names of the classes 1, 2, ...; or names by number.
    """
    if kind == "labels-instances":
        return InstanceCounts.of(truth, result, region)
    if kind == "classes":
        return ClassCounts.of(truth, result, classes, region)
    if kind == "image":
        return ImageScores.of(truth, result, region)
    raise ValueError(f"scores are of 'labels-instances', 'classes' or 'image', not of {kind!r}")


def evaluate_pairs(
    results: Iterable[tuple[str, Any, Any, Any, Any]],
    kind: str,
    class_names: Classes = (),
    baseline: Baseline | None = None,
) -> Report:
    """Judge results one by one; an image that cannot be judged is left out and named in the report.

    Parameters
    ----------
    results : (name, result, truth, input (C, *S) or None, region (*S) or None) each; read once, one at a time.
    kind, class_names : see `score_pair`.
    baseline : None holds images against their input, where it has the truth's shape; all else against nothing.

    Raises
    ------
    DojoError : where no image can be judged.
    """
    if baseline is None and kind == "image":
        baseline = Baseline("the input", lambda x: x)
    rows, skipped = [], []
    for name, result, truth, given, region in results:
        try:
            score = score_pair(kind, truth, result, region, class_names)
            if isinstance(score, ClassCounts) and score.pixels == 0:
                raise DojoError("No pixel of it is annotated.")
        except DojoError as e:
            skipped.append((name, str(e)))
            continue
        held = None
        if baseline is not None and given is not None:
            other = np.asarray(baseline.predict(given))
            if other.shape == np.shape(truth):
                held = score_pair(kind, truth, other, region, class_names)
        rows.append(Row(name, score, held))
    if not rows:
        why = f" {skipped[0][0]}: {skipped[0][1]}" if skipped else " Choose images that have a truth."
        raise DojoError(f"Images with their truth are needed, but none of {len(skipped)} can be used.{why}")
    return Report(kind, tuple(rows), tuple(skipped), baseline.name if baseline is not None else "baseline")


# words --------------------------------------------------------------------------------------------------------------


def _figure_of_merit(score: Score) -> float:
    if isinstance(score, InstanceCounts):
        return score.ap["0.5"]
    if isinstance(score, ClassCounts):
        return score.accuracy
    return score.psnr if isinstance(score, ImageScores) else 0.0


def _short(name: str, most: int = 40) -> str:
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
    if isinstance(score, ClassCounts):
        return _classes_table(score)
    return ""


def _instances_table(score: InstanceCounts, baseline: InstanceCounts | None, name: str) -> str:
    rows = [["overlap needed (IoU)", *score.ap]]
    rows.append(["AP = TP / (TP + FP + FN)", *_rounded(score.ap)])
    rows.append(["F1", *_rounded(score.f1)])
    if baseline is not None:
        rows.append([f"AP of {name}", *_rounded(baseline.ap)])
    return _columns(rows) + f"\npanoptic quality (PQ) {score.pq:.3f}"


def _classes_table(score: ClassCounts) -> str:
    pixels = [sum(row) for row in score.confusion]
    rows = [["class", "pixels", "IoU", "Dice"]]
    for name, n in zip(score.classes, pixels, strict=True):
        there = name in score.iou
        rows.append([name, f"{n:,}", *([f"{score.iou[name]:.3f}", f"{score.dice[name]:.3f}"] if there else ["-", "-"])])
    shares = [["true class, predicted as:", *score.classes]]
    for name, n, counts in zip(score.classes, pixels, score.confusion, strict=True):
        shares.append([name, *(f"{100 * c / n:.1f} %" if n else "-" for c in counts[:-1])])
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


def objects_found(segmenter: Any, results: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]]) -> InstanceCounts:
    """Whether objects are where they should be: those that a model finds in predicted images against those in true ones.

    Parameters
    ----------
    segmenter : `napari_dojo.models.bundle.Bundle` of the task instances, for images of one channel.
    results, truths : images (K, *S); of several channels the first is looked at.
    """
    from napari_dojo import device
    from napari_dojo.inference.predict import Predictor, answer_sample
    from napari_dojo.settings import PredictSettings

    settings, rule = PredictSettings(), segmenter.card.rule
    predictor = Predictor(segmenter.net, device.choose(settings.device), settings.tile)

    def segment(image: NDArray[Any]) -> NDArray[Any]:
        x = np.asarray(image)[:1]
        return answer_sample(segmenter, x, rule.measure(x), predictor, settings)

    return pool(
        InstanceCounts.of(segment(truth), segment(result)) for truth, result in zip(truths, results, strict=True)
    )


def evaluate_model(
    bundle: Any,
    pairs: Dataset,
    settings: Any = None,
    tick: Callable[[], None] = lambda: None,
    objects: Any = None,
) -> Report:
    """Apply a model to images whose truth is known, and score the answers beside the task's baseline.

    Parameters
    ----------
    bundle : `napari_dojo.models.bundle.Bundle`.
    pairs : the images and their truth.
    settings : `napari_dojo.settings.PredictSettings`.
    tick : called after each image.
    objects : a bundle that finds objects in predicted and in true images; the report then says how well these agree.
    """
    from napari_dojo import device
    from napari_dojo.inference.predict import Predictor, answer_sample, predict
    from napari_dojo.models.card import options_of
    from napari_dojo.settings import PredictSettings
    from napari_dojo.tasks import TASKS
    from napari_dojo.tasks.images import best_filter, score_images

    settings, card = settings or PredictSettings(), bundle.card
    task, options = TASKS[card.task], options_of(card)
    predictor = Predictor(bundle.net, device.choose(settings.device), settings.tile)
    inputs, truths, results = [], [], []
    for item in pairs.samples:
        x, norm = np.asarray(item.x), item.normalization(card.rule)
        given = {"settings": settings, "predictor": predictor, "pixel_size": pairs.pixel_size}
        if pairs.spatial == card.spatial:
            results.append(answer_sample(bundle, x, norm, **given))
        else:
            results.append(predict(bundle, x, "C" + pairs.spatial, norm=norm, **given))
        inputs.append(card.own(x))
        truths.append(np.asarray(item.y))
        tick()
    score, baseline = task.score, task.baseline
    if task.target == "none":  # it learned without a truth; here there is one
        score, baseline = score_images, best_filter
    held, name = baseline(inputs, truths, options)
    rows = [
        Row(item.name, *(score(found, truth, item.region, options) for found in both))
        for item, truth, both in zip(pairs.samples, truths, zip(results, held, strict=True), strict=True)
    ]
    agree = objects_found(objects, results, truths) if objects is not None else None
    return Report(task.result.name, tuple(rows), baseline_name=name, objects=agree)
