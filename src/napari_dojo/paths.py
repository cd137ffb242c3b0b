"""Paths of the user's models and runs, and of shared model folders. Nothing is created here."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["data_folder", "home", "lab_folders", "models_folder", "runs_folder"]


def home() -> Path:
    """The folder of the user's data: ``$NAPARI_DOJO_HOME``, else the platform's user data directory.

    Absolute; it may not exist yet.
    """
    named = os.environ.get("NAPARI_DOJO_HOME", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("napari-dojo")


def models_folder() -> Path:
    """The folder of the user's models, one folder each. It may not exist yet."""
    return home() / "models"


def runs_folder() -> Path:
    """The folder of runs, the jobs started in the window. It may not exist yet."""
    return home() / "runs"


def data_folder() -> Path:
    """The folder of training images exported as files. It may not exist yet."""
    return home() / "data"


def lab_folders() -> tuple[Path, ...]:
    """The shared model folders listed in ``$NAPARI_DOJO_MODELS``, in order, without duplicates.

    They are separated as in ``PATH`` (":", on Windows ";") and never written to. They may not exist.
    """
    named = os.environ.get("NAPARI_DOJO_MODELS", "").split(os.pathsep)
    return tuple(dict.fromkeys(Path(name.strip()).expanduser().absolute() for name in named if name.strip()))
