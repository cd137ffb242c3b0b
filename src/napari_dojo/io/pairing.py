"""Names of files: the images of a folder, the target of an input, the group of a file; and a safe way to replace one."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_dojo.errors import DojoError

__all__ = [
    "SUFFIXES",
    "group_of",
    "is_zarr",
    "likely_targets",
    "list_inputs",
    "pair_files",
    "stem_of",
]

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy", ".lsm")
TARGET_WORDS = (
    "cp_masks|man_seg|man_track|ground_?truth|gt|masks?|labels?|labelled|lbls?|seg|segmentation|segmented|"
    "instances?|annotations?|annotated|targets?|truth|clean|high|hr"
)
INPUT_WORDS = "images?|img|imgs|inputs?|raw|noisy|low|lr|t"
_ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def is_zarr(path: Path) -> bool:
    """Whether the path is a folder that a Zarr group or array lies in."""
    return path.is_dir() and any((path / name).is_file() for name in _ZARR_FILES)


def stem_of(path: Path | str) -> str:
    """The name of a file without its ending; ``.ome.tif``, ``.ome.tiff`` and ``.ome.zarr`` go as a whole.

    Other dots stay: ``cells.t01.tif`` gives ``cells.t01``.
    """
    stem = Path(path).stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def list_inputs(path: str | Path) -> list[Path]:
    """The images that a path means, in natural order (``a2`` before ``a10``).

    Parameters
    ----------
    path : a file, an OME-Zarr, a folder (the images and OME-Zarrs directly in it), or a pattern with ``*``, ``?`` or
        ``[]``. Hidden files never count.

    Raises
    ------
    DojoError : where there is nothing, or a folder holds no image (folders in it that do are named).
    """
    path = Path(path).expanduser()
    try:
        if is_zarr(path) or path.is_file():
            return [path]
        if path.is_dir():
            return _in_folder(path)
        if glob.has_magic(str(path)):
            found = [Path(p) for p in glob.glob(str(path), recursive=True)]
            found = [p for p in found if not p.name.startswith(".") and (p.is_file() or is_zarr(p))]
            if not found:
                raise DojoError(f"Images were expected, but nothing fits the pattern {path}. Check its spelling.")
            return sorted(found, key=_natural)
    except PermissionError as error:
        raise DojoError(f"{path} may not be read. Ask for permission, or choose another place.") from error
    raise DojoError(f"An image or a folder of images was expected, but {path} does not exist. Check the path.")


def pair_files(
    inputs: Sequence[Path], targets: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path], list[Path]]:
    """Find the target of each input by name.

    The same file name goes first, then the same name with another ending, then names that are the same without a
    usual word at their start or end (``img_01`` and ``mask_01``, ``a`` and ``a_labels``), in any case of letters. One
    input and one target always belong together. A file in both lists is a target if its name says so, else an input.

    Returns
    -------
    pairs : (input, target), in the order of the inputs.
    unmatched_inputs, unmatched_targets : what is left over.

    Raises
    ------
    DojoError : where nothing fits, or where one name fits several files.
    """
    inputs, targets = _told_apart(inputs, targets)
    if len(inputs) == 1 and len(targets) == 1:
        return [(inputs[0], targets[0])], [], []
    found: dict[Path, Path] = {}
    left_inputs, left_targets = list(inputs), list(targets)
    keys: tuple[tuple[Callable[[Path], str], Callable[[Path], str]], ...] = (
        (_name, _name),
        (_lower_stem, _lower_stem),
        (lambda p: _bare(p, INPUT_WORDS), lambda p: _bare(p, TARGET_WORDS)),
    )
    for input_key, target_key in keys:
        found.update(_matches(left_inputs, left_targets, input_key, target_key))
        taken = set(found.values())
        left_inputs = [p for p in left_inputs if p not in found]
        left_targets = [p for p in left_targets if p not in taken]
    if not found:
        raise DojoError(
            f"No input has a target of the same name: inputs are called {_examples(inputs)}, targets "
            f"{_examples(targets)}. Rename them alike, for example a.tif in both folders, or a.tif and a_mask.tif."
        )
    return [(p, found[p]) for p in inputs if p in found], left_inputs, left_targets


def likely_targets(images: str | Path) -> Path | None:
    """The folder that probably holds the answers to a folder of images: ``masks`` in it or beside it, or itself.

    None where nothing looks like it.
    """
    folder = Path(images).expanduser()
    if not folder.is_dir():
        return None
    word = re.compile(rf"(.*[_\- ])?({TARGET_WORDS})", re.IGNORECASE)
    for place in (folder, folder.parent):
        for found in sorted(p for p in place.iterdir() if p.is_dir() and p != folder):
            if word.fullmatch(found.name):
                return found
    return folder if any(_bare(p, TARGET_WORDS) != _lower_stem(p) for p in _images(folder)) else None


def group_of(path: Path | str, regex: str | None) -> str:
    """The key of the group that a file belongs to, so that a split never separates a group.

    Parameters
    ----------
    path : of the file; only its stem counts.
    regex : searched in the stem; its first group is the key, or all it matched where it has no group. Where it is
        None or does not match, the stem is the key.

    Raises
    ------
    DojoError : for an expression that cannot be understood.
    """
    stem = stem_of(path)
    if not regex:
        return stem
    try:
        match = re.search(regex, stem)
    except re.error as error:
        raise DojoError(
            f"A regular expression was needed to group files, but {regex!r} is none ({error}). Write for example (.+)_f\\d+."
        ) from error
    if match is None:
        return stem
    key = match.group(1) if match.re.groups else match.group(0)
    return key if key is not None else stem


def _in_folder(folder: Path) -> list[Path]:
    images = _images(folder)
    if images:
        return images
    inside = [f for f in sorted(folder.iterdir(), key=_natural) if f.is_dir() and not f.name.startswith(".")]
    holding = [(f, len(_images(f))) for f in inside[:50]]
    named = [f"{f} ({n})" for f, n in holding if n][:3]
    if named:
        raise DojoError(
            f"Images were expected directly in {folder}, but they lie in folders in it: {', '.join(named)}. "
            "Name one of these."
        )
    raise DojoError(
        f"Images were expected in {folder}, but there is none ending in {', '.join(SUFFIXES)} or .zarr. "
        "Choose another folder, or save the images as TIFF."
    )


def _images(folder: Path) -> list[Path]:
    found = [
        p
        for p in folder.iterdir()
        if not p.name.startswith(".") and ((p.suffix.lower() in SUFFIXES and p.is_file()) or is_zarr(p))
    ]
    return sorted(found, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    parts = re.split(r"(\d+)", str(path).lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p], str(path)


def _told_apart(inputs: Sequence[Path], targets: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    both = set(inputs) & set(targets)
    marked = {p for p in both if _bare(p, TARGET_WORDS) != _lower_stem(p)}
    return [p for p in inputs if p not in marked], [p for p in targets if p not in both or p in marked]


def _name(path: Path) -> str:
    return path.name


def _lower_stem(path: Path) -> str:
    return stem_of(path).lower()


def _bare(path: Path, words: str) -> str:
    """The stem in small letters without one of the words at its start or end, set off by a sign or a number."""
    stem = _lower_stem(path)
    for pattern in (rf"[_\-. ]+(?:{words})$", rf"^(?:{words})(?:[_\-. ]+|(?=\d))", rf"(?<=\d)(?:{words})$"):
        bare = re.sub(pattern, "", stem)
        if bare and bare != stem:
            return bare
    return stem


def _matches(
    inputs: Sequence[Path],
    targets: Sequence[Path],
    input_key: Callable[[Path], str],
    target_key: Callable[[Path], str],
) -> dict[Path, Path]:
    by_input, by_target = _by_key(inputs, input_key), _by_key(targets, target_key)
    found = {}
    for key, mine in by_input.items():
        theirs = by_target.get(key, [])
        if theirs and len(mine) + len(theirs) > 2:
            side, names = ("inputs", mine) if len(mine) > 1 else ("targets", theirs)
            other = theirs[0] if len(mine) > 1 else mine[0]
            raise DojoError(
                f"One file was expected to go with {other.name}, but several {side} do: {_examples(names)}. "
                "Name the right ones by a pattern such as '*_mask.tif', or move the others away."
            )
        if theirs:
            found[mine[0]] = theirs[0]
    return found


def _by_key(paths: Sequence[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for p in paths:
        groups.setdefault(key(p), []).append(p)
    return groups


def _examples(paths: Sequence[Path]) -> str:
    names = [p.name for p in paths[:3]]
    return ", ".join(names) + (f" ... ({len(paths)} in all)" if len(paths) > 3 else "") if names else "(none)"
