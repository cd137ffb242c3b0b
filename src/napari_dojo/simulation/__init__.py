"""Images whose ground truth is known: the microscope simulator and the sample data."""

__all__ = [
    "cell_types",
    "microscope",
    "samples",
    "scenes",
    "smlm",
    "strokes",
]
