"""Files: images in all their formats, names that belong together, folders as datasets, outlines, and safe writing."""

__all__ = [
    "atomic",
    "categories",
    "datasets",
    "formats",
    "images",
    "names",
    "outlines",
    "pairing",
    "passed",
    "plates",
    "regions",
    "remote",
    "rois",
    "roles",
    "selection",
    "tables",
]
