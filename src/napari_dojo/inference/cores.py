"""How many images and blocks are predicted at this moment: all that are share the cores of a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local

__all__ = ["shares", "under_way", "waiting"]


class _Busy(local):
    """How deep this thread is in `under_way`."""

    depth = 0


_turn = Lock()
_mine = _Busy()
_count = [0]


def shares() -> int:
    """Among how many images and blocks the cores are shared now."""
    return max(1, _count[0])


@contextmanager
def under_way() -> Iterator[None]:
    """Within it, this thread predicts an image or a block, and reads and writes it.

    One network with one thread for each image takes less time than one after the other with all threads, which wait for each
    other, and for what decodes beside them.
    """
    first = not _mine.depth
    _mine.depth += 1
    _add(int(first))
    try:
        yield
    finally:
        _mine.depth -= 1
        _add(-int(first))


@contextmanager
def waiting() -> Iterator[None]:
    """Within it, this thread waits for others that do the work on its image."""
    ours = int(_mine.depth > 0)
    _add(-ours)
    try:
        yield
    finally:
        _add(ours)


def _add(more: int) -> None:
    with _turn:
        _count[0] += more
