from __future__ import annotations

import pytest
import torch

from napari_dojo.nets.classifier import Classifier
from napari_dojo.nets.registry import NETS, build


@pytest.mark.parametrize(("dims", "size"), [(2, (24, 40)), (3, (8, 16, 16))])
def test_logits_for_any_size(dims: int, size: tuple[int, ...]) -> None:
    net = build(
        "classifier", in_channels=2, out_channels=3, stem=(1,) * dims, pools=((2,) * dims,), width=8, size=(16,) * dims
    )
    assert isinstance(net, NETS["classifier"])
    net.eval()
    assert net(torch.randn(2, 2, *size)).shape == (2, 3)
    assert net.stride == (2,) * dims
    assert net.dims == dims
    assert not net.dense


def test_sharpened_logits_are_a_multiple() -> None:
    net = Classifier(1, 3, (1, 1), ((2, 2),), 8).eval()
    x = torch.randn(4, 1, 16, 16)
    before = net(x)
    net.sharpen(0.5)
    torch.testing.assert_close(net(x), before * 0.5)


def test_orientations_are_averaged_after_training() -> None:
    net = Classifier(1, 3, (1, 1), ((2, 2),), 8, orientations=8, dropout=0.0).eval()
    x = torch.randn(2, 1, 8, 16)
    found = net(x)
    for other in (x.flip(-1), x.flip(-2), x.transpose(-1, -2)):
        torch.testing.assert_close(net(other), found)
    net.orientations = 1
    assert not torch.allclose(net(x.flip(-1)), net(x))
    net.orientations = 8
    net.train()
    assert not torch.allclose(net(x.flip(-1)), net(x))


@pytest.mark.parametrize(
    "bad", [{"orientations": 9}, {"stem": (1,)}, {"size": (8,)}, {"width": 0}, {"dropout": 1.0}, {"pools": ((99, 1),)}]
)
def test_unreasonable_arguments_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"need|size|width|steps|channels|orientations"):
        Classifier(**{"stem": (1, 1), "pools": ((2, 2),), "width": 8, **bad})  # type: ignore[arg-type]
