"""File > Open Sample: images of the microscope simulator, the sample data of this package, and scikit-image's.

Each public function of ``__all__`` is a napari command; it gives a list of layers ``(data, options, type)``. Nothing is
downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.simulation.microscope import Scene, simulate
from napari_dojo.simulation.scenes import line_noise as lines
from napari_dojo.simulation.smlm import film

__all__ = [
    "bacteria",
    "bacteria_phase",
    "cells",
    "cells_phase",
    "cells_strokes",
    "filaments",
    "folder",
    "label_free",
    "line_noise",
    "localisations",
    "noisy_pair",
    "noisy_single",
    "nuclei",
    "nuclei_3d",
    "nuclei_test",
    "nuclei_train",
    "skimage_cell",
    "skimage_coins",
    "skimage_retina",
    "skimage_tissue",
    "spots",
    "thin_stack",
]

Layer = tuple[Any, dict[str, Any], str]

FIELD, STACK = (512, 512), (64, 192, 192)
CLASSES = {1: "background", 2: "cytoplasm", 3: "nucleus"}
COLOURS = {None: "transparent", 0: "transparent", 1: "#0072b2", 2: "#e69f00", 3: "#cc79a7"}  # Okabe and Ito


def folder(name: str) -> Path:
    """Where one of the package's sets of images lies: ``images`` and ``labels`` with files of the same names.

    Parameters
    ----------
    name : "nuclei_train", "nuclei_test", "nuclei_3d", "cells" (and its "truth") or "bacteria".
    """
    path = Path(str(files("napari_dojo") / "sample_data" / name))
    if not path.is_dir():
        raise DojoError(f"This installation has no sample data {name!r}. Install napari-dojo again.")
    return path


def nuclei() -> list[Layer]:
    """Fluorescent nuclei that touch, some out of focus, and their labels."""
    return _scene(simulate("nuclei", FIELD, 1), "nuclei")


def cells() -> list[Layer]:
    """Packed cells: cytoplasm, nuclei, labels of the cells."""
    scene = simulate("cells", FIELD, 1)
    facts = _facts("yx", scene.pixel_size, f"napari-dojo simulator: {scene.name}")
    body, nucleus = scene.image
    return [*_two_channels(body, nucleus, facts), (scene.labels, {"name": "cells: labels", **facts}, "labels")]


def cells_phase() -> list[Layer]:
    """Packed cells in phase contrast, and their labels."""
    return _scene(simulate("cells", FIELD, 2, contrast="phase"), "cells in phase contrast")


def bacteria() -> list[Layer]:
    """Rod-shaped bacteria that touch, in fluorescence, and their labels."""
    return _scene(simulate("bacteria", FIELD, 1), "bacteria")


def bacteria_phase() -> list[Layer]:
    """Rod-shaped bacteria in phase contrast, and their labels."""
    return _scene(simulate("bacteria", FIELD, 2, contrast="phase"), "bacteria in phase contrast")


def filaments() -> list[Layer]:
    """Curved filaments that cross, and where they are: 1 background, 2 filament."""
    scene = simulate("filaments", FIELD, 1)
    image, _ = _scene(scene, "filaments")
    facts = {k: v for k, v in image[1].items() if k != "name"}
    return [image, (scene.classes, {"name": "filaments: classes", **facts}, "labels")]


def spots() -> list[Layer]:
    """Spots as small as the microscope shows, and their true centres."""
    scene = simulate("spots", FIELD, 1)
    image, _ = _scene(scene, "spots")
    facts = {k: v for k, v in image[1].items() if k != "name"}
    look = {"name": "spots: positions", "size": 5, "face_color": "transparent", "border_color": "yellow"}
    return [image, (scene.positions, {**look, **facts}, "points")]


def nuclei_3d() -> list[Layer]:
    """A small volume of nuclei and their labels."""
    return _file("nuclei_3d", "nuclei_3d", "nuclei 3-D")


def nuclei_train() -> list[Layer]:
    """Five annotated images of nuclei, to train on."""
    return _stack("nuclei_train", "nuclei to train on")


def nuclei_test() -> list[Layer]:
    """Two more images of nuclei, to test on."""
    return _stack("nuclei_test", "nuclei to test on")


def cells_strokes() -> list[Layer]:
    """Cells with some strokes of a brush for three classes: background, cytoplasm, nucleus; 0 is not annotated."""
    read = images.read(folder("cells") / "images" / "cells.tif")
    strokes = np.asarray(images.read(folder("cells") / "labels" / "cells.tif", labels=True).data)
    facts = _facts("yx", read.pixel_size or (), read.description)
    body, nucleus = np.asarray(read.data)
    look = {"name": "cells: strokes", "features": _class_names(), "colormap": COLOURS, "opacity": 1.0}
    return [*_two_channels(body, nucleus, facts), (strokes, {**look, **facts}, "labels")]


def noisy_pair() -> list[Layer]:
    """The same filaments with few photons and without noise, four fields: axes TYX, T counting images."""
    scenes = [simulate("filaments", (256, 256), seed, photons=12) for seed in range(4)]
    facts = _facts("tyx", (1.0, *scenes[0].pixel_size), "napari-dojo simulator: filaments, 12 photons")
    clean = np.stack([s.clean for s in scenes])
    return [
        (np.stack([s.image for s in scenes]), {"name": "filaments, noisy", **facts}, "image"),
        (clean, {"name": "filaments, clean", **facts}, "image"),
    ]


def noisy_single() -> list[Layer]:
    """One image of nuclei with few photons, to be denoised by itself."""
    image, _ = _scene(simulate("nuclei", (1024, 1024), 5, photons=15), "noisy nuclei")
    return [image]


def line_noise() -> list[Layer]:
    """Cells whose noise comes in lines, as scanning microscopes have it."""
    scene = simulate("cells", FIELD, 6)
    body = np.asarray(scene.clean[0], np.float32)
    noisy = lines(body, 0.12 * float(np.ptp(body)), np.random.default_rng(0))
    facts = _facts("yx", scene.pixel_size, f"napari-dojo simulator: {scene.name}, noise in lines")
    return [(noisy, {"name": "noise in lines", **facts}, "image")]


def label_free() -> list[Layer]:
    """Cells in phase contrast and their nuclear stain, four fields: axes TYX, T counting images."""
    fields = [(simulate("cells", (256, 256), k, contrast="phase"), simulate("cells", (256, 256), k)) for k in range(4)]
    facts = _facts("tyx", (1.0, *fields[0][0].pixel_size), "napari-dojo simulator: cells, phase contrast and stain")
    look = {"name": "cells: nuclear stain", "colormap": "magenta", "blending": "additive"}
    return [
        (np.stack([phase.image for phase, _ in fields]), {"name": "cells: phase contrast", **facts}, "image"),
        (np.stack([stained.image[1] for _, stained in fields]), {**look, **facts}, "image"),
    ]


def localisations() -> list[Layer]:
    """Single-molecule localisations of filaments: 5 % of a film, the wide-field image, and all of the film."""
    made = film(7, FIELD)
    facts = _facts("yx", (made.pixel_size,) * 2, "napari-dojo simulator: film of blinking molecules")
    return [
        (made.picture(0.05), {"name": "localisations, 5 %", "contrast_limits": (0, 2), **facts}, "image"),
        (made.widefield, {"name": "wide-field", "colormap": "magenta", "visible": False, **facts}, "image"),
        (made.picture(smooth=1.0), {"name": "localisations, dense", "visible": False, **facts}, "image"),
    ]


def thin_stack() -> list[Layer]:
    """A stack of nuclei of which every fourth plane was taken."""
    scene = simulate("nuclei", STACK, 3, anisotropy=1.0, photons=150)
    size = (4 * scene.pixel_size[0], *scene.pixel_size[1:])
    facts = _facts("zyx", size, f"napari-dojo simulator: {scene.name}, every fourth plane")
    return [(scene.image[1::4], {"name": "thin stack", **facts}, "image")]


def skimage_cell() -> list[Layer]:
    """A cell in saline, quantitative phase (Müller et al. 2018, CC0)."""
    return _from_skimage("cell.png", "cell in saline", (0.107, 0.107))


def skimage_coins() -> list[Layer]:
    """Greek coins: touching nothing, unevenly lit (Brooklyn Museum)."""
    return _from_skimage("coins.png", "coins")


def skimage_tissue() -> list[Layer]:
    """Colonic glands, immunohistochemistry with haematoxylin, in colour (CMMI)."""
    return _from_skimage("ihc.png", "stained tissue")


def skimage_retina() -> list[Layer]:
    """A human retina, in colour (M. Häggström, CC0)."""
    return _from_skimage("retina.jpg", "retina")


def _scene(scene: Scene, name: str) -> list[Layer]:
    """Image and labels of a scene of one channel."""
    facts = _facts("zyx"[-scene.labels.ndim :], scene.pixel_size, f"napari-dojo simulator: {scene.name}")
    return [
        (scene.image, {"name": name, **facts}, "image"),
        (scene.labels, {"name": f"{name}: labels", **facts}, "labels"),
    ]


def _two_channels(body: Any, nucleus: Any, facts: dict[str, Any]) -> list[Layer]:
    return [
        (body, {"name": "cells: cytoplasm", "colormap": "green", **facts}, "image"),
        (nucleus, {"name": "cells: nuclei", "colormap": "magenta", "blending": "additive", **facts}, "image"),
    ]


def _file(name: str, stem: str, title: str) -> list[Layer]:
    """Image and labels of one file of the package."""
    read = images.read(folder(name) / "images" / f"{stem}.tif")
    labels = images.read(folder(name) / "labels" / f"{stem}.tif", labels=True)
    facts = _facts((read.axes or "").lower(), read.pixel_size or (), read.description)
    return [
        (np.asarray(read.data), {"name": title, **facts}, "image"),
        (np.asarray(labels.data), {"name": f"{title}: labels", **facts}, "labels"),
    ]


def _stack(name: str, title: str) -> list[Layer]:
    """Images of one size and their labels, one above the other: axes TYX, T counting images."""
    stems = sorted(path.stem for path in (folder(name) / "images").glob("*.tif"))
    parts = [_file(name, stem, title) for stem in stems]
    facts = parts[0][0][1]
    size = facts.get("scale", (1.0, 1.0))
    facts = _facts("tyx", (1.0, *size), f"napari-dojo simulator: {', '.join(stems)}")
    return [
        (np.stack([p[0][0] for p in parts]), {"name": title, **facts}, "image"),
        (np.stack([p[1][0] for p in parts]), {"name": f"{title}: labels", **facts}, "labels"),
    ]


def _from_skimage(file: str, name: str, pixel_size: Sequence[float] = ()) -> list[Layer]:
    """An image that lies in scikit-image's own folder; its loader would ask the network for a missing one."""
    path = Path(str(files("skimage") / "data" / file))
    if not path.is_file():
        raise DojoError(f"This scikit-image has no {file}. Install scikit-image 0.24 or later, or open another sample.")
    read = images.read(path)
    facts = _facts("yx", pixel_size, f"scikit-image: {file}")
    return [(np.asarray(read.data), {"name": name, **facts, **({"rgb": True} if read.rgb else {})}, "image")]


def _facts(axes: str, pixel_size: Sequence[float], source: str) -> dict[str, Any]:
    """Scale in um, its units and the axes for a layer; frames are counted. Without a pixel size in pixels."""
    facts: dict[str, Any] = {"axis_labels": tuple(axes), "metadata": {"source": source}}
    if len(pixel_size) == len(axes):
        facts["scale"] = tuple(float(p) for p in pixel_size)
        facts["units"] = tuple("pixel" if a == "t" else "um" for a in axes)
    return facts


def _class_names() -> dict[str, list[Any]]:
    """Names of the classes as a layer's features: napari shows them under the mouse."""
    return {"index": [0, *CLASSES], "class": ["not annotated", *CLASSES.values()]}
