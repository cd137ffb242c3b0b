"""What is done of a prediction block by block, on the disk, so that it can be interrupted at any moment and resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.tasks.watershed import Part

__all__ = ["Journal", "recorded"]

SINGLE, SEVERAL = ("objects", "heights", "sizes"), ("passes", "ways", "borders", "edge")  # arrays of a part
ABOUT, LOG = "work.json", "blocks.log"


class Journal:
    """A folder with what is predicted how (``work.json``), a line for each block that is done, and what is open at its border.

    A line is written, and forced to the disk, after all that belongs to its block. A line that was cut off does not count.

    Attributes
    ----------
    done, numbered : blocks that are predicted, and those whose objects have their final numbers.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Open the journal of this work, or begin it; DojoError where the folder holds that of other work."""
        self.folder = folder
        self.done: set[int] = set()
        self.numbered: set[int] = set()
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / ABOUT).exists():
            _same(folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")), about)
            self._read()
        else:
            _write(folder / ABOUT, json.dumps(about, indent=1).encode())

    def note(self, i: int, parts: Sequence[Part]) -> None:
        """Block ``i`` is predicted and written; ``parts`` : what is open in it, see `Part`."""
        if parts:
            arrays = {f"{k}-{name}": v for k, part in enumerate(parts) for name, v in _flat(part).items()}
            partial = self.folder / f".{i}.npz"
            with partial.open("wb") as file:
                np.savez_compressed(file, **arrays)
                _forced(file)
            partial.replace(self.folder / f"{i}.npz")
        self._append(f"predicted {i}")
        self.done.add(i)

    def note_numbered(self, i: int) -> None:
        """The objects of block ``i`` have their final numbers."""
        self._append(f"numbered {i}")
        self.numbered.add(i)

    def parts(self, i: int) -> tuple[Part, ...]:
        """What is open in a block."""
        found: dict[int, dict[str, Any]] = {}
        with np.load(self.folder / f"{i}.npz") as arrays:
            for name in arrays.files:
                k, _, rest = name.partition("-")
                found.setdefault(int(k), {})[rest] = arrays[name]
        return tuple(_part(found[k]) for k in sorted(found))

    def _append(self, line: str) -> None:
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            _forced(file)

    def _read(self) -> None:
        log = self.folder / LOG
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            _write(log, whole.encode())
        for line in whole.splitlines():
            what, _, number = line.partition(" ")
            (self.done if what == "predicted" else self.numbered).add(int(number))


def recorded(folder: Path) -> dict[str, Any]:
    """What an unfinished prediction is of; empty where there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _same(folder: Path, there: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """DojoError where an unfinished prediction is another one, with what differs."""
    now = json.loads(json.dumps(about))
    other = [k for k in {**there, **now} if there.get(k) != now.get(k)]
    if other:
        raise DojoError(
            f"{folder.name} is an unfinished prediction with another {' and '.join(sorted(other))}. Give it the same as before to "
            "resume it, overwrite it, or choose another name."
        )


def _flat(part: Part) -> dict[str, Any]:
    found = {"known": part.known, **{name: getattr(part, name) for name in SINGLE}}
    return found | {f"{name}-{i}": v for name in SEVERAL for i, v in enumerate(getattr(part, name))}


def _part(arrays: Mapping[str, Any]) -> Part:
    several: dict[str, Any] = {
        name: tuple(arrays[k] for k in sorted(arrays) if k.startswith(f"{name}-")) for name in SEVERAL
    }
    single = {name: arrays[name] for name in SINGLE}
    return Part(**single, known=int(arrays["known"]), **several)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        _forced(file)
    part.replace(path)


def _forced(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
