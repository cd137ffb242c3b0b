"""Names of the files that are kept of a training, in the folder of its run beside the model."""

from __future__ import annotations

__all__ = ["EVENTS", "HELD", "KEPT", "MEMORY", "WATCHED"]

EVENTS = "events.jsonl"  # what happened
HELD = "held.npz"  # parts of images that it was not trained on
MEMORY = "memory.npz"  # parts of images that it was trained on
WATCHED = "watched.npz"  # how it learned
KEPT = (EVENTS, HELD, MEMORY, WATCHED)
