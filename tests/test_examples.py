"""Every example runs, with few steps."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.first
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_example(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(example), "2"])
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.strip()
