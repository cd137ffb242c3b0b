"""The microscope simulator: images whose truth is known exactly.

``simulate("nuclei", (512, 512), seed=1)`` draws a sample, looks at it through a point spread function, lights it
unevenly and takes a picture with a noisy camera. Two dimensions or three: the shape decides. One seed, one picture.

Path: `KINDS` draws light and labels on a canvas a little larger than the field -> `Microscope.photons` -> `Camera`
-> `Scene`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from napari_dojo.data.optics import Camera, blur, psf_sigma
from napari_dojo.errors import DojoError

__all__ = ["KINDS", "Kind", "Microscope", "Sample", "Scene", "random_nuclei", "simulate", "strokes"]

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]
Rng = np.random.Generator

SMALLEST = 10  # pixels: smaller rests of objects at the border of the field are not in the truth
BACKGROUND, BODY, NUCLEUS = 1, 2, 3  # values of Scene.classes


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


@dataclass(frozen=True)
class Microscope:
    """How the sample is looked at.

    Attributes
    ----------
    na, wavelength : numerical aperture; wavelength of the light in um.
    pixel_size : um per pixel in Y and X; 0 lets the kind's usual size in um at the asked diameter decide.
    anisotropy : distance of two planes over ``pixel_size``, in volumes.
    photons : caught from one pixel of an object of brightness 1; in phase contrast, of the empty slide. The signal
        to noise ratio in an object is about the root of this.
    background : light between the objects over that of an object.
    unevenness : loss of light towards the dim corner.
    haze : part of the light that comes from out of focus and lies around the objects as a glow.
    contrast : "fluorescence", or "phase": dark objects with a bright halo on a grey ground.
    camera : see `napari_dojo.data.optics.Camera`.
    """

    na: float = 0.75
    wavelength: float = 0.52
    pixel_size: float = 0.0
    anisotropy: float = 2.0
    photons: float = 300.0
    background: float = 0.06
    unevenness: float = 0.3
    haze: float = 0.12
    contrast: str = "fluorescence"
    camera: Camera = field(default_factory=Camera)

    def voxel(self, ndim: int) -> tuple[float, ...]:
        """Size of a pixel, um, for 2 or 3 dimensions."""
        return (self.pixel_size * self.anisotropy, self.pixel_size, self.pixel_size)[3 - ndim :]

    def photons_of(self, light: Floats, diameter: float, rng: Rng) -> Floats:
        """Expected photons of each pixel in fluorescence; ``light`` (C, *S) is 1 in an object of brightness 1."""
        units = _units(light.ndim - 1, self.anisotropy)
        glow = _wide_blur(light, [0.0, *(0.6 * diameter / units)])
        ground = np.stack([_noise(light.shape[1:], 2.0 * diameter / units, rng) for _ in light])
        ground = self.background * np.maximum(1 + 0.2 * ground, 0.1)
        seen = (1 - self.haze) * light + self.haze * glow + ground
        return np.asarray(self.photons * seen * _illumination(light.shape[1:], self.unevenness, rng), np.float32)

    def photons_through(self, thickness: Floats, diameter: float, rng: Rng) -> Floats:
        """Expected photons of each pixel (1, *S) in phase contrast; ``thickness`` (*S) is about 1 in an object.

        Light is lost where the sample is thick and comes back around it: a dark object with a bright halo.
        """
        units = _units(thickness.ndim, self.anisotropy)
        halo = _wide_blur(thickness, min(0.45 * diameter, 5.0) / units)
        shade = _wide_blur(thickness, min(1.5 * diameter, 25.0) / units)
        dirt = 0.02 * _noise(thickness.shape, 2.5 * diameter / units, rng)
        signal = np.maximum(1 + dirt - 0.6 * thickness + 0.45 * halo + 0.1 * shade, 0.02)
        signal = signal * self.photons * _illumination(thickness.shape, self.unevenness, rng)
        return np.asarray(signal[None], np.float32)


@dataclass
class Drawing:
    """Light and truth on a canvas; the drawing functions below fill it.

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


