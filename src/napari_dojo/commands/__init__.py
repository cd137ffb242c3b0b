"""The commands of the command line: a module for each, its flags and what it prints."""

__all__ = ["evaluate", "flags", "models", "predict", "recipe", "train"]
