from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dojo.errors import DojoError
from napari_dojo.evaluation.evaluate import Baseline, Report, Row, evaluate_pairs, score_pair
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.models.cover import COLOURS, overlay

TRUTH = np.kron(np.array([[1, 0, 2], [0, 0, 0], [3, 0, 0]]), np.ones((5, 5), int))  # three squares of 5 x 5
FOUND = np.kron(
    np.array([[7, 0, 8], [0, 0, 0], [0, 0, 9]]), np.ones((5, 5), int)
)  # two of them, and one false positive
NOTHING = np.zeros((15, 15), int)


def colour(name: str) -> list[int]:
    return [int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)]


def instances() -> Report:
    pairs = [("a.tif", FOUND, TRUTH, TRUTH[None], None), ("b.tif", TRUTH, TRUTH, TRUTH[None], None)]
    return evaluate_pairs(pairs, "labels-instances", baseline=Baseline("Otsu", lambda x: np.where(x[0] == 1, 1, 0)))


def classes() -> Report:
    pairs = [("a", np.array([[1, 2, 2]]), np.array([[1, 2, 1]]), None, None)]
    return evaluate_pairs(pairs, "classes", ("membrane", "inside"))


def images() -> Report:
    rng = np.random.default_rng(0)
    truth = np.cumsum(rng.normal(size=(2, 1, 16, 16)), -1)
    noise = rng.normal(size=truth.shape)
    pairs = [(str(i), truth[i] + noise[i] / 4, truth[i], truth[i] + noise[i], None) for i in range(2)]
    return evaluate_pairs(pairs, "image")


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
    assert "skipped" not in said


def test_images_are_held_against_their_input() -> None:
    report = images()
    said = report.as_dict()
    assert report.baseline_name == "the input"
    assert said["psnr"] - said["baseline"]["psnr"] == pytest.approx(20 * np.log10(4))
    assert said["pearson"] > said["baseline"]["pearson"]
    assert said["ssim"] > said["baseline"]["ssim"]


def test_an_input_of_another_size_is_no_baseline() -> None:
    truth = np.random.default_rng(0).normal(size=(1, 8, 8))
    report = evaluate_pairs([("x2", truth, truth, truth[:, ::2, ::2], None)], "image")
    assert report.baseline is None
    assert report.as_dict()["psnr"] == 100.0


def test_a_baseline_on_some_images_only_is_not_shown() -> None:
    one = InstanceCounts(1, 1, (1,) * 5, 1.0)
    assert Report("labels-instances", (Row("a", one, one), Row("b", one))).baseline is None


def test_region_reaches_the_score() -> None:
    region = np.zeros(TRUTH.shape, bool)
    region[:5] = True
    report = evaluate_pairs([("a", FOUND, TRUTH, None, region)], "labels-instances")
    assert report.as_dict()["ap"]["0.9"] == 1.0


def test_a_bad_image_is_left_out_and_named() -> None:
    pairs = [("good", FOUND, TRUTH, None, None), ("bad", FOUND[:3], TRUTH, None, None)]
    report = evaluate_pairs(pairs, "labels-instances")
    assert [row.name for row in report.rows] == ["good"]
    assert "same size" in report.as_dict()["skipped"]["bad"]
    assert "bad: The truth and the prediction must have the same size" in report.table()
    with pytest.raises(DojoError, match="none of 1 can be used"):
        evaluate_pairs(pairs[1:], "labels-instances")


def test_images_without_annotation_are_left_out() -> None:
    nothing: tuple[Any, ...] = ("empty", np.ones((2, 2), int), np.zeros((2, 2), int), None, None)
    with pytest.raises(DojoError, match="No pixel of it is annotated"):
        evaluate_pairs([nothing], "classes", ("a",))
    with pytest.raises(DojoError, match="none of 0"):
        evaluate_pairs([], "classes", ("a",))


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="'labels-instances', 'classes' or 'image'"):
        score_pair("stars", TRUTH, TRUTH)


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
    table = Report("image", rows).table()
    assert "The 12 images with the lowest scores:\n00xxx" in table
    assert "\n11xxx" in table
    assert "\n12xxx" not in table
    assert max(map(len, table.splitlines())) <= 100


def test_absent_class_has_a_dash() -> None:
    report = Report("classes", (Row("a", ClassCounts.of(np.array([1]), np.array([1]), ("a", "b"))),))
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
        assert all(path.stat().st_size > 0 for path in Report("any", (Row("a", score),)).save(tmp_path))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DojoError, match="could not be written to"):
        instances().save(tmp_path / "file" / "scores")
    assert os.listdir(tmp_path) == ["file"]


def test_overlay_colours_found_missed_and_invented() -> None:
    image = np.tile(np.linspace(0, 1000, 15), (1, 15, 1))
    picture = overlay(image, FOUND, TRUTH)
    assert picture.dtype == np.uint8
    assert picture.shape == (15, 15, 3)
    assert picture[4, 4].tolist() == picture[4, 10].tolist() == colour("matched")
    assert picture[10, 0].tolist() == colour("missed")
    assert picture[10, 14].tolist() == colour("false positive")
    inside = picture[2, 2]
    assert inside[0] == inside[1] == inside[2]  # the image shows through, in grey
    assert picture[7, 0, 0] == 0
    assert picture[7, 14, 0] == 190


def test_overlay_without_truth_draws_all_alike() -> None:
    picture = overlay(np.zeros((1, 15, 15)), FOUND)
    coloured = picture.any(-1)
    assert (picture[coloured] == colour("matched")).all()
    assert np.array_equal(coloured, _edges(FOUND))


def test_overlay_of_a_colour_image() -> None:
    image = np.zeros((3, 15, 15))
    image[1, :, 8:] = 1
    assert overlay(image, NOTHING)[3, 12].tolist() == [0, 190, 0]


def test_overlay_of_a_volume_shows_the_plane_with_the_most_objects() -> None:
    labels = np.stack([NOTHING, FOUND, NOTHING])
    image = np.random.default_rng(0).uniform(size=(1, 3, 15, 15))
    picture = overlay(image, labels, np.stack([NOTHING, TRUTH, NOTHING]))
    assert picture[4, 4].tolist() == colour("matched")
    assert picture[10, 0].tolist() == colour("missed")


@pytest.mark.parametrize("value", [0, np.nan, 5])
def test_overlay_of_an_empty_image(value: float) -> None:
    assert not overlay(np.full((2, 15, 15), value), NOTHING, NOTHING).any()


def _edges(labels: NDArray[Any]) -> NDArray[np.bool_]:
    from skimage.segmentation import find_boundaries

    return np.asarray(find_boundaries(labels, connectivity=1, mode="inner"))