@dataclass(frozen=True)
class Kind:
    """One kind of sample: how it is drawn, what it is usually like, and its usual diameter in um."""

    draw: Callable[[Sample, Bench], Drawing]
    sentence: str
    micrometres: float
    sample: Sample = Sample()
    microscope: Microscope = Microscope()
    margin: float = 0.8  # of the canvas around the field, in diameters


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
    units = _units(len(size), scope.anisotropy)
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
    """Nuclei as no two microscopes show them: everything that `Sample` and `Microscope` name is drawn by chance.

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


def strokes(classes: NDArray[Any], share: float = 0.05, seed: int = 0, width: int = 3) -> NDArray[np.uint8]:
    """Annotate as a person in a hurry does: some strokes of a brush in every class, nothing elsewhere.

    Parameters
    ----------
    classes : whole numbers 1..n (*S), such as `Scene.classes`; 0 is left alone.
    share : part of each class's pixels that gets painted, about; every class gets one stroke or more.
    seed : the same seed gives the same strokes.
    width : of the brush in pixels.

    Returns
    -------
    uint8 (*S): 0 not annotated, else the class.
    """
    rng = np.random.default_rng([seed & 0x7FFFFFFF, 78])
    drawn = np.zeros(classes.shape, np.uint8)
    brush = _brush(width, classes.ndim)
    for value in np.unique(classes[classes > 0]):
        mask = classes == value
        room = ndimage.binary_erosion(mask, iterations=max(1, width // 2))
        starts = np.argwhere(room if room.any() else mask)
        wanted, painted = share * int(mask.sum()), 0
        for _ in range(10000):
            line = _stroke(starts[rng.integers(len(starts))], room, 12 * width, rng)
            points = (line[:, None] + brush).reshape(-1, classes.ndim)
            points = points[((points >= 0) & (points < classes.shape)).all(1)]
            points = points[mask[tuple(points.T)]]
            drawn[tuple(points.T)] = value
            painted = int((drawn == value).sum())
            if painted >= wanted:
                break
    return drawn


def _stroke(start: NDArray[np.int_], room: NDArray[np.bool_], length: int, rng: Rng) -> NDArray[np.int_]:
    """Pixels (n, ndim) of a slightly curved line that ends where there is no more room."""
    turns = np.cumsum(rng.normal(0, 0.12, (length, room.ndim)), axis=0)
    way = _direction(rng, 1, room.ndim) + turns
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    line = np.rint(start + np.cumsum(way, axis=0)).astype(int)
    fits: NDArray[np.bool_] = np.all((line >= 0) & (line < room.shape), axis=1)
    fits[fits] = room[tuple(line[fits].T)]
    end = int(np.argmin(fits)) if not fits.all() else length
    return np.concatenate([start[None], line[:end]])


def _brush(width: int, ndim: int) -> NDArray[np.int_]:
    """Pixels (n, ndim) of a ball around the origin."""
    steps = np.arange(-(width // 2), width // 2 + 1)
    grid = np.stack(np.meshgrid(*[steps] * ndim, indexing="ij")).reshape(ndim, -1).T
    return grid[(grid**2).sum(1) <= (width / 2) ** 2]


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


# ---------------------------------------------------------------------------------------------------- kinds


def _nuclei(sample: Sample, bench: Bench) -> Drawing:
    rng, ndim = bench.rng, len(bench.shape)
    grain = [_noise(bench.shape, sample.grain * f * sample.diameter / bench.units, rng) for f in (1, 2.5)]
    fine = (0.6 * grain[0] + 0.7 * grain[1]).astype(np.float32)
    depth = 3 if ndim == 2 else 1  # levels of focus; a volume holds its own
    light = np.zeros((depth, *bench.shape), np.float32)
    labels = np.zeros(bench.shape, np.int32)
    dome = rng.uniform(0.2, 0.6) if ndim == 2 else 0.1
    placed: list[tuple[NDArray[np.float64], float]] = []
    target, covered, tries, misses = sample.density * labels.size, 0, 0, 0
    while covered < target and misses < 60 and tries < 20000:
        tries += 1
        condensed = rng.random() < sample.mitosis
        radius = 0.5 * sample.diameter * np.exp(sample.variation * rng.standard_normal()) * (0.75 if condensed else 1)
        centre = _place(placed, radius, sample.touching, bench)
        stretch = 1 + (sample.elongation - 1) * rng.gamma(4.0, 0.25) + (rng.uniform(0.4, 1.2) if condensed else 0)
        box, at = _window(centre, 1.35 * radius * stretch ** (1 - 1 / ndim), bench)
        if 0 in at.shape:
            misses += 1
            continue
        u = _to_unit(at, radius, stretch, rng)
        f = _outline(u, sample.lobes, sample.bend * rng.uniform(0.3, 1.0), rng)
        fresh = _paint(labels, box, f < 1, sample.overlap, len(placed) + 1)
        if fresh == 0:
            misses += 1
            continue
        misses = 0
        covered += fresh
        placed.append((centre, radius))
        glow = _chromatin(u, f, dome, _elsewhere(fine, f.shape, rng), sample, rng)
        glow *= np.exp(sample.brightness * rng.standard_normal()) * (1.8 if condensed else 1)
        if ndim == 3:  # in a volume nothing lies on top of another
            glow *= labels[box] == len(placed)
        level = int(rng.integers(1, depth)) if depth > 1 and rng.random() < sample.defocus else 0
        light[level][box] += glow
    _debris(light[0], round(sample.debris * len(placed)), sample.diameter, bench)
    for level, extra in zip(light, (0.0, 0.07, 0.14), strict=False):
        level[...] = blur(level, [np.hypot(s, extra * sample.diameter) for s in bench.sigma])
    return Drawing(light.sum(0, keepdims=True), labels)


def _cells(sample: Sample, bench: Bench) -> Drawing:
    rng, d = bench.rng, sample.diameter
    labels = _packed(sample, bench)
    inner = _depth(labels, bench.units)  # distance to the cell's edge, pixels
    count = int(labels.max())
    fine = _noise(bench.shape, sample.grain * d / bench.units, rng)
    coarse = _noise(bench.shape, 2.5 * sample.grain * d / bench.units, rng)
    nuclei = np.zeros(bench.shape, np.int32)
    stain = np.zeros(bench.shape, np.float32)
    deepest = ndimage.maximum_position(inner, labels, np.arange(1, count + 1)) if count else []
    for i, centre in enumerate(deepest, 1):
        radius = min(0.85 * float(inner[centre]), 0.24 * d * np.exp(0.12 * rng.standard_normal()))
        box, at = _window(np.array(centre) * bench.units, 1.5 * radius, bench)
        u = _to_unit(at, radius, 1.25, rng)
        f = np.where(labels[box] == i, _outline(u, 0.05, 0.1, rng), 2).astype(np.float32)
        nuclei[box][f < 1] = i
        glow = _chromatin(u, f, 0.4 if len(bench.shape) == 2 else 0.0, _elsewhere(coarse, f.shape, rng), sample, rng)
        stain[box] += glow * np.exp(0.5 * sample.brightness * rng.standard_normal())
    away = ndimage.distance_transform_edt(nuclei == 0, bench.units).astype(np.float32) if count else inner
    tone = np.exp(sample.brightness * rng.standard_normal(count + 1))
    tone[0] = 0
    spread = rng.uniform(0.15, 0.6, count + 1)[labels] * d  # flat cells and round ones
    body = tone[labels] * (0.3 + 0.7 * np.exp(-away / spread)) * (1 - 0.6 * np.exp(-inner / (0.03 * d)))
    strands = np.abs(coarse) ** 0.7 - 0.75  # what lies inside the cell is not even: threads around voids
    body *= np.exp(sample.texture * (0.6 * fine - 0.8 * strands)) * np.where(nuclei > 0, 0.5, 1.0)
    light = blur(np.stack([body.astype(np.float32), stain]), bench.sigma)
    seen = np.where(nuclei > 0, 0.45 + 0.9 * np.maximum(0.75 - stain, 0), 0.55 + 0.06 * fine - 0.14 * strands)
    thickness = np.sqrt(tone)[labels] * (1 - 0.8 * np.exp(-inner / (0.06 * d))) * seen  # nucleoli and rims are dense
    thickness = blur(thickness, [float(np.hypot(s, 0.6)) for s in bench.sigma])
    return Drawing(light, labels, thickness, nuclei > 0)


def _bacteria(sample: Sample, bench: Bench) -> Drawing:
    rng, ndim = bench.rng, len(bench.shape)
    light = np.zeros(bench.shape, np.float32)
    labels = np.zeros(bench.shape, np.int32)
    fine = _noise(bench.shape, 0.3 * sample.diameter / bench.units, rng)
    placed: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []  # middle line (points, ndim), radius of each
    target, covered, tries, misses = sample.density * labels.size, 0, 0, 0
    while covered < target and misses < 80 and tries < 20000:
        tries += 1
        line, radii = _rod(sample, placed, bench)
        low, high = line.min(0), line.max(0)
        reach = float(radii.max()) + 1
        box, at = _window((low + high) / 2, (high - low) / 2 + reach, bench)
        if 0 in at.shape:
            misses += 1
            continue
        gap = np.sqrt(((at[None] - line.reshape(*line.shape, *[1] * ndim)) ** 2).sum(1))  # (points, *box)
        f = (gap / radii.reshape(-1, *[1] * ndim)).min(0)
        fresh = _paint(labels, box, f < 1, sample.overlap, len(placed) + 1)
        if fresh == 0:
            misses += 1
            continue
        misses = 0
        covered += fresh
        placed.append((line, radii))
        thick = np.sqrt(np.maximum(1 - f**2, 0)) if ndim == 2 else (f < 1).astype(np.float32)
        tone = np.exp(sample.brightness * rng.standard_normal() + sample.texture * _elsewhere(fine, f.shape, rng))
        light[box] += thick * tone
    _debris(light, round(sample.debris * len(placed)), 2 * sample.diameter, bench)
    return Drawing(blur(light, bench.sigma)[None], labels)


def _filaments(sample: Sample, bench: Bench) -> Drawing:
    rng, d, ndim = bench.rng, sample.diameter, len(bench.shape)
    size = np.array(bench.shape) * bench.units
    length = 0.8 * float(size.max())  # in part beyond the canvas, and crossing: hence a few more
    count = round(1.15 * sample.density * float(size.prod()) / (length * np.pi / 4 * d ** (ndim - 1)))
    steps = max(2, round(2 * length))  # half a pixel each
    turn = ndimage.gaussian_filter1d(rng.standard_normal((count, steps, ndim)), 8 * d, axis=1, mode="nearest")
    turn = np.cumsum(turn, axis=1) * sample.bend * 0.35 / np.sqrt(d)
    way = _direction(rng, count, ndim)[:, None] + turn
    way *= 0.5 / np.linalg.norm(way, axis=-1, keepdims=True)
    points = np.cumsum(way, axis=1)  # (count, steps, ndim)
    points += (rng.random((count, ndim)) * size)[:, None] - points[:, steps // 2, None]
    tone = np.exp(sample.brightness * rng.standard_normal((count, 1)))
    beads = ndimage.gaussian_filter1d(rng.standard_normal((count, steps)), 2 * d, axis=1)
    beads *= np.sqrt(4 * np.sqrt(np.pi) * d)  # to a deviation of 1
    tone = tone * np.exp(sample.texture * beads)
    owner = np.repeat(np.arange(1, count + 1), steps)
    flat = points.reshape(-1, ndim)
    inside = ((flat > -d) & (flat < size + d)).all(1)
    flat, owner, tone = flat[inside], owner[inside], tone.reshape(-1)[inside]

    labels = _nearest(flat, owner, 0.5 * d, bench)
    light = _splat(flat / bench.units, tone, bench.shape)
    light = blur(light, [np.hypot(s, 0.3 * d / u) for s, u in zip(bench.sigma, bench.units, strict=True)])
    if labels.any():
        light /= float(np.percentile(light[labels > 0], 75))
    return Drawing(light[None], labels, whole=False)


def _spots(sample: Sample, bench: Bench) -> Drawing:
    rng, d, ndim = bench.rng, sample.diameter, len(bench.shape)
    size = np.array(bench.shape) * bench.units
    count = round(sample.density * float(size.prod()) / (np.pi / 4 * d**ndim))
    found = _apart(size, count, 1.2 * d, bench)
    centres = np.rint(found / bench.units * 64) / 64  # pixels
    sigma = np.maximum(bench.sigma, d / 2.355 / bench.units)
    tone = np.exp(sample.brightness * rng.standard_normal(len(centres)))
    light = _gaussians(centres, sigma, tone, bench.shape)
    fog = _noise(bench.shape, 9 * d / bench.units, rng)
    light += 0.1 * np.maximum(fog + 0.3, 0)
    labels = _nearest(centres * bench.units, np.arange(1, len(centres) + 1), 0.5 * d, bench)
    return Drawing(light[None], labels, centres=centres)


KINDS: dict[str, Kind] = {
    "nuclei": Kind(_nuclei, "Fluorescent nuclei: touching, textured, some out of focus", 10.0),
    "cells": Kind(
        _cells,
        "Cells packed side by side: channel 0 the cytoplasm, channel 1 the nuclei",
        25.0,
        Sample(diameter=60.0, density=0.8, lobes=0.12, texture=0.25, grain=0.03, brightness=0.25),
        margin=0.3,
    ),
    "bacteria": Kind(
        _bacteria,
        "Rod-shaped bacteria: touching, in chains, some bent, some long",
        0.9,
        Sample(
            diameter=9.0,
            density=0.3,
            variation=0.08,
            elongation=3.5,
            bend=0.4,
            texture=0.12,
            touching=0.85,
            overlap=0.03,
            brightness=0.15,
            debris=0.03,
            defocus=0.0,
        ),
        Microscope(na=1.3, haze=0.2),
    ),
    "filaments": Kind(
        _filaments,
        "Curved filaments that cross",
        0.5,
        Sample(diameter=5.0, density=0.15, bend=0.5, texture=0.25, brightness=0.35),
        Microscope(na=1.3, photons=120.0, haze=0.25),
    ),
    "spots": Kind(
        _spots,
        "Spots as small as the microscope can show",
        0.25,
        Sample(diameter=4.0, density=0.03, brightness=0.4),
        Microscope(na=1.2, photons=120.0, background=0.1, haze=0.0),
    ),
}


# ------------------------------------------------------------------------------------------- parts of objects


def _place(placed: Sequence[tuple[Any, Any]], radius: float, touching: float, bench: Bench) -> NDArray[np.float64]:
    """A centre in length units: anywhere, or beside an object that is there."""
    rng = bench.rng
    if placed and rng.random() < touching:
        other, its = placed[int(rng.integers(len(placed)))]
        away = _direction(rng, 1, len(bench.shape))[0]
        return np.asarray(other + away * (its + radius) * rng.uniform(0.88, 1.05))
    return rng.random(len(bench.shape)) * np.array(bench.shape) * bench.units


def _window(centre: Any, reach: Any, bench: Bench) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """The box around a place: slices of the canvas, and (ndim, *box) the place of each pixel in length units.

    Where ``reach`` is a number the places are counted from the centre, else (per axis) from the canvas's corner.
    """
    low = np.floor((centre - reach) / bench.units).astype(int)
    high = np.ceil((centre + reach) / bench.units).astype(int) + 1
    low, high = np.clip(low, 0, bench.shape), np.clip(high, 0, bench.shape)
    steps = [np.arange(a, b) * u for a, b, u in zip(low, high, bench.units, strict=True)]
    if np.isscalar(reach):
        steps = [s - c for s, c in zip(steps, centre, strict=True)]
    grid = np.stack(np.meshgrid(*steps, indexing="ij")) if len(steps) else np.zeros(0)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), grid


def _to_unit(at: NDArray[np.float64], radius: float, stretch: float, rng: Rng) -> NDArray[np.float64]:
    """Coordinates (ndim, *box) in which a turned ellipsoid of this volume is the unit ball; axis 0 is its long one."""
    ndim = len(at)
    turn = np.linalg.qr(rng.standard_normal((ndim, ndim)))[0]
    axes = radius * stretch ** (np.eye(ndim)[0] - 1 / ndim)
    return np.tensordot(turn / axes[:, None], at, 1)


def _outline(u: NDArray[np.float64], lobes: float, bend: float, rng: Rng) -> Floats:
    """A field that is below 1 inside the object: a ball, bent to a bean and made uneven by a few waves."""
    ndim = len(u)
    u = u.copy()
    u[1] += bend * (u[0] ** 2 - 0.4)
    waves = _direction(rng, 4, ndim) * rng.uniform(1.3, 3.4, (4, 1))
    uneven = np.cos(np.tensordot(waves, u, 1) + rng.uniform(0, 2 * np.pi, (4, *[1] * ndim))).sum(0)
    ball = (np.abs(u) ** 2.3).sum(0) ** (1 / 2.3)  # ends a little blunter than an ellipse's
    return np.asarray(ball * (1 + 0.5 * lobes * uneven), np.float32)


def _chromatin(u: NDArray[np.float64], f: Floats, dome: float, grain: Floats, sample: Sample, rng: Rng) -> Floats:
    """Light of one nucleus, about 1 inside, 0 outside; ``dome`` above 0 lets it thin out to the edge (projection)."""
    inside = f < 1
    solid = np.maximum(1 - np.minimum(f, 1) ** 3, 0) ** dome * inside
    glow = np.exp(sample.texture * grain)
    if sample.bodies:
        count = int(rng.integers(3, 9)) if sample.bodies > 0 else int(rng.integers(1, 4))
        for place in _direction(rng, count, len(u)) * (0.7 * rng.random((count, 1)) ** 0.5):
            near = ((u - place.reshape(-1, *[1] * (u.ndim - 1))) ** 2).sum(0)
            glow += sample.bodies * rng.uniform(0.6, 1.3) * np.exp(-near / (2 * rng.uniform(0.1, 0.2) ** 2))
    glow = np.maximum(glow, 0.12)
    mean = float(glow[inside].mean()) if inside.any() else 1.0
    return np.asarray(solid * glow / mean, np.float32)


def _paint(labels: Labels, box: tuple[slice, ...], mask: NDArray[np.bool_], overlap: float, number: int) -> int:
    """Enter an object in the free pixels of its mask, in one piece; 0 where it would lie on others too much."""
    size = int(mask.sum())
    part = labels[box]
    free = mask & (part == 0)
    fresh = int(free.sum())
    if size == 0 or size - fresh > overlap * size:
        return 0
    pieces, count = ndimage.label(free)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        free = pieces == sizes.argmax()
        fresh = int(sizes.max())
    part[free] = number
    return fresh


def _rod(
    sample: Sample, placed: list[tuple[NDArray[np.float64], NDArray[np.float64]]], bench: Bench
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle line (points, ndim) of a bacterium in length units, and its radius at each point."""
    rng, ndim = bench.rng, len(bench.shape)
    radius = 0.5 * sample.diameter * np.exp(sample.variation * rng.standard_normal())
    length = 2 * radius * max(0.4, sample.elongation * rng.uniform(0.65, 1.3) - 1)  # between the centres of the caps
    if rng.random() < 0.03:
        length *= rng.uniform(2, 4)
    ahead, side = np.linalg.qr(rng.standard_normal((ndim, ndim)))[0][:2]
    start: NDArray[np.float64] | None = None
    if placed and rng.random() < sample.touching:
        other, radii = placed[int(rng.integers(len(placed)))]
        theirs = other[-1] - other[0]
        theirs /= max(float(np.linalg.norm(theirs)), 1e-6)
        ahead = theirs + 0.25 * rng.standard_normal(ndim)
        ahead /= np.linalg.norm(ahead)
        side = side - ahead * (side @ ahead)
        side /= max(float(np.linalg.norm(side)), 1e-6)
        if rng.random() < 0.45:  # one behind the other
            start = other[-1] + ahead * (radii[-1] + radius) * rng.uniform(0.95, 1.1)
        else:  # side by side
            beside = (other[0] + other[-1]) / 2 + side * (radii.mean() + radius) * rng.uniform(0.98, 1.12)
            start = beside + ahead * length * (rng.uniform(-0.3, 0.3) - 0.5)
    count = max(3, int(np.ceil(length / (0.4 * radius))) + 1)
    t = np.linspace(0, length, count)[:, None]
    curve = sample.bend * rng.standard_normal() / (6 * radius) + 1e-6
    line = ahead * np.sin(curve * t) / curve + side * (1 - np.cos(curve * t)) / curve
    if start is None:
        start = rng.random(ndim) * np.array(bench.shape) * bench.units - line[count // 2]
    pinch = rng.uniform(0.15, 0.45) if rng.random() < 0.3 else 0.0  # about to divide
    radii = radius * (1 - pinch * np.exp(-0.5 * ((t[:, 0] - length / 2) / (0.4 * radius)) ** 2))
    return line + start, radii


def _packed(sample: Sample, bench: Bench) -> Labels:
    """Cells that grew from seeds until they met, with uneven, partly concave outlines."""
    rng, d, ndim = bench.rng, sample.diameter, len(bench.shape)
    size = np.array(bench.shape) * bench.units
    volume = np.pi / 4 * d**2 if ndim == 2 else np.pi / 6 * d**3
    seeds = _apart(size, round(1.25 * sample.density * float(size.prod()) / volume), 0.62 * d, bench)
    if len(seeds) == 0:
        return np.zeros(bench.shape, np.int32)
    steps = [np.arange(n) * u for n, u in zip(bench.shape, bench.units, strict=True)]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"))
    for wide, share in ((0.25, 1.0), (0.08, 0.3)):
        sway = np.stack([_noise(bench.shape, wide * d / bench.units, rng) for _ in range(ndim)])
        grid = grid + share * sample.lobes * 0.55 * d * sway
    points = grid.reshape(ndim, -1).T  # (pixels, ndim)
    near = min(3, len(seeds))
    _, which = spatial.cKDTree(seeds).query(points, k=near)
    which = which.reshape(len(points), near)
    frames = np.linalg.qr(rng.standard_normal((len(seeds), ndim, ndim)))[0]
    stretch = 1 + (sample.elongation - 1) * rng.gamma(2.0, 0.5, len(seeds))
    radius = 0.56 * d * np.exp(sample.variation * rng.standard_normal(len(seeds)))
    axes = radius[:, None] * stretch[:, None] ** (np.eye(ndim)[0] - 1 / ndim)
    frames = frames / axes[:, :, None]
    f = np.stack([np.linalg.norm(np.einsum("pij,pj->pi", frames[w], points - seeds[w]), axis=1) for w in which.T])
    best = f.argmin(0)
    cell = which[np.arange(len(points)), best] + 1
    labels = np.where(f.min(0) < 1, cell, 0).astype(np.int32).reshape(bench.shape)
    return np.unique(_one_piece(labels), return_inverse=True)[1].reshape(bench.shape).astype(np.int32)


def _debris(light: Floats, count: int, diameter: float, bench: Bench) -> None:
    """Specks without a label, some in heaps."""
    rng = bench.rng
    place = rng.random(len(bench.shape)) * np.array(bench.shape) * bench.units
    for _ in range(count):
        if rng.random() < 0.7:
            place = rng.random(len(bench.shape)) * np.array(bench.shape) * bench.units
        radius = diameter * rng.uniform(0.03, 0.1)
        box, at = _window(place + diameter * rng.normal(0, 0.25, len(place)), 2.5 * radius, bench)
        if 0 in at.shape:
            continue
        f = _outline(_to_unit(at, radius, rng.uniform(1, 2.5), rng), 0.2, 0.2, rng)
        light[box] += (rng.uniform(0.2, 1.2) * np.maximum(1 - f**2, 0)).astype(np.float32)


# ------------------------------------------------------------------------------------------------ arithmetic


def _units(ndim: int, anisotropy: float) -> NDArray[np.float64]:
    return np.array([anisotropy, 1.0, 1.0][3 - ndim :])


def _direction(rng: Rng, count: int, ndim: int) -> NDArray[np.float64]:
    """Unit vectors (count, ndim)."""
    v = rng.standard_normal((count, ndim))
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True))


