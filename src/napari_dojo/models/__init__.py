"""Trained models: what they are, how they are saved and loaded, and which ones there are."""

__all__ = ["bundle", "card", "cover", "kept", "library", "plain_yaml", "watched"]
