"""Where models are found, and what is not let in."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_dojo.data.optics import bin_pixels
from napari_dojo.data.resample import cubic
from napari_dojo.errors import DojoError
from napari_dojo.inference.predict import predict
from napari_dojo.metrics.images import psnr
from napari_dojo.models.bundle import load
from napari_dojo.models.card import options_of
from napari_dojo.models.library import export, find, import_model, models, remove
from napari_dojo.paths import models_folder
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TASKS

SHIPPED = "nuclei-fluorescence"


def test_the_shipped_model_finds_simulated_nuclei() -> None:
    scene = simulate("nuclei", (192, 192), 3)
    bundle = load(find(SHIPPED))
    score = TASKS["instances"].score(predict(bundle, scene.image, "YX"), scene.labels, None, options_of(bundle.card))
    assert score.ap["0.5"] > 0.7


def test_the_shipped_upscaler_is_better_than_interpolation() -> None:
    scene = simulate("filaments", (192, 192), 21, photons=20)
    coarse = bin_pixels(scene.image, 2, "mean")
    made = predict(load(find("upscale-2x-fluorescence")), coarse, "YX")
    assert made.shape == scene.clean.shape
    assert psnr(scene.clean, made) > psnr(scene.clean, cubic(coarse[None], (2, 2))[0]) + 1


def test_gain_and_offset_of_the_camera_do_not_matter() -> None:
    image = simulate("nuclei", (128, 128), 4).image.astype(np.float32)
    bundle = load(find(SHIPPED))
    assert (predict(bundle, image, "YX") == predict(bundle, image * 0.25 + 200, "YX")).all()


def test_own_shipped_and_lab_models_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(find(SHIPPED), tmp_path / "lab" / "ours")
    monkeypatch.setenv("NAPARI_DOJO_MODELS", str(tmp_path / "lab"))
    import_model(find(SHIPPED), "mine")
    (models_folder() / "broken").mkdir()
    (models_folder() / "broken" / "rdf.yaml").write_text("a: [")
    shipped = {(name, "shipped") for name in (SHIPPED, "denoise-fluorescence", "upscale-2x-fluorescence")}
    assert {(m.name, m.origin) for m in models()} == {("mine", "own"), ("ours", "lab"), *shipped}
    with pytest.raises(DojoError, match="no model 'ours' of your own"):
        remove("ours")
    remove("mine")
    assert not (models_folder() / "mine").exists()


def test_a_zip_is_a_model_and_leaves_the_run_behind(tmp_path: Path) -> None:
    shutil.copytree(find(SHIPPED), tmp_path / "m")
    (tmp_path / "m" / "run").mkdir()
    (tmp_path / "m" / "run" / "state.pt").write_bytes(b"x")
    packed = export(tmp_path / "m", tmp_path / "m.zip")
    assert not any("run" in name for name in zipfile.ZipFile(packed).namelist())
    a, b = load(tmp_path / "m").net.state_dict(), load(packed).net.state_dict()
    assert all(bool((a[k] == b[k]).all()) for k in a)
    with pytest.raises(DojoError, match="exists already"):
        export(tmp_path / "m", packed)


def test_a_name_nobody_has_names_those_there_are() -> None:
    with pytest.raises(DojoError, match=SHIPPED):
        find("nobody")
