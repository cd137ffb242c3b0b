"""Samples and how they become batches: axes, datasets and splits, intensities, resampling, noise, optics."""

__all__ = [
    "augment",
    "axes",
    "batches",
    "channels",
    "coverage",
    "dataset",
    "edits",
    "kinds",
    "noise",
    "normalize",
    "objects",
    "optics",
    "patches",
    "pixel_classifier",
    "pointing",
    "registration",
    "resample",
    "resident",
    "streamed",
    "units",
]
