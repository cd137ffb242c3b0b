from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.evaluation.report import Report, Row
from napari_dojo.metrics.classes import CategoryCounts, ClassCounts
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.metrics.strokes import StrokeCounts

TRUTH = np.kron(np.array([[1, 0, 2], [0, 0, 0], [3, 0, 0]]), np.ones((5, 5), int))  # three squares of 5 x 5
# two of them, and one false positive
FOUND = np.kron(np.array([[7, 0, 8], [0, 0, 0], [0, 0, 9]]), np.ones((5, 5), int))


def instances() -> Report:
    otsu = np.where(TRUTH == 1, 1, 0)
    rows = [
        Row(name, InstanceCounts.of(TRUTH, found), InstanceCounts.of(TRUTH, otsu))
        for name, found in (("a.tif", FOUND), ("b.tif", TRUTH))
    ]
    return Report(tuple(rows), "Otsu")


def classes() -> Report:
    score = ClassCounts.of(np.array([[1, 2, 1]]), np.array([[1, 2, 2]]), ("membrane", "inside"))
    return Report((Row("a", score),))


def images() -> Report:
    rng = np.random.default_rng(0)
    truth = np.cumsum(rng.normal(size=(2, 1, 16, 16)), -1)
    noise = rng.normal(size=truth.shape)
    rows = [
        Row(f"{i}", ImageScores.of(t, t + n / 4), ImageScores.of(t, t + n))
        for i, (t, n) in enumerate(zip(truth, noise, strict=True))
    ]
    return Report(tuple(rows), "the input")


def test_images_are_compared_with_their_input() -> None:
    said = images().as_dict()
    assert said["psnr"] - said["baseline"]["psnr"] == pytest.approx(20 * np.log10(4))
    assert said["images"] == 2


def test_objects_are_pooled_and_held_against_the_baseline() -> None:
    said = instances().as_dict()
    assert (said["n_true"], said["n_predicted"], said["detected"], said["false_positives"], said["images"]) == (
        6,
        6,
        5,
        1,
        2,
    )
    assert said["ap"]["0.5"] == pytest.approx(5 / 7)
    assert said["baseline"]["ap"]["0.9"] == pytest.approx(2 / 6)
    json.dumps(said, allow_nan=False)


def test_classes_without_baseline() -> None:
    said = classes().as_dict()
    assert said["accuracy"] == pytest.approx(2 / 3)
    assert said["confusion"] == [[1, 1], [0, 1]]
    assert "baseline" not in said


def test_a_baseline_on_some_images_only_is_not_shown() -> None:
    one = InstanceCounts(1, 1, (1,) * 5, 1.0)
    assert Report((Row("a", one, one), Row("b", one))).baseline is None


def test_table_of_objects_says_first_what_was_found() -> None:
    lines = instances().table().splitlines()
    assert lines[0] == "detected 5 of 6, 1 false positive  (Otsu: detected 2 of 6, 0 false positives)"
    assert lines[1] == "2 images"
    assert lines[3].split() == ["overlap", "needed", "(IoU)", "0.5", "0.6", "0.7", "0.8", "0.9"]
    assert lines[4].split()[-5:] == ["0.714"] * 5
    assert lines[6].split()[:3] == ["AP", "of", "Otsu"]
    assert lines[6].split()[-1] == "0.333"
    assert lines[-2:] == ["a.tif  detected 2 of 3, 1 false positive", "b.tif  detected 3 of 3, 0 false positives"]


def test_table_of_classes() -> None:
    table = classes().table()
    assert table.startswith("66.7 % of the annotated pixels right, mean IoU 0.50\n1 image\n")
    assert "membrane       2  0.500  0.667" in table
    assert "membrane                     50.0 %   50.0 %" in table


def test_table_of_many_images_shows_the_lowest() -> None:
    rows = tuple(Row(f"{i:02d}" + "x" * 60, ImageScores(1, float(i), 0.5, 0.5)) for i in range(30))
    table = Report(rows).table()
    assert "The 12 images with the lowest scores:\n00xxx" in table
    assert "\n11xxx" in table
    assert "\n12xxx" not in table
    assert max(map(len, table.splitlines())) <= 100


def test_absent_class_has_a_dash() -> None:
    report = Report((Row("a", ClassCounts.of(np.array([1]), np.array([1]), ("a", "b"))),))
    assert "b           0      -      -" in report.table()


@pytest.mark.parametrize(
    ("report", "figure"), [(instances, "ap.png"), (classes, "confusion.png"), (images, "scores.png")]
)
def test_save_writes_a_row_for_each_image_and_a_figure(report: Any, figure: str, tmp_path: Path) -> None:
    from skimage.io import imread

    made: Report = report()
    assert made.save(tmp_path / "new" / "scores") == [
        tmp_path / "new/scores/scores.csv",
        tmp_path / "new/scores" / figure,
    ]
    with (tmp_path / "new/scores/scores.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["image"] for line in lines] == [row.name for row in made.rows] + ["all"]
    key = {"ap.png": "pq", "confusion.png": "iou_inside", "scores.png": "baseline_psnr"}[figure]
    value: Any = made.as_dict()
    for part in key.split("_"):
        value = value[part]
    assert float(lines[-1][key]) == pytest.approx(value)
    drawn = imread(tmp_path / "new/scores" / figure)
    assert min(drawn.shape[:2]) > 200
    assert len(np.unique(drawn.reshape(-1, drawn.shape[-1]), axis=0)) > 10


def test_figures_without_baseline_and_with_an_absent_class(tmp_path: Path) -> None:
    for score in (
        InstanceCounts(),
        ImageScores(1, -3.0, 0.0, -0.5),
        ClassCounts.of(np.array([1]), np.array([1]), ("a", "b")),
    ):
        assert all(path.stat().st_size > 0 for path in Report((Row("a", score),)).save(tmp_path))


def test_scores_of_strokes_are_a_table_alone(tmp_path: Path) -> None:
    strokes = StrokeCounts.of(np.array([[1, 1, 2, 2]]), np.array([[0, 0, 7, 7]]))
    made = Report((Row("a", strokes),))
    assert made.save(tmp_path) == [tmp_path / "scores.csv"]
    assert (tmp_path / "scores.csv").read_text().splitlines()[0] == "image,objects,detected,merged,background,outside"


def test_a_disk_that_becomes_full_leaves_no_half_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DojoError, match="is full"):
        instances().save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DojoError, match="cannot be written"):
        instances().save(tmp_path / "file" / "scores")
    assert os.listdir(tmp_path) == ["file"]


def test_a_table_of_classes_of_images_counts_images():
    names = ("cell", "debris")
    found = {"a.tif": (1, 1), "b.tif": (1, 2), "c.tif": (2, 0)}  # true, predicted; 0: unsure
    rows = tuple(Row(name, CategoryCounts.of(np.array([t]), np.array([p]), names)) for name, (t, p) in found.items())
    table = Report(rows).table()
    assert "pixels" not in table
    assert "IoU" not in table
    lines = [line.split() for line in table.splitlines()]
    assert ["class", "number", "F1"] in lines
    assert ["cell", "2", "0.667"] in lines
    assert ["cell", "50.0", "%", "50.0", "%", "0.0", "%"] in lines
    assert ["debris", "0.0", "%", "0.0", "%", "100.0", "%"] in lines
    assert ["b.tif", "cell,", "predicted", "as", "debris"] in lines
    assert ["c.tif", "debris,", "predicted", "as", "unsure"] in lines
