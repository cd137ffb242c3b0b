"""``.npy``: Cellpose's segmentation is read as labels, and nothing in a pickle is ever run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io.images import read

LABELS = np.array([[0, 1, 1], [2, 2, 70_000]], np.uint32)


def segmentation(**more: Any) -> Any:
    return {
        "masks": LABELS,
        "outlines": LABELS * 0,
        "filename": PosixPath("/data/a.tif"),
        "flows": [np.zeros((2, 3), np.float32), [np.uint8(3), np.float64(0.5)], None],
        "chan_choose": [0, 0],
        "ismanual": np.zeros(3, bool),
        "manual_changes": [("2026-01-01", "added mask", [1, 2])],
        "seen": {1, 2},
        **more,
    }


def as_npy(path: Path, pickled: bytes) -> Path:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(pickled)
    return path


@pytest.mark.parametrize("masks", [LABELS, LABELS.astype(">u2"), np.asfortranarray(LABELS), np.stack([LABELS] * 4)])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_labels_of_cellpose(tmp_path: Path, masks: np.ndarray, protocol: int) -> None:
    held = np.empty((), object)
    held[()] = segmentation(masks=masks)
    picture = read(as_npy(tmp_path / "a_seg.npy", pickle.dumps(held, protocol)), labels=True)
    np.testing.assert_array_equal(picture.data, masks)
    assert (picture.axes, picture.data.dtype.isnative) == ("ZYX"[-masks.ndim :], True)


def test_as_numpy_saves_it(tmp_path: Path) -> None:
    held: Any = segmentation()
    np.save(tmp_path / "a_seg.npy", held, allow_pickle=True)
    np.testing.assert_array_equal(read(tmp_path / "a_seg.npy", labels=True).data, LABELS)
    with pytest.raises(DojoError, match=r"a_seg\.npy holds the labels of Cellpose"):
        read(tmp_path / "a_seg.npy")


class Hostile:
    def __init__(self, call: Any, *args: Any) -> None:
        self.how = call, args

    def __reduce__(self) -> Any:
        return self.how


@pytest.mark.parametrize(
    "hostile",
    [
        Hostile(os.system, "touch {marker}"),
        Hostile(eval, "open('{marker}', 'w')"),
        Hostile(os.mkdir, "{marker}"),
        Hostile(getattr, "text", "upper"),
        Hostile(np.load, "{marker}"),
        Hostile(np.fromfile, "{marker}"),
    ],
)
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path, hostile: Hostile) -> None:
    marker = tmp_path / "was run"
    call, args = hostile.how
    hostile.how = call, tuple(a.format(marker=marker) if isinstance(a, str) else a for a in args)
    path = as_npy(tmp_path / "a_seg.npy", pickle.dumps(segmentation(extra=hostile)))
    with pytest.raises(DojoError, match=r"a_seg\.npy asks to run \w+\.\w+.*was not read"):
        read(path, labels=True)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04garbage", pickle.dumps(segmentation())[:200], b"\x80\x04]." * 3])
def test_a_broken_pickle_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DojoError, match=r"a_seg\.npy holds Python objects"):
        read(as_npy(tmp_path / "a_seg.npy", content), labels=True)


def test_other_objects_are_refused(tmp_path: Path) -> None:
    for i, held in enumerate((np.array([[{}]]), np.array([{"masks": "none"}]), np.array([{"other": LABELS}]))):
        np.save(tmp_path / f"{i}.npy", held, allow_pickle=True)
        with pytest.raises(DojoError, match=rf"{i}\.npy holds Python objects\. Save it as TIFF"):
            read(tmp_path / f"{i}.npy", labels=True)
