"""Units: lengths in µm, sizes that cannot be true, and how far two pixel sizes may be apart."""

from __future__ import annotations

import pytest

from napari_dojo.data.units import (
    implausible,
    in_micrometres,
    micrometres,
    print_resolution,
    size_doubt,
    size_ratio,
    unit_text,
)


@pytest.mark.parametrize(
    ("unit", "length"),
    [
        ("µm", 1),
        ("μm", 1),
        ("um", 1),
        ("\\u00B5m", 1),
        ("microns", 1),
        ("Micrometre", 1),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("pixel", None),
        ("", None),
        (None, None),
    ],
)
def test_lengths(unit: str | None, length: float | None) -> None:
    assert micrometres(unit) == length


def test_a_unit_is_written_with_the_greek_letter() -> None:
    assert [unit_text(unit) for unit in ("um", "furlong", None)] == ["µm", "furlong", ""]


def test_sizes_of_one_unit_come_in_micrometres() -> None:
    assert in_micrometres({"Y": 500, "X": 0.25}, {"Y": "nm", "X": "um"}) == ({"Y": 0.5, "X": 0.25}, "um")
    assert in_micrometres({"Y": 500, "X": 0.25}, {"Y": "nm", "X": "furlong"}) == ({}, None)
    assert in_micrometres({"Y": 3, "X": 2}, {}) == ({"Y": 3, "X": 2}, None)
    assert in_micrometres({"Y": 1, "X": 1}, {}) == ({}, None)


def test_an_axis_that_is_no_length_does_not_take_the_others_with_it() -> None:
    for unit in (None, "pixel", "reference frame"):
        sizes = {"Z": 1.0, "Y": 500, "X": 0.25}
        assert in_micrometres(sizes, {"Z": unit, "Y": "nm", "X": "um"}) == ({"Y": 0.5, "X": 0.25}, "um")


def test_printers_and_impossible_sizes() -> None:
    assert [print_resolution(25_400 / dpi) for dpi in (72, 300, 299.9994)] == [72, 300, 300]
    assert [print_resolution(size) for size in (0.5, 10.0, 80.0)] == [None, None, None]
    assert not any(implausible(size) for size in ((0.5, 0.5), (5, 0.1, 0.1), (0.0002, 0.0002), (500.0, 500.0)))
    assert all(implausible(size) for size in ((1e-9, 1e-9), (5e5, 5e5), (0.1, 5.0)))


def test_pixel_sizes_far_apart_are_said_and_limited() -> None:
    trained = (0.5, 0.5)
    assert [size_ratio((s, s), trained) for s in (0.5, 0.6, 0.25, 1.5)] == [1, 1, 0.5, 3]
    assert [size_ratio(None, trained), size_ratio(trained, None)] == [1, 1]
    assert size_doubt((0.25, 0.25), trained, "um") == ""
    assert size_doubt(None, trained, "um") == ""
    assert size_ratio((0.1, 0.1), trained) == 0.2
    assert "0.1 µm, that of the training images 0.5: the image is scaled by 0.2" in size_doubt(
        (0.1, 0.1), trained, "um"
    )
    for wrong in (0.05, 84.7):
        assert size_ratio((wrong, wrong), trained) == 1
        assert "it was ignored" in size_doubt((wrong, wrong), trained, "um")
