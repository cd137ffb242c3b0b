"""Arrays passed to another process: copied, described, or copied part by part."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_dojo.io import passed
from napari_dojo.io.passed import keep, open_kept


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(passed, "SMALL", 1000)
    monkeypatch.setattr(passed, "INLINE", 1000)


@pytest.fixture
def x():
    return np.random.default_rng(0).integers(0, 255, (3, 80, 70)).astype(np.uint8)


@pytest.fixture
def array(tmp_path, x):
    made = zarr.create_array(str(tmp_path / "a.zarr"), shape=x.shape, chunks=(1, 32, 32), dtype=x.dtype)
    made[...] = x
    return made


def test_what_is_in_memory_is_copied(tmp_path, x):
    name = keep(tmp_path, "x", x)
    assert name == "x.npy"
    np.testing.assert_array_equal(open_kept(tmp_path / name), x)


@pytest.mark.parametrize("change", [lambda a: a, lambda a: a[1:, 5:].astype(np.float32), lambda a: a[2]])
def test_of_what_lies_in_a_store_only_where_it_lies(tmp_path, array, x, change):
    (tmp_path / "job").mkdir()
    name = keep(tmp_path / "job", "x", change(da.from_array(array)))
    assert name == "x.pickle"
    assert (tmp_path / "job" / name).stat().st_size < x.nbytes
    np.testing.assert_array_equal(open_kept(tmp_path / "job" / name).compute(), change(x))


def test_a_zarr_array_is_read_where_it_lies(tmp_path, array, x):
    np.testing.assert_array_equal(open_kept(tmp_path / keep(tmp_path, "x", array)).compute(), x)


@pytest.mark.parametrize("part", [(), (1,), (slice(1, 3),)])
def test_memory_maps_are_mapped_again(tmp_path, x, part):
    np.save(tmp_path / "a.npy", x)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")[part]
    name = keep(tmp_path, "x", mapped)
    assert name == "x.pickle"
    found = open_kept(tmp_path / name)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, x[part])


def test_what_cannot_be_described_is_copied_part_by_part(tmp_path, x):
    name = keep(tmp_path, "x", da.from_array(x, chunks=(1, 40, 40)) + 1)
    assert name == "x.zarr"
    np.testing.assert_array_equal(open_kept(tmp_path / name).compute(), x + 1)
