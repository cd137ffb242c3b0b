"""PNG, JPEG and BMP: planes of grey or colours, without axes or pixel size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import DojoError
from napari_dojo.io.formats.picture import Picture, Wanted, in_order

__all__ = ["png_bytes", "read_pixels", "write_png"]


def read_pixels(path: Path, wanted: Wanted) -> Picture:
    """A plane (Y, X), or colours (Y, X, RGB or RGBA), of uint8 or, in PNG, uint16; a palette as its colours.

    Of labels, the numbers of a palette are its values.
    """
    import warnings

    from PIL import Image

    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(b"\x89PNG") and head[24] == 16 and head[25] & 6:  # pillow halves colours of 16 bits, unasked
        import imagecodecs

        return _as_colours(imagecodecs.png_decode(path.read_bytes()), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # microscopes make large images
        with Image.open(path) as image:
            if image.mode in ("P", "PA") and wanted.labels:
                array = np.asarray(image)
                return Picture(array if array.ndim == 2 else array[..., 0], "YX", path=path)
            if image.mode not in ("1", "L", "LA", "I", "F", "RGB", "RGBA") and not image.mode.startswith("I;16"):
                transparent = "transparency" in image.info or image.mode == "PA"
                colours = np.asarray(image.convert("RGBA" if transparent else "RGB"))
                grey = (colours[..., 0] == colours[..., 1]).all() and (colours[..., 0] == colours[..., 2]).all()
                return _as_colours(colours[..., 0] if grey else colours, path)
            return _as_colours(np.asarray(image), path)


def _as_colours(array: NDArray[Any], path: Path) -> Picture:
    """(Y, X), (Y, X, grey and alpha) or (Y, X, RGB or RGBA)."""
    if array.ndim == 3 and array.shape[-1] == 2:
        notes = (f"The transparency (alpha) of {path.name} was left out.",) if np.ptp(array[..., 1]) else ()
        return Picture(array[..., 0], "YX", path=path, notes=notes)
    return Picture(array, "YXC" if array.ndim == 3 else "YX", array.ndim == 3, path=path)


def write_png(part: Path, picture: Picture, labels: bool) -> None:
    """Write a plane of uint8 or uint16, or colours of uint8; DojoError for anything else."""
    data, axes = in_order(picture, "YXC")
    data = np.asarray(data)
    grey = data.ndim == 2 and data.dtype in (np.uint8, np.uint16)
    if not grey and not (data.ndim == 3 and picture.rgb):
        raise DojoError(
            f"PNG holds one plane of whole numbers up to 65535, or colours of 8 bits; {picture.path.name} would be "
            f"{axes} of {data.dtype}. Choose .tif instead."
        )
    part.write_bytes(png_bytes(data))


def png_bytes(array: NDArray[Any]) -> bytes:
    """A plane (Y, X) of uint8 or uint16, or colours (Y, X, 3) of uint8, as the content of a PNG."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG")
    return buffer.getvalue()
