"""In stages, a network gives what it gives at once."""

from __future__ import annotations

from math import prod

import pytest
import torch
from unets import KINDS, net

from napari_dojo.nets.staged import Staged


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pixels", [40, 300])
@pytest.mark.parametrize("finer", [False, True])
@pytest.mark.parametrize("some", [False, True])
def test_in_stages_it_is_the_whole(kind, pixels, finer, some):
    dims = len(KINDS[kind]["stem"])
    made = net(kind, **({"scale": (2,) * dims, "direct": (0, 0), "out_channels": 2} if finer else {})).double()
    size = tuple((4 if dims == 3 else 5) * s for s in made.stride)
    x = torch.randn(1, 1, *size, dtype=torch.float64)
    wanted = tuple((n // 3, n // 2 + 1) for n in size) if some else tuple((0, n) for n in size)
    whole = made(x).detach()
    out = torch.full_like(whole, torch.nan)

    def key(box, scale):
        return (..., *(slice(a * f, b * f) for (a, b), f in zip(box, scale, strict=True)))

    staged = Staged(
        made, lambda box: x[key(box, (1,) * dims)], size, pixels, torch.inference_mode, wanted if some else ()
    )
    steps = list(staged.run(lambda box, y: out.__setitem__(key(box, made.scale), y)))
    assert len(steps) == staged.steps
    assert (len(steps) > 3) == (len(made.pools) > 0 and prod(size) > pixels)
    inside = key(wanted, made.scale)
    torch.testing.assert_close(out[inside], whole[inside])
