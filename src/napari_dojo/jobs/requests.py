"""What a job is asked for, as frozen values: written to ``request.json`` in its folder, arrays beside it, and read again."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from napari_dojo.io.atomic import replacing, write_safely
from napari_dojo.jobs.claims import claim
from napari_dojo.recipes.recipe import Recipe, parsed, text_of

__all__ = [
    "LiveRequest",
    "RecipeRequest",
    "Request",
    "live_request",
    "new_folder",
    "recipe_request",
    "stored",
    "tuples",
]

FILE = "request.json"


@dataclass(frozen=True)
class Request:
    """What every request can do: be written to the folder of its job, and read from there."""

    kind: ClassVar[str] = ""

    def write(self, folder: Path) -> None:
        """Write ``request.json``; DojoError where the disk is full."""
        values = {"kind": self.kind, **asdict(self)}
        write_safely(folder / FILE, json.dumps(values, default=str).encode())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The request of a folder.

        Raises
        ------
        OSError, ValueError, KeyError, TypeError, DojoError : there is none of this kind, or it is damaged.
        """
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if values.pop("kind") != cls.kind:
            raise ValueError(f"{folder / FILE} does not ask for {cls.kind!r}")
        return cls.of(values)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        raise NotImplementedError


@dataclass(frozen=True)
class RecipeRequest(Request):
    """A recipe that is run.

    Attributes
    ----------
    text : the recipe as YAML; ``base`` : what its relative paths start from.
    overwrite : replace the results of another recipe.
    """

    kind: ClassVar[str] = "recipe"

    text: str
    base: Path
    overwrite: bool = False

    @property
    def recipe(self) -> Recipe:
        """The recipe; DojoError where it is none."""
        return replace(parsed(self.text.encode()), base=self.base)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        return cls(**{**values, "base": Path(values["base"])})


def recipe_request(folder: Path, recipe: Recipe, overwrite: bool = False) -> Path:
    """Write that a recipe is to be run into a new folder of a job."""
    with new_folder(folder):
        RecipeRequest(text_of(recipe), recipe.base, overwrite).write(folder)
        return folder


@dataclass(frozen=True)
class LiveRequest(Request):
    """A resident job for live previews; what is to be predicted comes as commands, see `napari_dojo.inference.live`."""

    kind: ClassVar[str] = "live"

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        return cls()


def live_request(folder: Path) -> Path:
    """Write what a live preview needs into a new folder of a job."""
    with new_folder(folder):
        LiveRequest().write(folder)
        return folder


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a job's folder, and claim it before anybody can find it unclaimed; it goes where its request fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder)
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def stored(folder: Path, name: str, arrays: Sequence[Any]) -> tuple[str | None, ...]:
    """The names of the files that arrays are written to; DojoError where the disk is full."""
    names = tuple(None if array is None else f"{name}-{i}.npy" for i, array in enumerate(arrays))
    for file, array in zip(names, arrays, strict=True):
        if file is not None:
            data = np.asarray(array)
            with replacing(folder / file, data.nbytes) as part, part.open("wb") as out:
                np.save(out, data)
    return names


def tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists, as JSON has them, as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
