"""What is done is known after a kill, and what is not done is not believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.inference.sinks import Stored
from napari_dojo.recipes.journal import Journal, done_entries


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    (tmp_path / "a.tif").write_text("image")
    (tmp_path / "a_result.tif").write_text("labels")
    found = Journal(tmp_path / "out")
    found.begin({"steps": "s", "models": {}}, False)
    return found


def add(journal: Journal, number: int = 0, images: int = 1) -> None:
    result = str(journal.out.parent / "a_result.tif")
    journal.add(journal.out.parent / "a.tif", number, images, Stored(0, "a", "YX", result), {"object": np.arange(3)})


def done(journal: Journal) -> int:
    return len(done_entries(journal, [journal.out.parent / "a.tif"]).get(0, []))


def test_a_file_is_done_with_all_its_images(journal: Journal) -> None:
    add(journal, 0, 2)
    assert done(journal) == 0
    add(journal, 1, 2)
    assert done(journal) == 2
    assert journal.entries(journal.out.parent / "a.tif")[1].rows == 3


@pytest.mark.parametrize("what", ["changed", "gone", "result", "torn"])
def test_what_may_be_wrong_is_done_again(journal: Journal, what: str) -> None:
    add(journal)
    assert done(journal) == 1
    image, result = journal.out.parent / "a.tif", journal.out.parent / "a_result.tif"
    if what == "changed":
        image.write_text("another image")
    elif what == "torn":
        next(p for p in journal.folder.glob("*.json") if p.name != "made_by.json").write_text('{"file": "a')
    else:
        {"gone": image, "result": result}[what].unlink()
    assert done(journal) == 0


def test_a_recipe_by_which_nothing_was_done_is_not_in_the_way(journal: Journal) -> None:
    assert not journal.begin({"steps": "t", "models": {}}, False)
    assert journal.begin({"steps": "t", "models": {}}, False)


def test_other_models_or_steps_are_refused_unless_overwritten(journal: Journal) -> None:
    add(journal)
    assert journal.begin({"steps": "s", "models": {}}, False)
    with pytest.raises(DojoError, match="with other models"):
        journal.begin({"steps": "s", "models": {"m": "1"}}, False)
    with pytest.raises(DojoError, match="with other steps"):
        journal.begin({"steps": "t", "models": {}}, False)
    assert not journal.begin({"steps": "t", "models": {}}, True)
    assert done(journal) == 0
