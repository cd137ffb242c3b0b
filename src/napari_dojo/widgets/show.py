"""Open the viewer on an image and its labels: ``python -m napari_dojo.widgets.show IMAGE LABELS``."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["show"]


def show(image: Path, labels: Path) -> None:
    """Open a viewer with both as layers, and wait until it is closed."""
    import napari

    from napari_dojo.io import images

    viewer = napari.Viewer()
    for path, add in ((image, viewer.add_image), (labels, viewer.add_labels)):
        picture = images.read(path, labels=path == labels)
        add(picture.data, name=path.stem, scale=picture.pixel_size)
    napari.run()


if __name__ == "__main__":
    show(Path(sys.argv[1]), Path(sys.argv[2]))
