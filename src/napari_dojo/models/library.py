"""The models there are: those that ship with the package, the user's own, and a lab's shared folders."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_dojo.errors import DojoError
from napari_dojo.models.card import Card, Folder, read_card
from napari_dojo.paths import lab_folders, models_folder

__all__ = ["Model", "export", "find", "import_model", "models", "remove"]


@dataclass(frozen=True)
class Model:
    """A model that can be applied, and where it comes from."""

    name: str
    path: Path
    card: Card
    origin: Literal["shipped", "own", "lab"]


def shipped_folder() -> Path:
    """Where the package's own models lie."""
    return Path(__file__).parent / "shipped"


def models() -> list[Model]:
    """All models that can be read: the user's own, shipped ones, and the lab's. Damaged ones are left out."""
    found = []
    places: list[tuple[Path, Literal["shipped", "own", "lab"]]] = [
        (models_folder(), "own"),
        (shipped_folder(), "shipped"),
    ]
    for folder, origin in [*places, *((f, "lab") for f in lab_folders())]:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if (path / "rdf.yaml").exists() or path.suffix == ".zip":
                try:
                    found.append(
                        Model(path.stem if path.suffix == ".zip" else path.name, path, read_card(path), origin)
                    )
                except DojoError:
                    continue
    return found


def find(model: str | Path) -> Path:
    """The folder or zip of a model given by path or by name; DojoError where there is none."""
    path = Path(model).expanduser()
    if path.exists() and (path.is_file() or (path / "rdf.yaml").exists()):
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


def export(model: str | Path, path: Path) -> Path:
    """Pack a model as a zip to share; the run's state stays behind."""
    source = find(model)
    read_card(source)
    if path.exists():
        raise DojoError(f"{path} exists already. Choose another name.")
    try:
        if source.is_file():
            shutil.copyfile(source, path)
            return path
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            for file in sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith(".")):
                z.write(file, file.name)
    except OSError as e:
        path.unlink(missing_ok=True)
        raise DojoError(f"{path} cannot be written: {e.strerror or e}.") from e
    return path


def import_model(path: Path, name: str | None = None) -> Path:
    """Copy a model folder or zip to the user's own models, after looking whether it can be read."""
    read_card(path)
    target = models_folder() / (name or Path(path).stem)
    if target.exists():
        raise DojoError(
            f"You have a model {target.name!r} already. Give it another name with --name, or remove that one."
        )
    folder = Folder(Path(path))
    names = (
        [p.name for p in Path(path).iterdir() if p.is_file()]
        if Path(path).is_dir()
        else zipfile.ZipFile(path).namelist()
    )
    target.mkdir(parents=True)
    for file in names:
        if "/" not in file:
            (target / file).write_bytes(folder.read(file))
    read_card(target)
    return target


def remove(name: str) -> Path:
    """Delete one of the user's own models."""
    for model in models():
        if model.name == name and model.origin == "own":
            shutil.rmtree(model.path) if model.path.is_dir() else model.path.unlink()
            return model.path
    raise DojoError(f"You have no model {name!r} of your own. `napari-dojo models list` shows those there are.")
