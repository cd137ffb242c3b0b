from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.errors import DojoError
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TRANSLATE

PHASE = [simulate("cells", (64, 72), k, contrast="phase").image for k in range(2)]
STAIN = [simulate("cells", (64, 72), k).image for k in range(2)]  # (2, Y, X)


def pairs(x, y, axes, **options):
    return Dataset.of(x, y, Axes.resolve(np.shape(x[0]), axes), layout=TRANSLATE.layout(TRANSLATE.options(**options)))


def test_planes_of_the_input_become_channels_where_the_target_has_none():
    stacks = [np.stack([p] * 5) for p in PHASE]
    found = pairs(stacks, [s[1] for s in STAIN], "ZYX")
    assert (found.channels, found.spatial, found.axes) == (5, "YX", "CYX")
    both = pairs(stacks, [np.stack([s[1]] * 5) for s in STAIN], "ZYX")
    assert (both.channels, both.spatial) == (1, "ZYX")
    neighbours = pairs(stacks, [np.stack([s[1]] * 5) for s in STAIN], "TYX", context=2)
    assert (neighbours.channels, neighbours.context, len(neighbours.samples)) == (5, 2, 10)
    with pytest.raises(DojoError, match="must have the size of the image"):
        pairs(stacks, [s[1][:32] for s in STAIN], "ZYX")


def test_several_targets_have_names():
    found = pairs(PHASE, STAIN, "YX")
    facts = TRANSLATE.summarize(found, TRANSLATE.options())
    assert not facts.errors
    assert len(facts.maps) == 2
    assert facts.maps == ("image 1", "image 2")
    facts = TRANSLATE.summarize(found, TRANSLATE.options(outputs=("body", "nuclei")))
    assert facts.maps == ("body", "nuclei")
    facts = TRANSLATE.summarize(found, TRANSLATE.options(outputs=("one",)))
    assert "1 names were given for 2" in facts.errors[0]


def test_unlike_images_are_no_error():
    facts = TRANSLATE.summarize(pairs(PHASE, [s[1] for s in STAIN], "YX"), TRANSLATE.options())
    assert not facts.errors
    assert not [w for w in facts.warnings if "shift" in w or "place" in w]


@pytest.mark.parametrize("loss", ["absolute", "squared", "structure"])
def test_losses(loss):
    options = TRANSLATE.options(loss=loss)
    y, w = torch.rand(2, 1, 8, 9), torch.ones(2, 1, 8, 9)
    assert TRANSLATE.loss(y, y, w, options) == 0
    off = TRANSLATE.loss(y + 0.5, y, w, options)
    assert off == pytest.approx({"absolute": 0.5, "squared": 0.25, "structure": 0.5}[loss], rel=1e-5)
    edge = y.clone()
    edge[..., 4:] += 1
    assert (TRANSLATE.loss(edge, y, w, options) > TRANSLATE.loss(edge, y, w, TRANSLATE.options())) == (
        loss == "structure"
    )


def test_scores_and_layout():
    assert TRANSLATE.target.own_units
    assert TRANSLATE.layout(TRANSLATE.options(context=3)) == Layout(IMAGE, planes=True, context=3)
    y = STAIN[0][1:].astype(float)
    assert TRANSLATE.score(3 * y + 7, y, None, None).selection_score == pytest.approx(1)
