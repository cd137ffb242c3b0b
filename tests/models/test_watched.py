"""Results at the checks of a training: which part, how many, and that they come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_dojo.models.kept import WATCHED
from napari_dojo.models.watched import MOST, Watched


def test_the_middle_of_an_image_is_kept() -> None:
    assert Watched.box((100, 600)) == (slice(0, 100), slice(172, 428))
    assert Watched.box((600, 100), (2, 2)) == (slice(344, 856), slice(0, 200))
    assert Watched.box((40, 40, 400))[0] == slice(12, 28)


@pytest.mark.parametrize("labels", [True, False])
def test_results_come_back_and_of_many_every_second_one(labels: bool, tmp_path: Path) -> None:
    image = np.arange(24, dtype=np.uint16).reshape(1, 4, 6)
    watched = Watched(image, labels)
    watched.write(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for step in range(10, 10 * (MOST + 2), 10):
        result = np.full((4, 6) if labels else (1, 4, 6), step)
        watched = watched.after(step, f"mean AP {step}", result)
    watched.write(tmp_path / "run")
    again = Watched.read(tmp_path)
    assert again is not None
    assert again.steps == tuple(range(10, 10 * (MOST + 2), 20))
    assert again.figures[-1] == f"mean AP {again.steps[-1]}"
    images, results = again.stacked()
    assert images.shape == results.shape == (len(again.steps), 4, 6)
    np.testing.assert_array_equal(results[:, 0, 0], again.steps)
    np.testing.assert_array_equal(images[3], image[0])


def test_intensities_of_sixteen_bits_stay() -> None:
    bright = np.array([[[0, 4097, 65_535]]], np.uint16)
    _, results = Watched(bright, False).after(1, "PSNR 30 dB", bright).stacked()
    np.testing.assert_array_equal(results, bright)


def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    assert Watched.read(tmp_path) is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / WATCHED).write_bytes(b"no archive")
    assert Watched.read(tmp_path) is None
