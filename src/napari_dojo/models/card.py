"""What a model is, in plain values: read from ``rdf.yaml`` without torch and without running anything."""

from __future__ import annotations

import hashlib
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

from napari_dojo.data.axes import Axes, own_channels
from napari_dojo.data.channels import in_order
from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.errors import DojoError
from napari_dojo.models.plain_yaml import plain_yaml
from napari_dojo.settings import Field, PredictSettings, checked, fields_of
from napari_dojo.tasks import TASKS

__all__ = ["Card", "Folder", "decoding_of", "options_of", "read_card", "settings_of"]

FORMAT = 1
LARGEST = 4_000_000  # bytes of an rdf.yaml
LARGEST_FILE = 2**32  # bytes of a file in a zip, unpacked
DENSE, RATIO = 2**26, 100  # a file of more bytes that shrank by more than this factor is no model's
MANY = 10_000  # files in a zip
MOST_ZOOM, MOST_MAPS = 10_000, 1_000
RDF, MACOS = "rdf.yaml", "__MACOSX"
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError)
KINDS: dict[str, Any] = {
    "name task net axes spatial description version": str,
    "options decoding net_options upsampling split score baseline data training": dict,
    "channels context": int,
    "zoom calibration": (int, float),
}


@dataclass(frozen=True)
class Card:
    """All of a model but its weights.

    Attributes
    ----------
    name, description : for people.
    task, options, decoding : by name and as plain values.
    net, net_options : which net, and its arguments.
    rule : how intensities are normalised.
    axes : of the images it was trained on; ``spatial`` those the net works in.
    channels : C; ``maps`` : the names of the K maps.
    pixel_size, unit : of the training images, for each of ``spatial``; None where unknown.
    diameter : typical diameter of the objects in the training images, px; None for tasks without objects.
    zoom : factor by which images are scaled before the net sees them.
    upsampling : predicted px per image px along the axes where they are not 1.
    context : this many frames or planes to each side are channels, too (``channels`` counts them).
    channel_names : of the inputs, where they have some.
    target : the numbers that bring predictions into the targets' units; None: they are in the input's.
    calibration : from the deviation between flipped and rotated predictions to the expected error.
    split, score, baseline, data, training : what it was trained on and how good it is.
    parent : the name of the model that it was fine-tuned from.
    """

    name: str
    task: str
    options: dict[str, Any]
    decoding: dict[str, Any]
    net: str
    net_options: dict[str, Any]
    axes: str
    spatial: str
    channels: int
    maps: tuple[str, ...]
    rule: Rule = field(default_factory=Rule)
    pixel_size: tuple[float, ...] | None = None
    unit: str | None = None
    diameter: float | None = None
    zoom: float = 1.0
    upsampling: dict[str, int] = field(default_factory=dict)
    context: int = 0
    channel_names: tuple[str, ...] = ()
    target: Normalization | None = None
    calibration: float = 1.0
    description: str = ""
    license: str | None = None
    authors: tuple[str, ...] = ()
    split: dict[str, Any] = field(default_factory=dict)
    score: dict[str, Any] = field(default_factory=dict)
    baseline: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    parent: str | None = None
    version: str = ""

    @property
    def own_channels(self) -> int:
        """Channels of an image, without those of its neighbours."""
        return self.channels // (1 + 2 * self.context)

    def numbers(self, array: Any, axes: Axes) -> Normalization:
        """The numbers of a whole array for each of its samples, with their neighbours."""
        return self.rule.measure_series(axes.frames(array)).repeated(1 + 2 * self.context)

    def axes_for(self, names: str, shape: Sequence[int]) -> str:
        """The axes of an image as this model takes them: planes become channels if it needs that many and the image has none."""
        needed, sizes = self.own_channels, dict(zip(names, shape, strict=True))
        planes = needed > 1 and self.spatial == "YX" and "C" not in names and sizes.get("Z") == needed
        return names.replace("Z", "C") if planes else names

    def in_order(self, x: Any, axes: str, names: Sequence[str]) -> Any:
        """An image whose channels are called so, its channels as the model knows them where it knows all by name."""
        return in_order(x, axes, names, self.channel_names)

    def own(self, x: Any) -> Any:
        """The channels (C, *S) of a sample itself, without those of its neighbours."""
        return own_channels(x, self.context)

    def prediction_numbers(self, norm: Normalization) -> Normalization:
        """The numbers that bring predictions for a sample, normalised by ``norm``, into their units."""
        return self.target or Normalization(tuple(self.own(norm.offset)), tuple(self.own(norm.scale)))

    def predicted_size(self, pixel_size: Sequence[float] | None) -> tuple[float, ...] | None:
        """The pixel size (Y, X) or (Z, Y, X) of the prediction for an image with this pixel size."""
        if pixel_size is None:
            return None
        axes = "ZYX"[-len(pixel_size) :]
        return tuple(s / self.upsampling.get(a, 1) for a, s in zip(axes, pixel_size, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``config.napari_dojo``."""
        return {"format": FORMAT, **_plain(asdict(self))}

    def _check(self) -> None:
        """ValueError or TypeError where a value is of another kind than its name says: a file may hold anything."""
        for names, kind in KINDS.items():
            for name in names.split():
                if not isinstance(getattr(self, name), kind):
                    raise TypeError(f"{name} is {getattr(self, name)!r:.60}")
        numbers = [
            self.zoom,
            self.calibration,
            self.diameter or 1.0,
            *(self.pixel_size or ()),
            self.rule.high - self.rule.low,
        ]
        if not all(isfinite(n) and n > 0 for n in numbers) or not 1 / MOST_ZOOM <= self.zoom <= MOST_ZOOM:
            raise ValueError("a size")
        if self.spatial not in ("YX", "ZYX") or len(self.maps) > MOST_MAPS or not self.maps:
            raise ValueError("the spatial axes, or the names of the maps")
        if not 1 <= self.channels <= MOST_MAPS:
            raise ValueError("the number of channels")
        if self.target and not len(self.target.offset) == len(self.target.scale) == len(self.maps):
            raise ValueError("the numbers of the targets")
        if self.rule.shared and not len(self.rule.shared.offset) == len(self.rule.shared.scale) == self.channels:
            raise ValueError("the numbers of all images")
        Axes(self.axes)
        if not (self.rule.low >= 0 and self.rule.high <= 100) or self.rule.frames not in ("whole", "each"):
            raise ValueError("the rule of normalisation")
        if self.pixel_size and len(self.pixel_size) != len(self.spatial):
            raise ValueError("one pixel size for each spatial axis")
        fine = all(a in ("Z", "Y", "X") and type(f) is int and 0 < f <= 16 for a, f in self.upsampling.items())
        if not fine or not 0 <= self.context <= 16:
            raise ValueError("a factor of the size, or the number of neighbours")

    @staticmethod
    def from_dict(values: Mapping[str, Any], where: str = "the model") -> Card:
        """The card of plain values; DojoError where they are not one."""
        values = dict(values)
        made = values.pop("format", None)
        if made != FORMAT:
            raise DojoError(
                f"{where} has the format {made!r}; this version of napari-dojo reads format {FORMAT}. Update napari-dojo."
            )
        known = {f.name for f in fields(Card)}
        try:
            rule = dict(values.get("rule", {}))
            values["rule"] = Rule(**{**rule, "shared": _numbers(rule.get("shared"))})
            values["target"] = _numbers(values.get("target"))
            for k in ("maps", "authors", "pixel_size", "channel_names"):
                if values.get(k) is not None:
                    values[k] = tuple(values[k])
            card = Card(**{k: v for k, v in values.items() if k in known})
            card._check()
            return card
        except (TypeError, ValueError, KeyError, AttributeError, DojoError) as e:
            raise DojoError(
                f"{where} is damaged: its description is incomplete or wrong ({e}). Copy it again or train it again."
            ) from e


@dataclass(frozen=True)
class Folder:
    """The files of a model, in a folder or a zip; both may hold them in a folder inside, as packing programs do it."""

    path: Path

    def names(self) -> list[str]:
        """The model's own files, without folders, hidden ones and what macOS adds.

        Raises
        ------
        DojoError : no or several models, or a zip that leads outside, holds links, or unpacks to far too much.
        """
        if self.path.is_dir():
            return sorted(p.name for p in self._root.iterdir() if p.is_file() and not p.name.startswith("."))
        return sorted(name for name in self._entries() if "/" not in name)

    def read(self, name: str) -> bytes:
        """The bytes of one file; DojoError where it is missing or lies outside."""
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or ":" in name or "\\" in name:
            raise DojoError(f"The model {self.path.name} names a file outside of itself ({name}) and is refused.")
        with self._readable(name):
            if self.path.is_dir():
                return self._regular(name).read_bytes()
            entry = self._entries()[name]
            with zipfile.ZipFile(self.path) as z:
                return z.read(entry)

    def _regular(self, name: str) -> Path:
        """A file of the folder; DojoError where it is a link that leads outside, a pipe or a device, or too large."""
        path = self._root / name
        about = path.stat()
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise DojoError(
                f"The model {self.path.name} holds a link that leads outside of it ({name}) and is refused."
            )
        if stat.S_ISDIR(about.st_mode):
            raise DojoError(
                f"The model {self.path.name} is damaged: {name} is a folder. Copy it again or train it again."
            )
        if not stat.S_ISREG(about.st_mode):
            raise DojoError(f"The model {self.path.name} is refused: {name} is not a file.")
        if about.st_size > (LARGEST if name == RDF else LARGEST_FILE):
            size = f"{about.st_size / 1e6:,.0f} MB"
            raise DojoError(f"The model {self.path.name} is refused: {name} is too large for a model ({size}).")
        return path

    def weights(self) -> bytes:
        """The file of the weights; DojoError where it is missing, or is not what ``rdf.yaml`` says."""
        try:
            entry = self.description()["weights"]["pytorch_state_dict"]
            source, wanted = str(entry["source"]), str(entry["sha256"])
        except (KeyError, TypeError) as e:
            raise DojoError(f"The model {self.path.name} names no weights. Copy it again or train it again.") from e
        raw = self.read(source)
        if hashlib.sha256(raw).hexdigest() != wanted:
            raise DojoError(f"The weights of the model {self.path.name} are damaged. Copy it again or train it again.")
        return raw

    @property
    def is_model(self) -> bool:
        """Whether a description is there; a zip is not looked into."""
        return self.path.is_file() or (self._root / RDF).exists()

    @property
    def _looks_like_zip(self) -> bool:
        """Whether a file begins as a zip does, which may be damaged."""
        with self._readable(self.path.name), self.path.open("rb") as file:
            return file.read(2) == b"PK"

    @property
    def _root(self) -> Path:
        """The folder that holds ``rdf.yaml``: this one, or the only one in it that does."""
        if not self.path.is_dir() or (self.path / RDF).exists():
            return self.path
        with suppress(OSError):
            inside = [p for p in self.path.iterdir() if (p / RDF).is_file() and p.name != MACOS]
            return inside[0] if len(inside) == 1 else self.path
        return self.path

    @contextmanager
    def _readable(self, name: str) -> Iterator[None]:
        """Whatever a damaged folder or zip raises becomes a sentence."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, KeyError) as e:
            raise DojoError(
                f"The model {self.path.name} is incomplete: {name} is missing. Copy it again or train it again."
            ) from e
        except OSError as e:  # a file that nobody may read, a disk or a server that fails
            raise DojoError(
                f"The model {self.path.name} cannot be read: {name}: {e.strerror or e}. Check the file and its permissions."
            ) from e
        except (ValueError, RuntimeError, EOFError, *DAMAGED) as e:
            raise DojoError(
                f"The model {self.path.name} is damaged: {name} cannot be read. Copy it again or train it again."
            ) from e

    def _entries(self) -> dict[str, zipfile.ZipInfo]:
        """What a zip holds, by its path beside ``rdf.yaml``."""
        with self._readable("the zip"), zipfile.ZipFile(self.path) as z:
            found = {info.filename.replace("\\", "/"): info for info in z.infolist() if not info.is_dir()}
        bad = next((why for why in (self._refused(name, info) for name, info in found.items()) if why), "")
        if bad or sum(info.file_size for info in found.values()) > 2 * LARGEST_FILE or len(found) > MANY:
            raise DojoError(f"The zip {self.path.name} {bad or 'unpacks to far too much'} and is refused.")
        parts = {PurePosixPath(name): info for name, info in found.items()}
        parts = {p: i for p, i in parts.items() if MACOS not in p.parts and not p.name.startswith(".")}
        roots = sorted((p.parent for p in parts if p.name == RDF), key=lambda p: len(p.parts))
        if not roots:
            raise DojoError(f"The zip {self.path.name} is not a model: it holds no {RDF}. Choose another file.")
        if len(roots) > 1 and len(roots[0].parts) == len(roots[1].parts):
            raise DojoError(f"The zip {self.path.name} holds several models. Unpack it, and choose one of its folders.")
        return {str(p.relative_to(roots[0])): i for p, i in parts.items() if p.is_relative_to(roots[0])}

    @staticmethod
    def _refused(name: str, info: zipfile.ZipInfo) -> str:
        """Why a file in a zip is not touched; empty where it is as it should be."""
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or ":" in name:
            return f"holds a file that leads outside of it ({name})"
        if stat.S_ISLNK(info.external_attr >> 16):
            return f"holds a link ({name})"
        dense = info.file_size > DENSE and info.file_size > RATIO * max(1, info.compress_size)
        if dense or info.file_size > LARGEST_FILE or (pure.name == RDF and info.file_size > LARGEST):
            return f"holds a file that unpacks to {info.file_size / 1e6:.3g} MB ({name})"
        return ""

    def description(self) -> dict[str, Any]:
        """``rdf.yaml`` as plain values."""
        if not self.path.exists():
            raise DojoError(f"There is no model at {self.path}. `napari-dojo models list` shows those there are.")
        if not self.is_model or (self.path.is_file() and not self._looks_like_zip):
            what = f"holds no {RDF}" if self.path.is_dir() else "is no zip"
            raise DojoError(f"{self.path} is not a model: it {what}. Choose the folder or zip of a model.")
        raw = self.read(RDF)
        try:
            values = plain_yaml(raw)
        except ValueError as e:
            raise DojoError(
                f"The model {self.path.name} is damaged: its {RDF} cannot be read. Copy it again or train it again."
            ) from e
        if not isinstance(values, dict):
            raise DojoError(
                f"The model {self.path.name} is damaged: its {RDF} is no description. Copy it again or train it again."
            )
        return values


def read_card(path: str | Path) -> Card:
    """The card of a model folder or zip.

    Raises DojoError where there is none, it is damaged, of a newer format, or made by another program.
    """
    folder = Folder(Path(path))
    values = folder.description()
    config = values.get("config")
    ours = config.get("napari_dojo") if isinstance(config, dict) else None
    if not isinstance(ours, dict):
        raise DojoError(
            f"The model {folder.path.name} was not made by napari-dojo. Only its own models can be applied: "
            "train one, or choose another."
        )
    return Card.from_dict(ours, f"The model {folder.path.name}")


def options_of(card: Card) -> Any:
    """The task's options of a model, as its dataclass; DojoError where this version lacks the task."""
    if card.task not in TASKS:
        raise DojoError(
            f"The model {card.name} is for the task {card.task!r}, which this version does not have. Update napari-dojo."
        )
    cls = TASKS[card.task].options
    asked = {f.name for f in fields_of(cls)}
    found = {k: tuple(v) if isinstance(v, list) else v for k, v in card.options.items()}
    try:
        default: Any = checked(cls, {k: v for k, v in found.items() if k in asked})
        left = {k: v for k, v in found.items() if k not in asked}
        for name, value in left.items():  # what training found in the data
            if type(value) is not type(getattr(default, name, None)):
                raise TypeError(f"{name} is {value!r:.60}")
        return replace(default, **left)
    except (DojoError, TypeError) as e:
        raise DojoError(f"The model {card.name} is damaged: its options do not fit ({e}).") from e


def decoding_of(card: Card, given: Mapping[str, Any] | None = None) -> Any:
    """How a model's maps become its result, as its task's dataclass; ``given`` : values in place of the model's own."""
    options_of(card)
    return checked(TASKS[card.task].decoding, {**card.decoding, **(given or {})})


def settings_of(card: Card) -> tuple[Field, ...]:
    """The options of `PredictSettings` that mean something for a model."""
    kind = TASKS[card.task].result
    means = {
        "diameter": kind.zooms and card.diameter is not None,
        "uncertainty": kind.intensities,
        "dtype": kind.intensities,
        "any_size": bool(card.upsampling),
        "frames": card.rule.shared is None,
        "planes": kind.objects and card.spatial == "YX",
        "tile": kind.dense,
        "tta": kind.dense,
    }
    return tuple(field for field in fields_of(PredictSettings) if means.get(field.name, True))


def _numbers(values: Any) -> Normalization | None:
    """Numbers of a normalisation from plain values."""
    if values is None:
        return None
    offset, scale = (tuple(map(float, values[k])) for k in ("offset", "scale"))
    if not all(map(isfinite, (*offset, *scale))) or 0.0 in scale:
        raise ValueError("the numbers of a normalisation")
    return Normalization(offset, scale)


def _plain(value: Any) -> Any:
    """Tuples become lists and numpy scalars numbers, as YAML and JSON have them."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value
