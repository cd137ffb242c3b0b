"""ND2 of Nikon, by the package nd2."""

from __future__ import annotations

from pathlib import Path

from napari_dojo.io.formats.microscope import package, picture_of
from napari_dojo.io.formats.picture import Picture, Wanted

__all__ = ["read_nd2"]


def read_nd2(path: Path, wanted: Wanted) -> Picture:
    """One position; large files stay on the disk."""
    with package("nd2", path).ND2File(str(path)) as file:
        sizes = dict(file.sizes)
        positions = sizes.pop("P", 1)
        position = wanted.image if positions > 1 else None
        data = file.to_dask(position=position) if file.nbytes > wanted.lazy_above else file.asarray(position)
        axes = "".join(sizes)
        if data.ndim == len(axes) + 1:  # of one position, some versions keep the axis
            data = data[list(file.sizes).index("P") * (slice(None),) + (0,)]
        voxel = file.voxel_size()
        found = getattr(file.metadata, "channels", None) or []
        names = [c.channel.name or "" for c in found]
    step = {"X": voxel.x, "Y": voxel.y, "Z": voxel.z}
    return picture_of(path, data, axes, step, names, (wanted.image, positions))
