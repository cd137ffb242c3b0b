"""What the panels share."""

__all__ = [
    "alone",
    "closing",
    "form",
    "icons",
    "latest",
    "layers",
    "measurements",
    "numbering",
    "options",
    "panel",
    "pick",
    "plot",
    "provenance",
    "run",
    "table",
    "turns",
]
