"""Models applied to images: tiles, arrays, files, and tables of what was found."""

__all__ = [
    "apply",
    "blocks",
    "cluster",
    "decoding",
    "filters",
    "geometry",
    "journal",
    "linking",
    "live",
    "places",
    "predict",
    "predictor",
    "samples",
    "sinks",
    "sources",
    "stores",
    "tables",
    "tiles",
    "tracking",
    "tta",
]
