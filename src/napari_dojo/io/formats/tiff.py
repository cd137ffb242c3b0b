"""Read a TIFF of any maker: the full resolution of one of its images, as this very file holds it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import LETTERS
from napari_dojo.errors import DojoError
from napari_dojo.io.formats.ome import OmeImage, described, in_several_files, master_of, own_part
from napari_dojo.io.formats.picture import Facts, Picture, Wanted, lazy, plane_size
from napari_dojo.io.formats.tiff_facts import facts_of

__all__ = ["listening", "read_tiff"]

SHRINKS = 10_000  # times, by compression; a TIFF that claims to hold more is damaged, and would take minutes to try
ALIKE = 0.9  # correlation from which a smaller image is a copy of a larger one
EXTRAS = ("label", "macro", "map", "overview", "thumbnail")  # what slide scanners add to an image
WHITE_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = 0, 2, 3, 4, 5, 6  # values of the tag PhotometricInterpretation
SEPARATE = 2  # value of the tag PlanarConfiguration
# Warnings that tifffile only logs, although planes or the file's own description are lost.
_LOST = re.compile(
    r"invalid (page )?offset|corrupted|failed to re|out of range|TiffTag (270|273|279|324|325|5083[89]) .*value offset"
)


@dataclass(frozen=True)
class _Found:
    """One image of a file: its pages, what its OME-XML says where it has one, and whether planes of it are missing."""

    series: Any
    facts: Facts | None = None
    lacking: bool = False


def read_tiff(path: Path, wanted: Wanted) -> Picture:
    """One image of a TIFF.

    Copies of lower resolution, thumbnails, masks of transparency and the labels of slides do not count as images. Of a
    multi-file OME-TIFF, the planes in this file are read and no other.

    Raises
    ------
    DojoError : no image in it, or a colour space that cannot be read; the part of a set that it is cannot be told.
    ValueError : truncated or damaged.
    """
    import tifffile

    with listening() as said:
        tif = tifffile.TiffFile(path)
        kept = False  # open, for dask
        try:
            found = _images(tif, path)
            one = found[wanted.image]
            data = _pixels(tif, one.series, path, wanted.lazy_above)
            picture = _as_described(tif, one, data, path, wanted.labels)
            picture = replace(picture, image=wanted.image, images=len(found))
            kept = not isinstance(data, np.ndarray)
        finally:
            if not kept:
                tif.close()
    lost = [text for text in said if _LOST.search(text)]
    if lost:
        raise ValueError(re.sub(r"^<.*?> ", "", lost[0]))
    if any("zeroed" in text for text in said) or one.lacking:
        picture = replace(picture, notes=(*picture.notes, f"{path.name} lacks planes; they were filled with 0."))
    return picture


class _Listener(logging.Filter):
    """Collects what tifffile logs in one thread, and in threads that it starts; other files are read meanwhile by others."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.thread = get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a message is left to others."""
        others = [f for f in logging.getLogger("tifffile").filters if isinstance(f, _Listener) and f is not self]
        if record.thread != self.thread and any(f.thread == record.thread for f in others):
            return True
        self.said.append(record.getMessage())
        return False


@contextmanager
def listening() -> Iterator[list[str]]:
    """Keeps what tifffile logs from the screen, and collects it."""
    logger, listener = logging.getLogger("tifffile"), _Listener()
    logger.addFilter(listener)
    try:
        yield listener.said
    finally:
        logger.removeFilter(listener)


# ---- which images there are


def _images(tif: Any, path: Path) -> list[_Found]:
    """The images of the file; at least one."""
    xml = tif.ome_metadata or ""
    uuid, images = described(xml)
    if xml and not images and (master := master_of(xml, path)):
        images = described(master)[1]
    if images and in_several_files(uuid, images):
        found = [_own_series(tif, image, path) for image in own_part(path, uuid, images)]
    else:
        if len(images) > 1:
            own_part(path, uuid, images)  # says where two images lie in one plane
        series = _whole(tif.series)
        found = [_Found(s, _facts_among(tif.series, s, images)) for s in series]
    if not found:
        raise DojoError(f"An image was expected, but {path.name} is a TIFF without one. Leave it out.")
    return found


