"""What every test can rely on: its own user folder, few threads, and a plain word about what cannot run here."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NEEDS_DISPLAY = {"make_napari_viewer", "make_napari_viewer_proxy", "qapp", "qtbot"}

# Before torch and numpy are loaded, and inherited by the jobs that tests start.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """What is loaded now stays: no test looks through it again for garbage."""
    gc.disable()
    found = yield
    gc.freeze()
    gc.enable()
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.get_closest_marker("first"))
    no_data = pytest.mark.skip(reason=f"the image sets are not there: {SHARED_DATA}")
    no_display = pytest.mark.skip(reason="there is no display: set DISPLAY, or use `make test`, which brings Xvfb")
    no_qt = pytest.mark.skip(reason="pytest-qt is not loaded: Qt does not start on this machine")
    data, display, qt = SHARED_DATA.is_dir(), _display(), config.pluginmanager.hasplugin("pytest-qt")
    for item in items:
        if not data and item.get_closest_marker("needs_shared_data"):
            item.add_marker(no_data)
        if item.get_closest_marker("gui") or NEEDS_DISPLAY & set(getattr(item, "fixturenames", ())):
            if not display:
                item.add_marker(no_display)
            elif not qt:
                item.add_marker(no_qt)


def _display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test sees or changes the models, runs and napari settings of who runs it."""
    home = tmp_path.with_name(tmp_path.name + "-home")
    monkeypatch.setenv("NAPARI_DOJO_HOME", str(home))
    monkeypatch.setenv("NAPARI_CONFIG", str(home / "napari.yaml"))
    monkeypatch.delenv("NAPARI_DOJO_MODELS", raising=False)
    return home


@pytest.fixture
def shared_data() -> Path:
    """The folder of image sets; for tests marked ``needs_shared_data``."""
    return SHARED_DATA
