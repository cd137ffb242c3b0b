"""The Look inside panel."""

__all__ = ["panel"]
