"""Bundle: a net and its card, saved and loaded as a BioImage.IO 0.5 model. The one model format.

A kill at any moment leaves a valid model: weights get a name with their hash, ``rdf.yaml`` is replaced last, and what
it no longer names goes after that. Loading runs no code from the folder: the net is built by `napari_dojo.nets`, the
weights are read as tensors only.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import pickle
import unicodedata
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import frexp, ldexp, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo import __version__, nets
from napari_dojo.data.normalize import Normalization, finite
from napari_dojo.data.units import FULL_NAMES
from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import write_safely
from napari_dojo.io.images import png_bytes
from napari_dojo.models.card import Card, Folder, decoding_of, options_of, read_card
from napari_dojo.tasks import TASKS

__all__ = ["Bundle", "is_free", "load", "remove_files", "save", "verified"]

FILES = (
    "rdf.yaml",
    "weights-*.pt",
    "test_*-*.npy",
    "README.md",
    "cover.png",
)  # of a model folder, as `save` writes them
SAME = 1e-3  # part of a value, and of 1, by which outputs of two machines may differ


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained net, in evaluation, on the CPU, and all that is known of it."""

    card: Card
    net: nets.Network

    @staticmethod
    def new(card: Card) -> Bundle:
        """A net with random weights for a card."""
        return Bundle(card, _net(card))


def load(path: str | Path) -> Bundle:
    """Read a model folder or zip; DojoError where it is missing, damaged, foreign or hostile."""
    folder = Folder(Path(path))
    card = read_card(path)
    _check_decoding(card)
    raw = folder.weights()
    damaged = f"The weights of the model {folder.path.name} are damaged. Copy it again or train it again."
    net = _net(card)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of odd files before it refuses them
            state = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
            net.load_state_dict(state)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, AttributeError) as e:
        raise DojoError(damaged) from e
    if not all(v.isfinite().all() and not v.is_complex() for v in state.values()):
        raise DojoError(f"The weights of the model {folder.path.name} hold values that are no numbers. Train it again.")
    return Bundle(card, net.eval())


def save(bundle: Bundle, path: str | Path, sample: NDArray[Any], cover: NDArray[np.uint8] | None = None) -> Path:
    """Write the model folder, replacing an older model of ours in it.

    Parameters
    ----------
    sample : a raw image (C, *S) for the model's test, S a multiple of the net's stride.
    cover : RGB picture (Y, X, 3) uint8; the one that is there stays where None.

    Raises
    ------
    DojoError : a full disk, a folder that cannot be written.
    """
    path = Path(path)
    card = replace(bundle.card, version=bundle.card.version or __version__)
    sample = finite(np.asarray(sample))
    test_in = sample.astype(np.float32)[None]  # (1, C, *S)
    test_out = _output(bundle, sample)
    weights = io.BytesIO()
    torch.save({k: v.contiguous() for k, v in bundle.net.state_dict().items()}, weights)
    sha = hashlib.sha256(weights.getvalue()).hexdigest()
    names = {
        "weights": f"weights-{sha[:12]}.pt",
        "in": f"test_input-{sha[:12]}.npy",
        "out": f"test_output-{sha[:12]}.npy",
    }
    write_safely(path / names["weights"], weights.getvalue())
    write_safely(path / names["in"], _npy(test_in))
    write_safely(path / names["out"], _npy(test_out))
    write_safely(path / "README.md", _readme(card).encode())
    if cover is not None:
        write_safely(path / "cover.png", png_bytes(cover))
    rdf = _rdf(card, bundle.net, names, sha, (path / "cover.png").exists())
    write_safely(path / "rdf.yaml", _yaml(rdf).encode())
    for old in [*path.glob("weights-*.pt"), *path.glob("test_*-*.npy")]:
        if old.name not in names.values():
            with suppress(OSError):  # a reader may have it open; the next model tries again
                old.unlink()
    return path


def is_free(folder: Path) -> bool:
    """Whether a folder holds nothing, or only what a kill left of a first `save`: files of a model without ``rdf.yaml``."""
    names = {p.name for p in folder.iterdir()}
    ours = {p.name for pattern in FILES for p in folder.glob(pattern)} - {"rdf.yaml"}
    parts = {name for name in names if name.startswith(".") and name.endswith(".part")}
    return names <= ours | parts and (not ours or any(name.endswith(".pt") for name in ours))


def remove_files(folder: Path) -> None:
    """Remove what `save` wrote into a folder."""
    for path in sorted(p for pattern in FILES for p in folder.glob(pattern)):
        path.unlink(missing_ok=True)


