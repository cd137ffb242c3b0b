"""Fields of objects that shipped models are trained on."""

import numpy as np
import pytest

from napari_dojo.simulation.objects import inner_depth, random_objects, random_stained


@pytest.mark.parametrize("field", [random_objects, random_stained])
def test_the_same_seed_gives_the_same_field_and_another_one_another(field):
    one, again, other = field(3, (64, 80)), field(3, (64, 80)), field(4, (64, 80))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert one.labels.shape == one.image.shape[:2] == (64, 80)
    assert not np.array_equal(one.image, other.image)


def test_objects_are_light_or_dark_and_differ_from_the_ground():
    contrasts = []
    for seed in range(12):
        made = random_objects(seed, (96, 96))
        assert made.image.dtype == np.uint16
        inside = made.labels > 0
        if inside.any() and not inside.all():
            seen = made.image / made.image.std()
            contrasts.append(float(seen[inside].mean() - seen[~inside].mean()))
    assert max(contrasts) > 0.5
    assert min(contrasts) < -0.5


def test_stained_fields_are_in_colour():
    made = random_stained(0, (96, 96))
    assert (made.image.dtype, made.image.shape) == (np.uint8, (96, 96, 3))
    inside = made.labels > 0
    assert np.abs(made.image[inside].mean(0) - made.image[~inside].mean(0)).max() > 10


def test_the_depth_ends_where_objects_touch():
    labels = np.repeat(np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 0]), 3)[None].repeat(9, 0).astype(np.int32)
    depth = inner_depth(labels)
    assert (depth[labels == 0] == 0).all()
    touching = [14, 15]  # the columns on both sides of the border
    assert (depth[4, touching] == 1).all()
    assert depth[4, 8] > 3
