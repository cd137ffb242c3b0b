from __future__ import annotations

import subprocess
import sys

import pytest

from napari_dojo.metrics.base import pool
from napari_dojo.metrics.objects import InstanceCounts


def test_pool_of_nothing() -> None:
    empty: list[InstanceCounts] = []
    with pytest.raises(ValueError, match="no scores"):
        pool(empty)


def test_import_is_light() -> None:
    names = ("base", "objects", "classes", "images", "residuals", "baselines")
    load = (
        f"import sys, napari_dojo.evaluation.evaluate, {', '.join(f'napari_dojo.metrics.{name}' for name in names)}; "
    )
    ask = "print([m for m in ('torch', 'matplotlib', 'qtpy', 'napari') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", load + ask], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
