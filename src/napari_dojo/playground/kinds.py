"""The two kinds of sessions: on points of the plane, and on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from napari_dojo.errors import DojoError
from napari_dojo.playground.image_session import ImageSession
from napari_dojo.playground.image_settings import ImageSetup
from napari_dojo.playground.session import Session
from napari_dojo.playground.settings import Setup

__all__ = ["AnySession", "AnySetup", "session_of", "setup_of"]

AnySetup: TypeAlias = Setup | ImageSetup
AnySession: TypeAlias = Session | ImageSession


def setup_of(values: Mapping[str, Any]) -> AnySetup:
    """The setup of plain values: of images if they have a part of that name. DojoError if a value is invalid."""
    if "images" in values and "points" in values:
        raise DojoError("An exercise has points or images, not both. Remove one.")
    return ImageSetup.of(values) if "images" in values else Setup.of(values)


def session_of(setup: AnySetup, parameters: Any = None, looks: int = 0) -> AnySession:
    """A session with a setup; see `napari_dojo.playground.trainer.Trainer`."""
    if isinstance(setup, ImageSetup):
        return ImageSession(setup, parameters, looks)
    return Session(setup, parameters, looks)
