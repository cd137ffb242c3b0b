"""Every example runs, with few steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example), "2"], capture_output=True, text=True, cwd=tmp_path, timeout=110
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
