"""Train neural networks on microscope images and apply them, in napari and on the command line."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
