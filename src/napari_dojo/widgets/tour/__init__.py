"""The two-minute tour."""

__all__ = ["panel"]
