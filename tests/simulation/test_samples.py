"""Samples: layers of the right shape, scale and type, and files that say what they are."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tifffile

from napari_dojo.errors import DojoError
from napari_dojo.simulation import samples

ALL = [name for name in samples.__all__ if name != "folder"]
FILES = sorted(samples.folder("nuclei_train").parent.rglob("*.tif"))


@cache
def layers_of(name: str) -> list[Any]:
    """The layers of a sample, made once; those that are simulated are smaller than a person gets them."""
    with patch.multiple(samples, FIELD=(192, 192), STACK=(16, 64, 64)):
        made: list[Any] = getattr(samples, name)()
    return made


@pytest.mark.parametrize("name", ALL)
def test_layers(name: str) -> None:
    layers = layers_of(name)
    names = [options["name"] for _, options, _ in layers]
    assert len(set(names)) == len(names)
    for data, options, kind in layers:
        ndim = data.shape[1] if kind == "points" else data.ndim - options.get("rgb", False)
        assert len(options["axis_labels"]) == ndim
        assert options["metadata"]["source"]
        assert ("scale" in options) == ("units" in options)
        assert len(options.get("scale", options["axis_labels"])) == ndim
        assert options.get("scale") == layers[0][1].get("scale")  # all in one place
        if kind == "labels":
            assert data.dtype.kind in "iu"
            assert data.shape == layers[0][0].shape
            assert data.max() > 0
        if kind == "image":
            assert data.dtype in (np.uint8, np.uint16, np.float32)
            assert data.std() > 0


@pytest.mark.parametrize("name", ALL)
def test_napari_takes_them_without_a_word(name: str) -> None:
    from napari.layers import Layer

    for data, options, kind in layers_of(name):
        layer = Layer.create(data, options, kind)
        assert layer.name == options["name"]
        assert layer._type_string == kind
        assert tuple(layer.scale) == pytest.approx(options.get("scale", (1.0, 1.0)))
        assert [str(u) for u in layer.units] == [
            {"um": "micrometer"}.get(u, u) for u in options.get("units", ("pixel", "pixel"))
        ]


def test_training_set() -> None:
    (images, options, _), (labels, _, _) = layers_of("nuclei_train")
    assert images.shape == labels.shape == (5, 256, 256)
    assert options["axis_labels"] == ("t", "y", "x")
    assert options["units"] == ("pixel", "um", "um")
    assert options["scale"] == pytest.approx((1, 0.4, 0.4))
    for image, truth in zip(images, labels, strict=True):
        assert np.array_equal(np.unique(truth), np.arange(truth.max() + 1))
        assert truth.max() > 25
        assert image[truth > 0].mean() > image[truth == 0].mean() + 20
    assert layers_of("nuclei_test")[0][0].shape == (2, 256, 256)


def test_scales() -> None:
    assert layers_of("nuclei_3d")[0][1]["scale"] == pytest.approx((1.0, 0.5, 0.5))
    assert layers_of("skimage_cell")[0][1]["scale"] == (0.107, 0.107)
    assert layers_of("skimage_tissue")[0][1]["rgb"]


def test_strokes_agree_with_the_truth() -> None:
    strokes = layers_of("cells_strokes")[-1][0]
    truth = tifffile.imread(samples.folder("cells") / "truth" / "cells.tif")
    assert set(np.unique(strokes)) == {0, 1, 2, 3}
    assert np.array_equal(strokes[strokes > 0], truth[strokes > 0])
    assert 0.02 < (strokes > 0).mean() < 0.15


def test_files_are_small() -> None:
    assert len(FILES) == 21
    assert sum(f.stat().st_size for f in FILES) < 1_500_000


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.parent.name}-{f.parent.name}-{f.stem}")
def test_files_have_axes_and_size(file: Path) -> None:
    with tifffile.TiffFile(file) as tif:
        about, page = tif.imagej_metadata, tif.pages[0]
        assert about is not None
        assert about["unit"] == "um"
        assert tif.series[0].axes in ("YX", "ZYX", "CYX")
        assert tif.series[0].dtype == np.uint16
        pixels, per = page.tags["XResolution"].value
        assert 0.05 < per / pixels < 1  # um
        if tif.series[0].axes == "ZYX":
            assert about["spacing"] == pytest.approx(1.0)


def test_the_files_are_what_the_simulator_draws(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "make_samples.py"
    if not script.is_file():
        pytest.skip("needs the source folder")
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("make_samples", script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    scene = module.scene_of_nuclei(1)
    assert np.array_equal(tifffile.imread(samples.folder("nuclei_train") / "labels" / "nuclei_01.tif"), scene.labels)


def test_missing_set_is_named() -> None:
    with pytest.raises(DojoError, match="'stars'"):
        samples.folder("stars")
