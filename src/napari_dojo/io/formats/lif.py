"""LIF of Leica, by the package liffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_dojo.errors import DojoError
from napari_dojo.io.formats.microscope import package, picture_of
from napari_dojo.io.formats.picture import Picture, Wanted

__all__ = ["read_lif"]


def read_lif(path: Path, wanted: Wanted) -> Picture:
    """One image of the project."""
    with package("liffile", path).LifFile(str(path)) as file:
        images = list(file.images)
        if not images:
            raise DojoError(f"{path.name} holds no image. Leave it out.")
        image = images[wanted.image]
        axes = "".join(image.dims)
        sizes = {a: _step(image.coords.get(a)) for a in "ZYX" if a in image.dims}
        return picture_of(path, image.asarray(), axes, sizes, _names(image), (wanted.image, len(images)))


def _step(places: Any) -> float:
    """Micrometres from one pixel to the next; places are in metres."""
    return abs(float(places[1] - places[0])) * 1e6 if places is not None and len(places) > 1 else 0.0


def _names(image: Any) -> list[str]:
    """What its channels are shown in, which is the nearest to a name that Leica keeps."""
    found = image.xml_element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    return [c.get("LUTName") or "" for c in found]
