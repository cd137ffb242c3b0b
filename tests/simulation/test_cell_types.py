from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.simulation.cell_types import CELL_TYPES, mixed_cells


@pytest.mark.parametrize("shape", [(160, 200), (10, 64, 64)])
def test_each_label_has_a_type_and_a_seed_gives_the_same_cells(shape: tuple[int, ...]) -> None:
    made, again = mixed_cells(shape, 3), mixed_cells(shape, 3)
    np.testing.assert_array_equal(made.image, again.image)
    assert made.image.shape == (1, *shape)
    assert made.labels.shape == shape
    numbers = np.unique(made.labels)
    assert numbers.tolist() == list(range(len(made.types) + 1))
    assert len(made.pixel_size) == len(shape)
    assert (mixed_cells(shape, 4).image != made.image).any()
    assert len(mixed_cells(shape, 3, most=2).types) == 2


def test_types_differ_in_shape_and_texture_alone() -> None:
    from skimage.measure import regionprops_table

    made = mixed_cells((512, 512), 1)
    wanted = ("area", "solidity", "eccentricity", "intensity_mean", "intensity_std")
    found = regionprops_table(made.labels, made.image[0], properties=wanted)
    found["uneven"] = found["intensity_std"] / found["intensity_mean"]
    assert np.bincount(made.types, minlength=4).min() > 15
    middle = {k: [np.median(v[made.types == t]) for t in range(4)] for k, v in found.items()}
    smooth, granular, spindle, lobed = range(4)
    assert made.names()[0] in CELL_TYPES
    assert middle["uneven"][granular] > 1.2 * middle["uneven"][smooth]
    assert middle["eccentricity"][spindle] > middle["eccentricity"][smooth] + 0.2
    assert middle["solidity"][lobed] < middle["solidity"][smooth] - 0.05
    assert max(middle["area"]) < 1.5 * min(middle["area"])
