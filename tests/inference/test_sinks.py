"""Where predictions go."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.inference.sinks import RunSink


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve room")
def test_room_for_a_prediction_is_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full under a memory map, the system would end the process without a word."""
    made = RunSink(tmp_path).storage(0, (300, 300), "int32")
    assert (tmp_path / "prediction-0.npy").stat().st_blocks * 512 >= made.nbytes

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DojoError, match=r"The disk of .* is full"):
        RunSink(tmp_path).storage(1, (300, 300), "int32")
    assert not (tmp_path / "prediction-1.npy").exists()
