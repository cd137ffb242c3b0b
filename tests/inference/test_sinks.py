"""Where predictions go."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.inference.sinks import RunSink, TiffSink, folder_for


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


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve room")
def test_room_for_a_prediction_is_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full under a memory map, the system would end the process without a word."""
    made = RunSink(tmp_path).storage(0, (300, 300), "int32")
    assert (tmp_path / "prediction-0.npy").stat().st_blocks * 512 >= made.nbytes

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DojoError, match="No space left on device"):
        RunSink(tmp_path).storage(1, (300, 300), "int32")
    assert not (tmp_path / "prediction-1.npy").exists()
