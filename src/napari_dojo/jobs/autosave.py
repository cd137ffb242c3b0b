"""Drafts: a person's labels, regions and pair table, kept while they work, and read again after a crash.

A draft is a folder among the runs. A kill at any moment leaves the last whole draft: pixels get a name with their hash,
``draft.json`` is replaced last, and what it no longer names goes after that. Whose it is, says `napari_dojo.jobs.claims`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import replacing, write_safely
from napari_dojo.jobs import claims
from napari_dojo.paths import runs_folder

__all__ = ["Draft", "Layer", "Row", "Work", "drafts", "painted_in"]

LARGEST = 256_000_000  # bytes; larger images that lie in no file are not copied
BLOCK = 2**22  # pixels that are written together: painting in a huge layer rewrites a part of it
OLD = 30 * 86_400.0  # seconds


@dataclass(frozen=True)
class Row:
    """A row of the pair table; its layers by their keys in `Work.layers`."""

    images: tuple[str, ...]
    labels: str | None
    region: str | None
    role: str


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer as it is kept.

    Attributes
    ----------
    kind : "image", "labels" or "shapes".
    name : what the user calls it.
    data : an array as it lies; for shapes one array (N, D) of corners each. None where only its place is known.
    state : all else that brings it back; values that JSON holds, or arrays, which come back as lists.
    path : the file that an image came from, which is then not copied.
    version : another number says that ``data`` may have changed since the last `Draft.write`.
    """

    kind: str
    name: str
    data: Any
    state: Mapping[str, Any]
    path: str | None = None
    version: int = 0


@dataclass(frozen=True, eq=False)
class Work:
    """What a draft holds: a title, the pair table, the other choices (plain values), and the layers by key.

    ``kind`` : "labels" to train on, or "classes" of objects; a panel restores drafts of one kind.
    """

    title: str
    rows: tuple[Row, ...]
    choices: Mapping[str, Any]
    layers: Mapping[str, Layer]
    kind: str = "labels"


