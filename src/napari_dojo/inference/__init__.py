"""Models applied to images: tiles, arrays, files, and tables of what was found."""

__all__ = [
    "apply",
    "geometry",
    "predict",
    "predictor",
    "sinks",
    "sources",
    "tables",
    "tiles",
    "tta",
]
