"""Recipes as files: read, written, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.inference.filters import Limits, Range
from napari_dojo.inference.tables import USUAL
from napari_dojo.recipes.recipe import (
    Classify,
    Export,
    Filter,
    Measure,
    Predict,
    parsed,
    read_recipe,
    text_of,
    write_recipe,
)
from napari_dojo.settings import PredictSettings

FULL = """\
recipe: 1
input:
- plate/**/*.tif
exclude:
- '*_overview*'
axes: CYX
out: results
steps:
- predict:
    enabled: false
    model: denoise-fluorescence
- predict:
    model: nuclei-fluorescence
    diameter: 21
    threshold: 0.6
- classify:
    model: mitotic-or-not
    unsure: 0.6
- filter:
    border: true
    classes:
    - mitotic
    area_px:
      min: 30
      max: 4000
    circularity:
      min: 0.6
- measure:
    columns:
    - perimeter
    - mean_intensity
    image: input
- export:
    labels: true
    images: false
    rois: true
    tables: false
    table: csv
"""


def test_a_recipe_is_read_and_written_to_the_letter() -> None:
    recipe = parsed(FULL.encode())
    assert (recipe.files.inputs, recipe.files.exclude) == (("plate/**/*.tif",), ("*_overview*",))
    assert (recipe.axes, recipe.out) == ("CYX", "results")
    first, second, classifying, filtering, measuring, export = recipe.steps
    assert first == Predict("denoise-fluorescence", enabled=False)
    assert second == Predict("nuclei-fluorescence", PredictSettings(diameter=21), {"threshold": 0.6})
    assert classifying == Classify("mitotic-or-not", decoding={"unsure": 0.6})
    assert filtering == Filter(Limits(True, (Range("area_px", 30, 4000), Range("circularity", 0.6))), ("mitotic",))
    assert measuring == Measure(("perimeter", "mean_intensity"))
    assert export == Export(rois=True)
    assert [s.line for s in recipe.steps] == [9, 12, 16, 19, 28, 33]
    assert [n for n, _ in recipe.active] == [2, 3, 4, 5, 6]
    assert text_of(recipe) == FULL


def test_what_is_not_said_is_as_usual() -> None:
    recipe = parsed(b"recipe: 1\ninput: a.tif\nsteps:\n- predict: {model: m}\n- filter: {area: {max: 9}}\n- measure\n")
    assert recipe.steps[1] == Filter(Limits(ranges=(Range("area_px", None, 9),)))
    assert recipe.steps[2] == Measure(USUAL)
    assert recipe.export == Export()
    assert recipe.files.subfolders


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("rois: true", "roi: true"), "r.yaml, line 36: export has no key 'roi'. Did you mean rois?"),
        (("- filter:", "- filtre:"), "r.yaml, line 19: There is no step 'filtre'. Did you mean filter?"),
        (("diameter: 21", "diameter: big"), "r.yaml, line 14: predict: Diameter must be a number; got 'big'."),
        (("min: 30", "least: 30"), "r.yaml, line 23: filter: area_px needs a number for min"),
        (("max: 4000", "max: 3"), "line 23: filter: min of area_px is larger than max: 30 and 3."),
        (("border: true", "border: 3"), "line 20: filter: border is true"),
        (("- perimeter", "- girth"), "line 29: measure: There is no measurement 'girth'"),
        (("table: csv", "table: xls"), "line 38: export: One table of all must be one of csv, parquet, none"),
        (("axes: CYX", "axes: CYX\naxes: YX"), "line 7: axes is there twice"),
        (("out: results", "outt: results"), "line 7: a recipe has no key 'outt'. Did you mean out?"),
        (("recipe: 1", "recipe: 2"), "line 1: A recipe starts with recipe: 1"),
        (("  enabled: false", "  enabled: 7"), "line 10: enabled is true or false"),
        (("out: results", "out: {{"), "r.yaml, line "),
    ],
)
def test_mistakes_are_named_with_their_line(change: tuple[str, str], said: str) -> None:
    text = FULL.replace(*change, 1)
    with pytest.raises(DojoError) as error:
        parsed(text.encode(), "r.yaml")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "7", "- a", "recipe: 1", "recipe: 1\nsteps: 3", "a: !!python/object/apply:os.getcwd []"]
)
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(DojoError):
        parsed(text.encode())


def test_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.yaml"
    write_recipe(path, parsed(FULL.encode()))
    assert path.read_text() == FULL
    assert read_recipe(path).folder == tmp_path / "deep" / "results"


def test_the_command_line_replaces_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = parsed(FULL.encode()).chosen(["b"], None, ["*x*"], "YX", Path("there"))
    assert recipe.files.inputs == (str(tmp_path / "b"),)
    assert recipe.files.exclude == ("*x*",)
    assert (recipe.axes, recipe.folder) == ("YX", tmp_path / "there")


def test_a_file_of_another_kind_is_one_sentence() -> None:
    with pytest.raises(DojoError, match="this is no YAML") as refused:
        parsed(b"II*\0\1\2", "a.tif")
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DojoError, match=r"The recipe .*none\.yaml cannot be read"):
        read_recipe(tmp_path / "none.yaml")


def test_paths_in_the_folder_of_the_file_are_relative(tmp_path: Path) -> None:
    """So that a folder with images and recipe can be moved."""
    recipe = parsed(f"recipe: 1\ninput: [{tmp_path}/a/*.tif, /elsewhere]\nout: r\nsteps: [measure]".encode())
    found = recipe.beside(tmp_path)
    assert found.files.inputs == ("a/*.tif", str(Path("/elsewhere").absolute()))
    assert found.folder == Path("r").absolute()
