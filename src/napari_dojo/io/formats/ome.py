"""OME-XML: which images a TIFF describes, which pages of this very file are theirs, and their pixel size and channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_dojo.data.units import in_micrometres
from napari_dojo.errors import DojoError
from napari_dojo.io.formats.picture import Facts

__all__ = ["OmeImage", "described", "own_part"]

Place = tuple[int, int, int]  # T, Z, C


@dataclass(frozen=True)
class Block:
    """Planes of an image that follow each other in a file: the first one's place, its page, how many (0: all pages)."""

    first: Place
    page: int
    count: int
    uuid: str = ""
    file: str = ""


@dataclass(frozen=True)
class OmeImage:
    """One image of the XML.

    Attributes
    ----------
    name : of the image.
    order : of its planes, such as "CZT": the first letter changes fastest.
    sizes : number of planes along T, Z and C; C counts pages, not samples of a page.
    facts : pixel size, channel names, description.
    blocks : where its planes lie.
    """

    name: str
    order: str
    sizes: Place
    facts: Facts
    blocks: tuple[Block, ...]

    def planes(self, block: Block, pages: int) -> dict[Place, int]:
        """The page of each plane of a block, by its place; ``pages`` are in the file."""
        length = dict(zip("TZC", self.sizes, strict=True))
        at = dict(zip("TZC", block.first, strict=True))
        start = at[self.order[0]] + length[self.order[0]] * (
            at[self.order[1]] + length[self.order[1]] * at[self.order[2]]
        )
        found = {}
        for k in range(block.count or pages):
            rest, where = start + k, {}
            for letter in self.order:
                rest, where[letter] = divmod(rest, length[letter])
            if not rest:  # the XML of a cropped image may count on beyond its end
                found[where["T"], where["Z"], where["C"]] = block.page + k
        return found


def described(xml: str) -> tuple[str, tuple[OmeImage, ...]]:
    """The id of the file that the XML lies in, and its images; nothing where the XML is not OME's or broken."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return "", ()
    images = [_image(element) for element in root.findall("{*}Image")]
    return root.get("UUID", ""), tuple(image for image in images if image is not None)


def master_of(xml: str, path: Path) -> str:
    """The XML of the file that this file refers to; empty if it refers to none, or the file is missing."""
    try:
        binary = ElementTree.fromstring(xml).find("{*}BinaryOnly")
        file = None if binary is None else binary.get("MetadataFile")
        if not file:
            return ""
        master = path.parent / Path(file).name
        if master.suffix.lower() in (".ome", ".xml"):
            return master.read_text(encoding="utf-8")
        import tifffile

        with tifffile.TiffFile(master) as tif:
            return tif.ome_metadata or ""
    except (OSError, ValueError, ElementTree.ParseError):
        return ""


def own_part(path: Path, uuid: str, images: Sequence[OmeImage]) -> tuple[OmeImage, ...]:
    """What of a set's images lies in this file: those images alone, each with its blocks in this file alone.

    A file is known by its id, else by its name; where all blocks lie in one file, it is this one.

    Raises
    ------
    DojoError : which part of a set of files this one is cannot be told.
    """
    files = {(block.uuid, block.file) for image in images for block in image.blocks}
    mine = {f for f in files if f[0] and f[0] == uuid}
    if len(mine) != 1:  # no id, or the same id in several files
        mine = {f for f in mine or files if f[1].lower() == path.name.lower()}
    if not mine and len(files) == 1:
        mine = files
    mine |= {f for f in files if f == ("", "")}  # blocks that name no file lie in this one
    if not mine:
        names = sorted(f[1] or f[0] for f in files)
        shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        raise DojoError(
            f"{path.name} describes a set of {len(files)} files ({shown}), and has the name and the id of none of them: "
            "which of the images it holds cannot be told. Give it its old name, or save its image as a plain TIFF."
        )
    own = [replace(i, blocks=tuple(b for b in i.blocks if (b.uuid, b.file) in mine)) for i in images]
    own = [image for image in own if image.blocks]
    pages = [block.page for image in own for block in image.blocks]
    if len(own) > 1 and len(set(pages)) < len(pages):
        raise DojoError(
            f"{path.name} describes {len(own)} images that lie in the same plane of the file: which of them it holds "
            "cannot be told. Save its image as a plain TIFF."
        )
    return tuple(own)


def in_several_files(uuid: str, images: Sequence[OmeImage]) -> bool:
    """Whether the XML names any file that is not known for sure to be the one that it lies in."""
    return any(block.uuid != uuid for image in images for block in image.blocks if block.uuid or block.file)


def _image(element: Any) -> OmeImage | None:
    pixels = element.find("{*}Pixels")
    if pixels is None:
        return None
    channels = pixels.findall("{*}Channel")
    samples = max(1, int(channels[0].get("SamplesPerPixel", 1))) if channels else 1
    sizes = tuple(int(pixels.get(f"Size{a}", 1)) // (samples if a == "C" else 1) for a in "TZC")
    blocks = []
    for data in pixels.findall("{*}TiffData"):
        given = data.find("{*}UUID")
        first = tuple(int(data.get(f"First{a}", 0)) // (samples if a == "C" else 1) for a in "TZC")
        count = int(data.get("PlaneCount", data.get("NumPlanes", 1 if "IFD" in data.attrib else 0)))
        uuid = "" if given is None else (given.text or "").strip()
        file = "" if given is None else given.get("FileName", "")
        blocks.append(Block((first[0], first[1], first[2]), int(data.get("IFD", 0)), count, uuid, file))
    order = pixels.get("DimensionOrder", "XYCZT")[2:]
    name = element.get("Name", "")
    return OmeImage(name, order, (sizes[0], sizes[1], sizes[2]), _facts(element, pixels, channels), tuple(blocks))


def _facts(element: Any, pixels: Any, channels: Sequence[Any]) -> Facts:
    found = {a: pixels.get(f"PhysicalSize{a}") for a in "ZYX"}
    units: dict[str, str | None] = {a: pixels.get(f"PhysicalSize{a}Unit", "um") for a in "ZYX"}
    sizes, unit = in_micrometres({a: float(v) for a, v in found.items() if v}, units)
    names = tuple(channel.get("Name", "") for channel in channels)
    text = (element.findtext("{*}Description") or "").strip()
    return Facts(sizes, unit, names if any(names) else (), text)
