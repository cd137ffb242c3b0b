"""The classroom: a small dense net that learns before one's eyes. Numpy alone, without torch and without a window.

session = Session(load("parabola").solution)
for record in session.run():
print(record.epoch, record.validation)
"""

from __future__ import annotations

from napari_dojo.playground.session import Session
from napari_dojo.playground.settings import Learning, NetShape, PointSet, Setup
from napari_dojo.playground.trainer import Record, Score, Trainer

__all__ = [
    "Learning",
    "NetShape",
    "PointSet",
    "Record",
    "Score",
    "Session",
    "Setup",
    "Trainer",
    "activations",
    "advice",
    "commands",
    "convolution",
    "counts",
    "exercise",
    "formula",
    "glossary",
    "goal",
    "image_session",
    "image_settings",
    "images",
    "kinds",
    "losses",
    "net",
    "optimizers",
    "points",
    "representation",
    "scripts",
    "session",
    "settings",
    "share",
    "slow",
    "surface",
    "trainer",
]
