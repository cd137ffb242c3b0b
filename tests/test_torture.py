"""In small what `benchmarks/torture.py` does at length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import _torture_disk as disk
import _torture_hostile as hostile
import _torture_inputs as inputs
import _torture_kills as kills
import pytest


def test_generated_inputs_are_done_or_refused_with_a_sentence(tmp_path: Path) -> None:
    found = inputs.run(4, tmp_path, seed=5, talk=False)
    assert found["broken"] == {}, found["examples"]


CASE = inputs.Case("denoise", "YX", (1, 1, 1, 40, 40), "float32", "discs", "discs", "npy", "", 2, True, 0)
ONCE_BROKEN = {  # each ended in a traceback
    "booleans": {"dtype": "bool"},
    "halves": {"dtype": "float16"},
    "a pixel of 1e30": {"fill": "hot"},
    "an infinite corner": {"fill": "inf"},
    "values of 1e36": {"fill": "huge", "task": "noise2void"},
    "padding on a finer grid": {"task": "upscale", "fill": "padded", "dtype": "uint8"},
}


@pytest.mark.parametrize("name", ONCE_BROKEN)
def test_values_that_no_camera_gives(tmp_path: Path, name: str) -> None:
    case = replace(CASE, **ONCE_BROKEN[name])
    said = inputs.outcome(lambda: inputs.by_library(case, tmp_path))
    assert said == "done" or said.startswith("refused: All images are constant"), said


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.model(tmp_path_factory.mktemp("good") / "model")


SOME = (  # those that once did harm, and one of each other kind
    "pickle inside of a torch file",
    "nested too deep",
    "billion laughs in the options",
    "options that hold themselves",
    "description is a pipe",
    "weights are a device",
    "weights of 200 GB",
    "readme is a link to a private file",
    "weights that are NaN",
    "a stride of 10,000",
    "a zoom of 10^9",
    "target numbers of another length",
    "one map",
    "zip slip",
)


@pytest.mark.parametrize("name", SOME)
def test_a_hostile_model_is_refused_and_does_nothing(tmp_path: Path, good: Path, name: str) -> None:
    said, outside = hostile.attack(hostile.ATTACKS[name], good, tmp_path)
    assert said.startswith("refused"), said
    assert not outside


def test_what_was_there_stays_where_the_disk_is_full(tmp_path: Path, good: Path) -> None:
    """The model that a training replaces, at its first six writes; a draft, at all of its writes."""
    for n in range(1, 7):
        place = tmp_path / str(n)
        place.mkdir()
        work, look = disk.trained(place, good)
        with disk.full_from(n) as seen:
            said = disk.outcome_of(work)
        assert said.startswith("refused")
        assert len(seen) >= n
        assert look() == ""
    assert disk.run(tmp_path, talk=False, only="autosave", most=8)["broken"] == []


def test_killed_at_random_moments(tmp_path: Path) -> None:
    found = kills.run(4, tmp_path, seed=1, talk=False)
    assert found["broken"] == []
    assert found["kills"] == 4
