"""Which parts of an object its class depends on."""

from __future__ import annotations

import numpy as np

from napari_dojo.data.objects import crops_of, extent_of
from napari_dojo.inference.occlusion import Explained, occlusion


def test_what_is_hidden_where_the_class_depends_on_it_counts():
    x = np.zeros((1, 24, 24), np.float32)
    x[0, 4:8, 16:20] = 1

    def values(images):
        bright = images[:, 0, 4:8, 16:20].mean((1, 2))
        return np.stack([0 * bright, 3 * bright], 1).astype(np.float32)

    importance = occlusion(values, x, 1)
    assert importance.shape == (24, 24)
    assert np.unravel_index(importance.argmax(), importance.shape)[0] < 12
    assert importance[4:8, 16:20].min() > 0.5
    assert not importance[14:, :8].any()
    np.testing.assert_allclose(occlusion(values, x, 0), -importance)


def test_volumes_are_hidden_through_all_planes():
    x = np.ones((2, 3, 12, 12), np.float32)
    x[:, :, :6] = 5
    importance = occlusion(lambda v: np.stack([0 * v[:, 0, 1, 1, 1], v[:, 0, :, 1, 1].sum(1)], 1), x, 1)
    assert importance.shape == (3, 12, 12)
    assert (importance[0] == importance[2]).all()
    assert importance[:, 0, 0].min() > importance[:, 11, 11].max()


def test_the_extent_of_a_crop():
    labels = np.zeros((30, 30), int)
    labels[10:14, 4:12] = 7
    start, stop = extent_of(np.array([10, 4]), np.array([14, 12]), None, 0.25)
    assert (start, stop) == ((6.0, 2.0), (18.0, 14.0))
    assert extent_of(np.array([10, 4]), np.array([14, 12]), 20.0) == ((2.0, -2.0), (22.0, 18.0))
    image = np.arange(900.0).reshape(1, 30, 30)
    crop = crops_of(image, labels, [7], 12, context=0.25)
    np.testing.assert_allclose(crop[0, 0], image[0, 6:18, 2:14])


def test_a_map_ends_at_the_border_of_the_image():
    importance = np.arange(144, dtype=np.float32).reshape(12, 12)
    why = Explained(
        importance, np.ones(2, np.float32), (-5.0, 10.0), (19.0, 34.0)
    )  # 2 px of the image for each of the map
    cut = why.inside((100, 30))
    assert (cut.start, cut.stop) == ((1.0, 10.0), (19.0, 30.0))
    np.testing.assert_array_equal(cut.importance, importance[3:, :10])
    whole = why.inside((19, 40))
    assert whole.importance.shape == (9, 12)
    corner = Explained(importance, why.probability, (-11.0, -11.0), (13.0, 13.0)).inside((1, 1))  # an object of 1 px
    assert corner.importance.shape == (1, 1)
