"""Which channels of an image are used: chosen by number or name, or the one that a grey picture in colours holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_dojo.errors import DojoError

__all__ = ["chosen", "grey", "in_order", "order_of"]

LOSSY = 3  # of 255; colours of a grey picture differ by less after JPEG


def chosen(
    array: Any, axes: str, channel: str, names: Sequence[str] = (), *, file: str = "The image"
) -> tuple[Any, str, tuple[str, ...]]:
    """An image with the chosen channel alone, its axes and channel names.

    Parameters
    ----------
    array, axes : with a letter of "TZCYX" for each axis; one channel where there is no C.
    channel : a number, 1 is the first, or a name (case does not matter); several, separated by commas, keep the axis C.
    names : of the channels, where they are known.
    file : what the user knows the image by.

    Raises
    ------
    DojoError : there is no such channel; those there are, are named.
    """
    at = axes.find("C")
    count = array.shape[at] if at >= 0 else 1
    wanted = [channel] if _number(channel, count, names) is not None else channel.split(",")
    numbers = [_number(one, count, names) for one in wanted]
    if None in numbers:
        missing = wanted[numbers.index(None)].strip()
        known = f": {', '.join(names)}" if len(names) == count and any(names) else ""
        raise DojoError(
            f"{file} has no channel {missing!r}. It has {count} channel{'s' if count > 1 else ''}{known}; "
            "name one of them, or its number: 1 is the first."
        )
    left = tuple(names[n] for n in numbers if n is not None) if len(names) == count else ()
    if at < 0:
        return array, axes, left
    where = numbers[0] if len(numbers) == 1 else numbers
    taken = array[tuple(where if i == at else slice(None) for i in range(array.ndim))]
    return taken, axes.replace("C", "") if len(numbers) == 1 else axes, left


def grey(array: Any, axes: str) -> Any | None:
    """The one channel that colours hold whose channels are all equal or blank; None where they differ.

    Parameters
    ----------
    array, axes : with an axis C of red, green and blue; the result lacks it.
    """
    colours = np.moveaxis(array, axes.index("C"), 0)
    lit = [c for c in colours if c.min() != c.max()]
    if not lit:
        return colours[0]
    most = LOSSY if colours.dtype == np.uint8 else 0
    first = lit[0].astype(np.int64 if colours.dtype.kind in "iu" else np.float64)
    return None if any(abs(first - c).max() > most for c in lit[1:]) else lit[0]


def _number(channel: str, count: int, names: Sequence[str]) -> int | None:
    """The place of a channel, from 0."""
    text = channel.strip()
    folded = [name.strip().casefold() for name in names]
    if text and text.casefold() in folded:
        return folded.index(text.casefold())
    return int(text) - 1 if text.isdecimal() and 1 <= int(text) <= count else None


def in_order(x: Any, axes: str, names: Sequence[str], known: Sequence[str]) -> Any:
    """An array whose channels are called ``names``, its channels in the order of the ``known`` names where these are the same."""
    order = order_of(names, known)
    return x if "C" not in axes or order is None else x[tuple(order if a == "C" else slice(None) for a in axes)]


def order_of(names: Sequence[str], known: Sequence[str]) -> list[int] | None:
    """Which of the channels called ``names`` comes first, second, ... in ``known``; None where they stay."""
    if tuple(names) == tuple(known) or len(set(names)) < len(names) or set(names) != set(known):
        return None
    return [list(names).index(n) for n in known]
