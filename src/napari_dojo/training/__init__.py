"""From a dataset to a model: the plan, the loop, and all that goes with it."""

__all__ = [
    "loop",
    "plan",
    "train",
]
