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
from napari_dojo.models.card import options_of, read_card
from napari_dojo.models.library import export, find, import_model, models, remove
from napari_dojo.paths import models_folder
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TASKS

SHIPPED = "nuclei-fluorescence"
SMALLEST = "upscale-2x-fluorescence"  # to pack


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


def test_a_file_that_is_no_zip_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "image.tif").write_bytes(b"II*\0")
    (tmp_path / "copied.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(DojoError, match=r"image.tif is not a model: it is no zip. Choose the folder or zip"):
        import_model(tmp_path / "image.tif")
    with pytest.raises(DojoError, match=r"copied.zip is damaged: the zip cannot be read"):
        import_model(tmp_path / "copied.zip")


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
    objects = ("objects-grey", "objects-stained")
    shipped = {(name, "shipped") for name in (SHIPPED, "denoise-fluorescence", "upscale-2x-fluorescence", *objects)}
    assert {(m.name, m.origin) for m in models()} == {("mine", "own"), ("ours", "lab"), *shipped}
    with pytest.raises(DojoError, match="no model 'ours' of your own"):
        remove("ours")
    remove("mine")
    assert not (models_folder() / "mine").exists()


def test_a_zip_is_a_model_and_leaves_the_run_behind(tmp_path: Path) -> None:
    shutil.copytree(find(SHIPPED), tmp_path / "m")
    (tmp_path / "m" / "run").mkdir(exist_ok=True)
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


def packed(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED, link: str = "") -> Path:
    """A zip of these files; the one called ``link`` is a symbolic link."""
    with zipfile.ZipFile(path, "w", how) as z:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = how
            info.external_attr = (0o120777 if name == link else 0o100644) << 16
            z.writestr(info, data)
    return path


@pytest.fixture
def files() -> dict[str, bytes]:
    """The files of a shipped model, by name."""
    return {p.name: p.read_bytes() for p in find(SMALLEST).iterdir() if p.is_file()}


@pytest.mark.parametrize(
    ("inside", "how"),
    [
        ("", zipfile.ZIP_STORED),
        ("my model/", zipfile.ZIP_DEFLATED),
        ("a/b/", zipfile.ZIP_BZIP2),
        ("my model\\", zipfile.ZIP_LZMA),
    ],
)
def test_a_zip_is_imported_as_any_program_packs_it(
    tmp_path: Path, files: dict[str, bytes], inside: str, how: int
) -> None:
    junk = {f"__MACOSX/{inside}._{name}": b"\0\5" for name in files} | {".DS_Store": b"x", f"{inside}.DS_Store": b"x"}
    made = {f"{inside}{name}": data for name, data in files.items()}
    path = packed(tmp_path / "nuclei v1.2.zip", {**junk, **made, f"{inside}run/state.pt": b"x"}, how)
    assert read_card(path).task == "upscale"
    target = import_model(path)
    assert target.name == "nuclei v1.2"
    assert {p.name: p.read_bytes() for p in target.iterdir()} == files
    assert find("nuclei v1.2") == target
    assert [p.name for p in models_folder().iterdir()] == ["nuclei v1.2"]
    remove("nuclei v1.2")


def test_a_folder_is_imported_with_dots_in_its_name_and_a_folder_inside(tmp_path: Path) -> None:
    shutil.copytree(find(SHIPPED), tmp_path / "v1.2")
    shutil.copytree(find(SHIPPED), tmp_path / "twice" / "my model")
    assert import_model(tmp_path / "v1.2").name == "v1.2"
    target = import_model(tmp_path / "twice")
    assert (target / "rdf.yaml").exists()
    assert load(tmp_path / "twice").card == load(target).card
    assert {m.name for m in models() if m.origin == "own"} == {"v1.2", "twice"}
    with pytest.raises(DojoError, match=r"You have a model 'v1\.2' already"):
        import_model(tmp_path / "twice", "v1.2")


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "..",
        ".",
        "",
        " ",
        "/tmp/evil",
        "a/b",
        "a\\b",
        "C:evil",
        "CON",
        "nul.txt",
        ".hidden",
        "a.",
        "a\0",
        "x" * 300,
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    before = sorted(models_folder().parent.rglob("*"))
    with pytest.raises(DojoError, match="The model name"):
        import_model(find(SHIPPED), name)
    assert sorted(models_folder().parent.rglob("*")) == before


def test_a_zip_that_leads_outside_or_unpacks_to_too_much_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    bombs: list[tuple[dict[str, bytes], str, str]] = [
        ({"m/../../evil.txt": b"x"}, "", "leads outside"),
        ({"/etc/evil.txt": b"x"}, "", "leads outside"),
        ({"..\\evil.txt": b"x"}, "", "leads outside"),
        ({"weights.pt": b"/etc/passwd"}, "weights.pt", r"holds a link \(weights\.pt\)"),
        ({"big.npy": bytes(70_000_000)}, "", r"unpacks to 70 MB \(big\.npy\)"),
    ]
    for more, link, says in bombs:
        path = packed(tmp_path / "m.zip", {**files, **more}, link=link)
        with pytest.raises(DojoError, match=says):
            import_model(path)
    with pytest.raises(DojoError, match=r"unpacks to 4\.1 MB"):
        import_model(packed(tmp_path / "m.zip", {"rdf.yaml": b"#" * 4_100_000}))
    two = {f"{folder}/{name}": data for folder in "ab" for name, data in files.items()}
    with pytest.raises(DojoError, match="holds several models"):
        import_model(packed(tmp_path / "m.zip", two))
    with pytest.raises(DojoError, match=r"holds no rdf\.yaml"):
        import_model(packed(tmp_path / "m.zip", {"a.txt": b""}))
    (tmp_path / "m.zip").write_bytes(b"Rar!....")
    with pytest.raises(DojoError, match="is no zip"):
        import_model(tmp_path / "m.zip")
    assert not models_folder().exists()
    assert not list(tmp_path.rglob("evil*"))


def test_a_damaged_model_is_not_imported(tmp_path: Path, files: dict[str, bytes]) -> None:
    weights = next(name for name in files if name.startswith("weights"))
    with pytest.raises(DojoError, match=r"weights of the model m\.zip are damaged"):
        import_model(packed(tmp_path / "m.zip", {**files, weights: files[weights][:-1]}))
    assert not models_folder().exists()


def test_the_folder_of_a_lab_that_cannot_be_read_is_left_out(tmp_path, monkeypatch):
    """A server that is not connected."""
    monkeypatch.setenv("NAPARI_DOJO_MODELS", str(tmp_path))
    usual = Path.iterdir

    def refused(path):
        if path == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    assert {model.origin for model in models()} == {"shipped"}


def test_a_model_without_its_weights_is_not_packed(tmp_path: Path) -> None:
    shutil.copytree(find("objects-grey"), tmp_path / "m")
    next((tmp_path / "m").glob("weights-*.pt")).unlink()
    with pytest.raises(DojoError, match=r"m is incomplete: weights-.*\.pt is missing"):
        export(tmp_path / "m", tmp_path / "m.zip")
    assert not (tmp_path / "m.zip").exists()
