"""Models applied to images: tiles, arrays, files, and tables of what was found."""

__all__ = [
    "apply",
    "decoding",
    "filters",
    "geometry",
    "linking",
    "predict",
    "predictor",
    "sinks",
    "sources",
    "tables",
    "tiles",
    "tta",
]
