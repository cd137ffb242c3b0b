"""Values of the simulator: a scene with its ground truth, a sample on a slide, and what a drawing gets and gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bench", "Drawing", "Floats", "Labels", "Rng", "Sample", "Scene"]

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]
Rng = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """A picture and the truth about it.

    Attributes
    ----------
    image : uint16 (C, *S) or, for one channel, (*S): what the camera gave.
    labels : int32 (*S): 0 background, 1..n objects, each in one piece (filaments are cut where others lie on them).
    clean : float32, shape of ``image``: the counts that the camera would give without noise.
    positions : float64 (n, len(S)): centroids of labels 1..n in pixels (spots: the true centres, finer than a pixel).
    pixel_size : um per pixel for each member of S.
    name : kind and seed.
    classes : uint8 (*S): 1 background, 2 object (cytoplasm in cells), 3 nucleus.
    """

    image: NDArray[np.uint16]
    labels: Labels
    clean: Floats
    positions: NDArray[np.float64]
    pixel_size: tuple[float, ...]
    name: str
    classes: NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """What lies on the slide. Lengths are in pixels of Y and X; the fractions are 0 to 1.

    Attributes
    ----------
    diameter : typical diameter; the width of bacteria and filaments, the full width at half maximum of spots.
    density : part of the field that objects cover, as far as there is room.
    variation : spread of the diameters (standard deviation of their logarithm).
    elongation : length over width.
    lobes : unevenness of the outline: 0 is smooth, 0.3 concave.
    bend : 0 is straight; from about 0.5 on beans and hooks.
    texture : contrast of the fine structure inside.
    grain : size of the fine structure over the diameter.
    bodies : spots inside nuclei: above 0 bright chromocentres, below 0 dark nucleoli; the value is their contrast.
    brightness : spread of the objects' brightness (standard deviation of its logarithm).
    touching : part of the objects that lie beside another.
    overlap : largest part of an object that may lie on others.
    defocus : part of the objects that lie out of focus (in a picture of a plane).
    mitosis : part of the nuclei that are condensed: small, long, bright.
    debris : unlabelled specks for each object.
    """

    diameter: float = 24.0
    density: float = 0.3
    variation: float = 0.18
    elongation: float = 1.35
    lobes: float = 0.08
    bend: float = 0.15
    texture: float = 0.3
    grain: float = 0.06
    bodies: float = -0.3
    brightness: float = 0.3
    touching: float = 0.4
    overlap: float = 0.08
    defocus: float = 0.2
    mitosis: float = 0.03
    debris: float = 0.15


@dataclass
class Drawing:
    """Light and truth on a canvas, as the drawing functions of `napari_dojo.simulation.kinds` give them.

    ``light`` (C, *S) has gone through the point spread function, and so has ``thickness`` (*S), what phase contrast
    shows (None: like the light); ``centres`` are true positions where centroids are not fine enough; ``whole`` says
    that each object is to be in one piece.
    """

    light: Floats
    labels: Labels
    thickness: Floats | None = None
    nuclei: NDArray[np.bool_] | None = None
    centres: NDArray[np.float64] | None = None
    whole: bool = True


@dataclass(frozen=True)
class Bench:
    """What every drawing function is given: the size of the canvas and the optics, in pixels."""

    shape: tuple[int, ...]
    units: NDArray[np.float64]  # length of each axis's step in pixels of Y and X
    sigma: tuple[float, ...]  # point spread function and pixel
    rng: Rng
