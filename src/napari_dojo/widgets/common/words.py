"""Numbers of things in words."""

from __future__ import annotations

__all__ = ["counted", "done_of"]


def counted(n: int, word: str) -> str:
    """A number of things: "1 image", "1,200 images"."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def done_of(done: int, count: int) -> str:
    """How many images are done: "1 of 3 images is done"."""
    return f"{done:,} of {counted(count, 'image')} {'is' if 1 in (done, count) else 'are'} done"
