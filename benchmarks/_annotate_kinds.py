"""Kinds of images that the shipped models never saw, and what strokes on them become before any network is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.normalize import Rule
from napari_dojo.data.pixel_classifier import PixelClassifier, pixel_features
from napari_dojo.io.images import read
from napari_dojo.io.pairing import list_inputs, pair_files
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.simulation.fields import smooth_noise
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.objects import EOSIN, HEMATOXYLIN, inner_depth
from napari_dojo.simulation.strokes import strokes
from napari_dojo.tasks.base import Example
from napari_dojo.tasks.instances import InstancesOptions
from napari_dojo.tasks.strokes import BACKGROUND, completed_strokes

Pair = tuple[NDArray[Any], NDArray[np.int32]]  # an image, (Y, X) or (Y, X, 3), and its objects (Y, X)


def _px(scale: float) -> NDArray[np.float64]:
    """The same scale along both axes."""
    return np.array([scale, scale])


def _scene(kind: str, seed: int, **options: Any) -> Any:
    contrast = options.pop("contrast", None)
    if contrast is not None:
        from napari_dojo.simulation.microscope import KINDS, Microscope

        scope = KINDS[kind].microscope
        options["microscope"] = Microscope(na=scope.na, photons=options.pop("photons", 600.0), contrast=contrast)
    return simulate(kind, (256, 256), seed, **options)


def phase_cells(seed: int) -> Pair:
    """Textured cells with a bright halo that touch, in phase contrast."""
    made = _scene("cells", seed, contrast="phase", diameter=34, density=0.55)
    return made.image, made.labels


def phase_bacteria(seed: int) -> Pair:
    """Dark rods in phase contrast that touch."""
    made = _scene("bacteria", seed, contrast="phase", diameter=8, density=0.3)
    return made.image, made.labels


def bright_field(seed: int) -> Pair:
    """Rounded cells in bright field: a dark rim, an inside as bright as the ground, weak contrast and texture."""
    made = _scene("nuclei", seed, diameter=30, density=0.35, touching=0.6, overlap=0.02, defocus=0.0, debris=0.3)
    rng = np.random.default_rng([seed, 5])
    depth = inner_depth(made.labels)
    rim = -0.35 * np.exp(-(((depth - 1.5) / 1.5) ** 2)) + 0.25 * np.exp(-(((depth - 5.0) / 2.0) ** 2))
    outside = ndimage.distance_transform_edt(made.labels == 0)
    halo = np.where(made.labels == 0, 0.18 * np.exp(-(((outside - 2.0) / 1.5) ** 2)), rim)
    texture = 0.07 * smooth_noise((256, 256), _px(2.0), rng) * (made.labels > 0)
    ground = (
        1
        + halo
        + texture
        + 0.05 * smooth_noise((256, 256), _px(40.0), rng)
        + 0.03 * smooth_noise((256, 256), _px(3.0), rng)
    )
    photons = rng.poisson(np.maximum(900 * ndimage.gaussian_filter(ground, 0.8), 1))
    return photons.astype(np.uint16), made.labels


def tissue(seed: int) -> Pair:
    """Stained tissue in colour: purple nuclei, pale and dark ones, on pink fibres with white gaps (H&E)."""
    made = _scene(
        "nuclei", seed, diameter=20, density=0.28, touching=0.5, overlap=0.03, elongation=1.6, lobes=0.1,
        texture=0.6, bodies=0.5, brightness=0.45, defocus=0.3, debris=0.2, variation=0.3,
    )  # fmt: skip
    rng = np.random.default_rng([seed, 6])
    size = (256, 256)
    light = np.asarray(made.clean, np.float64)
    light = light - np.percentile(light, 2)
    purple = 0.9 * np.clip(light / np.percentile(light[made.labels > 0], 60), 0, 2.5) ** 0.7
    purple = purple * (0.75 + 0.25 * (made.labels > 0)) + 0.06 * np.abs(smooth_noise(size, _px(6.0), rng))
    angle = rng.uniform(0, 180)
    fibres = ndimage.gaussian_filter(ndimage.rotate(rng.standard_normal((400, 400)), angle, reshape=False), (0.7, 0.7))
    fibres = ndimage.gaussian_filter1d(ndimage.rotate(fibres, 40, reshape=False), 9.0)[72:328, 72:328]
    fibres /= fibres.std()
    gaps = ndimage.gaussian_filter(1.0 * (smooth_noise(size, _px(18.0), rng) > 1.1), 1.5) * (made.labels == 0)
    pink = (0.45 + 0.13 * fibres + 0.12 * smooth_noise(size, _px(20.0), rng)).clip(0.05) * (1 - 0.9 * gaps)
    pink = np.where(made.labels > 0, 0.6 * pink, pink)
    stain = [v * np.exp(0.1 * rng.standard_normal(3)) for v in (HEMATOXYLIN, EOSIN)]  # each laboratory's own
    seen = 245 * np.exp(-purple[..., None] * stain[0] - pink[..., None] * stain[1])
    seen = ndimage.gaussian_filter(seen, (0.8, 0.8, 0)) + rng.normal(0, 3, (*size, 3))
    return seen.clip(0, 255).astype(np.uint8), made.labels


def low_contrast(seed: int) -> Pair:
    """Nuclei of .25 of the ground's brightness above it, few photons."""
    made = _scene("nuclei", seed, diameter=24, density=0.3, photons=40.0, background=4.0, unevenness=0.5)
    return made.image, made.labels


