"""Recipes on folders: what is written, skipped, continued and refused."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from bright import squares
from held import held_but

from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Failed, Message, Progress, Skipped, Written
from napari_dojo.inference import predict
from napari_dojo.io import images
from napari_dojo.recipes.recipe import Recipe, read_recipe
from napari_dojo.recipes.run import in_images, run

Made = Callable[..., Recipe]
pytestmark = pytest.mark.usefixtures("models")
STEPS = "- predict: {model: bright}\n- measure\n- export: {rois: true, tables: true}\n"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def facts_of(recipe: Recipe, **more: Any) -> dict[str, Any]:
    done = list(run(recipe, **more))[-1]
    assert isinstance(done, Done)
    return done.facts


def test_results_lie_in_mirrored_folders_with_one_table_of_all(plate: Path, recipe: Made) -> None:
    said = list(run(recipe(STEPS)))
    done, out = said[-1], plate.parent / "out"
    assert isinstance(done, Done)
    assert (done.facts["images"], done.facts["skipped"], done.facts["rows"], done.facts["stopped"]) == (3, [], 6, False)
    there = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*") if ".recipe" not in p.parts)
    results = [f"{name}.{end}" for name in ("A1/a", "A1/b", "B2/a") for end in ("csv", "tif", "zip")]
    assert there == [*results, "objects.csv", "recipe.yaml"]
    assert [tifffile.imread(out / f"{n}.tif").max() for n in ("A1/a", "A1/b", "B2/a")] == [1, 2, 3]
    rows = rows_of(out / "objects.csv")
    assert [(r["image"], r["object"]) for r in rows] == [
        ("A1/a.tif", "1"), ("A1/b.tif", "1"), ("A1/b.tif", "2"), ("B2/a.tif", "1"), ("B2/a.tif", "2"), ("B2/a.tif", "3"),
    ]  # fmt: skip
    assert {(r["area_px"], r["area_um2"], r["mean_intensity"]) for r in rows} == {("64", "16", "900")}
    assert list(rows[0])[:6] == ["plate", "well", "field", "image", "object", "area_px"]
    assert {r["well"] for r in rows} == {"A1", "B2"}
    assert [Path(e.stored["prediction"]).name for e in said if isinstance(e, Written)] == ["a.tif", "b.tif", "a.tif"]
    assert [(e.done, e.total) for e in in_images(iter(said)) if isinstance(e, Progress)][-1] == (3, 3)
    again = read_recipe(out / "recipe.yaml")
    assert again.files.files(again.base, again.folder) == [plate / "A1/a.tif", plate / "A1/b.tif", plate / "B2/a.tif"]


def test_a_model_takes_what_the_one_before_predicts_and_the_image_is_measured(plate: Path, recipe: Made) -> None:
    """``same`` with other units: its prediction would measure otherwise."""
    said = facts_of(
        recipe("- predict: {model: same}\n- predict: {model: bright}\n- measure\n- export: {images: true}\n")
    )
    out = plate.parent / "out"
    assert said["rows"] == 6
    assert {r["mean_intensity"] for r in rows_of(out / "objects.csv")} == {"900"}
    assert tifffile.imread(out / "B2" / "a (predicted by same).tif").shape == squares(3).shape
    assert tifffile.imread(out / "B2" / "a.tif").max() == 3


def test_filtered_objects_are_in_no_result_and_others_keep_their_numbers(plate: Path, recipe: Made) -> None:
    x = squares(3)
    x[:8, 40:48], x[30:44, 4:18] = 900, 900  # at the border, large
    images.write(plate / "A1" / "c.tif", x, "YX")
    facts_of(recipe("- predict: {model: bright}\n- filter: {border: true, area: {max: 70}}\n- measure\n"))
    labels = tifffile.imread(plate.parent / "out" / "A1" / "c.tif")
    assert len(np.unique(labels)) == 4
    assert labels[0, 44] == labels[36, 10] == 0
    rows = [r for r in rows_of(plate.parent / "out" / "objects.csv") if r["image"] == "A1/c.tif"]
    assert [int(r["object"]) for r in rows] == [v for v in np.unique(labels) if v]
    assert rows[0].keys() >= {"area_um2"}  # of the others: this image has no pixel size
    assert rows[0]["area_um2"] == ""


def test_objects_are_counted_without_being_measured(plate: Path, recipe: Made) -> None:
    counted = facts_of(recipe("- predict: {model: bright}\n- filter: {border: true}\n"))["results"]
    assert [(r["name"], r["objects"]) for r in counted] == [("A1/a.tif", 1), ("A1/b.tif", 2), ("B2/a.tif", 3)]
    made = recipe("- predict: {model: same}\n- export: {images: true}\n", "input: plate\nout: images\n")
    assert [r["objects"] for r in facts_of(made)["results"]] == [None] * 3


def test_broken_images_are_skipped_with_their_reasons(plate: Path, recipe: Made) -> None:
    for k in range(2):
        (plate / "B2" / f"broken{k}.tif").write_text("no image")
    said = list(run(recipe(STEPS)))
    assert [e.name for e in said if isinstance(e, Skipped)] == ["B2/broken0.tif", "B2/broken1.tif"]
    table = rows_of(plate.parent / "out" / "skipped.csv")
    assert [r["image"] for r in table] == ["B2/broken0.tif", "B2/broken1.tif"]
    assert "holds text" in table[0]["reason"]
    again = facts_of(recipe(STEPS))  # nothing but these is tried again
    assert (len(again["results"]), len(again["skipped"]), again["rows"]) == (3, 2, 6)
    for k in range(2):
        shutil.copy(plate / "A1" / "a.tif", plate / "B2" / f"broken{k}.tif")
    assert facts_of(recipe(STEPS))["rows"] == 8
    assert not (plate.parent / "out" / "skipped.csv").exists()


def test_a_stopped_run_continues_where_it_was(plate: Path, recipe: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    control, real = Control(), predict.predict_image
    with monkeypatch.context() as patch:
        held_but(patch, "A1/a.tif")
        for event in run(recipe(STEPS), control=control):
            control.stop |= isinstance(event, Written)
    assert isinstance(event, Done)
    assert event.facts["stopped"]
    assert len(event.facts["results"]) == 1
    done: list[int] = []
    monkeypatch.setattr(predict, "predict_image", lambda *a, **k: done.append(1) or real(*a, **k))
    said = list(run(recipe(STEPS)))
    assert len(done) == 2
    assert said[0] == Message("info", "1 of 3 images were done before. Continuing with the others.")
    assert said[-1].facts["rows"] == 6
    once = (plate.parent / "out" / "objects.csv").read_text()
    assert facts_of(recipe(STEPS), overwrite=True)["rows"] == 6
    assert (plate.parent / "out" / "objects.csv").read_text() == once
    assert len(done) == 5


def test_an_image_that_was_changed_or_whose_result_is_gone_is_done_again(plate: Path, recipe: Made) -> None:
    facts_of(recipe(STEPS))
    images.write(plate / "A1" / "a.tif", squares(3), "YX")
    (plate.parent / "out" / "B2" / "a.tif").unlink()
    assert facts_of(recipe(STEPS))["rows"] == 8
    assert (plate.parent / "out" / "B2" / "a.tif").exists()


def test_results_of_another_recipe_or_of_nobody_are_not_replaced(plate: Path, recipe: Made) -> None:
    out = plate.parent / "out"
    images.write(out / "A1" / "a.tif", squares(1), "YX")
    with pytest.raises(DojoError, match="exists already"):
        facts_of(recipe(STEPS))
    facts_of(recipe(STEPS), overwrite=True)
    with pytest.raises(DojoError, match="by this recipe with other steps"):
        facts_of(recipe(STEPS.replace("- measure", "- filter: {border: true}\n- measure")))


def test_predicted_images_and_tables_of_all_are_not_replaced_either(plate: Path, recipe: Made) -> None:
    made, out = recipe("- predict: {model: same}\n- export: {images: true}\n"), plate.parent / "out"
    for name in ("A1/b (predicted by same).tif", "objects.csv"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(DojoError, match=f"{Path(name).stem.split(' ')[0]}.* exists already"):
            facts_of(made)
        assert (out / name).read_text() == "mine"
        (out / name).unlink()
    assert facts_of(made)["images"] == 3


def test_stopped_before_anything_is_done(plate: Path, recipe: Made) -> None:
    assert isinstance(list(run(recipe(STEPS), control=Control(stop=True)))[-1], Failed)


def test_each_image_of_a_file_has_its_rows(plate: Path, recipe: Made) -> None:
    with tifffile.TiffWriter(plate / "A1" / "b.tif") as tif:
        for k in (1, 2):
            tif.write(squares(k)[: 44 + k], photometric="minisblack", metadata=None)
    assert facts_of(recipe(STEPS))["images"] == 4
    names = [r["image"] for r in rows_of(plate.parent / "out" / "objects.csv")]
    assert names == ["A1/a.tif", "A1/b.tif (image 1)", *["A1/b.tif (image 2)"] * 2, *["B2/a.tif"] * 3]
    assert (plate.parent / "out" / "A1" / "b_image2.tif").exists()
    assert facts_of(recipe(STEPS))["images"] == 4  # nothing is left to do


def test_an_unexpected_error_is_one_of_its_image_alone(
    plate: Path, recipe: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = predict.predict_image

    def fails(ready: Any, image: Any, *more: Any) -> Any:
        if image.name == "A1/b.tif":
            raise ZeroDivisionError("a bug")
        return real(ready, image, *more)

    monkeypatch.setattr(predict, "predict_image", fails)
    found = facts_of(recipe(STEPS))
    assert len(found["results"]) == 2
    assert "Unexpected error (ZeroDivisionError: a bug)" in found["skipped"][0]


def test_parquet_has_types(plate: Path, recipe: Made) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    found = facts_of(recipe("- predict: {model: bright}\n- measure\n- export: {table: parquet}\n"))
    table = parquet.read_table(found["table"])
    assert table.num_rows == 6
    assert [str(table.schema.field(k).type) for k in ("image", "object", "area_um2")] == ["string", "int64", "double"]
    assert not (plate.parent / "out" / "objects.csv").exists()


def test_objects_get_classes_and_are_filtered_by_them(plate: Path, recipe: Made) -> None:
    x = squares(3)
    x[16:24, 20:28] = 650  # the second one is dim
    images.write(plate / "B2" / "a.tif", x, "YX")
    steps = "- predict: {model: bright}\n- classify: {model: glow}\n- measure\n"
    facts_of(recipe(steps))
    rows = rows_of(plate.parent / "out" / "objects.csv")
    assert list(rows[0])[:6] == ["plate", "well", "field", "image", "object", "class"]
    assert [(r["object"], r["class"]) for r in rows[3:]] == [("1", "glowing"), ("2", "dim"), ("3", "glowing")]
    assert all(0.9 < float(r["class_probability"]) <= 1 for r in rows)
    kept = facts_of(recipe(steps.replace("- measure", "- filter: {classes: [dim]}\n- measure")), overwrite=True)
    assert kept["rows"] == 1
    assert np.unique(tifffile.imread(plate.parent / "out" / "B2" / "a.tif")).tolist() == [0, 2]
