from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs
import pytest

from napari_dojo import paths as home


def test_the_variable_moves_the_users_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAPARI_DOJO_HOME", str(tmp_path / "elsewhere"))
    assert home.home() == tmp_path / "elsewhere"
    assert home.models_folder() == tmp_path / "elsewhere" / "models"
    assert home.runs_folder() == tmp_path / "elsewhere" / "runs"
    assert not home.home().exists(), "naming a folder must not create it"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_the_variable_the_system_decides(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("NAPARI_DOJO_HOME", raising=False)
    else:
        monkeypatch.setenv("NAPARI_DOJO_HOME", value)
    assert home.home() == platformdirs.user_data_path("napari-dojo")


def test_a_relative_or_tilde_path_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAPARI_DOJO_HOME", "data")
    assert home.home() == tmp_path / "data"
    monkeypatch.setenv("USERPROFILE" if sys.platform == "win32" else "HOME", str(tmp_path))
    monkeypatch.setenv("NAPARI_DOJO_HOME", os.path.join("~", "data"))
    assert home.home() == tmp_path / "data"


def test_lab_folders_keep_their_order_and_drop_blanks_and_twins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    b, a = tmp_path / "b", tmp_path / "a"
    monkeypatch.setenv("NAPARI_DOJO_MODELS", os.pathsep.join([str(b), "", " ", str(a), str(b)]))
    assert home.lab_folders() == (b, a)


def test_no_lab_folders_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_DOJO_MODELS", raising=False)
    assert home.lab_folders() == ()