class Draft:
    """One draft in its folder. Its methods may be called from any thread; one at a time writes.

    Attributes
    ----------
    folder : may not exist before the first `write`.
    title, kind : of the work.
    when : it was last written, seconds since 1970.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.title, self.kind, self.when = "", "labels", 0.0
        self._about: dict[str, Any] = {}  # draft.json as last written or read
        self._stored: dict[str, tuple[int, dict[str, Any]]] = {}  # version and place of each layer's data
        self._lock = threading.Lock()
        self._ended = False

    @staticmethod
    def new() -> Draft:
        """A draft of this process; creates nothing."""
        return Draft(runs_folder() / f"draft-{datetime.now():%Y%m%d-%H%M%S-%f}-{os.getpid()}")

    @property
    def written(self) -> bool:
        """Whether something can be read."""
        return (self.folder / "draft.json").exists()

    def write(self, work: Work) -> None:
        """Take the place of what was written before; data of layers whose version is the same stay. No-op once ended.

        Labels and regions are safe before the first copy of an image begins.

        Raises
        ------
        DojoError : a full disk, a folder that cannot be written. What was written before stays.
        """
        with self._lock:
            if self._ended:
                return
            try:
                if not self.written:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    claims.claim(self.folder)
                later = {
                    k for k, x in work.layers.items() if x.kind == "image" and k not in self._stored and _copied(x)
                }
                if later:
                    bare = {k: replace(x, data=None) if k in later else x for k, x in work.layers.items()}
                    self._put(replace(work, layers=bare))
                self._put(work)
            except (DojoError, OSError) as error:
                cause = error.__cause__ or error
                reason = getattr(cause, "strerror", None) or cause
                raise DojoError(
                    f"What you paint is not safe from a crash now, because {self.folder.parent} cannot be written "
                    f"({reason}). Free disk space there or save your layers yourself; you can continue to paint."
                ) from error

    def read(self) -> Work:
        """What was written last; ``data`` of a layer is None where it was not copied or its copy is damaged.

        Raises
        ------
        DojoError : the whole draft is damaged.
        """
        try:
            self._look()
            layers = {key: self._layer(entry) for key, entry in self._about["layers"].items()}
            rows = tuple(Row(**{**row, "images": tuple(row["images"])}) for row in self._about["rows"])
            return Work(self.title, rows, self._about["choices"], layers, self.kind)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DojoError(f"The kept work in {self.folder} is damaged and cannot be brought back.") from error

    def claim(self) -> None:
        """Take over the autosave of a window that was closed or crashed.

        Raises
        ------
        DojoError : another window was faster, or the draft is gone or damaged.
        """
        with self._lock:
            try:
                self._look()
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DojoError(f"The kept work in {self.folder} is gone or damaged.") from error
            if claims.claimed(self.folder):
                raise DojoError(
                    "This autosave is already open in another window. Continue there, or start from scratch here."
                )
            claims.claim(self.folder)
            self._stored = {k: (0, x["data"]) for k, x in self._about["layers"].items() if x["data"] is not None}
            self._ended = False

    def release(self) -> None:
        """Write no more, and offer what was written to whoever comes next."""
        with self._lock:
            self._ended = True
            if self.written:
                claims.release(self.folder)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)

    def discard(self) -> None:
        """Write no more, and remove what was written."""
        with self._lock:
            self._ended = True
            shutil.rmtree(self.folder, ignore_errors=True)

    def _look(self) -> None:
        about = json.loads((self.folder / "draft.json").read_text(encoding="utf-8"))
        self.title, self.kind, self.when = str(about["title"]), str(about.get("kind", "labels")), float(about["when"])
        _ = about["rows"], about["choices"], about["layers"]
        self._about = about

    def _put(self, work: Work) -> None:
        entries = {key: self._entry(key, layer) for key, layer in work.layers.items()}
        self.title, self.kind, self.when = work.title, work.kind, time.time()
        about = {"title": self.title, "kind": self.kind, "when": self.when, "rows": [asdict(row) for row in work.rows]}
        about |= {"choices": work.choices, "layers": entries}
        write_safely(self.folder / "draft.json", json.dumps(about, default=_plain).encode())
        self._stored = {k: x for k, x in self._stored.items() if k in entries}
        named = {"draft.json", claims.OWNER}.union(*(x["data"]["blocks"] for x in entries.values() if x["data"]))
        for path in self.folder.iterdir():
            if path.name not in named:
                with suppress(OSError):
                    path.unlink()

    def _entry(self, key: str, layer: Layer) -> dict[str, Any]:
        data = None
        if _copied(layer):
            version, data = self._stored.get(key, (None, None))
            if version != layer.version or not self._there(data):
                data = self._store(layer)
                self._stored[key] = (layer.version, data)
        return {"kind": layer.kind, "name": layer.name, "path": layer.path, "state": layer.state, "data": data}

    def _store(self, layer: Layer) -> dict[str, Any]:
        if layer.kind == "shapes":
            points = [np.asarray(x, float) for x in layer.data]
            array = np.concatenate(points) if points else np.zeros((0, 2))
            more = {"lengths": [len(x) for x in points]}
        else:
            array, more = np.asarray(layer.data), {}
        blocks = [self._block(part, layer.kind) for part in _blocks(array)]
        dtype = array.dtype.newbyteorder("=").str[1:]
        return {"shape": array.shape, "dtype": dtype, "blocks": blocks, **more}

    def _block(self, part: NDArray[Any], kind: str) -> str:
        """Write the numbers as a file named after them and their type; images, which hardly get smaller, as they are."""
        part = np.array(part, part.dtype.newbyteorder("="))  # the original may change meanwhile
        if kind == "labels" and part.min() >= 0:
            part = part.astype(np.min_scalar_type(int(part.max())))
        path = self.folder / f"{hashlib.sha256(part.data).hexdigest()[:24]}.{part.dtype.str[1:]}"
        if not path.exists():
            with replacing(path, part.nbytes) as whole, whole.open("wb") as file:
                file.write(zlib.compress(part.data, level=0 if kind == "image" else 1))
                file.flush()
                os.fsync(file.fileno())
        return path.name

    def _there(self, data: dict[str, Any] | None) -> bool:
        return data is not None and all((self.folder / name).exists() for name in data["blocks"])

    def _layer(self, entry: dict[str, Any]) -> Layer:
        data: Any = None
        if entry["data"] is not None:
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, zlib.error):
                data = self._array(**entry["data"])
        return Layer(entry["kind"], entry["name"], data, entry["state"], entry["path"])

    def _array(self, shape: list[int], dtype: str, blocks: list[str], lengths: list[int] | None = None) -> Any:
        array = np.zeros(shape, dtype)
        flat = array.reshape(-1)
        for k, name in enumerate(blocks):
            raw = zlib.decompress((self.folder / name).read_bytes())
            flat[k * BLOCK : (k + 1) * BLOCK] = np.frombuffer(raw, name.rpartition(".")[2])
        if lengths is None:
            return array
        return np.split(array, np.cumsum(lengths)[:-1]) if lengths else []


def painted_in(work: Work) -> tuple[int, int]:
    """How many different numbers were painted in all, and in how many Labels layers."""
    labels = [np.asarray(x.data) for x in work.layers.values() if x.kind == "labels" and x.data is not None]
    counts = [int(np.count_nonzero(np.unique(y))) for y in labels]
    return sum(counts), sum(n > 0 for n in counts)


def drafts() -> list[Draft]:
    """The drafts whose window died or let go of them, newest first; those of more than 30 days are removed."""
    found = []
    for folder in runs_folder().glob("draft-*"):
        if claims.claimed(folder):
            continue
        draft = Draft(folder)
        with suppress(OSError, ValueError, KeyError, TypeError):
            draft.when = folder.stat().st_mtime
            draft._look()
        if time.time() - draft.when > OLD:
            draft.discard()
        elif draft._about:
            found.append(draft)
    return sorted(found, key=lambda draft: draft.when, reverse=True)


def _copied(layer: Layer) -> bool:
    """Whether the layer's data belong into the draft."""
    if layer.data is None or layer.kind != "image":
        return layer.data is not None
    size = float(np.prod(layer.data.shape)) * np.dtype(layer.data.dtype).itemsize
    return layer.path is None and size <= LARGEST


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    flat = array.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        yield flat[start : start + BLOCK]


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays as lists, anything else in words."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
