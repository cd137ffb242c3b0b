"""Recipes: steps from images to tables, written as YAML, checked, and run on a folder of files overnight."""

__all__ = ["check", "packed", "recipe", "run"]
