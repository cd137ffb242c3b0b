"""What a recipe would do, in plain sentences, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bright import squares

from napari_dojo.io import images
from napari_dojo.recipes.check import explain, problems
from napari_dojo.recipes.recipe import Recipe

Made = Callable[..., Recipe]
CLASSIFIED = "- predict: {model: bright}\n- classify: {model: glow}\n"
pytestmark = pytest.mark.usefixtures("models")


def test_each_step_is_a_sentence(plate: Path, recipe: Made) -> None:
    steps = "- predict: {model: same}\n- predict: {model: bright, tta: 4}\n- filter: {border: true, area: {min: 20}}\n- measure\n"
    found = explain(recipe(steps))
    assert found.problems == found.misfits == ()
    assert found.sentences[0] == "3 images in plate; the first, A1/a.tif: 48 x 52 (YX) uint16, 0.5 µm a pixel."
    assert "1. Apply same:" in found.text
    assert [said.split("gives ")[-1] for said in found.sentences[1:3]] == ["an image.", "objects."]
    assert "2. Apply bright (tta 4):" in found.text
    assert "3. Remove objects that touch the border; keep objects with area px of 20 or more." in found.text
    assert "Results go to out; subfolders of the images are kept.\nAll images fit." in found.text


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("- predict: {model: lost}", "Step 1 (predict, line 5): There is no model 'lost'"),
        ("- predict: {model: same, threshold: 0.5}", "same (denoise) has no 'threshold' to decode with"),
        ("- measure\n- predict: {model: bright}", "Step 1 (measure, line 5): No step before has found objects"),
        ("- predict: {model: same}\n- filter: {border: true}", "Step 2 (filter, line 6): No step before"),
        ("- predict: {model: bright}\n- predict: {model: bright}", "An earlier step has found objects"),
        ("- predict: {model: bright}\n- filter: {classes: [a]}", "Objects have no classes yet"),
        ("- predict: {model: glow}", "This model classifies. Write classify instead of predict"),
        ("- predict: {model: bright}\n- classify: {model: bright}", "This model does not classify objects"),
        ("- classify: {model: glow}", "No step before has found objects"),
        (f"{CLASSIFIED}- filter: {{classes: [dull]}}", "There is no class 'dull'. Choose among dim, glowing, unsure."),
        ("- predict: {model: bright}\n- export: {tables: true}", "Tables need a measure step"),
        ("- predict: {model: bright}\n- export: {images: true}", "No step predicts an image"),
        ("- predict: {model: same}\n- export", "Nothing would be written"),
        ("- predict: {model: same}", "Nothing would be written"),
        (
            "- predict: {model: same, planes: number}\n- export: {images: true}",
            "planes is not for same (denoise). Remove it.",
        ),
        ("- predict: {model: bright, dtype: input}", "dtype is not for bright (instances). Remove it."),
        ("- predict: {model: bright}\n- export\n- measure", "There is one export step, the last"),
        ("- predict: {model: bright, enabled: false}\n", "No step applies a model"),
    ],
)
def test_steps_that_do_not_fit_together_are_named_with_their_line(recipe: Made, steps: str, said: str) -> None:
    assert any(said in problem for problem in problems(recipe(steps)))


def test_images_that_do_not_fit_are_named_with_the_step(plate: Path, recipe: Made) -> None:
    images.write(plate / "B2" / "stack.tif", np.stack([squares(1)] * 3), "CYX")
    (plate / "broken.tif").write_text("no image")
    found = explain(recipe("- predict: {model: same}\n- predict: {model: two}\n"))
    assert dict(found.misfits)["B2/stack.tif"].startswith("step 1: stack.tif has 3 channels")
    assert dict(found.misfits)["A1/a.tif"].startswith("step 2: This model needs 2 channels")
    assert "holds text" in dict(found.misfits)["broken.tif"]
    assert found.images == 5
    assert "Would be skipped: A1/a.tif, A1/b.tif, B2/a.tif: step 2: This model needs 2 channels" in found.text


def test_no_image_is_a_problem(recipe: Made) -> None:
    assert "does not exist" in explain(recipe("- predict: {model: bright}")).problems[0]


def test_classes_are_named(plate: Path, recipe: Made) -> None:
    assert "2. Give each object a class by glow: dim and glowing." in explain(recipe(CLASSIFIED)).sentences
