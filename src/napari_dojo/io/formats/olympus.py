"""OIB and OIF of Olympus, by the package oiffile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_dojo.io.formats.microscope import package, picture_of
from napari_dojo.io.formats.picture import Picture, Wanted

__all__ = ["read_oif"]

TO_MICROMETRES = {"um": 1.0, "nm": 1e-3, "mm": 1e3}


def read_oif(path: Path, wanted: Wanted) -> Picture:
    """The image."""
    with package("oiffile", path).OifFile(str(path)) as file:
        data, axes, settings = file.asarray(), file.axes, file.mainfile
    parameters = [settings.get(f"Axis {i} Parameters Common", {}) for i in range(9)]
    sizes = {str(p.get("AxisCode")): _step(p) for p in parameters if p}
    count = data.shape[axes.index("C")] if "C" in axes else 1
    names = [str(settings.get(f"Channel {i + 1} Parameters", {}).get("DyeName", "")) for i in range(count)]
    return picture_of(path, data, axes, sizes, names)


def _step(axis: Mapping[str, Any]) -> float:
    """Micrometres from one pixel to the next."""
    count = int(axis.get("MaxSize", 0) or 0)
    length = abs(float(axis.get("EndPosition", 0) or 0) - float(axis.get("StartPosition", 0) or 0))
    factor = TO_MICROMETRES.get(str(axis.get("PixUnit", axis.get("UnitName", "um"))).lower(), 0.0)
    # of planes, the first and the last are meant; of pixels, the edges of the image
    steps = count - 1 if axis.get("AxisCode") == "Z" else count
    return length * factor / steps if steps > 0 else 0.0