def _own_series(tif: Any, image: OmeImage, path: Path) -> _Found:
    """The planes of an image that lie in this file."""
    import tifffile

    pages: dict[tuple[int, int, int], int] = {}
    for block in image.blocks:
        pages.update(image.planes(block, len(tif.pages)))
    if not pages or max(pages.values()) >= len(tif.pages):
        raise ValueError(f"it describes {len(pages)} planes and holds {len(tif.pages)}")
    times, depths, channels = (sorted(set(one)) for one in zip(*pages, strict=True))
    every = [pages.get((t, z, c)) for t in times for z in depths for c in channels]
    first = tif.pages[next(i for i in every if i is not None)]
    planes = [None if i is None else tif.pages[i] for i in every]
    shape = (len(times), len(depths), len(channels), *first.shape)
    names = image.facts.channel_names
    if len(names) == image.sizes[2]:
        names = tuple(names[c] for c in channels)
    series = tifffile.TiffPageSeries(planes, shape, first.dtype, "TZC" + first.axes, name=image.name, kind="ome")
    return _Found(series, replace(image.facts, channel_names=names), None in planes)


def _facts_among(every: Sequence[Any], series: Any, images: Sequence[OmeImage]) -> Facts | None:
    """What the XML says of a series: images and series come in the same order, unless some images have no planes."""
    if series.kind != "ome" or not images:
        return None
    at = next(i for i, s in enumerate(every) if s is series)
    named = [image for image in images if image.name == series.name]
    image = images[at] if len(every) == len(images) else named[0] if named else images[0]
    return image.facts


def _whole(series: Sequence[Any]) -> list[Any]:
    """The series that are images: no copies of lower resolution, no masks, no labels of slides."""
    # of pages in no known order, tifffile takes any that is a half as large for a lower resolution
    every = [level for s in series for level in (s.levels if s.kind == "generic" else [s])]
    kept = [s for s in every if not _is_extra(s)] or every
    found: list[Any] = []
    for one in sorted(kept, key=lambda s: -int(np.prod(s.shape))):
        if not any(_is_copy(one, larger) for larger in found):
            found.append(one)
    return [s for s in kept if any(s is one for one in found)]


def _is_extra(series: Any) -> bool:
    page = series.keyframe
    return bool(page.is_reduced or page.is_mask or int(page.photometric) == MASK or series.name.lower() in EXTRAS)


