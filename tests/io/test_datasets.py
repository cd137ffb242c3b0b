"""Files become pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_dojo.errors import DojoError
from napari_dojo.io import datasets as folders
from napari_dojo.io.datasets import DatasetFiles, outputs, read_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images of 40 x 50 px, labels for them, and one image without."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for i in range(4):
        tifffile.imwrite(
            tmp_path / "images" / f"plate{i // 2}_{i}.tif", rng.integers(0, 99, (40, 50)).astype(np.uint16)
        )
    for i in range(3):
        y = np.zeros((40, 50), np.uint8)
        y[5:15, 5:15] = i + 1
        tifffile.imwrite(tmp_path / "labels" / f"plate{i // 2}_{i}_mask.tif", y)
    return tmp_path


def given(data: Path, **more: str) -> DatasetFiles:
    """The folders of the data."""
    return DatasetFiles(str(data / "images"), str(data / "labels"), **more)


def test_pairs_are_matched_by_name_and_the_rest_is_told(data: Path) -> None:
    pairs, notes = read_dataset(given(data))
    assert [i.name for i in pairs.samples] == ["plate0_0.tif", "plate0_1.tif", "plate1_2.tif"]
    assert [int(i.y.max()) for i in pairs.samples] == [1, 2, 3]
    assert notes == ["1 image has no partner and is left out, plate1_3.tif among them."]


def test_files_group_by_an_expression(data: Path) -> None:
    pairs, _ = read_dataset(given(data, group_by=r"(plate\d)"))
    assert [i.group for i in pairs.samples] == ["plate0", "plate0", "plate1"]


def test_images_beyond_the_share_of_memory_stay_in_their_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "IN_MEMORY", 0.0)
    lazy, notes = read_dataset(given(data))
    monkeypatch.undo()
    held, _ = read_dataset(given(data))
    assert type(lazy.samples[0].x) is not np.ndarray
    assert "read from their files" in notes[-1]
    assert all((np.asarray(a.x) == b.x).all() for a, b in zip(lazy.samples, held.samples, strict=True))


def test_targets_of_another_size_are_left_out_and_refused_where_none_is_left(data: Path) -> None:
    tifffile.imwrite(data / "labels" / "plate0_0_mask.tif", np.ones((40, 49), np.uint8))
    pairs, notes = read_dataset(given(data))
    assert len(pairs.samples) == 2
    assert "40 x 50" in notes[-1]
    assert "40 x 49" in notes[-1]
    for i in range(1, 3):
        (data / "labels" / f"plate{i // 2}_{i}_mask.tif").unlink()
    with pytest.raises(DojoError, match="must have the size of the image"):
        read_dataset(given(data))


def test_two_inputs_of_one_name_are_not_written_to_one_file(tmp_path: Path) -> None:
    with pytest.raises(DojoError, match="Several inputs"):
        outputs([tmp_path / "a" / "x.tif", tmp_path / "b" / "x.png"], tmp_path / "out", overwrite=True)
