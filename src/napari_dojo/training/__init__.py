"""From a dataset to a model: the preparation, the plan, the loop, and all that goes with it."""

__all__ = [
    "curve",
    "judge",
    "loop",
    "plan",
    "prepare",
    "recorder",
    "resume",
    "start",
    "train",
    "trials",
    "world",
]
