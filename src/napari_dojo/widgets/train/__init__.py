"""The Train panel."""

__all__ = ["rows", "panel", "queue"]