def large(seed: int) -> Pair:
    """Objects of 64 px."""
    made = simulate("nuclei", (384, 384), seed, diameter=64, density=0.35, touching=0.5)
    return made.image, made.labels


def dense(seed: int) -> Pair:
    """Nuclei that nearly all touch."""
    made = _scene("nuclei", seed, diameter=22, density=0.6, touching=0.95)
    return made.image, made.labels


def packed_cells(seed: int) -> Pair:
    """Cells side by side, the stain of their body alone."""
    made = _scene("cells", seed, diameter=44, density=0.8)
    return made.image[0], made.labels


def stars(seed: int) -> Pair:
    """Stars with three to six arms that only their finer grain tells from the ground: nothing that ships has seen the like."""
    rng, size = np.random.default_rng([seed, 8]), (256, 256)
    labels, places = np.zeros(size, np.int32), np.indices(size).astype(float)
    for _ in range(400):
        centre, radius = rng.uniform(10, 246, 2), rng.uniform(14, 24)
        y, x = places[0] - centre[0], places[1] - centre[1]
        arms = 1 + 0.45 * np.cos(rng.integers(3, 7) * np.arctan2(y, x) + rng.uniform(0, 2 * np.pi))
        star = np.hypot(y, x) < radius / 1.45 * arms
        if not labels[ndimage.binary_dilation(star, iterations=2)].any():
            labels[star] = labels.max() + 1
    grain = np.where(labels > 0, smooth_noise(size, _px(0.8), rng), smooth_noise(size, _px(2.2), rng))
    seen = 1000 + 150 * grain + 100 * smooth_noise(size, _px(30.0), rng)
    return rng.poisson(seen.clip(1)).astype(np.uint16), labels


OBJECTS = (phase_cells, phase_bacteria, bright_field, tissue, low_contrast, large, dense, packed_cells, stars)
KINDS: dict[str, Callable[[int], Pair]] = {f.__name__: f for f in OBJECTS}


def real_nuclei(data: Path) -> Callable[[int], Pair]:
    """Training images of dsb2018_fluo."""
    folder = data / "dsb2018_fluo" / "train"
    pairs, _, _ = pair_files(list_inputs(folder / "images"), list_inputs(folder / "masks", targets=True))
    order = np.random.default_rng(5).permutation(len(pairs))

    def pair(seed: int) -> Pair:
        image, mask = pairs[order[seed % len(order)]]
        return np.asarray(read(image).data), np.asarray(read(mask, labels=True).data).astype(np.int32)

    return pair


