"""Models applied to images: tiles, arrays, files, and tables of what was found."""

__all__ = [
    "apply",
    "decoding",
    "geometry",
    "predict",
    "predictor",
    "sinks",
    "sources",
    "tables",
    "tiles",
    "tta",
]
