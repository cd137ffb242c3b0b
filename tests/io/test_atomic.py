"""Files that are there whole or not at all, and what is refused before any is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import check_free


def test_files_that_are_there_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    check_free(paths)
    paths[1].write_text("")
    with pytest.raises(DojoError, match=r"b exists already\. Choose another folder, or overwrite it\."):
        check_free(paths)
    paths[1].unlink()
    check_free(paths)
