"""Test-time augmentation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_dojo.boxes import Box, scaled, slices
from napari_dojo.inference.tta import Disagreement, Views, orientations, turned
from napari_dojo.nets.base import oriented

ALL = ((0, 6), (0, 9))


@pytest.mark.parametrize(
    ("wanted", "stride", "scale", "quarter", "count"),
    [(8, (4, 4), (1, 1), True, 8), (8, (4, 4), (2, 1), True, 4), (8, (4, 2), (1, 1), True, 4),
     (8, (4, 4), (1, 1), False, 4), (2, (4, 4), (1, 1), True, 2)],
)  # fmt: skip
def test_orientations(wanted: int, stride: tuple[int, ...], scale: tuple[int, ...], quarter: bool, count: int) -> None:
    assert orientations(wanted, stride, scale, quarter) == count


def same(x: Tensor, wanted: Box) -> Tensor:
    """A network that changes nothing."""
    return x[(..., *slices(wanted))].clone()


def first_row(x: Tensor, wanted: Box) -> Tensor:
    """A network that sees only the upper row."""
    y = torch.zeros_like(x)
    y[..., 0, :] = x[..., 0, :]
    return y[(..., *slices(wanted))]


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("wanted", [ALL, ((1, 3), (4, 9))], ids=["all", "a part"])
def test_what_does_not_depend_on_the_orientation_comes_back(count: int, wanted: Box) -> None:
    x = torch.rand(2, 3, 6, 9)
    part = x[(..., *slices(wanted))]
    torch.testing.assert_close(Views(count).of(same, x, wanted), part)
    mean, deviation = Views(count, deviation=True).of(same, x, wanted).split(3, 1)
    torch.testing.assert_close(mean, part)
    torch.testing.assert_close(deviation, torch.zeros_like(part), atol=1e-6, rtol=0)


def test_all_eight_are_different() -> None:
    x = torch.ones(1, 1, 4, 4)
    mean, deviation = Views(8, deviation=True).of(first_row, x, ((0, 4), (0, 4)))[0]
    wanted = torch.zeros(4, 4)
    for edge in ((0, slice(None)), (-1, slice(None)), (slice(None), 0), (slice(None), -1)):
        wanted[edge] += 0.25  # each edge is the upper row in two of the eight
    torch.testing.assert_close(mean, wanted)
    torch.testing.assert_close(deviation, (wanted - wanted**2).sqrt())


@pytest.mark.parametrize("deviation", [False, True])
def test_how_far_two_views_disagree_where_the_first_sees_foreground(deviation: bool) -> None:
    def right_half(x: Tensor, wanted: Box) -> Tensor:
        y = torch.full_like(x, 2.0)
        y[..., 4:] = 5.0
        y[..., 0, :] = -1.0
        return y[(..., *slices(wanted))]

    told = Disagreement()
    Views(4, deviation, told).of(right_half, torch.zeros(1, 2, 4, 8), ((0, 4), (0, 8)))
    assert told.mean == 1.5  # the second view is flipped along X: 5 where the first says 2, half of the difference
    assert Disagreement().mean == 0


@pytest.mark.parametrize("k", range(8))
def test_a_box_goes_where_its_pixels_go(k: int) -> None:
    x, box = torch.arange(2 * 5 * 7).view(2, 5, 7), ((0, 2), (1, 3), (2, 6))
    there = turned(box, x.shape, k)
    assert torch.equal(oriented(x, k)[slices(there)], oriented(x[slices(box)], k))
    assert turned(there, x.shape, k, back=True) == box
    assert torch.equal(oriented(oriented(x, k), k, back=True), x)


def test_an_enlarging_network_gives_the_mean_of_what_it_is_asked_for() -> None:
    def twice(x: Tensor, wanted: Box) -> Tensor:
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)[(..., *slices(scaled(wanted, (2, 2))))]

    x, wanted = torch.rand(1, 1, 4, 6), ((1, 4), (0, 2))
    torch.testing.assert_close(Views(8).of(twice, x, wanted), twice(x, wanted))
