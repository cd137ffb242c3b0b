"""What a file name says: its words, whether it marks an annotation, and which names every system can hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from napari_dojo.errors import DojoError

__all__ = [
    "ANNOTATIONS",
    "BY_PRODUCTS",
    "FOLDERS",
    "INPUTS",
    "TARGETS",
    "TRUTH",
    "Words",
    "as_file_name",
    "by_number",
    "channel_of",
    "checked_name",
    "file_names",
    "is_by_product",
    "is_of_cellpose",
    "likeness",
    "marks",
    "nearest",
    "stem_of",
    "stripped",
    "without",
    "words_of",
]

Words = tuple[str, ...]
PHRASE = 3


def as_file_name(text: str) -> str:
    """The same without what file names cannot hold on every system."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", text)


def _phrases(text: str) -> frozenset[Words]:
    """Phrases separated by commas, of at most `PHRASE` words."""
    return frozenset(tuple(phrase.split()) for phrase in text.split(","))


# What programs and people add to the name of an image to call its annotation. Cellpose: _cp_masks, _seg, _masks;
# ilastik: _Simple Segmentation, _Object Predictions; ImageJ: Mask of x; Cell Tracking Challenge: man_seg000.
ANNOTATIONS = _phrases(
    "cp masks, man seg, man track, simple segmentation, object predictions, object identities, multicut segmentation, "
    "mask of, masks of, count masks of, count mask of, ground truth, groundtruth, gt, mask, masks, label, labels, "
    "labelled, labeled, labelling, labeling, lbl, lbls, seg, segm, segs, segmentation, segmentations, segmented, "
    "label image, instance, instances, annotation, annotations, annotated, annot, roi, rois, region, regions"
)
TRUTH = _phrases("ground truth, groundtruth, gt, truth, manual")
TARGETS = ANNOTATIONS | TRUTH | _phrases("target, targets, clean, high, hr, corrected, curated, denoised")
INPUTS = _phrases(
    "image, images, img, imgs, im, input, inputs, raw, noisy, low, lr, original, orig, source, "
    "tif, tiff, ome, ome tif, ome tiff, png, jpg, jpeg, npy, czi, nd 2, lif, lsm, zarr"  # x.tif_mask.png
)
FOLDERS = TARGETS | INPUTS | _phrases("st, res, tra")  # 01_GT/SEG, 01_ST/SEG
# What programs write beside an image and that is neither an image nor its annotation.
BY_PRODUCTS = _phrases(
    "probabilities, probability, uncertainty, features, flows, flows cp masks, dp cp masks, cellprob cp masks, "
    "outlines, outlines cp masks, cp output, overlay, preview, thumbnail, thumb"
)
CELLPOSE = _phrases("cp masks, cp outlines, cp output, cp flows")
_WORD = re.compile(r"\d+|[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_CHANNELS = ("c", "ch", "channel")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
LONGEST = 200  # bytes of a name; 255 are allowed, and files in it or beside it get longer ones


def stem_of(path: Path | str) -> str:
    """The name of a file without its ending; ``.ome.tif``, ``.ome.tiff`` and ``.ome.zarr`` go as a whole.

    Other dots stay: ``cells.t01.tif`` gives ``cells.t01``.
    """
    stem = Path(path).stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def words_of(text: str) -> Words:
    """The words and numbers of a name in small letters: ``imgMask_01`` gives ("img", "mask", "01")."""
    text = _CAMEL.sub(" ", unicodedata.normalize("NFC", text))
    return tuple(_WORD.findall(text.casefold()))


def stripped(words: Words, phrases: frozenset[Words], *, once: bool = False) -> Words:
    """The words without phrases at their end or start, all of them or one; never empty unless ``words`` is."""
    while True:
        less = _one_less(words, phrases)
        if less == words or once:
            return less
        words = less


def without(words: Words, phrases: frozenset[Words]) -> Words:
    """The words without these phrases, wherever they stand; may be empty."""
    kept: list[str] = []
    at = 0
    while at < len(words):
        long = next((n for n in range(PHRASE, 0, -1) if words[at : at + n] in phrases), 0)
        kept += words[at : at + 1] if not long else ()
        at += long or 1
    return tuple(kept)


def by_number(words: Words) -> Words:
    """The words with numbers by their value: "01" becomes "1"."""
    return tuple(str(int(w)) if w.isdecimal() else w for w in words)


def channel_of(words: Words) -> tuple[Words, Words]:
    """The channel that a name starts or ends with (``C1-x``, ``x_ch00``) and the other words; () where it names none."""
    if len(words) > 2 and words[0] in _CHANNELS and words[1].isdecimal():
        return words[:2], words[2:]
    if len(words) > 2 and words[-2] in _CHANNELS and words[-1].isdecimal():
        return words[-2:], words[:-2]
    return (), words


def marks(path: Path, phrases: frozenset[Words] = ANNOTATIONS) -> bool:
    """Whether the name starts or ends with one of these phrases: ``a_mask.tif``, ``man_seg000.tif``."""
    words = words_of(stem_of(path))
    return stripped(words, phrases, once=True) != words


def is_by_product(path: Path) -> bool:
    """Whether the name is one of what programs write beside an image: probabilities, flows, previews."""
    return _ends(words_of(stem_of(path)), BY_PRODUCTS)


def is_of_cellpose(path: Path) -> bool:
    """Whether Cellpose gives such names to what it writes, and nobody to an image."""
    words = words_of(stem_of(path))
    return _ends(words, CELLPOSE) or (path.suffix.lower() == ".npy" and _ends(words, _phrases("seg")))


def likeness(a: str, b: str) -> float:
    """How alike the names of two files are, 0 to 1."""
    one, two = (" ".join(by_number(words_of(stem_of(n)))) for n in (a, b))
    return 0.9 * SequenceMatcher(None, one, two).ratio() + 0.1 * SequenceMatcher(None, a, b).ratio()


def nearest(name: str, names: Iterable[str]) -> str:
    """The name most alike to ``name``; empty where there are none."""
    return max(names, key=lambda other: likeness(name, other), default="")


def checked_name(name: str, what: str = "The name") -> str:
    """A name for a new file or folder, if every system can hold it and it leads nowhere else.

    Raises
    ------
    DojoError : empty, with separators or signs that Windows refuses, hidden, reserved, or too long.
    """
    why = ""
    if not name.strip() or name.strip(". ") == "":
        why = "is empty"
    elif found := _FORBIDDEN.search(name):
        why = f"holds the sign {found.group()!r}"
    elif name.startswith((".", " ")) or name.endswith((".", " ")):
        why = "starts or ends with a dot or a space"
    elif _RESERVED.fullmatch(name):
        why = "is reserved by Windows"
    elif len(name.encode("utf-8", "surrogatepass")) > LONGEST:
        why = f"is longer than {LONGEST} bytes"
    if why:
        raise DojoError(
            f"{what} {name[:60]!r} {why}. Choose one of letters, numbers, spaces, dots, '-' and '_', without a folder."
        )
    return name


def _ends(words: Words, phrases: frozenset[Words]) -> bool:
    return any(words[-n:] in phrases for n in range(1, min(PHRASE + 1, len(words))))


def _one_less(words: Words, phrases: frozenset[Words]) -> Words:
    for n in range(min(PHRASE, len(words) - 1), 0, -1):
        if words[-n:] in phrases:
            return words[:-n]
    for n in range(min(PHRASE, len(words) - 1), 0, -1):
        if words[:n] in phrases:
            return words[n:]
    return words


def file_names(names: Sequence[str]) -> list[str]:
    """Names of layers as names of files, each once."""
    found: list[str] = []
    for name in names:
        stem, k = re.sub(r"[^\w.-]+", "_", name).strip("._") or "image", 2
        wanted = stem
        while wanted.lower() in (f.lower() for f in found):
            wanted, k = f"{stem}_{k}", k + 1
        found.append(wanted)
    return found
