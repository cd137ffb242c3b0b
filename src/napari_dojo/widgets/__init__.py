"""The panels in napari: the only folder that knows Qt and napari. Its process never loads torch."""

from __future__ import annotations

__all__: list[str] = []