def _noise(shape: Sequence[int], sigma: Any, rng: Rng) -> Floats:
    """Smooth chance (*S) of mean 0 and deviation 1; ``sigma`` in pixels per axis. Wide noise is made small."""
    sigma = np.asarray(sigma, float)
    step = np.maximum(1, np.floor(sigma / 3)).astype(int)
    small = [int(np.ceil(n / s)) + 1 for n, s in zip(shape, step, strict=True)]
    out = ndimage.gaussian_filter(rng.standard_normal(small, np.float32), sigma / step, mode="wrap", truncate=3)
    out = _enlarge(out, step, shape)
    return np.asarray((out - out.mean()) / max(float(out.std()), 1e-6), np.float32)


def _enlarge(small: Floats, step: NDArray[np.int_], shape: Sequence[int]) -> Floats:
    """Linear between the points of a grid with this step, axis by axis."""
    out = small
    for axis, (s, n) in enumerate(zip(step, shape, strict=True)):
        if s == 1:
            out = np.take(out, np.arange(n), axis)
            continue
        at = np.arange(n) / s
        low = at.astype(int)
        weight = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(out.ndim)])
        high = np.minimum(low + 1, out.shape[axis] - 1)
        out = np.take(out, low, axis) * (1 - weight) + np.take(out, high, axis) * weight
    return out


