"""Make the images of src/napari_dojo/sample_data with the microscope simulator: the same files every time."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import tifffile

from napari_dojo.data.objects import boxes_of, crops_of
from napari_dojo.data.optics import Camera
from napari_dojo.simulation.cell_types import CELL_TYPES, mixed_cells
from napari_dojo.simulation.microscope import Scene, simulate
from napari_dojo.simulation.strokes import strokes

FOLDER = Path(__file__).resolve().parent.parent / "src" / "napari_dojo" / "sample_data"
CAMERA = Camera(gain=1.0, offset=100.0, read_noise=2.0)
NUCLEI = {  # seed: what differs from the simulator's usual nuclei
    1: {"diameter": 24, "density": 0.32, "photons": 120},
    2: {"diameter": 30, "density": 0.40, "photons": 90, "bodies": 0.7, "touching": 0.6},
    3: {"diameter": 22, "density": 0.38, "photons": 70, "background": 0.2, "brightness": 0.45},
    4: {
        "diameter": 34,
        "density": 0.36,
        "photons": 110,
        "texture": 0.2,
        "elongation": 1.55,
        "lobes": 0.06,
        "bend": 0.25,
    },
    5: {"diameter": 26, "density": 0.30, "photons": 60, "background": 0.12, "unevenness": 0.55, "debris": 0.6},
    6: {"diameter": 28, "density": 0.36, "photons": 90, "bodies": 0.5},
    7: {"diameter": 25, "density": 0.40, "photons": 70, "background": 0.15, "unevenness": 0.5},
}


def write(path: Path, array: np.ndarray, axes: str, pixel_size: tuple[float, ...], name: str) -> None:
    """An ImageJ TIFF, compressed, with pixel size and axes."""
    about = {"axes": axes, "unit": "um", "Info": f"napari-dojo simulator, {name}"}
    if len(pixel_size) == 3:
        about["spacing"] = pixel_size[0]
    resolution = (1 / pixel_size[-1], 1 / pixel_size[-2])
    array = array.astype(np.uint16)
    tifffile.imwrite(path, array, imagej=True, compression="zlib", resolution=resolution, metadata=about)


def save(folder: Path, name: str, scene: Scene, axes: str, **more: np.ndarray) -> None:
    """The image and its labels, and what else there is, each in a folder of its name."""
    for part, array in {"images": scene.image, "labels": scene.labels, **more}.items():
        order = axes if part == "images" else axes.replace("C", "")
        write(folder / part / f"{name}.tif", array, order, scene.pixel_size, scene.name)


def scene_of_nuclei(seed: int) -> Scene:
    """One of the images of nuclei_train and nuclei_test."""
    return simulate("nuclei", (256, 256), seed, camera=CAMERA, pixel_size=0.4, defocus=0.12, **NUCLEI[seed])


def cell_types(path: Path, each: int = 300, edge: int = 16, side: float = 40.0) -> None:
    """Crops of simulated cells for the classroom: ``images`` uint8 (n, Y, X), dark beside the cell, and ``types`` (n,)."""
    found: list[list[np.ndarray]] = [[] for _ in CELL_TYPES]
    seed = 5000
    while min(map(len, found)) < each:
        field = mixed_cells((512, 512), seed)
        numbers, first, last = boxes_of(field.labels)
        whole = ((first > 0) & (last < field.labels.shape)).all(1)
        crops = crops_of(field.image, field.labels, numbers[whole], edge, side=side, alone=True)[:, 0]
        dark = float(np.median(field.image[0][field.labels == 0]))
        light = np.percentile(crops, 99.5, axis=(1, 2))[:, None, None] - dark
        for crop, kind in zip((crops - dark) / light, field.types[whole], strict=True):
            found[kind].append(np.round(255 * np.clip(crop, 0, 1)).astype(np.uint8))
        seed += 1
    images = np.stack([crop for crops in found for crop in crops[:each]])
    np.savez_compressed(path, images=images, types=np.repeat(np.arange(len(CELL_TYPES)), each).astype(np.uint8))


def main(folder: Path) -> None:
    """Replace the folder's contents."""
    for old in ("nuclei_train", "nuclei_test", "nuclei_3d", "cells", "bacteria"):
        shutil.rmtree(folder / old, ignore_errors=True)
        for part in ("images", "labels", *(["truth"] if old == "cells" else [])):
            (folder / old / part).mkdir(parents=True)
    for seed in NUCLEI:
        save(folder / ("nuclei_train" if seed < 6 else "nuclei_test"), f"nuclei_{seed:02}", scene_of_nuclei(seed), "YX")
    volume = simulate("nuclei", (16, 96, 96), 8, camera=CAMERA, diameter=20, density=0.25, photons=70)
    save(folder / "nuclei_3d", "nuclei_3d", volume, "ZYX")
    cells = simulate("cells", (256, 256), 9, camera=CAMERA, diameter=52, density=0.7, photons=50)
    save(folder / "cells", "cells", cells, "CYX", labels=strokes(cells.classes, 0.05, 9), truth=cells.classes)
    bacteria = simulate("bacteria", (256, 256), 10, camera=CAMERA, diameter=10, photons=80)
    save(folder / "bacteria", "bacteria", bacteria, "YX")
    cell_types(folder / "cell_types.npz")
    for name in sorted([*folder.rglob("*.tif"), *folder.rglob("*.npz")]):
        print(f"{name.stat().st_size / 1000:8.1f} kB  {name.relative_to(folder)}")
    print(f"{sum(f.stat().st_size for f in folder.rglob('*.tif')) / 1e6:8.2f} MB in all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    main(parser.parse_args().out)
