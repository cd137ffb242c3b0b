"""The Annotate panel: correct objects with tools, accept them, undo everything with one key."""

__all__ = ["panel"]