def verified(path: str | Path) -> float:
    """Run a model folder or zip on the test input that it holds: by how much its output differs from the test output at most.

    Raises DojoError where the model cannot be loaded, its test cannot be read, or the outputs are not the same.
    """
    folder, bundle = Folder(Path(path)), load(path)
    given, expected = (_test_tensor(folder, of) for of in ("inputs", "outputs"))
    try:
        found = _output(bundle, given[0])
        far = np.abs(found - expected) if found.shape == expected.shape else np.full(1, np.inf)
    except (RuntimeError, ValueError, IndexError, TypeError) as e:
        raise DojoError(
            f"The model {folder.path.name} cannot be run on its test input {given.shape}. Copy it again or train it again."
        ) from e
    most = float(far.max(initial=0.0))
    if not (far <= SAME * (1 + np.abs(expected))).all():
        raise DojoError(
            f"The model {folder.path.name} does not give its test output: it differs by up to {most:.3g}. "
            "Copy it again or train it again."
        )
    return most


def _output(bundle: Bundle, sample: NDArray[Any]) -> NDArray[np.float32]:
    """What a net gives for an image (C, *S) as other programs scale it, (1, K, *S)."""
    with torch.no_grad():
        x = torch.from_numpy(bundle.card.rule.percentiles(sample).apply(sample))[None]
        return np.asarray(bundle.net(x).numpy())


def _test_tensor(folder: Folder, of: str) -> NDArray[Any]:
    """The test input or output that ``rdf.yaml`` names, (1, C, *S); no code from it is run."""
    try:
        source = str(folder.description()[of][0]["test_tensor"]["source"])
        return np.asarray(np.load(io.BytesIO(folder.read(source)), allow_pickle=False), np.float32)
    except (KeyError, TypeError, IndexError, ValueError, EOFError) as e:
        raise DojoError(
            f"The model {folder.path.name} has no test that can be read. Copy it again or train it again."
        ) from e


def _net(card: Card) -> nets.Network:
    options = {**card.net_options, "in_channels": card.channels, "out_channels": len(card.maps)}
    if not all(isinstance(k, str) and k != "name" for k in options):
        raise DojoError(f"The model {card.name} describes a network with unknown arguments and is refused.")
    net = nets.build(card.net, **options).eval()
    if net.dims != len(card.spatial):
        raise DojoError(f"The model {card.name} is damaged: its network does not work in {card.spatial}.")
    if prod(net.scale) != prod(card.upsampling.values()):
        raise DojoError(f"The model {card.name} is damaged: its network does not upsample by {card.upsampling}.")
    return net


def _check_decoding(card: Card) -> None:
    """DojoError where the maps, the options and the decoding of a card do not fit together."""
    options, decoding, task = options_of(card), decoding_of(card), TASKS[card.task]
    size = (16,) * len(card.spatial) if task.result.dense else ()
    try:
        found = task.decode(np.zeros((len(card.maps), *size), np.float32), decoding, options)
        task.result.in_units(found, card.prediction_numbers(Normalization(*((1.0,) * card.channels,) * 2)))
    except (TypeError, ValueError, LookupError, ArithmeticError) as e:
        raise DojoError(
            f"The model {card.name} is damaged: its maps do not fit to the task {card.task} ({type(e).__name__})."
        ) from e


def _rdf(card: Card, net: nets.Network, names: dict[str, str], sha: str, cover: bool) -> dict[str, Any]:
    inputs, outputs = _axes(card, net)
    state = {
        "source": names["weights"],
        "sha256": sha,
        "pytorch_version": torch.__version__.split("+")[0],
        "architecture": {
            "import_from": "napari_dojo.nets",
            "callable": type(net).__name__,
            "kwargs": {**card.as_dict()["net_options"], "in_channels": card.channels, "out_channels": len(card.maps)},
        },
    }
    return {
        "type": "model",
        "format_version": "0.5.4",
        "name": _title(card.name),
        "description": card.description or f"Trained with napari-dojo for the task {card.task}.",
        "documentation": "README.md",
        **({"covers": ["cover.png"]} if cover else {}),
        **({"authors": [{"name": a} for a in card.authors]} if card.authors else {}),
        **({"license": card.license} if card.license else {}),
        "tags": [card.task, f"{len(card.spatial)}d", "napari-dojo", card.net, "pytorch"],
        "inputs": [{
            "id": "image",
            "axes": inputs,
            "test_tensor": {"source": names["in"]},
            "data": {"type": "float32"},
            "preprocessing": [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}, _scaled(card)],
        }],
        "outputs": [{"id": "maps", "axes": outputs, "test_tensor": {"source": names["out"]}, "data": {"type": "float32"}}],
        "weights": {"pytorch_state_dict": state},
        "config": {"napari_dojo": card.as_dict()},
    }  # fmt: skip


