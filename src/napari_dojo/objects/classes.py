"""What a person has said of objects: the classes, and which objects were shown for each; every step can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from napari_dojo.objects.features import Objects
from napari_dojo.objects.heads import Examples

__all__ = ["MOST", "Classes", "History", "Key"]

Key = tuple[int, int]  # sample and number of an object
MOST = 9  # classes: as many as there are keys


@dataclass(frozen=True)
class Classes:
    """Names of the classes, and the class (its place among the names) of each object that was shown.

    Attributes
    ----------
    names : not empty, all different.
    shown : class by sample and number of the object; objects that are gone stay, and come back with their number.
    """

    names: tuple[str, ...] = ("class 1", "class 2")
    shown: Mapping[Key, int] = field(default_factory=lambda: MappingProxyType({}))

    def give(self, keys: Iterable[Key], to: int | None) -> Classes:
        """Show these objects for a class; None takes back what was shown."""
        shown = dict(self.shown)
        for key in keys:
            if to is None:
                shown.pop(key, None)
            else:
                shown[key] = to
        return replace(self, shown=MappingProxyType(shown))

    def add(self) -> Classes:
        """With one more class, under the first free name "class N"."""
        n = next(k for k in range(len(self.names) + 1, 2 * len(self.names) + 2) if f"class {k}" not in self.names)
        return replace(self, names=(*self.names, f"class {n}"))

    def rename(self, k: int, name: str) -> Classes:
        """Another name; blank names and those of other classes change nothing."""
        name = name.strip()
        if not name or name in self.names:
            return self
        return replace(self, names=(*self.names[:k], name, *self.names[k + 1 :]))

    def remove(self, k: int) -> Classes:
        """Without a class and what was shown for it."""
        names = (*self.names[:k], *self.names[k + 1 :])
        shown = {key: c - (c > k) for key, c in self.shown.items() if c != k}
        return Classes(names, MappingProxyType(shown))

    def examples(self, objects: Objects) -> Examples:
        """What was shown, of objects that are there."""
        rows = objects.rows
        there = [(rows[key], c) for key, c in self.shown.items() if key in rows]
        pairs = np.asarray(there, np.int64).reshape(-1, 2)
        return Examples(pairs[:, 0], pairs[:, 1], self.names)

    def plain(self) -> dict[str, Any]:
        """As values that JSON holds."""
        return {"names": list(self.names), "shown": [[*key, c] for key, c in self.shown.items()]}

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Classes:
        """What `plain` made; whatever else it holds, or lacks, is ignored."""
        names = tuple(dict.fromkeys(str(n) for n in plain.get("names", ()) if str(n).strip()))[:MOST]
        shown = {(int(s), int(n)): int(c) for s, n, c in plain.get("shown", ()) if 0 <= int(c) < len(names)}
        return Classes(names, MappingProxyType(shown)) if names else Classes()

    @staticmethod
    def from_table(samples: Sequence[int], numbers: Sequence[int], named: Sequence[str]) -> Classes:
        """The classes of a table with a row for each object; rows without a name show nothing."""
        names = tuple(dict.fromkeys(str(n) for n in named if str(n).strip()))[:MOST]
        if not names:
            return Classes()
        rows = zip(samples, numbers, named, strict=True)
        shown = {(int(s), int(n)): names.index(str(c)) for s, n, c in rows if str(c) in names}
        padded = names if len(names) > 1 else (*names, "class 2" if names[0] != "class 2" else "class 1")
        return Classes(padded, MappingProxyType(shown))


class History:
    """The classes now, and all steps that led to them.

    Attributes
    ----------
    now : the classes as they are.
    """

    def __init__(self, start: Classes | None = None) -> None:
        self.now = start or Classes()
        self._before: list[Classes] = []
        self._after: list[Classes] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether an undone step can be done again."""
        return bool(self._after)

    def take(self, new: Classes) -> bool:
        """Make a step; False where it changes nothing."""
        if new == self.now:
            return False
        self._before.append(self.now)
        self._after.clear()
        self.now = new
        return True

    def undo(self) -> None:
        """Go one step back, where there is one."""
        if self._before:
            self._after.append(self.now)
            self.now = self._before.pop()

    def redo(self) -> None:
        """Do the last undone step again, where there is one."""
        if self._after:
            self._before.append(self.now)
            self.now = self._after.pop()
