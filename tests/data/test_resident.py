from __future__ import annotations

import numpy as np
import pytest
import torch
from dask.array import from_array

from napari_dojo.data.dataset import Sample
from napari_dojo.data.kinds import LABELS
from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.data.resident import Pixels, Places, Resident, Source
from napari_dojo.data.split import Crop

CPU = torch.device("cpu")


def test_padding_is_not_trained_on():
    x = np.random.default_rng(0).normal(500, 10, (1, 80, 80)).astype(np.uint16)
    x[0, 30:60, 30:60] += 400
    x[0, :, :25] = 0
    y = (x[0] > 700).astype(np.int32)
    item = Sample("a", x, y)
    made = Source.of(item, Crop(0, ((0, 80), (0, 80))), item.normalization(Rule()), LABELS)
    assert made.region is not None
    assert not made.region[:, :25].any()
    assert made.region[:, 27:].all()
    assert abs(float(np.mean(made.x[0, :, :25])) - 500) < 15
    assert (x[0, :, :25] == 0).all()


def test_a_part_of_an_image_that_was_cleaned_keeps_no_whole_one():
    x = np.random.default_rng(0).normal(500, 10, (1, 80, 80)).astype(np.float32)
    x[0, 40, 40] = np.nan
    item = Sample("a", x, np.zeros((80, 80), np.int32))
    part = Source.of(item, Crop(0, ((0, 50), (0, 20))), item.normalization(Rule()), LABELS).x
    assert part.base is None
    whole = Source.of(item, Crop(0, ((0, 80), (0, 80))), item.normalization(Rule()), LABELS).x
    np.testing.assert_array_equal(part, whole[:, :50, :20])
    clean = Sample("a", np.nan_to_num(x, nan=500.0), item.y)
    part = Source.of(clean, Crop(0, ((0, 50), (0, 20))), clean.normalization(Rule()), LABELS).x
    assert np.shares_memory(part, clean.x)


@pytest.mark.parametrize(
    ("dtypes", "bytes_"), [(("uint8",), 1), (("uint8", "uint16"), 2), (("uint16", "float32"), 4), (("int16",), 4)]
)
def test_images_stay_as_small_as_they_are(dtypes, bytes_):
    images = [np.full((1, 4, 4), 250).astype(d) for d in dtypes]
    kept = Pixels.of(images, [Normalization((50.0,), (100.0,))] * len(images), CPU, (1, 1))
    assert kept.values.element_size() == bytes_
    places = Places(torch.arange(len(images)), (torch.full((1, 1, 1), 1.5), torch.full((1, 1, 1), 2.5)))
    np.testing.assert_allclose(kept.on_grid(places), 2)


def test_sixteen_bits_keep_their_upper_half():
    x = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    kept = Pixels.of([x], [None], CPU, (1, 1))
    middle = torch.arange(256) + 0.5
    found = kept.linear(Places(torch.zeros(1, dtype=torch.long), (middle.view(1, -1, 1), middle.view(1, 1, -1))))
    np.testing.assert_array_equal(found[0], x)


@pytest.mark.parametrize("size", [(5, 6), (3, 4, 5)])
def test_linear_interpolation_by_its_definition(size):
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(0)
    x = rng.random((2, *size)).astype(np.float32)
    at = [torch.from_numpy(rng.uniform(0, n, (1, *(9,) * len(size))).astype(np.float32)) for n in size]
    found = Pixels.of([x], [None], CPU, (1,) * len(size)).linear(Places(torch.zeros(1, dtype=torch.long), tuple(at)))
    wanted = [map_coordinates(c, [a[0].numpy() - 0.5 for a in at], order=1, mode="nearest") for c in x]
    np.testing.assert_allclose(found[0], wanted, atol=1e-5)


def test_not_a_number_is_nothing():
    x = np.ones((1, 8, 8), np.float32)
    x[0, 2, 2], x[0, 3, 3] = np.nan, np.inf
    source = Source.of(
        Sample("a", x, np.ones((8, 8), int)), Crop(0, ((0, 8), (0, 8))), Normalization((0.0,), (1.0,)), LABELS
    )
    kept = Resident.of([source], LABELS, lambda y, region: None, (1, 1), CPU)
    assert torch.isfinite(kept.x.values).all()


def test_a_record_of_more_than_eight_bytes_is_refused():
    source = Source.of(
        Sample("a", np.ones((1, 8, 8)), np.ones((8, 8), int)),
        Crop(0, ((0, 8), (0, 8))),
        Normalization((0.0,), (1.0,)),
        LABELS,
    )
    with pytest.raises(ValueError, match="9 maps; 8 are possible"):
        Resident.of([source], LABELS, lambda y, region: np.zeros((9, 8, 8), np.uint8), (1, 1), CPU)


@pytest.mark.parametrize("lazy", [False, True])
def test_an_image_that_stays_in_its_file_is_cleaned_part_by_part(lazy, tmp_path):
    """Padding and hot pixels of the whole are known, and no part is read before it is asked for."""
    rng = np.random.default_rng(0)
    x = np.memmap(tmp_path / "x", np.uint16, "w+", shape=(2, 300, 200))
    x[:] = rng.normal(500, 10, x.shape)
    x[:, 80:220, 50:150] += 400
    x[:, :, :25] = 0
    x[:, 100, 60] = x[:, 250, 30] = 60000
    whole = np.array(x)
    item = Sample("a", from_array(x, chunks=64) if lazy else x, (whole[0] > 700).astype(np.int32))
    norm, part = Rule().measure(whole), Crop(0, ((20, 290), (10, 190)))
    clean = norm.clean(whole)[0][:, 20:290, 10:190]
    made = Source.of(item, part, norm, LABELS, stays=True)
    assert not isinstance(made.x, np.ndarray)
    assert (made.size, len(made.x), made.x.dtype) == ((270, 180), 2, np.dtype(np.uint16))
    np.testing.assert_array_equal(np.asarray(made.x), clean)
    np.testing.assert_array_equal(made.x[:, 60:100, :70], clean[:, 60:100, :70])
    np.testing.assert_array_equal(made.x[1:, :], clean[1:])
    kept = Resident.of([made], LABELS, lambda y, region: None, (1, 1), CPU)
    np.testing.assert_array_equal(kept.x.values.numpy().view(np.uint16).T.reshape(clean.shape), clean)
    assert clean.max() < 2000
    assert (whole == x).all()