def _axes(card: Card, net: nets.Network) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The axes of the image that goes in and of the maps that come out, with pixel sizes; no space where a net has no maps."""
    axes = [a.lower() for a in card.spatial]
    unit = FULL_NAMES.get(card.unit or "")
    size = card.pixel_size or (1.0,) * len(axes)
    steps = [_few_bits(float(s) / f) for s, f in zip(size, net.scale, strict=True)]  # of the output

    def space(a: str, i: int, extent: Any, factor: int) -> dict[str, Any]:
        known = {"unit": unit} if unit else {}
        return {"type": "space", "id": a, "size": extent, "scale": steps[i] * factor, **known}

    stride = net.stride
    inputs: list[dict[str, Any]] = [
        {"type": "batch"},
        {"type": "channel", "channel_names": [f"channel{i}" for i in range(card.channels)]},
        *[space(a, i, {"min": int(stride[i]) * 2, "step": int(stride[i])}, net.scale[i]) for i, a in enumerate(axes)],
    ]
    outputs: list[dict[str, Any]] = [
        {"type": "batch"},
        {"type": "channel", "channel_names": _identifiers(card.maps)},
        *[space(a, i, {"tensor_id": "image", "axis_id": a}, 1) for i, a in enumerate(axes) if net.dense],
    ]
    return inputs, outputs


def _scaled(card: Card) -> dict[str, Any]:
    """How another program scales values to what the net expects."""
    if (numbers := card.rule.shared) is not None:
        known = {"mean": list(numbers.offset), "std": list(numbers.scale), "axis": "channel"}
        return {"id": "fixed_zero_mean_unit_variance", "kwargs": known}
    axes = [a.lower() for a in card.spatial]
    percentiles = {"axes": axes, "min_percentile": card.rule.low, "max_percentile": card.rule.high, "eps": 1e-6}
    return {"id": "scale_range", "kwargs": percentiles}


def _few_bits(value: float) -> float:
    """A number near by (to a millionth) whose products with sizes are exact: the format's check wants them so."""
    part, power = frexp(value)
    return ldexp(round(part * 2**20), power - 20)


def _readme(card: Card) -> str:
    """A draft of the model card."""
    lines = [
        f"# {card.name}",
        "",
        card.description
        or f"A model for the task *{card.task}*, trained with napari-dojo {card.version or __version__}.",
        "",
        f"- Images: axes {card.axes}, {card.channels} channel{'s' if card.channels > 1 else ''}, processed as {card.spatial}"
        + (
            f", pixel size {' x '.join(f'{p:g}' for p in card.pixel_size)} {card.unit or ''}" if card.pixel_size else ""
        ),
        *([f"- Objects: about {card.diameter:.0f} px in diameter"] if card.diameter else []),
        f"- Output: maps {', '.join(card.maps)}, decoded by napari-dojo with {card.decoding}",
        f"- Trained on: {card.data.get('images', '?')} images; {card.split.get('how', '')}",
        f"- Score ({card.score.get('from', 'none')}): {card.score.get('sentence', 'none')}; baseline: {card.baseline.get('sentence', 'none')}",
        f"- Training: {card.training}",
        *([f"- Fine-tuned from {card.parent}"] if card.parent else []),
        "",
        "Apply it with `napari-dojo predict MODEL IMAGE --out FOLDER`, or in napari with Plugins > Dojo > Apply.",
        "Check it on your own images before you rely on it: its score holds for images like its training images.",
        "",
    ]
    return "\n".join(lines)


def _title(name: str) -> str:
    """A name as the model format allows it: letters, digits, spaces and a few signs."""
    clean = "".join(c if c.isalnum() or c in " _-()" else " " for c in _ascii(name)).strip()
    return (clean if len(clean) >= 5 else f"model {clean}")[:64].strip()


def _ascii(name: str) -> str:
    """Without accents; a blank for characters without an ASCII equivalent."""
    letters = (c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return "".join(c if c.isascii() else " " for c in letters)


def _identifiers(names: Sequence[str]) -> list[str]:
    """Different names of letters, digits and underscores."""
    made: list[str] = []
    for i, name in enumerate(names):
        clean = "".join(c if c.isalnum() else "_" for c in _ascii(name)).strip("_")
        clean = clean if clean.isidentifier() and not keyword.iskeyword(clean) else f"map_{clean}".strip("_")
        made.append(clean if clean not in made else f"{clean}_{i}")
    return made


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _yaml(values: dict[str, Any]) -> str:
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # written at every better check, ten times as fast
    text: str = yaml.dump(values, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
