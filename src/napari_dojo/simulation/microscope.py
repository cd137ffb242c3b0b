"""The microscope simulator: images whose truth is known exactly.

``simulate("nuclei", (512, 512), seed=1)`` draws a sample, looks at it through a point spread function, lights it
unevenly and takes a picture with a noisy camera. Two dimensions or three: the shape decides. One seed, one picture.

Path: `KINDS` draws light and labels on a canvas a little larger than the field -> `Microscope.photons` -> `Camera`
-> `Scene`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import relabel_sequential

from napari_dojo.data.optics import Camera, psf_sigma
from napari_dojo.errors import DojoError
from napari_dojo.simulation.base import Bench, Labels, Sample, Scene
from napari_dojo.simulation.fields import one_piece, units_of
from napari_dojo.simulation.kinds import KINDS, Kind
from napari_dojo.simulation.scope import Microscope

__all__ = ["KINDS", "Kind", "Microscope", "Sample", "Scene", "random_nuclei", "simulate"]

SMALLEST = 10  # pixels: smaller rests of objects at the border of the field are not in the truth
BACKGROUND, BODY, NUCLEUS = 1, 2, 3  # values of Scene.classes


def simulate(
    kind: str,
    shape: Sequence[int],
    seed: int = 0,
    *,
    sample: Sample | None = None,
    microscope: Microscope | None = None,
    **options: Any,
) -> Scene:
    """Draw a sample and take a picture of it.

    Parameters
    ----------
    kind : a name of `KINDS`.
    shape : (Y, X) or (Z, Y, X).
    seed : the same seed gives the same bytes. Where only the microscope's light or camera differ, it is the same sample
        seen again.
    sample, microscope : what lies on the slide and how it is looked at; what is usual for the kind where None.
    options : fields of `Sample` and `Microscope` by name that replace theirs: ``diameter=30, photons=50``.

    Raises
    ------
    DojoError : where the kind, an option or the shape is not known.
    """
    drawn = _kind(kind)
    size = tuple(int(n) for n in shape)
    if len(size) not in (2, 3) or min(size) < 1:
        raise DojoError(f"The simulator draws planes (Y, X) and volumes (Z, Y, X); got the shape {tuple(shape)}.")
    sample, scope = _choose(drawn, sample, microscope, options)
    rng = np.random.default_rng([int(seed) & 0x7FFFFFFF, list(KINDS).index(kind), *size])
    units = units_of(len(size), scope.anisotropy)
    margin = np.ceil(drawn.margin * sample.diameter / units).astype(int)
    canvas = tuple(int(n + 2 * m) for n, m in zip(size, margin, strict=True))
    spread = psf_sigma(scope.na, scope.wavelength, scope.voxel(len(size)))
    sigma = tuple(float(np.hypot(s, 0.45)) for s in spread)  # the pixel's own width smooths the drawn edges
    drawing = drawn.draw(sample, Bench(canvas, units, sigma, rng))

    if scope.contrast == "phase":
        thickness = drawing.light.sum(0) if drawing.thickness is None else drawing.thickness
        photons = scope.photons_through(thickness, sample.diameter, rng)
    else:
        photons = scope.photons_of(drawing.light, sample.diameter, rng)
    seen = tuple(slice(int(m), int(m) + n) for m, n in zip(margin, size, strict=True))  # the field on the canvas
    photons = np.ascontiguousarray(photons[(slice(None), *seen)])
    image = scope.camera.expose(photons, rng)
    clean = np.minimum(scope.camera.expected(photons), 2**scope.camera.bits - 1)
    labels, kept = _field_labels(drawing.labels[seen], drawing.whole)
    positions = _centroids(labels) if drawing.centres is None else drawing.centres[kept - 1] - margin
    classes = np.where(labels > 0, BODY, BACKGROUND).astype(np.uint8)
    if drawing.nuclei is not None:
        classes[drawing.nuclei[seen]] = NUCLEUS
    if len(image) == 1:
        image, clean = image[0], clean[0]
    return Scene(image, labels, clean, positions, scope.voxel(len(size)), f"{kind} {seed}", classes)


def random_nuclei(seed: int, shape: Sequence[int]) -> Scene:
    """Nuclei as no two microscopes show them: everything that `Sample` and `Microscope` name is random.

    Diameters from 8 to 60 pixels, empty to crowded fields, round, lobed, bean-shaped and long ones, smooth, granular
    and speckled chromatin, sharp and blurred, 4 to 2000 photons, any gain. Training data for shipped models.

    Parameters
    ----------
    seed : the same seed gives the same bytes.
    shape : (Y, X) or (Z, Y, X).
    """
    rng = np.random.default_rng([seed & 0x7FFFFFFF, 77])
    size = min(60.0, 0.5 * max(shape))
    diameter = float(np.exp(rng.uniform(np.log(8), np.log(max(size, 9)))))
    bodies = rng.choice([0.0, rng.uniform(0.3, 1.4), rng.uniform(-0.6, -0.15)], p=[0.25, 0.4, 0.35])
    odd = rng.random() < 0.3  # a field of odd shapes
    sample = Sample(
        diameter=diameter,
        density=float(rng.uniform(0.04, 0.55)),
        variation=float(rng.uniform(0.08, 0.35)),
        elongation=float(1 + rng.gamma(2.0, 0.4 if odd else 0.15)),
        lobes=float(rng.uniform(0.08, 0.17) if odd else rng.uniform(0.0, 0.1)),
        bend=float(rng.uniform(0.2, 0.6) if odd else rng.uniform(0.0, 0.3)),
        texture=float(rng.uniform(0.05, 0.5)),
        grain=float(rng.uniform(0.03, 0.12)),
        bodies=float(bodies),
        brightness=float(rng.uniform(0.1, 0.7)),
        touching=float(rng.uniform(0.0, 0.9)),
        overlap=float(rng.uniform(0.02, 0.18)),
        defocus=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
        mitosis=float(rng.choice([0.0, rng.uniform(0.02, 0.15)])),
        debris=float(rng.choice([0.0, rng.uniform(0.1, 1.5)], p=[0.4, 0.6])),
    )
    background = float(np.exp(rng.uniform(np.log(0.01), np.log(0.6))))
    camera = Camera(
        gain=float(np.exp(rng.uniform(np.log(0.2), np.log(12.0)))),
        offset=float(rng.choice([0.0, 100.0, rng.uniform(5, 1000)])),
        read_noise=float(rng.uniform(0.5, 6.0)),
    )
    scope = Microscope(
        na=float(rng.uniform(0.25, 1.3)),
        anisotropy=float(rng.uniform(1.0, 4.0)),
        photons=float(np.exp(rng.uniform(np.log(12 + 40 * background), np.log(2000)))),
        background=background,
        unevenness=float(rng.uniform(0.0, 0.7)),
        haze=float(rng.uniform(0.0, 0.4)),
        camera=camera,
    )
    return replace(simulate("nuclei", shape, seed, sample=sample, microscope=scope), name=f"random nuclei {seed}")


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise DojoError(f"The simulator knows {', '.join(KINDS)}; got {name!r}.")
    return KINDS[name]


def _choose(
    kind: Kind, sample: Sample | None, scope: Microscope | None, options: dict[str, Any]
) -> tuple[Sample, Microscope]:
    known = {f.name: kind for kind in (Sample, Microscope) for f in fields(kind)}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DojoError(f"The simulator has no option {', '.join(unknown)}; it has {', '.join(known)}.")
    sample = replace(sample or kind.sample, **{k: v for k, v in options.items() if known[k] is Sample})
    chosen = {k: v for k, v in options.items() if known[k] is Microscope}
    if chosen.get("contrast") == "phase" and scope is None:
        chosen = {"photons": 3000.0, **chosen}
    scope = replace(scope or kind.microscope, **chosen)
    if scope.contrast not in ("fluorescence", "phase"):
        raise DojoError(f'The contrast is "fluorescence" or "phase"; got {scope.contrast!r}.')
    if sample.diameter < 1 or not 0 <= sample.density <= 1 or scope.photons <= 0:
        raise DojoError(
            "The simulator needs a diameter of 1 pixel or more, a density from 0 to 1 and some photons; got "
            f"diameter {sample.diameter}, density {sample.density}, photons {scope.photons}."
        )
    if not scope.pixel_size:
        scope = replace(scope, pixel_size=float(f"{kind.micrometres / sample.diameter:.3g}"))
    return sample, scope


def _field_labels(labels: Labels, whole: bool) -> tuple[Labels, NDArray[np.intp]]:
    """Labels of the field without tiny rests, numbered 1..n, and their old numbers (n,)."""
    labels = one_piece(labels) if whole else labels
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = sizes >= (SMALLEST if sizes.max(initial=0) > 4 * SMALLEST else 1)
    numbered = relabel_sequential(np.where(kept[labels], labels, 0))[0]
    return numbered.astype(np.int32), np.flatnonzero(kept)


def _centroids(labels: Labels) -> NDArray[np.float64]:
    """Mean place (n, ndim) of the pixels of labels 1..n."""
    flat = labels.ravel()
    sizes = np.bincount(flat)[1:]
    places: tuple[NDArray[Any], ...] = np.indices(labels.shape, sparse=True)
    sums = [np.bincount(flat, np.broadcast_to(along, labels.shape).ravel())[1:] for along in places]
    return np.stack(sums, 1) / sizes[:, None]
