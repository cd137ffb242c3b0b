"""Sentences for errors of the system."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_dojo.errors import FullDiskError, explained
from napari_dojo.io.atomic import write_safely

REMEDY = "Free space there, or choose another folder. What was written before is kept."


def test_a_full_disk_is_said_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "0123.part"))
    assert explained(error) == f"The disk of {tmp_path} is full. {REMEDY}"
    assert explained(OSError(errno.EDQUOT, "Disk quota exceeded")) == "The disk is full. Free space on it."
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=3e6))
    said = f"The disk of {tmp_path} is full (3 MB free, about 2,000 MB needed). {REMEDY}"
    assert str(FullDiskError(tmp_path / ".recipe" / "0123.json", 2_000_000_000)) == said
    assert str(FullDiskError(tmp_path, 2_000_000_000)) == said  # which may be the disk itself


def test_a_full_disk_under_the_user_s_data_names_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_DOJO_HOME", str(tmp_path))
    said = f"The disk of {tmp_path} is full. Free space there. What was written before is kept."
    assert str(FullDiskError(tmp_path / "runs" / "20260101-120000-apply" / "input-0.npy")) == said
    other = tmp_path.parent / "results" / "a.tif"
    assert str(FullDiskError(other)) == f"The disk of {other.parent} is full. {REMEDY}"


def test_what_we_keep_beside_results_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Exception, match=f"^The disk of {tmp_path} is full\\. {REMEDY}$"):
        write_safely(tmp_path / ".recipe" / "0123456789abcdef.json", b"{}")
