"""Sizes, places and intensities of objects whose truth is known."""

from __future__ import annotations

import csv
from pathlib import Path

import dask.array as da
import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.inference.tables import (
    chosen_measurements,
    measure,
    measure_classes,
    place_of,
    table_of,
    typical_diameter,
    write_csv,
)
from napari_dojo.models.card import Card

YX = Axes("YX")


def boxes() -> np.ndarray:
    """A box of 4 x 6 px called 3, one of 2 x 2 called 7."""
    y = np.zeros((20, 30), np.int32)
    y[2:6, 10:16] = 3
    y[15:17, 1:3] = 7
    return y


def test_sizes_and_places_in_pixels() -> None:
    table = measure(boxes(), None, YX)
    assert list(table) == [
        "index", "area_px", "centroid_y_px", "centroid_x_px", "equivalent_diameter_px", "eccentricity", "solidity",
    ]  # fmt: skip
    assert table["index"].tolist() == [3, 7]
    assert table["area_px"].tolist() == [24, 4]
    assert table["area_px"].dtype.kind == "i"
    np.testing.assert_allclose(table["centroid_y_px"], [3.5, 15.5])
    np.testing.assert_allclose(table["centroid_x_px"], [12.5, 1.5])
    np.testing.assert_allclose(table["equivalent_diameter_px"], np.sqrt(4 * np.array([24, 4]) / np.pi))
    np.testing.assert_allclose(table["solidity"], 1)
    assert table["eccentricity"][0] == pytest.approx(np.sqrt(1 - 15 / 35))  # (a²-1)/12 along each side
    assert table["eccentricity"][1] == pytest.approx(0, abs=1e-6)


def test_sizes_in_micrometres_also_of_long_pixels() -> None:
    table = measure(boxes(), None, YX, (0.5, 0.2), "um")
    np.testing.assert_allclose(table["area_um2"], [2.4, 0.4])
    np.testing.assert_allclose(table["centroid_y_um"], [1.75, 7.75])
    np.testing.assert_allclose(table["centroid_x_um"], [2.5, 0.3])
    np.testing.assert_allclose(table["equivalent_diameter_um"], np.sqrt(4 * np.array([2.4, 0.4]) / np.pi))
    assert "area_None2" not in measure(boxes(), None, YX, (0.5, 0.5), None)


def test_intensity_of_each_channel() -> None:
    image = np.stack([np.arange(600.0).reshape(20, 30), np.full((20, 30), 8.0)])
    table = measure(boxes(), image, Axes("CYX"))
    assert table["mean_intensity_c0"][0] == pytest.approx(image[0, 2:6, 10:16].mean())
    assert table["min_intensity_c0"].tolist() == [70, 451]
    assert table["max_intensity_c0"].tolist() == [165, 482]
    assert table["mean_intensity_c1"].tolist() == [8, 8]
    one = measure(boxes(), image[0], YX)
    assert one["mean_intensity"][0] == table["mean_intensity_c0"][0]


def test_a_series_is_measured_frame_by_frame() -> None:
    labels = np.stack([boxes(), np.zeros_like(boxes()), np.where(boxes() == 3, 1, 0)])
    image = np.arange(3)[:, None, None] * np.ones_like(labels)
    table = measure(labels, da.from_array(image), Axes("TYX"))
    assert table["index"].tolist() == [3, 7, 1]
    assert table["frame"].tolist() == [0, 0, 2]
    assert table["mean_intensity"].tolist() == [0, 0, 2]


def test_a_stack_is_one_volume_or_planes() -> None:
    labels = np.zeros((4, 8, 8), np.uint16)
    labels[1:3, 2:4, 2:5] = 2
    volume = measure(labels, None, Axes("ZYX", "ZYX"), (2, 0.5, 0.5), "um")
    assert volume["volume_px"].tolist() == [12]
    assert volume["volume_um3"].tolist() == [6]
    assert volume["centroid_z_um"].tolist() == [3]
    assert volume["equivalent_diameter_um"][0] == pytest.approx((6 * 6 / np.pi) ** (1 / 3))
    assert "solidity" not in volume
    planes = measure(labels, None, Axes("ZYX"), (0.5, 0.5), "um")
    assert planes["plane"].tolist() == [1, 2]
    assert planes["area_um2"].tolist() == [1.5, 1.5]


def test_other_orders_of_axes() -> None:
    table = measure(boxes().T, None, Axes("XY"))
    np.testing.assert_allclose(table["centroid_y_px"], [3.5, 15.5])


@pytest.mark.parametrize("labels", [np.zeros((5, 6), np.uint8), np.full((1, 1), -3)])
def test_no_object_gives_an_empty_table(labels: np.ndarray) -> None:
    table = measure(labels, np.zeros(labels.shape), YX, (1, 1), "um")
    assert {len(column) for column in table.values()} == {0}
    assert {"index", "area_um2", "mean_intensity"} <= set(table)


