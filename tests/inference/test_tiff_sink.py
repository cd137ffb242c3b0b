"""Predictions as files in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_dojo.errors import DojoError
from napari_dojo.inference.tiff_sink import UNCERTAINTY, TiffSink, folder_for


def files(folder: Path, tables: bool = False) -> TiffSink:
    return TiffSink(tuple(folder / "in" / f"{name}.tif" for name in "abc"), folder / "out", tables=tables)


def test_how_many_predictions_are_there(tmp_path: Path) -> None:
    assert files(tmp_path).existing == 0
    (tmp_path / "out").mkdir()
    for name in ("a.tif", "a.csv", "b.csv"):
        (tmp_path / "out" / name).write_text("")
    assert files(tmp_path).existing == 1
    assert files(tmp_path, tables=True).existing == 2
    (tmp_path / "out" / "a.tif").unlink()
    (tmp_path / "out" / "classes.csv").write_text("")
    assert files(tmp_path).existing == 0
    assert replace(files(tmp_path), then="a classifier").existing == 1


def test_a_file_of_several_images_is_left_until_all_are_there(tmp_path: Path) -> None:
    given, out = tmp_path / "in.tif", tmp_path / "out"
    with tifffile.TiffWriter(given, ome=True) as tif:
        for _ in range(3):
            tif.write(np.zeros((5, 6), np.uint8))
    sink = TiffSink((given,), out)
    out.mkdir()
    assert sink.left() == (0,)
    for k in (1, 2):
        (out / f"in_image{k}.tif").write_text("")
    assert sink.left() == (0,)
    with pytest.raises(DojoError, match="exists already"):
        sink.place(0, 1)
    assert replace(sink, resumed=True).place(0, 1) == out / "in_image1.tif"
    (out / "in_image3.tif").write_text("")
    assert sink.left() == ()


def test_what_is_written_beside_a_prediction_is_checked_as_the_prediction_is(tmp_path: Path) -> None:
    sink = replace(files(tmp_path), also=(UNCERTAINTY,))
    sink.check()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b_uncertainty.tif").write_text("mine")
    files(tmp_path).check()  # it is not written there
    with pytest.raises(DojoError, match=r"b_uncertainty.tif exists already"):
        sink.check()
    assert sink.existing == 1
    replace(sink, overwrite=True).check()
    both = (tmp_path / "in" / "a.tif", tmp_path / "in" / "a_Uncertainty.tif")
    with pytest.raises(
        DojoError, match=r"a_Uncertainty.tif would be written twice, with a_Uncertainty.tif and with a.tif"
    ):
        TiffSink(both, tmp_path / "other", also=(UNCERTAINTY,)).check()
    both = (tmp_path / "in" / "a.tif", tmp_path / "in" / "ax_uncertainty.tif")
    there = TiffSink(both, tmp_path / "in", overwrite=True, mark="x", also=(UNCERTAINTY,))
    with pytest.raises(DojoError, match=r"would overwrite the image ax_uncertainty.tif itself"):
        there.check()
    with pytest.raises(DojoError, match=r"classes.csv would be written twice"):
        TiffSink((tmp_path / "in" / "classes.tif",), tmp_path / "other", tables=True, then="m").check()


def test_a_prediction_that_lacks_what_is_wanted_beside_it_is_neither_done_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    found = np.eye(5, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "out" / "a.tif", found)
    tifffile.imwrite(tmp_path / "out" / "b.tif", 0 * found)
    assert replace(files(tmp_path), resumed=True).left() == (2,)
    with pytest.raises(DojoError, match=r"a.tif is there without a.csv"):
        files(tmp_path, tables=True).left()
    with pytest.raises(DojoError, match=r"a.tif is there without a.zip"):
        replace(files(tmp_path), rois=True).left()
    (tmp_path / "out" / "a.zip").write_text("")
    assert replace(files(tmp_path), rois=True).left() == (2,)  # b has no object, so it has no outlines


def test_predictions_lie_beside_what_was_given(tmp_path: Path) -> None:
    assert folder_for(tmp_path / "in", "m") == tmp_path / "in_m"
    assert folder_for(tmp_path / "in" / "a.ome.tif", "m") == tmp_path / "in" / "a_m"
    assert folder_for(tmp_path / "in" / "*.tif", "m") == tmp_path / "in" / "all_m"
