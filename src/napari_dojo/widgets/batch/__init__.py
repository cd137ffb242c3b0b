"""The Batch panel: a recipe on folders of images, overnight."""

__all__ = ["panel"]
