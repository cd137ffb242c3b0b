"""The Apply panel."""

__all__ = ["panel"]
