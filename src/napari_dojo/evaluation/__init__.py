"""Scores of models and of results, as tables and figures."""

__all__ = ["compare", "evaluate", "figures", "report"]
