"""Objects of labels and their classes: what is measured of each, what a person has said, and what follows for the others."""

__all__ = ["classes", "features", "heads"]
