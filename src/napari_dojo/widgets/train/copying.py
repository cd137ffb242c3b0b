"""A training as a command or as Python, for the clipboard, with its images as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from qtpy.QtGui import QGuiApplication

from napari_dojo.jobs.runs import Run
from napari_dojo.jobs.scripts import saved_data

__all__ = ["Copied", "copied", "to_clipboard"]


class Copied(NamedTuple):
    """The text, and the folder of the images that it trains on."""

    text: str
    folder: Path


def copied(run: Run, tell: Callable[..., str]) -> Copied:
    """Write the images of a run as files, and what ``tell`` (`as_command`, `as_python`) makes of it; takes a while."""
    given = saved_data(run)
    return Copied(tell(run, given), Path(given.input).parent)


def to_clipboard(text: str) -> None:
    """Put a text on the clipboard, where there is one."""
    clipboard = QGuiApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)
