"""The Compare panel."""

__all__ = ["panel"]
