"""The Train panel."""

__all__ = ["panel"]