def _is_copy(small: Any, large: Any) -> bool:
    """Whether an image is another one at a lower resolution: an integer factor smaller, and alike."""
    a, b = small.keyframe, large.keyframe
    factor = round(b.imagelength / max(1, a.imagelength))
    fits = all(abs(n * factor - m) <= factor for n, m in zip(_edges(a), _edges(b), strict=True))
    if factor < 2 or not fits or a.samplesperpixel != b.samplesperpixel or len(small.pages) != len(large.pages):
        return False
    x, y = (p.asarray().reshape(*_edges(p), -1)[..., 0].astype(float) for p in (a, b))
    h, w = (min(n, m // factor) for n, m in zip(x.shape, y.shape, strict=True))
    blocks = y[: h * factor, : w * factor].reshape(h, factor, w, factor)
    return any(_correlation(x[:h, :w], z) > ALIKE for z in (blocks.mean((1, 3)), blocks[:, 0, :, 0]))


def _edges(page: Any) -> tuple[int, int]:
    return int(page.imagelength), int(page.imagewidth)


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm else 1.0


# ---- its pixels


def _pixels(tif: Any, series: Any, path: Path, lazy_above: int) -> Any:
    if series.nbytes > 1e8 + SHRINKS * path.stat().st_size:
        raise ValueError(f"{series.nbytes / 1e9:.3g} GB of pixels in {path.stat().st_size / 1e3:.3g} kB")
    return series.asarray() if series.nbytes <= lazy_above else _mapped(tif, series, path)


def _mapped(tif: Any, series: Any, path: Path) -> Any:
    """A series without reading it: memory-mapped, or dask, which keeps the file open as long as it lives."""
    import weakref

    import zarr

    if series.dataoffset is not None:
        return np.memmap(path, np.dtype(tif.byteorder + series.dtype.char), "r", series.dataoffset, series.shape)
    stored = zarr.open(series.aszarr(level=0), mode="r")
    weakref.finalize(stored, tif.close)
    return lazy(stored)


def _as_described(tif: Any, one: _Found, data: Any, path: Path, labels: bool) -> Picture:
    page, letters = one.series.keyframe, one.series.axes
    _check_colours(int(page.photometric), path)
    if _is_stack(page):
        letters = letters.replace("S", "Q")
    if not labels and not tif.is_imagej:  # ImageJ's numbers are what it measures, whatever it shows them as
        data, letters = _as_shown(data, letters, page)
    rgb = False
    if "S" in letters:
        at = letters.index("S")
        rgb = int(page.photometric) in (RGB, PALETTE, CMYK, YCBCR) and data.shape[at] in (3, 4)
        if rgb:
            data, letters = np.moveaxis(data, at, -1), letters.replace("S", "") + "S"
        elif data.shape[at] == 2 and page.extrasamples and page.extrasamples[0] in (1, 2):  # grey and transparency
            data, letters = np.take(data, 0, axis=at), letters.replace("S", "")
    axes = "".join("C" if a == "S" else a if a in LETTERS else "?" for a in letters)
    facts = one.facts or facts_of(tif, one.series.kind, axes, data.shape)
    size = plane_size(facts.sizes, axes)
    return Picture(data, axes, rgb, size, facts.unit, facts.channel_names, path, facts.description)


def _is_stack(page: Any) -> bool:
    """Whether planes were declared colours by tifffile, not by a person: it does so with each array of three or four planes.

    Colours of one byte are believed; cameras give frames of more.
    """
    of_planes = int(page.photometric) == RGB and int(page.planarconfig) == SEPARATE
    return of_planes and page.dtype != np.uint8 and str(page.software).startswith("tifffile")


def _check_colours(photometric: int, path: Path) -> None:
    if photometric <= YCBCR or photometric in (32844, 34892):  # depth maps and linear raw are numbers as they are
        return
    raise DojoError(
        f"{path.name} holds colours in a way that cannot be read here (CIELab or the raw data of a colour camera). "
        "Open it in the program that made it, and save it as RGB or grey TIFF."
    )


def _as_shown(data: Any, letters: str, page: Any) -> tuple[Any, str]:
    """Pixels as a viewer shows them: large is bright, a palette gives its colours, ink becomes light."""
    photometric = int(page.photometric)
    if photometric == WHITE_IS_ZERO and page.dtype.kind in "bui":
        data = lazy(data) if isinstance(data, np.memmap) else data
        most = (1 << page.bitspersample) - 1 if page.dtype.kind == "u" else -1
        return (~data if page.dtype.kind == "b" else data.dtype.type(most) - data), letters
    if photometric == PALETTE and page.colormap is not None and _is_coloured(page.colormap):
        table = page.colormap if page.colormap.max() < 256 else page.colormap >> 8
        table = table.astype(np.uint8).T
        data = lazy(data) if isinstance(data, np.memmap) else data
        shown = (
            data.map_blocks(lambda x: table[x], dtype=np.uint8, new_axis=data.ndim, chunks=(*data.chunks, (3,)))
            if hasattr(data, "dask")
            else table[data]
        )
        return shown, letters + "S"
    if photometric == CMYK and "S" in letters and data.dtype == np.uint8:
        ink = np.moveaxis(np.asarray(data), letters.index("S"), -1)[..., :4].astype(np.uint16)
        light = (255 - ink[..., :3]) * (255 - ink[..., 3:]) // 255
        return light.astype(np.uint8), letters.replace("S", "") + "S"
    return data, letters


def _is_coloured(table: NDArray[Any]) -> bool:
    """Whether a palette (3, n) gives colours to numbers, and is no look-up table from dark to bright or back."""
    steps = np.diff(table.astype(int), axis=1)
    return not ((steps >= 0).all() or (steps <= 0).all())
