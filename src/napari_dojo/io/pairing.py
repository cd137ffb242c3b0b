"""Files that belong together: the images of a folder, the target of an input, the group of a file."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_dojo.errors import DojoError
from napari_dojo.io.names import (
    ANNOTATIONS,
    BY_PRODUCTS,
    FOLDERS,
    INPUTS,
    TARGETS,
    Words,
    by_number,
    channel_of,
    is_by_product,
    is_of_cellpose,
    likeness,
    marks,
    nearest,
    stem_of,
    stripped,
    without,
    words_of,
)
from napari_dojo.io.plates import fields_in, is_plate
from napari_dojo.io.remote import is_remote

__all__ = [
    "OUTLINES",
    "SUFFIXES",
    "common_folder",
    "group_of",
    "is_zarr",
    "likely_targets",
    "list_inputs",
    "pair_files",
    "shown_names",
    "stem_of",
]

MICROSCOPES = (".czi", ".nd2", ".lif", ".oib", ".oif")  # files that optional packages read
SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy", ".lsm", *MICROSCOPES)
OUTLINES = (".zip", ".roi", ".geojson")  # files of outlines, which labels are made from
PREFERRED = ".npy"  # of Cellpose: _seg.npy holds the latest corrections, _cp_masks and _rois.zip are exported from it
_ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def is_zarr(path: Path) -> bool:
    """Whether the path is a folder that a Zarr group or array lies in, or a remote one."""
    return is_remote(path) or (path.is_dir() and any((path / name).is_file() for name in _ZARR_FILES))


def list_inputs(path: str | Path, targets: bool = False) -> list[Path]:
    """The images that a path means, in natural order (``a2`` before ``a10``).

    An annotation or by-product beside its image (``a_mask.tif``, ``a_seg.npy``, flows, previews) is no image.

    Parameters
    ----------
    path : a file, an OME-Zarr, or a plate of them (all its fields), a folder (the images and OME-Zarrs directly in it), or a pattern with ``*``, ``?`` or
        ``[]``; what exists is taken literally. Hidden files never count.
    targets : annotations and target images are wanted, files of outlines among them.

    Raises
    ------
    DojoError : where there is nothing, or a folder holds no image (folders in it that do are named).
    """
    path = Path(path).expanduser()
    try:
        if is_zarr(path) or path.is_file():
            return _whole([path])
        if path.is_dir():
            return _whole(_in_folder(path, targets))
        if glob.has_magic(str(path)):
            found = _fitting(path)
            if not found:
                raise DojoError(f"No file fits the pattern {path}. Check its spelling.")
            return _whole(sorted(found if targets else _images_among(found), key=_natural))
    except PermissionError as error:
        raise DojoError(f"{path} may not be read. Ask for permission, or choose another place.") from error
    except OSError as error:
        raise DojoError(
            f"{path.name[:60]!r} cannot be looked at ({error.strerror or error}). Check the path."
        ) from error
    raise DojoError(f"An image or a folder of images was expected, but {path} does not exist. Check the path.")


def _is_file(path: Path) -> bool:
    """Whether it is a file, or a link to one that is gone, such as on a disk that is not connected: reading says so, by its name."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _whole(paths: list[Path]) -> list[Path]:
    """The images, with those of plates in their place."""
    return [p for path in paths for p in (fields_in(path) if path.is_dir() and is_plate(path) else [path])]


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that all files lie in; the root, or nothing, where they have none in common."""
    try:
        return Path(os.path.commonpath([os.path.abspath(p.parent) for p in paths]))
    except ValueError:  # on several drives
        return Path()


def shown_names(paths: Sequence[Path]) -> list[str]:
    """What each file is called for people: its name, with the folders that tell it from others where names repeat."""
    if len({p.name for p in paths}) == len(paths):
        return [p.name for p in paths]
    root = common_folder(paths)
    return [os.path.relpath(os.path.abspath(p), root).replace(os.sep, "/") for p in paths]


def pair_files(
    inputs: Sequence[Path], targets: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path], list[Path]]:
    """Find the target of each input by name.

    From strict to loose: the same name; the same words without what marks targets (``a_masks``, ``Mask of a``,
    ``man_seg000``); without what marks inputs, too (``img_01`` and ``mask_01``); without such words anywhere; with
    numbers by value (``1`` and ``01``); without a channel, or with an addition, that all files of one side carry
    (``C1-a``, ``a-1``). Files in folders (``A1/img.tif``) need the same folder, too. Case and separators never matter.
    One input and one target belong together unless their numbers differ. A file in both lists is a target if its name
    says so, else an input.

    Returns
    -------
    pairs : (input, target), in the order of the inputs.
    unmatched_inputs, unmatched_targets : what is left over.

    Raises
    ------
    DojoError : where nothing fits, or where one name fits several files.
    """
    inputs, targets = _told_apart(inputs, targets)
    if len(inputs) == 1 and len(targets) == 1 and not _contradict(inputs[0], targets[0]):
        return [(inputs[0], targets[0])], [], []
    one, two = _side(inputs), _side(targets)
    found: dict[Path, Path] = {}
    for keys in _STRICT:
        left = [n for n in one if n.path not in found], [n for n in two if n.path not in set(found.values())]
        found |= _matches(*left, *keys)
    for sides in ((one, two), (_without_channel(one), _without_channel(two))):
        for keys in _LOOSE:
            found |= _sure_matches(*sides, *keys, found)
    found |= _with_addition([n for n in one if n.path not in found], [n for n in two if n.path not in found.values()])
    if not found:
        raise DojoError(_no_match(inputs, targets))
    taken = set(found.values())
    alone, unused = [p for p in inputs if p not in found], [p for p in targets if p not in taken]
    return [(p, found[p]) for p in inputs if p in found], alone, unused


def likely_targets(images: str | Path) -> Path | None:
    """The folder that probably holds the targets of a folder of images: ``masks`` in it or beside it, or itself.

    Of the Cell Tracking Challenge's ``01`` it is ``01_GT/SEG``, else ``01_ST/SEG``. None where nothing looks like it.
    """
    folder = Path(images).expanduser()
    if not folder.is_dir():
        return None
    for tracked in (folder.with_name(f"{folder.name}_{kind}") / "SEG" for kind in ("GT", "ST")):
        if tracked.is_dir():
            return tracked
    mine = without(words_of(folder.name), FOLDERS)
    for place in (folder, folder.parent):
        for found in sorted(p for p in place.iterdir() if p.is_dir() and p != folder):
            words = words_of(found.name)
            is_target = words in TARGETS or stripped(words, TARGETS, once=True) != words
            if is_target and without(words, FOLDERS) in ((), mine):
                return found
    return folder if any(marks(p, TARGETS) for p in _files(folder, targets=True)) else None


def group_of(name: str, regex: str | None) -> str:
    """The key of the group that a file belongs to, so that a split never separates a group.

    Parameters
    ----------
    name : of the file as it is shown, with folders where names repeat; its ending does not count.
    regex : searched in it; its first group is the key, or all it matched where it has no group. Where it is None or
        does not match, the name is the key.

    Raises
    ------
    DojoError : for an expression that cannot be understood.
    """
    folder, slash, last = name.rpartition("/")
    stem = folder + slash + stem_of(last)
    match = _searched(regex, stem) if regex else None
    if match is None:
        return stem
    key = match.group(1) if match.re.groups else match.group(0)
    return key if key is not None else stem


def _searched(regex: str, text: str) -> re.Match[str] | None:
    try:
        return re.search(regex, text)
    except re.error as error:
        raise DojoError(
            f"A regular expression was needed to group files, but {regex!r} is none ({error}). Write for example (.+)_f\\d+."
        ) from error


def _fitting(pattern: Path) -> list[Path]:
    """What fits a pattern; parts of it that exist are taken as they are, and brackets that fit nothing, too."""
    literal, rest = Path(pattern.anchor), list(pattern.parts[1 if pattern.anchor else 0 :])
    while rest and (literal / rest[0]).exists():
        literal /= rest.pop(0)
    start = "" if literal == Path() else glob.escape(str(literal))
    tail = os.path.join(*rest) if rest else ""
    for end in (tail, tail.replace("[", "[[]")):
        found = [Path(p) for p in glob.glob(os.path.join(start, end), recursive=True)]
        found = [p for p in found if not p.name.startswith(".") and (_is_file(p) or is_zarr(p))]
        if found:
            return found
    return []


def _in_folder(folder: Path, targets: bool) -> list[Path]:
    found = _files(folder, targets)
    if found:
        return found
    if targets and (folder / "SEG").is_dir():  # of the Cell Tracking Challenge
        return _in_folder(folder / "SEG", targets)
    inside = [f for f in sorted(folder.iterdir(), key=_natural) if f.is_dir() and not f.name.startswith(".")]
    holding = [(f, len(_files(f, targets))) for f in inside[:50]]
    named = [f"{f} ({n})" for f, n in holding if n][:3]
    if named:
        raise DojoError(
            f"Images were expected directly in {folder}, but they lie in folders in it: {', '.join(named)}. "
            "Name one of these, or all by a pattern such as */*.tif."
        )
    raise DojoError(
        f"Images were expected in {folder}, but there is none ending in {', '.join(SUFFIXES)} or .zarr. "
        "Choose another folder, or save the images as TIFF."
    )


def _files(folder: Path, targets: bool) -> list[Path]:
    """The images or the targets directly in a folder."""
    ends = SUFFIXES + OUTLINES if targets else SUFFIXES
    found = [p for p in folder.iterdir() if not p.name.startswith(".")]
    found = [p for p in found if (p.suffix.lower() in ends and _is_file(p)) or is_zarr(p)]
    return sorted(found if targets else _images_among(found), key=_natural)


def _images_among(paths: Sequence[Path]) -> list[Path]:
    """The files without annotations and by-products of others among them, and without what Cellpose writes."""
    plain = [p for p in paths if not (marks(p) or is_by_product(p))]
    images = {(p.parent, key) for p in plain for w in [words_of(stem_of(p))] for key in (w, stripped(w, INPUTS))}

    def beside(path: Path) -> bool:
        words = words_of(stem_of(path))
        less = stripped(words, ANNOTATIONS | BY_PRODUCTS)
        return less != words and any((path.parent, key) in images for key in (less, stripped(less, INPUTS)))

    return [p for p in paths if not (is_of_cellpose(p) or ((marks(p) or is_by_product(p)) and beside(p)))]


def _natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    parts = re.split(r"(\d+)", str(path).lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p], str(path)


@dataclass(frozen=True)
class _Named:
    """A file, the words of its name, and those of the folders that tell it from files of the same side."""

    path: Path
    folder: Words
    words: Words


_Key = Callable[[_Named], object]
_Change = Callable[[Words], Words]


def _side(paths: Sequence[Path]) -> list[_Named]:
    """The files of one side; where they lie in several folders, what these say beside the roles of files."""
    root = common_folder(paths) if paths else Path()

    def folder(path: Path) -> Words:
        inside = os.path.relpath(os.path.abspath(path.parent), root)
        return () if inside == os.curdir else without(words_of(inside), FOLDERS)

    return [_Named(p, folder(p), words_of(stem_of(p))) for p in paths]


def _same(words: Words) -> Words:
    return words


def _bare(words: Words) -> Words:
    return _unframed(stripped(words, INPUTS))


def _bare_target(words: Words) -> Words:
    return _unframed(stripped(words, TARGETS | INPUTS))


def _anywhere(words: Words) -> Words:
    return _unframed(without(words, TARGETS | INPUTS))


def _unframed(words: Words) -> Words:
    """Without the t of a time point, as in ``t000`` of the Cell Tracking Challenge."""
    return words[1:] if len(words) > 1 and words[0] == "t" and words[1].isdecimal() else words


def _keys(of_input: _Change, of_target: _Change, numbers: bool = False) -> tuple[_Key, _Key]:
    def key(change: _Change) -> _Key:
        if numbers:
            return lambda n: (by_number(n.folder), by_number(change(n.words)))
        return lambda n: (n.folder, change(n.words))

    return key(of_input), key(of_target)


def _by_name(n: _Named) -> object:
    return n.folder, n.path.name


def _by_stem(n: _Named) -> object:
    return n.folder, stem_of(n.path).casefold()


_LEVELS: tuple[tuple[_Change, _Change], ...] = (
    (_same, _same),
    (_same, lambda words: stripped(words, TARGETS, once=True)),
    (_same, lambda words: stripped(words, TARGETS)),
    (_bare, _bare_target),
)
_STRICT = ((_by_name, _by_name), (_by_stem, _by_stem), *(_keys(a, b) for a, b in _LEVELS))
_LOOSE = (
    _keys(_anywhere, _anywhere),
    *(_keys(a, b, numbers=True) for a, b in (*_LEVELS, (_anywhere, _anywhere))),
)


def _matches(
    inputs: Sequence[_Named], targets: Sequence[_Named], input_key: _Key, target_key: _Key
) -> dict[Path, Path]:
    """The target of each input with the same key; DojoError where one key fits several."""
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


def _sure_matches(
    inputs: Sequence[_Named], targets: Sequence[_Named], input_key: _Key, target_key: _Key, found: dict[Path, Path]
) -> dict[Path, Path]:
    """More matches, of keys that a single input and a single target have among all files."""
    by_input, by_target = _by_key(inputs, input_key), _by_key(targets, target_key)
    taken = set(found.values())
    pairs = [
        (mine[0], by_target[key][0]) for key, mine in by_input.items() if len(mine) == len(by_target.get(key, ())) == 1
    ]
    return {a: b for a, b in pairs if a not in found and b not in taken}


def _by_key(files: Sequence[_Named], key: _Key) -> dict[object, list[Path]]:
    """Files by key; those with nothing left to be told by have none."""
    groups: dict[object, list[Path]] = {}
    for n in files:
        if (k := key(n)) != ((), ()):
            groups.setdefault(k, []).append(n.path)
    return groups


def _without_channel(files: Sequence[_Named]) -> list[_Named]:
    """The files without the channel in their names (``C1-a``) where all have the same one."""
    split = [channel_of(n.words) for n in files]
    if len({channel for channel, _ in split}) != 1 or not split[0][0]:
        return list(files)
    return [replace(n, words=words) for n, (_, words) in zip(files, split, strict=True)]


def _with_addition(inputs: Sequence[_Named], targets: Sequence[_Named]) -> dict[Path, Path]:
    """Matches where all files of one side are called as those of the other, with the same addition (``a-1``, ``a_v2``)."""
    ways = []
    for short, long, swapped in ((inputs, targets, False), (targets, inputs, True)):
        by_stem = _by_key(short, _by_stem)
        for before, after in _additions(short[:20], long):
            pairs = []
            for n in long:
                stem = stem_of(n.path).casefold()
                core = stem[len(before) : len(stem) - len(after)]
                fits = stem.startswith(before) and stem.endswith(after) and _apart(before, core, after)
                mine = by_stem.get((n.folder, core), []) if fits else []
                pairs += [(n.path, mine[0]) if swapped else (mine[0], n.path)] if len(mine) == 1 else []
            if len(pairs) > 1 and len(pairs) in (len(inputs), len(targets)):
                ways.append(dict(pairs))
    return ways[0] if len(ways) == 1 else {}


def _additions(short: Sequence[_Named], long: Sequence[_Named]) -> set[tuple[str, str]]:
    """What could stand before and after the names of some files in those of others."""
    found = set()
    for n in long[:200]:
        stem = stem_of(n.path).casefold()
        for core in (stem_of(m.path).casefold() for m in short):
            at = stem.find(core)
            if at >= 0 and core != stem:
                found.add((stem[:at], stem[at + len(core) :]))
    return found


def _apart(before: str, core: str, after: str) -> bool:
    """Whether an addition does not continue a number of the name."""
    first, last = core[:1].isdigit(), core[-1:].isdigit()
    return bool(core) and not (before[-1:].isdigit() and first) and not (after[:1].isdigit() and last)


def _contradict(one: Path, two: Path) -> bool:
    """Whether two names are the same but for their numbers, such as ``a1`` and ``a2_mask``."""
    both = [without(channel_of(words_of(stem_of(p)))[1], TARGETS | INPUTS) for p in (one, two)]
    letters, numbers = ([[w for w in by_number(words) if w.isdecimal() is k] for words in both] for k in (False, True))
    return letters[0] == letters[1] and numbers[0] != numbers[1] and len(numbers[0]) == len(numbers[1])


def _told_apart(inputs: Sequence[Path], targets: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files without those that belong to the other side, or to neither: probabilities, a second file of Cellpose."""
    both = set(inputs) & set(targets)
    marked = {p for p in both if marks(p, TARGETS)}
    inputs = [p for p in inputs if p not in marked]
    targets = [p for p in targets if p not in both or p in marked]
    if both and not targets:
        raise DojoError(
            f"{_examples(inputs)} are given as images and as targets, and no name says which is which. "
            "Name the folder of the targets, or call them for example a_mask.tif."
        )
    names = {p.name for p in inputs}
    wanted = [p for p in targets if not is_by_product(p) or p.name in names]
    if targets and not wanted:
        raise DojoError(
            f"Targets were expected, but {_examples(targets)} hold probabilities, outlines or previews by their names. "
            "Export the segmentation itself, or rename the files."
        )
    cores = {_core(p) for p in wanted if is_of_cellpose(p) and p.suffix == PREFERRED}
    return inputs, [p for p in wanted if not (_core(p) in cores and _exported(p))]


def _exported(path: Path) -> bool:
    """Whether Cellpose names an export of its masks so."""
    rois = path.suffix == ".zip" and words_of(path.stem)[-1:] == ("rois",)
    return rois or (is_of_cellpose(path) and path.suffix != PREFERRED)


def _core(path: Path) -> object:
    return path.parent, stripped(words_of(stem_of(path)), ANNOTATIONS)


def _no_match(inputs: Sequence[Path], targets: Sequence[Path]) -> str:
    """Why nothing could be paired, with the two names that are most alike."""
    best = [(p.name, nearest(p.name, [t.name for t in targets[:100]])) for p in inputs[:100] if targets]
    one, two = max(best, key=lambda pair: likeness(*pair), default=("", ""))
    alike = f" Most alike are {one} and {two}." if one and two else ""
    return (
        f"No input has a target of the same name: inputs are called {_examples(inputs)}, targets {_examples(targets)}."
        f"{alike} Rename them alike, for example a.tif in both folders, or a.tif and a_mask.tif."
    )


def _examples(paths: Sequence[Path]) -> str:
    names = [p.name for p in paths[:3]]
    return ", ".join(names) + (f" ... ({len(paths)} in all)" if len(paths) > 3 else "") if names else "(none)"