@dataclass(frozen=True)
class Drawn:
    """Images with their objects and strokes: 20 objects and 20 strokes of background over three images."""

    images: list[NDArray[Any]]
    truths: list[NDArray[np.int32]]
    strokes: list[NDArray[np.int32]]


def drawn(kind: Callable[[int], Pair], seed: int, images: int = 3, objects: int = 20) -> Drawn:
    """Strokes 3 px wide on random objects of some images, and as many on background."""
    rng = np.random.default_rng([seed, 17])
    found: list[Pair] = []
    for k in range(100):
        x, y = kind(100 * seed + k)
        if np.count_nonzero(np.bincount(y.ravel())[1:] >= 20) >= objects / images - 1:
            found.append((x, y))
        if len(found) == images:
            break
    truths = [y for _, y in found]
    there = [(k, n) for k, y in enumerate(truths) for n, a in enumerate(np.bincount(y.ravel())) if n and a >= 20]
    made = [np.zeros(y.shape, np.int32) for y in truths]
    for i in rng.permutation(len(there))[:objects]:
        k, number = there[i]
        made[k][stroke(truths[k], number, rng)] = max(BACKGROUND, made[k].max()) + 1
    for i in range(objects):
        made[i % images][stroke(truths[i % images], 0, rng)] = BACKGROUND
    return Drawn([x for x, _ in found], truths, made)


