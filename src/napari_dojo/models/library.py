"""The models there are: those that ship with the package, the user's own, and a lab's shared folders."""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import replacing, unwritable
from napari_dojo.io.names import checked_name
from napari_dojo.models.card import Card, Folder, read_card
from napari_dojo.paths import lab_folders, models_folder
from napari_dojo.tasks import TASKS

__all__ = ["Model", "classifier_for", "export", "find", "import_model", "models", "remove"]

Origin = Literal["shipped", "own", "lab"]


@dataclass(frozen=True)
class Model:
    """A model that can be applied, and where it comes from."""

    name: str
    path: Path
    card: Card
    origin: Origin


def shipped_folder() -> Path:
    """Where the package's own models lie."""
    return Path(__file__).parent / "shipped"


def models() -> list[Model]:
    """All models that can be read: the user's own, shipped ones, and the lab's. Damaged ones are left out."""
    places: list[tuple[Path, Origin]] = [(models_folder(), "own"), (shipped_folder(), "shipped")]
    places += [(folder, "lab") for folder in lab_folders()]
    found = (_model(path, origin) for folder, origin in places for path in _paths_in(folder))
    return [model for model in found if model is not None]


def _paths_in(folder: Path) -> list[Path]:
    """What a folder holds, in order; nothing where it cannot be read, such as that of a lab's server which is not connected."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _model(path: Path, origin: Origin) -> Model | None:
    """The model of a folder or zip; None where it is none or cannot be read."""
    try:
        packed = path.suffix == ".zip"
        if packed or (path.is_dir() and Folder(path).is_model):
            return Model(path.stem if packed else path.name, path, read_card(path), origin)
    except (DojoError, OSError):
        pass
    return None


def find(model: str | Path) -> Path:
    """The folder or zip of a model given by path or by name; DojoError where there is none."""
    path = Path(model).expanduser()
    if path.exists() and Folder(path).is_model:
        return path
    there = models()
    for known in there:
        if known.name == str(model):
            return known.path
    if path.exists():
        raise DojoError(f"{path} is not a model: it holds no rdf.yaml. Choose the folder or zip of a model.")
    names = ", ".join(sorted({m.name for m in there})) or "none"
    raise DojoError(
        f"There is no model {str(model)!r}, neither a folder or zip nor among those known by name: {names}."
    )


def classifier_for(card: Card, named: str) -> Path:
    """The folder or zip of the model that classifies what another one detects; DojoError where they do not fit together."""
    path = find(named)
    second = read_card(path)
    if not TASKS[card.task].result.objects:
        raise DojoError(
            f"The model {card.name} detects no objects, so --then has nothing to classify. Leave --then out."
        )
    if TASKS[second.task].result.dense:
        raise DojoError(
            f"The model {second.name} gives no classes to objects. Name a model of the task classify with --then."
        )
    return path


def export(model: str | Path, path: Path) -> Path:
    """Pack a model as a zip to share; the run's state stays behind."""
    source = Folder(find(model))
    read_card(source.path)
    source.weights()
    if os.path.lexists(path):
        raise DojoError(f"{path} exists already. Choose another name.")
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as z:
        for name in source.names():
            z.writestr(name, source.read(name))
    return path


def import_model(path: Path, name: str | None = None) -> Path:
    """Copy a model folder or zip to the user's own models, as a whole or not at all.

    Parameters
    ----------
    path : of the folder, or of a zip as any program packs it.
    name : of the copy; None: that of the folder, or of the zip without its ending.

    Raises
    ------
    DojoError : it is damaged or refused, its name is no name for a folder, or there is a model of this name.
    """
    path = Path(path).expanduser()
    source = Folder(path)
    read_card(path)
    source.weights()
    known = path.stem if path.is_file() else path.resolve().name
    target = models_folder() / checked_name(known if name is None else name, "The model name")
    if os.path.lexists(target):
        raise DojoError(
            f"You have a model {target.name!r} already. Give it another name with --name, or remove that one."
        )
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.mkdir(parents=True)
        for file in source.names():
            (part / checked_name(file, "The file name")).write_bytes(source.read(file))
        part.rename(target)
    except OSError as e:
        raise unwritable(target, e) from e
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def remove(name: str) -> Path:
    """Delete one of the user's own models."""
    for model in models():
        if model.name == name and model.origin == "own":
            if model.path.is_dir() and not model.path.is_symlink():
                shutil.rmtree(model.path)
            else:
                model.path.unlink()
            return model.path
    raise DojoError(f"You have no model {name!r} of your own. `napari-dojo models list` shows those there are.")
