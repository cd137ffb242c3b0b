from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from unets import KINDS, net

from napari_dojo.errors import DojoError
from napari_dojo.nets import NETS, build
from napari_dojo.nets.unet import UNet, fold, fuse, unfold


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_pixel_sees_no_farther_than_it_says(kind):
    made = net(kind).double()
    size = [2 * (-(-(r + 1) // s) * s) + 2 * s for r, s in zip(made.receptive_radius, made.stride, strict=True)]
    x = torch.randn(1, 1, *size, dtype=torch.float64, requires_grad=True)
    out = made(x)
    farthest = np.zeros(len(size))
    for shift in range(max(made.stride)):  # every place inside a coarse cell
        at = tuple(n // 2 + shift % s for n, s in zip(size, made.stride, strict=True))
        (seen,) = torch.autograd.grad(out[(0, 0, *at)], x, retain_graph=True)
        where = np.argwhere(seen[0, 0].numpy() != 0)
        farthest = np.maximum(farthest, np.abs(where - at).max(0))
    assert (farthest <= made.receptive_radius).all(), (farthest, made.receptive_radius)
    assert (farthest >= 0.5 * np.asarray(made.receptive_radius)).all(), "an upper bound, but not a wild one"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [{}, {"scale": 2, "direct": (0, 0), "out_channels": 2}])
def test_a_part_is_that_of_the_whole(kind, more):
    """Anywhere, at the border and off the stride, in training and where nothing is trained."""
    made = net(kind, **more | ({"scale": (more["scale"],) * len(KINDS[kind]["stem"])} if more else {})).double()
    size = [(4 if len(made.stride) == 3 else 9) * s for s in made.stride]
    x, rng = torch.randn(2, 1, *size, dtype=torch.float64), np.random.default_rng(0)
    whole = made(x)
    boxes = [[sorted(rng.choice(n + 1, 2, replace=False).tolist()) for n in size] for _ in range(4)]
    for box in [[(0, n) for n in size], [(0, 1) for _ in size], [(n - 1, n) for n in size], *boxes]:
        box = tuple(map(tuple, box))
        inner = (..., *(slice(a * f, b * f) for (a, b), f in zip(box, made.scale, strict=True)))
        torch.testing.assert_close(made.part(x, box), whole[inner])
        with torch.inference_mode():
            torch.testing.assert_close(made.part(x, box), whole[inner])


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_and_stride(kind):
    made = net(kind, in_channels=3, out_channels=5)
    size = [2 * s for s in made.stride]
    assert made(torch.zeros(2, 3, *size)).shape == (2, 5, *size)
    assert made.out_channels == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_shift_by_the_stride_shifts_the_output(kind):
    made = net(kind)
    size = [2 * (-(-r // s) * s) + 4 * s for r, s in zip(made.receptive_radius, made.stride, strict=True)]
    x = torch.randn(1, 1, *size)
    inner = tuple(slice(n // 2, n // 2 + s) for n, s in zip(size, made.stride, strict=True))
    dims = tuple(range(2, 2 + len(size)))
    with torch.no_grad():
        moved = made(x.roll([-s for s in made.stride], dims))[(0, 0, *inner)]
        at = tuple(slice(i.start + s, i.stop + s) for i, s in zip(inner, made.stride, strict=True))
        torch.testing.assert_close(moved, made(x)[(0, 0, *at)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_fused_is_unfused(kind):
    made = net(kind)
    x = torch.randn(2, 1, *[2 * s for s in made.stride])
    fused = fuse(deepcopy(made))
    with torch.no_grad():
        torch.testing.assert_close(fused(x), made(x), rtol=1e-4, atol=1e-5)
    assert not any("BatchNorm" in type(m).__name__ for m in fused.modules())
    normed = any("BatchNorm" in type(m).__name__ for m in made.modules())
    assert normed == KINDS[kind].get("norm", True)


@pytest.mark.parametrize("scale", [(2, 2), (3, 3), (1, 4), (4, 1, 1)])
def test_upsampled_outputs_begin_as_the_interpolated_image(scale):
    stem = (1,) * (len(scale) - 2) + (2, 2)
    made = UNet(2, 1, stem, (), 8, scale=scale, direct=(1,), norm=False).eval()
    x = torch.zeros(1, 2, *(16,) * len(scale))
    ramp = torch.arange(16, dtype=torch.float32)
    x[:, 1] = ramp  # along X
    with torch.no_grad():
        out = made(x)[0, 0]
    assert out.shape == tuple(16 * f for f in scale)
    places = (torch.arange(16 * scale[-1]) + 0.5) / scale[-1] - 0.5  # the outer edges stay in place
    inner = slice(3 * scale[-1], -3 * scale[-1])
    torch.testing.assert_close(out[(0,) * (len(scale) - 1)][inner], places[inner], rtol=0, atol=1e-4)


def test_the_pixels_of_a_cell_begin_alike():
    made = net("2-D, stem", scale=(2, 2))
    x = torch.full((1, 1, 8, 8), 0.7)
    with torch.no_grad():
        out = made(x)[0, 0]
    cells = out.reshape(4, 4, 4, 4)  # 4 x 4 cells of 4 x 4 pixels
    torch.testing.assert_close(cells, cells[:, :1, :, :1].expand_as(cells))


def test_without_norm_and_bias_a_gain_passes_through():
    made = net("no norm")
    with torch.no_grad():
        for name, values in made.named_parameters():
            if name.endswith("bias"):
                values.zero_()
        x = torch.randn(1, 1, 16, 16)
        torch.testing.assert_close(made(3 * x), 3 * made(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"scale": (2,)}, {"scale": (0, 2)}, {"direct": (1,)}, {"direct": (0, 0)}])
def test_wrong_scales_and_ways_are_refused(wrong):
    with pytest.raises(ValueError, match=r"scale|direct"):
        UNet(1, 1, **wrong)


@pytest.mark.parametrize("cell", [(2, 2), (1, 1), (3, 2), (1, 2, 2), (2, 3, 4)])
def test_unfold_undoes_fold(cell):
    x = torch.arange(2 * 3 * np.prod([2 * c for c in cell]), dtype=torch.float32).reshape(2, 3, *[2 * c for c in cell])
    assert torch.equal(unfold(fold(x, cell), cell), x)


def test_fold_puts_the_pixels_of_a_cell_together():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert fold(x, (2, 2))[0, :, 0, 1].tolist() == [2, 3, 6, 7]


def test_nothing_looks_at_the_whole_image():
    forbidden = ("InstanceNorm", "GroupNorm", "LayerNorm", "Adaptive")
    assert not [m for kind in KINDS for m in net(kind).modules() if any(f in type(m).__name__ for f in forbidden)]


def test_build():
    assert isinstance(build("unet", in_channels=1, out_channels=2, width=8), UNet)
    assert set(NETS) == {"unet", "classifier"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("os.system", {}),
        ("unet", {"command": "ls"}),
        ("unet", {"stem": [2]}),
        ("unet", {"stem": 2}),
        ("unet", {"stem": [2, 2], "pools": [[2]]}),
        ("unet", {"stem": ["a", "b"]}),
        ("unet", {"width": None}),
        ("unet", {"width": -5, "growth": float("inf")}),
        ("unet", {"in_channels": 0}),
        ("unet", {"in_channels": -3}),
        ("unet", {"width": 10**6}),
        ("unet", {"growth": 8.0, "pools": [[2, 2]] * 9}),
        ("unet", {"pools": [[1, 1]] * 10**5, "width": 4096}),
    ],
)
def test_what_is_no_net_is_refused(name, options):
    with pytest.raises(DojoError, match="net"):
        build(name, **options)
