"""The Classify panel: classes of objects, shown by clicks."""

__all__ = ["panel"]
