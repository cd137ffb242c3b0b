from __future__ import annotations

from itertools import product

import dask.array as da
import numpy as np
import pytest
import torch

from napari_dojo.events import Progress
from napari_dojo.inference.tiles import padded, tile_edge, tiled, tiles_of
from napari_dojo.nets.unet import UNet

SIZES = [(1, 1), (37, 53), (64, 64), (65, 131), (9, 200), (5, 33, 47), (1, 40, 21), (24, 24, 24)]


def run(fn, x, tiles, stride, scale=(), outputs=None):
    """Tile by tile; the same in batches."""
    size = [n * f for n, f in zip(x.shape[1:], scale or (1,) * (x.ndim - 1), strict=True)]
    found = []
    for batch in (1, 3):
        out = np.zeros((outputs or x.shape[0], *size), np.float32)
        said = list(tiled(each(fn, stride), x, out, tiles, stride, scale, batch))
        assert said[-1] == Progress(len(tiles), len(tiles))
        assert len(said) == len(tiles) or batch > 1
        found.append(out)
    np.testing.assert_allclose(*found, atol=1e-5)
    return found[0]


def each(fn, stride):
    def parts_to_results(parts, wanted):
        whole = [padded(np.asarray(part), stride) for part in parts]
        assert len({x.shape for x in whole}) == 1
        found = [fn(x) for x in whole]
        factors = [n // m for n, m in zip(found[0].shape[1:], whole[0].shape[1:], strict=True)]
        inner = tuple(slice(a * f, b * f) for (a, b), f in zip(wanted, factors, strict=True))
        return [y[(slice(None), *inner)] for y in found]

    return parts_to_results


def larger(scale):
    """A net that changes nothing but the size."""

    def fn(x):
        for axis, f in enumerate(scale, 1):
            x = np.repeat(x, f, axis)
        return x

    return fn


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("halo", [0, 5, 8, 16])
@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 2, 2), (4, 1, 3)])
def test_an_identity_net_returns_its_input(size, halo, scale):
    stride = (1, 8, 8)[-len(size) :] if len(size) == 3 else (8, 4)
    x = np.random.default_rng(0).normal(5, 3, (2, *size)).astype(np.float32)
    tiles = tiles_of(size, (32,) * len(size), (halo,) * len(size), stride)
    scale = scale[: len(size)]
    out = run(larger(scale), x, tiles, stride, scale)
    np.testing.assert_array_equal(out, larger(scale)(x))


@pytest.mark.parametrize("size", SIZES)
def test_cores_cover_once_and_pieces_start_on_the_stride(size):
    stride = (4, 8, 8)[-len(size) :]
    tiles = tiles_of(size, (32,) * len(size), (7,) * len(size), stride)
    seen = np.zeros(size, int)
    for tile in tiles:
        seen[tuple(slice(a, b) for a, b in tile.core)] += 1
        for (r0, r1), (c0, c1), n, s in zip(tile.read, tile.core, size, stride, strict=True):
            assert r0 % s == 0
            assert 0 <= r0 <= c0 < c1 <= r1 <= n
            assert c0 == 0 or c0 - r0 >= min(7, c0)
            assert c1 == n or r1 - c1 >= min(7, n - c1)
            assert r1 - r0 <= max(32, 2 * 8 + s)
    assert (seen == 1).all()


def test_a_small_image_is_one_piece():
    assert len(tiles_of((30, 20), (32, 32), (8, 8), (8, 8))) == 1


def net_2d(seed=0):
    torch.manual_seed(seed)
    return UNet(1, 2, (2, 2), ((2, 2), (2, 2)), 8).eval()


def apply(net):
    def fn(x):
        with torch.no_grad():
            return net(torch.from_numpy(x)[None])[0].numpy()

    return fn


@pytest.mark.parametrize(
    ("size", "make"),
    [
        ((151, 93), net_2d),
        ((12, 70, 75), lambda: UNet(1, 2, (1, 2, 2), ((1, 2, 2),), 8).eval()),
    ],
)
def test_tiled_is_whole_where_the_halo_is_as_wide_as_the_net_sees(size, make):
    torch.manual_seed(0)
    net = make()
    x = np.random.default_rng(0).normal(size=(1, *size)).astype(np.float32)
    whole = apply(net)(padded(x, net.stride))[(slice(None), *(slice(0, n) for n in size))]
    edge = [2 * (-(-r // s) * s) + 2 * s for r, s in zip(net.receptive_radius, net.stride, strict=True)]
    tiles = tiles_of(size, edge, net.receptive_radius, net.stride)
    assert len(tiles) > 2
    out = run(apply(net), x, tiles, net.stride, outputs=2)
    np.testing.assert_allclose(out, whole, rtol=1e-4, atol=1e-5)


def test_pieces_off_the_stride_or_without_halo_would_differ():
    net = net_2d()
    x = np.random.default_rng(0).normal(size=(1, 96, 96)).astype(np.float32)
    whole = apply(net)(x)
    assert (
        np.abs(
            run(apply(net), x, tiles_of((96, 96), (32, 32), (0, 0), net.stride), net.stride, outputs=2) - whole
        ).max()
        > 1e-3
    )


def test_dask_in_and_zarr_out(tmp_path):
    import zarr

    x = np.random.default_rng(0).random((1, 50, 60)).astype(np.float32)
    out = zarr.create_array(str(tmp_path / "o.zarr"), shape=x.shape, chunks=(1, 16, 16), dtype="float32", fill_value=0)
    tiles = tiles_of((50, 60), (32, 32), (4, 4), (4, 4))
    same = each(lambda a: a, (4, 4))
    assert len(list(tiled(same, da.from_array(x, chunks=20), out, tiles, (4, 4)))) == len(tiles)
    np.testing.assert_allclose(out[:], x, atol=1e-6)


@pytest.mark.parametrize("size", [(5, 7), (1, 3), (2, 16), (1, 1)])
def test_padded_mirrors_beyond_the_end(size):
    x = np.random.default_rng(0).random((2, *size)).astype(np.float32)
    y = padded(x, (8, 8))
    assert y.shape == (2, *[-(-n // 8) * 8 for n in size])
    np.testing.assert_array_equal(y[:, : size[0], : size[1]], x)
    period = [max(1, 2 * (n - 1)) for n in size]
    for i, j in product(range(y.shape[1]), range(y.shape[2])):
        a, b = i % period[0], j % period[1]
        assert (
            y[0, i, j] == x[0, min(a, period[0] - a) if size[0] > 1 else 0, min(b, period[1] - b) if size[1] > 1 else 0]
        )


@pytest.mark.parametrize("size", [(4000, 4000), (20, 4000, 4000), (300, 17)])
def test_tile_edge_keeps_to_the_pixels(size):
    dims = len(size)
    edge = tile_edge(256.0**2 * 4, (16,) * dims, (8,) * dims, size)
    assert np.prod(edge) <= 256**2 * 4 * 1.01
    assert all(e <= n for e, n in zip(edge, size, strict=True))
    assert np.prod(edge) >= min(np.prod(size), 256**2 * 4) / 2
    tiny = tile_edge(1.0, (16,) * dims, (8,) * dims, size)
    assert all(e == min(n, 40) for e, n in zip(tiny, size, strict=True))
