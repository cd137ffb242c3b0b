"""Every example runs, with few steps of a small network."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path

import pytest

from napari_dojo.settings import TrainSettings

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_example(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = partial(TrainSettings, patch=32, batch=1, width=8, depth=2)
    monkeypatch.setattr("napari_dojo.settings.TrainSettings", tiny)
    monkeypatch.setattr("sys.argv", [str(example), "2"])
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.strip()