def stroke(truth: NDArray[Any], number: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Pixels of one stroke, 3 px wide, in an object, as ``benchmarks/strokes.py`` draws them."""
    return np.nonzero(strokes((truth == number).astype(np.int32), 0.0, int(rng.integers(2**31))))


def normalised(image: NDArray[Any]) -> NDArray[np.float32]:
    """(C, Y, X) as a training sees it."""
    x = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
    return np.asarray(Rule().measure(x).apply(x), np.float32)


def complete(kind: Callable[[int], Pair], seeds: Sequence[int]) -> dict[str, float]:
    """How well completed strokes agree with the truth: pooled AP of all objects, and mean IoU of those with a stroke."""
    counts, ious, spent = [], [], 0.0
    for seed in seeds:
        d = drawn(kind, seed)
        examples = [Example(normalised(x), s, None, None) for x, s in zip(d.images, d.strokes, strict=True)]
        began = time.process_time()
        done = completed_strokes(examples, InstancesOptions(annotation="strokes"))
        spent += time.process_time() - began
        for (made, _), truth, s in zip(done, d.truths, d.strokes, strict=True):
            counts.append(InstanceCounts.of(truth, made))
            ious += _stroked_ious(made, truth, s)
    ap = pool(counts).as_dict()["ap"]
    return {
        "ap50": round(ap["0.5"], 3),
        "ap70": round(ap["0.7"], 3),
        "iou": round(float(np.mean(ious)), 3),
        "cpu_s": round(spent / len(seeds), 2),
    }


def _stroked_ious(made: NDArray[np.int32], truth: NDArray[np.int32], drawn_: NDArray[np.int32]) -> list[float]:
    found = []
    for number in np.unique(drawn_[drawn_ > BACKGROUND]):
        at = drawn_ == number
        own, true = np.bincount(made[at]).argmax(), np.bincount(truth[at]).argmax()
        a, b = (made == own) & (own > 0), truth == true
        found.append(float((a & b).sum() / (a | b).sum()))
    return found


# classes of pixels from ten strokes


def membranes(data: Path) -> Callable[[int], Pair]:
    """A quarter of each EM image of isbi2012_membrane: 1 inside, 2 membrane."""
    folder = data / "isbi2012_membrane" / "train"
    pairs, _, _ = pair_files(list_inputs(folder / "images"), list_inputs(folder / "masks", targets=True))

    def pair(seed: int) -> Pair:
        image, mask = pairs[seed % len(pairs)]
        return np.asarray(read(image).data), np.asarray(read(mask, labels=True).data).astype(np.int32) + 1

    return pair


def cell_classes(seed: int) -> Pair:
    """Packed cells, one channel: ground, body, nucleus."""
    made = _scene("cells", seed, diameter=44, density=0.7)
    return made.image.sum(0), made.classes.astype(np.int32)


def tissue_classes(seed: int) -> Pair:
    """Stained tissue: nuclei and the rest."""
    image, labels = tissue(seed)
    return image, 1 + (labels > 0).astype(np.int32)


def phase_classes(seed: int) -> Pair:
    """Phase contrast: cells and the ground."""
    image, labels = phase_cells(seed)
    return image, 1 + (labels > 0).astype(np.int32)


def filament_classes(seed: int) -> Pair:
    """Filaments and the ground."""
    made = _scene("filaments", seed)
    return made.image, 1 + (made.labels > 0).astype(np.int32)


CLASSES: dict[str, Callable[[int], Pair]] = {
    f.__name__: f for f in (cell_classes, tissue_classes, phase_classes, filament_classes)
}


def forest(features: Sequence[NDArray[np.float32]], classes: Sequence[NDArray[Any]]) -> Any:
    """The rival: a random forest of 100 trees, on scikit-image's multiscale features."""
    from sklearn.ensemble import RandomForestClassifier

    x = np.concatenate([f[:, c > 0].T for f, c in zip(features, classes, strict=True)])
    return RandomForestClassifier(100, random_state=0, n_jobs=1).fit(x, np.concatenate([c[c > 0] for c in classes]))


def basic_features(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scikit-image's, from .5 to 16 px."""
    from skimage.feature import multiscale_basic_features

    return np.moveaxis(multiscale_basic_features(x, sigma_min=0.5, sigma_max=16, channel_axis=0), -1, 0)


def ten_strokes(kind: Callable[[int], Pair], seeds: Sequence[int], rival: bool = True) -> dict[str, float]:
    """Ten strokes on one image, classes in turn: mean IoU on that image, of ours and of the forest, over all draws with its
    standard error, and that of the difference; seconds of the processor with the features.
    """
    found: dict[str, list[float]] = {"ours": [], "forest": []}
    spent = {"ours": 0.0, "forest": 0.0}
    for seed in seeds:
        image, truth = kind(seed)
        x, rng = normalised(image), np.random.default_rng([seed, 3])
        numbers = np.unique(truth)
        painted = np.zeros(truth.shape, np.int32)
        for k in range(10):
            painted[stroke(truth, int(numbers[k % len(numbers)]), rng)] = numbers[k % len(numbers)]
        began = time.process_time()
        features = pixel_features(x, lines=True)
        ours = PixelClassifier([features], [painted])
        made = np.asarray(ours.classes)[ours.probabilities(features).argmax(0)]
        spent["ours"] += time.process_time() - began
        found["ours"].append(_mean_iou(made, truth))
        if rival:
            began = time.process_time()
            features = basic_features(x)
            trees = forest([features], [painted])
            made = trees.predict(features.reshape(len(features), -1).T).reshape(truth.shape)
            spent["forest"] += time.process_time() - began
            found["forest"].append(_mean_iou(made, truth))
    each = {k: np.array(v) for k, v in found.items() if v}
    if rival:
        each["difference"] = each["ours"] - each["forest"]
    told: dict[str, float] = {}
    for name, values in each.items():
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        figures = {"": values.mean(), "_median": np.median(values), "_se": error}
        told |= {name + kind: round(float(value), 4) for kind, value in figures.items()}
    return told | {f"{k}_cpu_s": round(spent[k] / len(seeds), 2) for k in found if found[k]}


def _mean_iou(made: NDArray[Any], truth: NDArray[np.int32]) -> float:
    return float(
        np.mean([((made == c) & (truth == c)).sum() / ((made == c) | (truth == c)).sum() for c in np.unique(truth)])
    )
