"""A pair of models in one zip: both are packages, and the recipe in it applies both."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest

from napari_dojo.cli import main
from napari_dojo.models.card import read_card
from napari_dojo.recipes.recipe import read_recipe


@pytest.mark.usefixtures("models")
def test_a_pair_is_packed_and_applied_elsewhere(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair, folder = tmp_path / "pair.zip", tmp_path / "pair"
    argv = ["models", "export", "bright", "--then", "glow", "--out", str(pair)]
    assert main(argv) == 0
    assert "run recipe.yaml" in capsys.readouterr().out
    with zipfile.ZipFile(pair) as z:
        z.extractall(folder)
    assert [read_card(folder / name).task for name in ("bright", "glow")] == ["instances", "classify"]
    recipe = read_recipe(folder / "recipe.yaml")
    assert [recipe.model(s) for _, s in recipe.active[:2]] == [str(folder / "bright"), str(folder / "glow")]  # type: ignore[arg-type]
    out = tmp_path / "out"
    assert main(["run", str(folder / "recipe.yaml"), "--input", str(plate), "--out", str(out)]) == 0
    (table,) = out.glob("*.csv")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert {r["class"] for r in rows} <= {"dim", "glowing"}
    assert main(argv) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.usefixtures("models")
def test_a_model_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "export", "bright", "--then", "none such", "--out", str(tmp_path / "pair.zip")]) == 2
    assert "There is no model 'none such'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
