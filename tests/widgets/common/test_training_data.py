"""What a training learns from: the check reads layers as the job reads the files made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image

from napari_dojo.io.datasets import read_dataset
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.common.training_data import ClassLayers

pytestmark = pytest.mark.gui
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "axes", "dtype"),
    [((20, 30), "YX", np.uint16), ((20, 30, 3), "YXC", np.uint8), ((6, 20, 30), "ZYX", float)],
)
def test_layers_with_a_class_each_are_read_as_their_files_are(
    shape: tuple[int, ...], axes: str, dtype: type, tmp_path: Path
) -> None:
    scale = {"scale": (0.5,) * len(axes.replace("C", "")), "units": "um"}
    rows = [
        (Image((200 * RNG.random(shape)).astype(dtype), name="a", rgb="C" in axes, **scale), c) for c in ("b", "a", "b")
    ]
    task, data = TASKS["classify"], ClassLayers(tuple(rows), axes)
    seen, said = data.dataset(task, task.options())
    read, told = read_dataset(data.written(tmp_path), task.layout(task.options()))
    assert said == told
    assert (seen.axes, seen.class_names, seen.pixel_size, seen.unit) == (
        read.axes,
        read.class_names,
        read.pixel_size,
        read.unit,
    )
    for one, other in zip(seen.samples, read.samples, strict=True):
        assert (one.name, int(one.y), one.group, one.role) == (other.name, int(other.y), other.group, other.role)
        np.testing.assert_allclose(one.x, other.x, rtol=1e-6)
