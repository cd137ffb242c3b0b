"""The Train panel."""

__all__ = ["pair_rows", "panel", "queue"]
