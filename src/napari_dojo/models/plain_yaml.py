"""YAML from strangers as plain values: no tags, no structure that is deep, endless or grows without limit."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import Any

import yaml

__all__ = ["MOST", "plain_yaml"]

DEEPEST = 50  # levels; the composer is recursive and ends the process on some ten thousand
MOST = 200_000  # values, each alias counted as all that it stands for
LONGEST = 400  # digits of a number


def plain_yaml(raw: bytes) -> Any:
    """The values of a YAML document. Those of the last few documents are kept: cards of models are read over and over.

    Raises
    ------
    ValueError : no YAML, tags, nested too deep, an alias that holds itself, or too many values.
    """
    return deepcopy(_values(raw))


@lru_cache(maxsize=32)
def _values(raw: bytes) -> Any:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check(raw, loader)
        return yaml.load(raw, loader)
    except (yaml.YAMLError, RecursionError, OverflowError) as e:
        raise ValueError(f"no plain YAML: {e}") from e


def _check(raw: bytes, loader: Any) -> None:
    """ValueError where composing the document would take too much."""
    sizes: dict[str, int] = {}  # of what anchors stand for, once they are complete
    open_: list[tuple[str | None, int]] = [(None, 0)]  # anchor and size of each level
    for event in yaml.parse(raw, loader):
        size = 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError("an alias that holds itself, or stands for nothing")
            size = sizes[event.anchor]
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            open_.append((event.anchor, 0))
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            anchor, size = open_.pop()
            if anchor:
                sizes[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                sizes[event.anchor] = 1
            if len(event.value) > LONGEST and event.value.isdigit():
                raise ValueError("a number of too many digits")
        else:
            continue
        outer, before = open_[-1]
        open_[-1] = (outer, before + size)
        if len(open_) > DEEPEST or before + size > MOST:
            raise ValueError("nested too deep, or too many values")
