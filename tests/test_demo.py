"""The demo: the whole story, with a training of a few seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_dojo.cli import main
from napari_dojo.io.images import read


@pytest.mark.first
def test_demo_leaves_scores_and_pictures_and_can_be_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["demo", "--headless", "--out", str(tmp_path), "--minutes", "0.05"]) == 0
    assert "detected" in capsys.readouterr().out
    assert (tmp_path / "scores.csv").read_text().count("\n") >= 3
    pictures = sorted(tmp_path.glob("nuclei*.png"))
    assert [read(p).data.shape for p in pictures] == [(512, 512, 3)] * len(pictures)
    assert pictures
