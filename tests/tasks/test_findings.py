"""What the check finds in the data of any task."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset
from napari_dojo.tasks import TASKS, findings
from napari_dojo.tasks.findings import label_findings


def labelled(places: list[tuple[int, int]], size: int = 120) -> NDArray[np.int32]:
    """Squares of 10 px."""
    y = np.zeros((size, size), np.int32)
    for k, (row, column) in enumerate(places, 1):
        y[row : row + 10, column : column + 10] = k
    return y


def dataset(*labels: NDArray[np.int32]) -> Dataset:
    """Their images show them, and nothing else."""
    noise = np.random.default_rng(0)
    images = [(100 + 400 * (y > 0) + noise.normal(0, 10, y.shape)).astype(np.uint16) for y in labels]
    return Dataset.of(images, list(labels), names=[f"a{i}.tif" for i in range(len(labels))])


EVERYWHERE = labelled([(row, column) for row in range(5, 110, 25) for column in range(5, 110, 25)])
CORNER = labelled([(row, column) for row in range(5, 50, 15) for column in range(5, 50, 15)])
FEW = labelled([(70, 20), (80, 60)])


def test_few_objects_lie_in_a_part_of_one_image_among_many() -> None:
    assert label_findings(dataset(EVERYWHERE, EVERYWHERE, FEW), 10) == ()


def test_many_objects_in_a_part_are_asked_for() -> None:
    (finding,) = label_findings(dataset(*[EVERYWHERE] * 20, CORNER), 10)
    assert finding.text.startswith("Labels only in the upper left part of a20.tif: is the rest empty?")
    assert finding.fixes[0].samples == ("a20.tif",)


def test_few_objects_in_most_images_are_asked_for() -> None:
    (finding,) = label_findings(dataset(EVERYWHERE, FEW, FEW), 10)
    assert "part of a1.tif (and of 1 more)" in finding.text


def test_labels_are_looked_through_once_for_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = findings._in_parts

    def counted(dataset: Dataset, diameter: float) -> dict[int, list[tuple[slice, int]]]:
        calls.append(1)
        return real(dataset, diameter)

    monkeypatch.setattr(findings, "_in_parts", counted)
    data = dataset(EVERYWHERE, CORNER)
    summary = TASKS["instances"].summarize(data, TASKS["instances"].options())
    assert any("upper left part of a1.tif" in f.text for f in summary.findings)
    assert len(calls) == 1


def test_what_is_not_labelled_beside_few_objects_is_found() -> None:
    data = dataset(EVERYWHERE, EVERYWHERE, EVERYWHERE)
    few = labelled([(5, 5), (5, 30), (30, 5)])
    three = Dataset.of(
        [s.x[0] for s in data.samples], [EVERYWHERE, EVERYWHERE, few], names=["a0.tif", "a1.tif", "a2.tif"]
    )
    said = [f.text for f in label_findings(three, 10)]
    assert len(said) == 1
    assert "a2.tif" in said[0]
