"""Where the user's models and runs lie, and the folders of models that a lab shares. Names only; creates nothing."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["data_folder", "home", "lab_folders", "models_folder", "runs_folder"]


def home() -> Path:
    """The folder of the user's data: ``$NAPARI_DOJO_HOME``, else the place that the system has for such things.

    Absolute; it may not exist yet.
    """
    named = os.environ.get("NAPARI_DOJO_HOME", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("napari-dojo")


def models_folder() -> Path:
    """The folder of the user's own models, one folder each. It may not exist yet."""
    return home() / "models"


def runs_folder() -> Path:
    """The folder of the jobs that the window started. It may not exist yet."""
    return home() / "runs"


def data_folder() -> Path:
    """The folder of training images that a person asked to have as files. It may not exist yet."""
    return home() / "data"


def lab_folders() -> tuple[Path, ...]:
    """The folders of models named in ``$NAPARI_DOJO_MODELS``, in its order, each once.

    They are separated as in ``PATH`` (":", on Windows ";") and are only ever read. They may not exist.
    """
    named = os.environ.get("NAPARI_DOJO_MODELS", "").split(os.pathsep)
    return tuple(dict.fromkeys(Path(name.strip()).expanduser().absolute() for name in named if name.strip()))
