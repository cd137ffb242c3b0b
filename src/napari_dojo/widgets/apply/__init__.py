"""The Apply panel."""

__all__ = ["inputs", "model_box", "panel", "results"]
