"""The simulator: same seed same bytes, and a truth that is true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_dojo.data.optics import Camera
from napari_dojo.errors import DojoError
from napari_dojo.simulation.microscope import KINDS, Microscope, Sample, Scene, random_nuclei, simulate

SMALL = {"nuclei": 14, "cells": 28, "bacteria": 6, "filaments": 4, "spots": 4}
SHAPES = [(96, 80), (8, 40, 44)]


def small(kind: str, shape: tuple[int, ...], seed: int = 1, **options: object) -> Scene:
    return simulate(kind, shape, seed, **{"diameter": SMALL[kind], **options})


@pytest.mark.parametrize("shape", SHAPES, ids=["2d", "3d"])
@pytest.mark.parametrize("kind", KINDS)
def test_truth(kind: str, shape: tuple[int, ...]) -> None:
    scene = small(kind, shape)
    channels = (2,) if kind == "cells" else ()
    assert scene.image.shape == scene.clean.shape == channels + shape
    assert (scene.image.dtype, scene.labels.dtype, scene.clean.dtype) == (np.uint16, np.int32, np.float32)
    count = int(scene.labels.max())
    assert count >= 3
    assert np.array_equal(np.unique(scene.labels), np.arange(count + 1))  # consecutive
    assert scene.positions.shape == (count, len(shape))
    assert np.array_equal(scene.classes > 1, scene.labels > 0)
    if kind not in ("filaments", "spots"):
        centroids = ndimage.center_of_mass(scene.labels > 0, scene.labels, np.arange(1, count + 1))
        assert np.allclose(scene.positions, centroids)
        for i, box in enumerate(ndimage.find_objects(scene.labels), 1):
            assert ndimage.label(scene.labels[box] == i)[1] == 1  # in one piece
    assert len(scene.pixel_size) == len(shape)
    assert scene.pixel_size[-1] == pytest.approx(KINDS[kind].micrometres / SMALL[kind], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_one_picture(kind: str) -> None:
    first, again, other = small(kind, (48, 48), 5), small(kind, (48, 48), 5), small(kind, (48, 48), 6)
    for name in ("image", "labels", "clean", "positions", "classes"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.labels, other.labels)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_that_of_the_camera(kind: str) -> None:
    camera = Camera(gain=3.0, offset=150, read_noise=2.0)
    scene = small(kind, (160, 160), 2, camera=camera, photons=200)
    error = scene.image.astype(float) - scene.clean
    variance = camera.variance((scene.clean - camera.offset) / camera.gain)
    z = error / np.sqrt(variance)
    assert abs(z.mean()) < 0.02
    assert z.var() == pytest.approx(1, abs=0.03)
    dark = scene.clean < np.percentile(scene.clean, 50)  # shot noise follows the light, in the dark and in the bright
    assert z[dark].var() == pytest.approx(1, abs=0.05)
    assert z[~dark].var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_bright_and_in_phase_contrast_dark(kind: str) -> None:
    scene = small(kind, (128, 128), unevenness=0.0)
    clean = scene.clean if scene.clean.ndim == 2 else scene.clean[0]
    inside = scene.labels > 0
    assert clean[inside].mean() > 1.3 * clean[~inside].mean() - 30  # 30: of the offset
    phase = small(kind, (128, 128), contrast="phase", unevenness=0.0)
    assert phase.clean.ndim == 2
    assert phase.clean[phase.labels > 0].mean() < 0.95 * phase.clean[phase.labels == 0].mean()


def test_more_light_less_noise_same_sample() -> None:
    dim, bright = (small("nuclei", (64, 64), 3, photons=p) for p in (20, 2000))
    assert np.array_equal(dim.labels, bright.labels)
    noise = [np.std((s.image - s.clean) / (s.clean - 100).mean()) for s in (dim, bright)]
    assert noise[0] > 5 * noise[1]


@pytest.mark.parametrize("diameter", [12, 24, 40])
def test_nuclei_have_the_size_asked_for(diameter: int) -> None:
    scene = simulate("nuclei", (256, 256), 4, diameter=diameter, variation=0.05, touching=0.0, mitosis=0.0)
    sizes = np.bincount(scene.labels.ravel())[1:]
    whole = [
        i for i, box in enumerate(ndimage.find_objects(scene.labels)) if all(b.start > 0 and b.stop < 256 for b in box)
    ]
    assert np.median(np.sqrt(4 / np.pi * sizes[whole])) == pytest.approx(diameter, rel=0.1)


@pytest.mark.parametrize("density", [0.1, 0.3])
def test_density(density: float) -> None:
    scene = simulate("nuclei", (256, 256), 1, density=density, diameter=12)
    assert (scene.labels > 0).mean() == pytest.approx(density, abs=0.05)


def test_touching_objects_touch() -> None:
    def neighbours(scene: Scene) -> int:
        a, b = scene.labels[:, 1:], scene.labels[:, :-1]
        return len(np.unique(np.stack([a, b])[:, (a > 0) & (b > 0) & (a != b)], axis=1).T)

    assert neighbours(small("nuclei", (128, 128), touching=0.95)) > neighbours(
        small("nuclei", (128, 128), touching=0.0)
    )


def test_spots_are_as_wide_as_asked_and_lie_where_they_are_said_to() -> None:
    scene = simulate("spots", (160, 160), 1, density=0.02, brightness=0.0, background=0.0, unevenness=0.0, diameter=5)
    gaps = np.linalg.norm(scene.positions[:, None] - scene.positions, axis=-1)
    np.fill_diagonal(gaps, np.inf)
    inner = ((scene.positions > 10) & (scene.positions < 149)).all(1)
    alone = scene.positions[(gaps.min(1) > 14) & inner]
    assert len(alone) > 3
    y, x = np.mgrid[-6:7, -6:7]
    near = np.hypot(y, x) < 6.5
    for position in alone:
        at = np.rint(position).astype(int)
        part = scene.clean[at[0] - 6 : at[0] + 7, at[1] - 6 : at[1] + 7].astype(float)
        part = np.where(near, part - part[near].min(), 0)
        centre = [(part**2 * grid).sum() / (part**2).sum() for grid in (y, x)]
        assert np.allclose(at + centre, position, atol=0.1)
        assert np.sqrt(4 / np.pi * (part > part.max() / 2).sum()) == pytest.approx(5, abs=0.5)


def test_nuclei_of_cells_lie_in_the_cells() -> None:
    scene = small("cells", (96, 96))
    assert set(np.unique(scene.classes)) == {1, 2, 3}
    nucleus = scene.classes == 3
    assert scene.clean[1][nucleus].mean() > 2 * scene.clean[1][scene.classes == 2].mean() - 100
    assert (scene.labels[nucleus] > 0).all()


def test_random_nuclei_vary_and_repeat() -> None:
    scenes = [random_nuclei(seed, (64, 64)) for seed in range(8)]
    again = random_nuclei(3, (64, 64))
    assert scenes[3].image.tobytes() == again.image.tobytes()
    assert len({s.pixel_size for s in scenes}) == 8
    assert max(s.labels.max() for s in scenes) > 4 * max(1, min(s.labels.max() for s in scenes))
    assert random_nuclei(1, (6, 32, 32)).image.shape == (6, 32, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_and_tiny_fields(kind: str) -> None:
    empty = small(kind, (20, 20), density=0.0)
    assert not empty.labels.any()
    assert empty.positions.shape == (0, 2)
    assert small(kind, (1, 1)).labels.shape == (1, 1)


def test_values_and_options_say_the_same() -> None:
    sample, scope = Sample(diameter=10.0, density=0.2), Microscope(photons=50.0)
    a = simulate("nuclei", (40, 40), 1, sample=sample, microscope=scope)
    b = simulate("nuclei", (40, 40), 1, sample=replace(sample, diameter=30.0), diameter=10.0, photons=50.0)
    assert np.array_equal(a.image, b.image)


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("stars", (32, 32)), {}, "knows nuclei"),
        (("nuclei", (32,)), {}, r"\(Y, X\)"),
        (("nuclei", (32, 32)), {"size": 3}, "no option size"),
        (("nuclei", (32, 32)), {"contrast": "dic"}, "phase"),
        (("nuclei", (32, 32)), {"diameter": 0}, "diameter of 1"),
    ],
)
def test_refuses(arguments: tuple, options: dict, says: str) -> None:
    with pytest.raises(DojoError, match=says):
        simulate(*arguments, **options)
