"""Which objects stay, and labels without the others."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.inference.filters import (
    Limits,
    Range,
    filtered,
    kept,
    measure_for,
    measurement_of,
    touching_border,
    without,
)
from napari_dojo.inference.tables import measure

YX = Axes("YX")


def four():
    """A square at the border (1), a small (2) and a large (5) square, and a thin line (9); the image is brighter to the right."""
    labels = np.zeros((40, 60), np.int32)
    labels[0:6, 10:16] = 1
    labels[10:13, 10:13] = 2
    labels[20:32, 20:32] = 5
    labels[36, 5:35] = 9
    return labels, np.tile(np.arange(60, dtype=np.float32), (40, 1))


def left(labels):
    return sorted(set(np.unique(labels).tolist()) - {0})


@pytest.mark.parametrize(
    ("limits", "stay"),
    [
        (Limits(), [1, 2, 5, 9]),
        (Limits(border=True), [2, 5, 9]),
        (Limits(ranges=(Range("area_px", 10),)), [1, 5, 9]),
        (Limits(ranges=(Range("area_px", None, 36),)), [1, 2, 9]),  # both ends belong to it
        (Limits(ranges=(Range("area_px", 9, 36), Range("eccentricity", None, 0.5))), [1, 2]),
        (Limits(ranges=(Range("mean_intensity", 12, None),)), [1, 5, 9]),
        (Limits(True, (Range("solidity", 0.9), Range("area_px", 100, 200))), [5]),
        (Limits(ranges=(Range("area_um2", 9.0),)), [1, 5]),  # pixels of 0.5 um: 36 px are 9 um2
    ],
)
def test_objects_within_the_limits_stay(limits, stay):
    labels, image = four()
    before = labels.copy()
    out, which = filtered(labels, image, YX, limits, (0.5, 0.5), "um")
    assert left(out) == stay
    assert which.tolist() == [n in stay for n in (1, 2, 5, 9)]
    assert np.array_equal(labels, before)
    assert np.array_equal(out[np.isin(labels, stay)], labels[np.isin(labels, stay)])


def test_each_frame_and_each_channel_for_itself():
    labels, image = four()
    series = np.stack([labels, np.where(labels == 5, 2, np.where(labels == 2, 5, labels))])
    images = np.stack([np.stack([image, 100 - image])] * 2)  # TCYX
    out, stay = filtered(
        series, images, Axes("TCYX"), Limits(ranges=(Range("area_px", 100), Range("mean_intensity_c1", 70)))
    )
    assert stay.tolist() == [False, False, True, False, False, True, False, False]
    assert left(out[0]) == [5]
    assert left(out[1]) == [2]


def test_volumes_end_at_all_six_sides():
    labels = np.zeros((5, 9, 9), np.uint8)
    labels[0, 4, 4], labels[2, 4, 4], labels[3, 8, 4] = 3, 7, 200
    assert touching_border(labels, Axes("ZYX", "ZYX")).tolist() == [True, False, True]
    assert touching_border(labels, Axes("ZYX", "YX")).tolist() == [False, False, True]


def test_rows_are_those_of_the_table():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (3, 8, 8)) * 3_000_000_000  # far apart, and beyond 32 bits
    table = measure(labels, None, Axes("TYX"), chosen=())
    assert len(touching_border(labels, Axes("TYX"))) == len(table["index"])
    gone = without(labels, Axes("TYX"), table["index"] != 3_000_000_000)
    assert left(gone) == [6_000_000_000, 9_000_000_000]


def test_nothing_in_the_image():
    out, stay = filtered(np.zeros((5, 5), np.int32), None, YX, Limits(border=True))
    assert not out.any()
    assert len(stay) == 0


def test_plain_values_and_back():
    plain = {"border": True, "area_px": [20, None], "mean_intensity_c1": [None, 3.5]}
    limits = Limits.of(plain)
    assert limits == Limits(True, (Range("area_px", 20), Range("mean_intensity_c1", None, 3.5)))
    assert limits.plain == plain
    assert limits.measurements == ("mean_intensity",)
    assert measurement_of("equivalent_diameter_um") == "equivalent_diameter"


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"roundness": [0, 1]}, "no measurement 'roundness'"),
        ({"area_px": 20}, "a minimum and a maximum: area_px"),
        ({"area_px": ["a", 1]}, "a minimum and a maximum: area_px"),
    ],
)
def test_wrong_plain_values(plain, said):
    with pytest.raises(DojoError, match=said):
        Limits.of(plain)


def test_a_column_that_is_not_there_is_named():
    labels, image = four()
    with pytest.raises(DojoError, match=r"no 'mean_intensity_c3' .* mean_intensity"):
        filtered(labels, image, YX, Limits(ranges=(Range("mean_intensity_c3", 1),)))


def test_thousands_of_objects():
    """On 2048 x 2048 px; half a second is far more than it takes, measuring apart."""
    labels = np.zeros((2048, 2048), np.int32)
    labels[:2000, :2000] = np.kron(np.arange(1, 2501, dtype=np.int32).reshape(50, 50), np.ones((40, 40), np.int32))
    table = {"index": np.arange(1, 2501), "area_px": np.random.default_rng(0).integers(1, 100, 2500)}
    began = time.process_time()
    table["touches_border"] = touching_border(labels, YX)
    stay = kept(table, Limits(True, (Range("area_px", 50),)))
    out = without(labels, YX, stay)
    assert time.process_time() - began < 0.5
    assert table["touches_border"].sum() == 99
    assert len(left(out)) == stay.sum()


def test_limits_without_measurements_measure_nothing_else():
    labels, image = four()
    assert set(measure_for(Limits(True), labels, image, YX)) == {
        "index", "area_px", "centroid_y_px", "centroid_x_px", "touches_border"
    }  # fmt: skip
