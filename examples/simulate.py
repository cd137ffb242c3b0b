"""Draw one image of each kind with the microscope simulator, and put them on one sheet.

Run: python examples/simulate.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from napari_dojo.simulation.microscope import KINDS, random_nuclei, simulate

SHAPE = (192, 192)


def main(folder: Path) -> Path:
    """Write sheet.png: images above, labels below."""
    scenes = [simulate(kind, SHAPE, seed=1) for kind in KINDS]
    scenes.append(simulate("bacteria", SHAPE, seed=2, contrast="phase", diameter=8, density=0.4))
    scenes.append(random_nuclei(5, SHAPE))
    figure, axes = plt.subplots(2, len(scenes), figsize=(2 * len(scenes), 4.2), layout="constrained")
    for column, scene in zip(axes.T, scenes, strict=True):
        image = scene.image if scene.image.ndim == 2 else scene.image[0]
        low, high = np.percentile(image, [1, 99.8])
        column[0].imshow(image, "gray", vmin=low, vmax=high)
        column[0].set_title(scene.name, fontsize=8)
        column[1].imshow(
            np.where(scene.labels, scene.labels * 37 % 97 + 3, 0), "nipy_spectral", interpolation="nearest"
        )
        print(f"{scene.name:16} {scene.labels.max():4} objects, {scene.pixel_size[-1]:.3g} um per pixel")
    for panel in axes.flat:
        panel.set_axis_off()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sheet.png"
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())))
