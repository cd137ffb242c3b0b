"""Classes of objects and images, from training to the table: with labels, after a segmentation, scored, exported."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from bright import bright

from napari_dojo import device
from napari_dojo.cli import main
from napari_dojo.inference.apply import apply
from napari_dojo.inference.predict import Ready
from napari_dojo.inference.sources import FileSource
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.models.bundle import load
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import CLASSIFY


def objects(root: Path) -> Path:
    """Six images with four squares each: two plain ones and two with a dark middle."""
    rng, rows = np.random.default_rng(0), ["file,label,class"]
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for i in range(6):
        x, y = rng.normal(100, 5, (64, 72)), np.zeros((64, 72), np.uint8)
        for k in range(4):
            a, b = 6 + 30 * (k // 2), 6 + 34 * (k % 2)
            x[a : a + 12, b : b + 12], y[a : a + 12, b : b + 12] = 900, k + 1
            if k % 2:
                x[a + 3 : a + 9, b + 3 : b + 9] = 600
            rows.append(f"{i}.tif,{k + 1},{('plain', 'ring')[k % 2]}")
        tifffile.imwrite(root / "images" / f"{i}.tif", x.astype(np.uint16))
        tifffile.imwrite(root / "labels" / f"{i}.tif", y)
    (root / "classes.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The images, and a model that has learned them."""
    root = objects(tmp_path_factory.mktemp("objects"))
    torch.set_num_threads(1)
    argv = ["train", "classify", "--input", str(root / "images"), "--target", str(root / "labels"), "--start", "none"]
    argv += ["--classes", str(root / "classes.csv"), "--out", str(root / "m"), "--steps", "60", "--width", "8"]
    argv += ["--validation", "0.2"]  # without a cross-validation, which is in test_every_task.py
    assert main([*argv, "--batch", "16", "--device", "cpu"]) == 0
    return root, root / "m"


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((path / "classes.csv").read_text().splitlines()))


def test_each_object_of_given_labels_gets_a_class(trained: tuple[Path, Path], tmp_path: Path) -> None:
    root, model = trained
    argv = ["predict", str(model), str(root / "images"), "--out", str(tmp_path / "o"), "--device", "cpu"]
    assert main([*argv, "--target", str(root / "labels")]) == 0
    found = rows(tmp_path / "o")
    assert list(found[0]) == ["file", "label", "class", "probability", "p_plain", "p_ring"]
    assert [(r["file"], r["label"]) for r in found[:5]] == [
        ("0.tif", "1"),
        ("0.tif", "2"),
        ("0.tif", "3"),
        ("0.tif", "4"),
        ("1.tif", "1"),
    ]
    right = [r["class"] == ("plain", "ring")[(int(r["label"]) - 1) % 2] for r in found]
    assert np.mean(right) > 0.8
    for r in found:
        assert float(r["p_plain"]) + float(r["p_ring"]) == pytest.approx(1, abs=1e-5)
        assert float(r["probability"]) == pytest.approx(float(r[f"p_{r['class']}"]))
    assert main([*argv, "--target", str(root / "labels")]) == 2  # it is there already
    sure = [*argv, "--target", str(root / "labels"), "--overwrite", "--unsure", "1"]
    assert main(sure) == 0
    assert "unsure" in {r["class"] for r in rows(tmp_path / "o")}


def test_without_labels_it_says_what_is_missing(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, model = trained
    assert main(["predict", str(model), str(root / "images" / "0.tif"), "--out", str(tmp_path), "--device", "cpu"]) == 2
    assert "Name them with --target" in capsys.readouterr().err
    argv = ["predict", str(model), str(root / "images"), "--out", str(tmp_path), "--then", str(model)]
    assert main(argv) == 2
    assert "detects no objects" in capsys.readouterr().err


def test_objects_that_another_model_finds_are_classified_at_once(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, model = trained
    files = tuple(sorted((root / "images").iterdir()))[:2]
    asked, choose = [], device.choose
    monkeypatch.setattr(device, "choose", lambda name: asked.append(name) or choose(name))
    sink = TiffSink(files, tmp_path / "o", then=str(model), device="cpu")
    list(apply(Ready.of(bright(), PredictSettings(device="cpu")), [FileSource(p) for p in files], sink))
    assert asked == ["cpu", "cpu"]
    found = rows(tmp_path / "o")
    labels = tifffile.imread(tmp_path / "o" / "0.tif")
    assert [int(r["label"]) for r in found if r["file"] == "0.tif"] == list(range(1, labels.max() + 1))
    assert labels.max() > 0
    assert {r["class"] for r in found} <= {"plain", "ring"}
    argv = ["predict", "objects-grey", *map(str, files), "--device", "cpu", "--then", str(model)]
    for sure in ("1", "0"):  # said of the classes, with a value of the objects beside it
        out = tmp_path / sure
        assert main([*argv, "--out", str(out), "--unsure", sure, "--minimum-area", "1"]) == 0
        assert rows(out)
        assert {r["class"] for r in rows(out)} & {"unsure"} == ({"unsure"} if sure == "1" else set())
    assert main([*argv, "--out", str(tmp_path / "no"), "--unsure", "2"]) == 2


def test_objects_are_scored(trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    root, model = trained
    argv = [
        "evaluate",
        str(model),
        "--input",
        str(root / "images"),
        "--target",
        str(root / "labels"),
        "--device",
        "cpu",
    ]
    assert main([*argv, "--classes", str(root / "classes.csv"), "--json"]) == 0
    score = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert score["classes"] == ["plain", "ring"]
    assert score["accuracy"] > 0.8
    assert np.sum(score["confusion"]) == score["scored"] == 24
    assert 0 < score["f1"] <= 1
    assert score["baseline"]["accuracy"] == 0.5


def test_bioimageio_accepts_and_runs_it(trained: tuple[Path, Path]) -> None:
    _, model = trained
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import bioimageio.core
        from bioimageio.spec import load_description

        summary = bioimageio.core.test_model(load_description(model / "rdf.yaml"), devices=["cpu"])
        assert summary.status == "passed", summary.display()


def test_the_card_knows_how_objects_are_cut(trained: tuple[Path, Path]) -> None:
    _, model = trained
    bundle = load(model)
    assert bundle.card.options["side"] == 18
    assert CLASSIFY.layout(CLASSIFY.options(side=18.0, shape=(24, 24))).size == (24, 24)
    assert bundle.card.net_options["size"] == [24, 24]
    assert bundle.card.data["objects"] == 24


def test_the_saved_logits_are_divided_by_the_temperature_and_an_unreadable_image_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(12):
        image = np.random.default_rng(i).integers(0, 100 + 100 * (i % 2), (16, 16)).astype(np.uint8)
        (tmp_path / "in" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(tmp_path / "in" / "ab"[i % 2] / f"{i}.tif", image)
    (tmp_path / "in" / "a" / "broken.tif").write_bytes(b"no image")
    heads = []
    for temperature in (1.0, 4.0):
        monkeypatch.setattr("napari_dojo.training.judge.Judge.temperature", lambda self, maps, t=temperature: t)
        out = tmp_path / f"m{temperature}"
        argv = ["train", "classify", "--input", str(tmp_path / "in"), "--out", str(out), "--start", "none"]
        assert main([*argv, "--steps", "2", "--width", "8", "--device", "cpu"]) == 1  # some were excluded
        assert "broken.tif" in capsys.readouterr().err
        heads.append(torch.cat([p.flatten() for p in load(out).net.head.parameters()]))
    torch.testing.assert_close(heads[1], heads[0] / 4)
