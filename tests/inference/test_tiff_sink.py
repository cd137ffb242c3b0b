"""Predictions as files in a folder."""

from __future__ import annotations

from pathlib import Path

from napari_dojo.inference.tiff_sink import TiffSink, folder_for


def files(folder: Path, tables: bool = False) -> TiffSink:
    return TiffSink(tuple(folder / "in" / f"{name}.tif" for name in "abc"), folder / "out", tables=tables)


def test_how_many_predictions_are_there(tmp_path: Path) -> None:
    assert files(tmp_path).existing == 0
    (tmp_path / "out").mkdir()
    for name in ("a.tif", "a.csv", "b.csv"):
        (tmp_path / "out" / name).write_text("")
    assert files(tmp_path).existing == 1
    assert files(tmp_path, tables=True).existing == 2


def test_predictions_lie_beside_what_was_given(tmp_path: Path) -> None:
    assert folder_for(tmp_path / "in", "m") == tmp_path / "in_m"
    assert folder_for(tmp_path / "in" / "a.ome.tif", "m") == tmp_path / "in" / "a_m"
    assert folder_for(tmp_path / "in" / "*.tif", "m") == tmp_path / "in" / "all_m"
