"""What the panels share."""

__all__ = [
    "accepted",
    "alone",
    "autosave",
    "background",
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
    "unfinished",
]