def _wide_blur(image: Floats, sigma: Any) -> Floats:
    """A Gaussian much wider than a pixel, made on every second or fourth pixel."""
    step = np.maximum(1, np.floor(np.asarray(sigma) / 4)).astype(int)
    padded = np.pad(image, [(0, int(-n % s + s)) for n, s in zip(image.shape, step, strict=True)], mode="edge")
    blocks = padded.reshape([k for n, s in zip(padded.shape, step, strict=True) for k in (n // s, s)])
    small = blocks.mean(axis=tuple(range(1, 2 * image.ndim, 2)))
    small = ndimage.gaussian_filter(small, np.asarray(sigma) / step, mode="nearest", truncate=3)
    return _enlarge(small, step, image.shape)


def _illumination(shape: Sequence[int], unevenness: float, rng: Rng) -> Floats:
    """Light that falls on each pixel, 1 where it is brightest; in volumes it also fades with depth."""
    middle = rng.uniform(0.25, 0.75, len(shape))
    middle[: len(shape) - 2] = 0
    weight = np.array([0.5, 1.0, 1.0][3 - len(shape) :])
    away: Any = 0.0
    for axis, (n, m, w) in enumerate(zip(shape, middle, weight, strict=True)):
        line = w * (np.arange(n) / max(n, 1) - m) ** 2
        away = away + line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.asarray(1 - unevenness * away / away.max() if away.max() > 0 else away + 1, np.float32)


def _elsewhere(field: Floats, shape: Sequence[int], rng: Rng) -> Floats:
    """A piece of this shape from anywhere in a field of noise."""
    start = [int(rng.integers(0, n - m + 1)) for n, m in zip(field.shape, shape, strict=True)]
    return field[tuple(slice(s, s + m) for s, m in zip(start, shape, strict=True))]


def _apart(size: NDArray[np.float64], count: int, gap: float, bench: Bench) -> NDArray[np.float64]:
    """At most ``count`` places (n, ndim) within ``size``, each ``gap`` or more from all others."""
    tries = bench.rng.random((4 * count + 8, len(size))) * size
    pairs = spatial.cKDTree(tries).query_pairs(gap, output_type="ndarray")
    kept = np.ones(len(tries), bool)
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if kept[first]:
            kept[second] = False
    return np.asarray(tries[kept][:count])


def _nearest(points: NDArray[np.float64], owner: NDArray[np.int_], reach: float, bench: Bench) -> Labels:
    """Each pixel's label: the owner of the nearest point, 0 where none lies within reach (length units)."""
    labels = np.zeros(bench.shape, np.int32)
    if len(points) == 0:
        return labels
    coarse = np.zeros(bench.shape, bool)
    index = np.rint(points / bench.units).astype(int)
    index = index[((index >= 0) & (index < bench.shape)).all(1)]
    coarse[tuple(index.T)] = True
    close = ndimage.distance_transform_edt(~coarse, bench.units) <= reach + np.linalg.norm(bench.units)
    at = np.argwhere(close)
    gap, which = spatial.cKDTree(points).query(at * bench.units, distance_upper_bound=reach)
    found = np.isfinite(gap)
    labels[tuple(at[found].T)] = owner[which[found]]
    return labels


def _splat(points: NDArray[np.float64], weight: NDArray[np.float64], shape: tuple[int, ...]) -> Floats:
    """Light of points (n, ndim) in pixels, shared among the pixels around each."""
    out = np.zeros(int(np.prod(shape)))
    low = np.floor(points).astype(int)
    rest = points - low
    for corner in np.ndindex(*[2] * len(shape)):
        index = low + corner
        share = np.prod(np.where(np.array(corner) == 1, rest, 1 - rest), axis=1) * weight
        inside = ((index >= 0) & (index < shape)).all(1)
        flat = np.ravel_multi_index(tuple(index[inside].T), shape)
        out += np.bincount(flat, share[inside], out.size)
    return out.reshape(shape).astype(np.float32)


def _gaussians(
    centres: NDArray[np.float64], sigma: NDArray[np.float64], peak: NDArray[np.float64], shape: tuple[int, ...]
) -> Floats:
    """Gaussians of this height around centres (n, ndim) in pixels, finer than a pixel."""
    reach = np.ceil(4 * sigma).astype(int)
    out = np.zeros([n + 2 * r for n, r in zip(shape, reach, strict=True)], np.float32)
    base = np.rint(centres).astype(int)
    light = peak.reshape(-1, *[1] * len(shape))
    index = []
    for axis, (r, s) in enumerate(zip(reach, sigma, strict=True)):
        steps = base[:, axis, None] + np.arange(-r, r + 1)
        line = np.exp(-0.5 * ((steps - centres[:, axis, None]) / s) ** 2)
        form = [len(centres)] + [2 * r + 1 if a == axis else 1 for a in range(len(shape))]
        light = light * line.reshape(form)
        index.append((steps + r).clip(0, out.shape[axis] - 1).reshape(form))
    np.add.at(out, tuple(np.broadcast_arrays(*index)), light.astype(np.float32))
    return out[tuple(slice(r, r + n) for n, r in zip(shape, reach, strict=True))]


def _depth(labels: Labels, units: NDArray[np.float64]) -> Floats:
    """Distance of each labelled pixel to the edge of its object, in length units."""
    edge = labels == 0
    for axis in range(labels.ndim):
        a, b = [slice(None)] * labels.ndim, [slice(None)] * labels.ndim
        a[axis], b[axis] = slice(1, None), slice(None, -1)
        differs = labels[tuple(a)] != labels[tuple(b)]
        edge[tuple(a)] |= differs
        edge[tuple(b)] |= differs
    return np.asarray(ndimage.distance_transform_edt(~edge, units), np.float32)


def _one_piece(labels: Labels) -> Labels:
    """Keep the largest connected piece of each label."""
    from skimage.measure import label

    pieces = label(labels, background=0, connectivity=1)
    sizes = np.bincount(pieces.ravel())
    whose = np.zeros(len(sizes), np.int64)
    whose[pieces.ravel()] = labels.ravel()
    order = np.argsort(sizes, kind="stable")
    largest = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    largest[whose[order]] = order  # the last one written is the largest
    return np.where((labels > 0) & (pieces == largest[labels]), labels, 0).astype(np.int32)


def _field_labels(labels: Labels, whole: bool) -> tuple[Labels, NDArray[np.int_]]:
    """Labels of the field without tiny rests, numbered 1..n, and their old numbers (n,)."""
    labels = _one_piece(labels) if whole else labels
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    limit = SMALLEST if sizes.max(initial=0) > 4 * SMALLEST else 1
    kept = np.flatnonzero(sizes >= limit)
    kept = kept[kept > 0]
    number = np.zeros(len(sizes), np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return number[labels], kept


def _centroids(labels: Labels) -> NDArray[np.float64]:
    """Mean place (n, ndim) of the pixels of labels 1..n."""
    flat = labels.ravel()
    sizes = np.bincount(flat)[1:]
    places: tuple[NDArray[Any], ...] = np.indices(labels.shape, sparse=True)
    sums = [np.bincount(flat, np.broadcast_to(along, labels.shape).ravel())[1:] for along in places]
    return np.stack(sums, 1) / sizes[:, None]