def test_awkward_labels_and_images() -> None:
    labels = np.zeros((6, 7), np.int64)
    labels[0, 0], labels[2, :], labels[4, 4] = 10**12, -1, 5
    image = np.full((6, 7), np.nan)
    image[4, 4] = 2
    table = measure(labels, image, YX)
    assert table["index"].tolist() == [5, 10**12]
    assert table["mean_intensity"][0] == 2
    assert np.isnan(table["mean_intensity"][1])
    assert table["solidity"].tolist() == [1, 1]
    everywhere = measure(np.ones((3, 4), bool), None, YX)
    assert everywhere["area_px"].tolist() == [12]


def test_classes_and_their_shares() -> None:
    labels = np.array([[1, 1, 1, 2], [1, 1, 1, 2]])
    image = np.array([[0, 0, 0, 5], [6, 0, 0, 7]], np.uint8)
    classes = {1: "ground", 2: "object", 4: "nothing"}
    table = measure_classes(labels, image, YX, classes, (0.5, 0.5), "um")
    assert table["class"].tolist() == ["ground", "object", "nothing"]
    assert table["area_px"].tolist() == [6, 2, 0]
    assert table["area_um2"].tolist() == [1.5, 0.5, 0]
    assert table["share"].tolist() == [0.75, 0.25, 0]
    np.testing.assert_array_equal(table["mean_intensity"], [1, 6, np.nan])
    series = measure_classes(np.stack([labels] * 3), np.stack([image, image, image + 3]), Axes("TYX"), classes)
    assert series["area_px"].tolist() == [18, 6, 0]
    assert series["mean_intensity"].tolist()[:2] == [2, 7]


def card(task: str, **options: object) -> Card:
    return Card("m", task, options, {}, "unet", {}, "YX", "YX", 1, ())


def test_a_model_decides_what_is_measured() -> None:
    labels = np.array([[0, 1], [2, 2]])
    found = table_of(card("instances"), labels, None, YX)
    assert found["area_px"].tolist() == [1, 2]
    found = table_of(card("semantic", values=[0, 2], classes=["ground", "object"]), labels, None, YX)
    assert found["class"].tolist() == ["ground", "object"]
    assert found["area_px"].tolist() == [1, 2]


def test_the_diameter_of_what_is_bright() -> None:
    yy, xx = np.indices((90, 90))
    discs = sum(((yy - y) ** 2 + (xx - x) ** 2 <= 49).astype(float) for y in (20, 60) for x in (15, 45, 75))
    found = typical_diameter((100 + 900 * discs)[None])
    assert found is not None
    assert found[0] == pytest.approx(14.3, abs=1)
    assert found[1] == 6
    assert typical_diameter(np.zeros((1, 20, 20))) is None
    ball = (np.indices((24, 24, 24)) - 12.0).__pow__(2).sum(0) <= 36
    assert typical_diameter(ball[None])[0] == pytest.approx(12.5, abs=1)  # type: ignore[index]


def test_a_table_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    table = measure(boxes(), None, YX, (0.1, 0.1), "um")
    write_csv(path, table)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["3", "7"]
    for name, column in table.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], column, rtol=1e-6)
    assert rows[0]["area_um2"] == "0.24"
    assert [p.name for p in path.parent.iterdir()] == ["a.csv"]


def test_a_table_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DojoError, match="a folder of this name is there"):
        write_csv(tmp_path / "a.csv", {"index": np.arange(2)})


def test_what_is_measured_can_be_chosen() -> None:
    disc = np.zeros((60, 60), np.uint8)
    y, x = np.indices(disc.shape)
    disc[(y - 30) ** 2 + (x - 25) ** 2 < 15**2] = 4
    image = np.stack([np.full(disc.shape, 2.0), x.astype(float)])
    names = chosen_measurements(["feret", "circularity", "perimeter", "total_intensity", "std_intensity"])
    assert names == ("perimeter", "circularity", "feret", "total_intensity", "std_intensity")
    table = measure(disc, image, Axes("CYX"), (0.5, 0.5), "um", names)
    assert "solidity" not in table
    assert table["perimeter_px"][0] == pytest.approx(2 * np.pi * 15, rel=0.05)
    assert table["perimeter_um"][0] == pytest.approx(table["perimeter_px"][0] / 2)
    assert table["feret_px"][0] == pytest.approx(30, rel=0.05)
    assert table["circularity"][0] == pytest.approx(1, abs=0.1)
    assert table["total_intensity_c0"][0] == pytest.approx(2 * table["area_px"][0])
    assert table["std_intensity_c0"][0] == 0
    assert table["std_intensity_c1"][0] == pytest.approx(7.5, rel=0.05)
    volume = measure(np.stack([disc] * 3), None, Axes("ZYX", "ZYX"), chosen=("perimeter", "equivalent_diameter"))
    assert "perimeter_px" not in volume
    assert "equivalent_diameter_px" in volume


def test_a_measurement_that_there_is_not() -> None:
    with pytest.raises(DojoError, match=r"no measurement 'girth'.*perimeter"):
        chosen_measurements(["girth"])


def test_where_an_object_is() -> None:
    labels = np.stack([boxes(), np.zeros_like(boxes())])
    table = measure(labels, None, Axes("ZYX", "YX"))
    row = {name: column[0] for name, column in table.items()}
    assert place_of(row, "ZYX") == (0, 3.5, 12.5)
    assert place_of(row, "TYX") is None
