"""Upscale: more pixels, from pairs of coarse and fine images, or from fine ones alone, which are made coarse to learn from.

Along Z a stack teaches itself: its planes are as fine along X and Y as they should be along Z, so planes with rows left
out are what the stack looks like from the side (Weigert et al. 2018, Nature Methods 15:1090; Park et al. 2022,
Nature Communications 13:3297).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.dataset import Dataset, Layout, Sample, Series
from napari_dojo.data.kinds import IMAGE
from napari_dojo.data.noise import measure_noise
from napari_dojo.data.optics import bin_pixels, psf_sigma
from napari_dojo.data.resample import cubic
from napari_dojo.data.units import unit_text
from napari_dojo.errors import DojoError
from napari_dojo.settings import Option
from napari_dojo.tasks.alignment import as_bright, moved
from napari_dojo.tasks.base import Degradation, Finding, Fix, Hints, Summary, Supervision, Target
from napari_dojo.tasks.findings import size_findings
from napari_dojo.tasks.image_findings import place_findings, target_findings
from napari_dojo.tasks.images import (
    LOSS,
    REGISTER,
    ImageDecoding,
    image_names,
    image_targets,
    image_task,
    region_record,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from napari_dojo.data.resident import Crops

__all__ = ["UPSCALE", "UpscaleOptions"]

READ_NOISE = 1.5  # electrons, standard deviation
HINTS = Hints(width=32, patch=64, pixels=8 * 64 * 64, levels=3, fine=True)


@dataclass(frozen=True)
class UpscaleOptions:
    """What is fixed at training. ``channels`` follows from the images, ``alone`` from their targets."""

    factor: Annotated[
        Literal[2, 3, 4], Option("Factor", "How many times more pixels the result has along each axis.")
    ] = 2
    along: Annotated[
        Literal["YX", "ZYX", "Z"],
        Option(
            "Upsample along",
            "Which axes get more pixels: the plane, the whole volume, or Z alone (planes closer together, trained on the stack itself).",
            words=("the plane (Y, X)", "the volume (Z, Y, X)", "Z alone"),
        ),
    ] = "YX"
    degrade: Annotated[
        Literal["bicubic", "microscope"],
        Option(
            "Made coarse",
            "How low-resolution images are made where there are only high-resolution ones: by bicubic interpolation without noise, or as a "
            "microscope with larger pixels would see them (blur, binning, noise).",
            words=("bicubic", "as a microscope"),
            advanced=True,
        ),
    ] = "bicubic"
    na: Annotated[
        float, Option("Aperture", "Numerical aperture of the coarse microscope.", 0.05, 1.6, advanced=True)
    ] = 0.5
    wavelength: Annotated[
        float, Option("Wavelength", "Wavelength of the light of the coarse microscope.", 0.2, 2.0, "µm", True)
    ] = 0.52
    photons: Annotated[
        float,
        Option(
            "Photons",
            "Number of photons in a bright pixel of the coarse image; fewer mean more noise.",
            1,
            1e6,
            advanced=True,
        ),
    ] = 200.0
    loss: Annotated[Literal["absolute", "squared"], Option("Loss", LOSS, advanced=True)] = "absolute"
    register: Annotated[bool, REGISTER] = False
    channels: int = 1
    alone: bool = False


def upsampling(options: UpscaleOptions) -> dict[str, int]:
    """Predicted pixels per image pixel, by axis."""
    return dict.fromkeys(options.along, int(options.factor))


def summarize(dataset: Dataset, options: UpscaleOptions) -> Summary:
    """Whether sizes, places and pixel sizes fit."""
    alone = dataset.samples[0].y is None
    channels = len(dataset.samples[0].x if alone else dataset.samples[0].y)
    options = replace(options, channels=channels, alone=alone)
    findings = [*size_findings(dataset), *_axis_findings(dataset, options)]
    if alone and options.along != "Z":
        how = "by bicubic interpolation" if options.degrade == "bicubic" else _microscope_words(dataset, options)
        show = (Fix("Show an example", "show", value=lambda x: coarse(x, options, dataset.pixel_size)),)
        text = f"Sharp images alone: for training, they are made {options.factor} times coarser {how}"
        findings.append(Finding("ok", text, show))
    elif not alone:
        findings += target_findings(dataset, alike=True)
        findings += [*place_findings(dataset, options.register), *_size_findings(dataset, options)]
    hints = replace(HINTS, arguments=_network(dataset, options))
    return Summary(options, image_names(channels), ImageDecoding(), tuple(findings), hints=hints)


def _network(dataset: Dataset, options: UpscaleOptions) -> dict[str, Any]:
    """The network adds what interpolation cannot know to the interpolated image."""
    scale = [upsampling(options).get(a, 1) for a in dataset.spatial]
    if options.along == "Z":  # trained on planes seen from the side
        scale = [int(options.factor), 1]
    return {"scale": scale, "direct": list(range(options.channels)), "norm": False}


def _axis_findings(dataset: Dataset, options: UpscaleOptions) -> list[Finding]:
    if "Z" in options.along and dataset.spatial != "ZYX":
        text = "Upsampling along Z needs stacks; these images are flat. Name their third axis Z, or choose the plane."
        return [Finding("error", text, (Fix("The plane", "option", value=("along", "YX")),))]
    if options.along == "Z" and not options.alone:
        text = "Along Z a model is trained on the stack itself: choose stacks alone, without targets, or upsample the volume."
        return [Finding("error", text, (Fix("The volume", "option", value=("along", "ZYX")),))]
    small = min(min(i.size) for i in dataset.samples)
    if options.alone and options.along != "Z" and small < 8 * options.factor:
        text = f"The images are too small ({small} px) to be made {options.factor} times coarser. Use larger ones, or a smaller factor."
        return [Finding("error", text)]
    return []


def _size_findings(dataset: Dataset, options: UpscaleOptions) -> list[Finding]:
    """Whether the pixel sizes of images and targets tell the factor."""
    if (
        not dataset.pixel_size
        or not dataset.target_pixel_size
        or len(dataset.pixel_size) != len(dataset.target_pixel_size)
    ):
        return []
    said = dataset.pixel_size[-1] / dataset.target_pixel_size[-1]
    if abs(said / options.factor - 1) < 0.05:
        return [
            Finding(
                "ok",
                f"Pixels of {dataset.pixel_size[-1]:.3g} become {dataset.target_pixel_size[-1]:.3g} {unit_text(dataset.unit)}",
            )
        ]
    text = (
        f"The pixel sizes of images and targets differ {said:.3g}-fold, the factor is {options.factor}. Which is right?"
    )
    return [Finding("warning", text, (Fix("The factor", "fine"),))]


def _microscope_words(dataset: Dataset, options: UpscaleOptions) -> str:
    size = (
        f"{dataset.pixel_size[-1]:.3g} {unit_text(dataset.unit)}"
        if dataset.pixel_size
        else "unknown size (.1 µm is taken)"
    )
    return (
        f"as a coarse microscope sees them: aperture {options.na:g}, light of {options.wavelength:g} µm, "
        f"{options.photons:g} photons in a bright pixel, fine pixels of {size}. Advanced changes that"
    )


def prepare(dataset: Dataset, options: UpscaleOptions) -> Dataset:
    """Coarse images with fine targets: as given, or made from the fine ones."""
    if options.along == "Z":
        return _from_planes(dataset, int(options.factor))
    if options.alone:
        return _made_coarse(dataset, options)
    return as_bright(moved(dataset) if options.register else dataset)


def _made_coarse(dataset: Dataset, options: UpscaleOptions) -> Dataset:
    factors = tuple(upsampling(options).get(a, 1) for a in dataset.spatial)

    def item(old: Sample) -> Sample:
        cut = tuple(slice(0, n // f * f) for n, f in zip(old.size, factors, strict=True))
        y = np.asarray(old.x[(slice(None), *cut)], np.float32)
        x = coarse(y, options, old.pixel_size or dataset.pixel_size, noise=False)
        region = None if old.region is None else bin_pixels(old.region[cut], factors, "mean") == 1
        own = old.pixel_size and tuple(s * f for s, f in zip(old.pixel_size, factors, strict=True))
        return replace(old, x=x, y=y, region=region, pixel_size=own)

    size = dataset.pixel_size
    larger = None if size is None else tuple(s * f for s, f in zip(size, factors, strict=True))
    made = [item(old) for old in dataset.samples]
    of_series: dict[int, list[Any]] = {}
    for sample in made:
        of_series.setdefault(id(sample.whole), []).append(sample.x)
    series = {key: Series(frames) for key, frames in of_series.items()}
    samples = tuple(s if s.whole is None else replace(s, whole=series[id(s.whole)]) for s in made)
    return replace(dataset, samples=samples, pixel_size=larger, target_pixel_size=size)


def coarse(
    y: NDArray[Any], options: UpscaleOptions, pixel_size: Sequence[float] | None = None, noise: bool = True
) -> NDArray[np.float32]:
    """A fine image (C, *S), S a multiple of the factor, as the coarse microscope would see it; ``pixel_size`` in µm."""
    spatial = "ZYX"[-(np.ndim(y) - 1) :]
    factors = [upsampling(options).get(a, 1) for a in spatial]
    y = np.asarray(
        y[(slice(None), *(slice(0, n // f * f) for n, f in zip(y.shape[1:], factors, strict=True)))], np.float32
    )
    if options.degrade == "bicubic":
        return cubic(y, [1 / f for f in factors])
    sigma = psf_sigma(options.na, options.wavelength, pixel_size or (0.1,) * len(spatial))
    blurred = np.stack([ndimage.gaussian_filter(c, sigma, mode="reflect") for c in y])
    x = bin_pixels(blurred, (1, *factors), "mean")
    if noise:
        low, high = np.percentile(x, [1, 99.8])
        x = low + _noisy((x - low) / max(float(high - low), 1e-12), options.photons, np.random.default_rng(0)) * (
            high - low
        )
    return np.asarray(x, np.float32)


def _noisy(x: NDArray[Any], photons: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of light and camera on an image whose bright pixels are 1 and stand for ``photons`` photons."""
    light = rng.poisson(np.maximum(x, 0) * photons) + rng.standard_normal(x.shape, np.float32) * READ_NOISE
    return np.asarray(light / photons + np.minimum(x, 0), np.float32)


def targets(crops: Crops, options: UpscaleOptions, random: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Coarse image, with new noise where a microscope makes it, and fine target."""
    x, target, weight = image_targets(crops, options, random)
    if _adds_noise(options):
        x = _noisy_batch(x, options.photons, random)
    return x, target, weight


def degraded(options: UpscaleOptions) -> Degradation | None:
    """The noise that `targets` adds to a coarse image (C, *S)."""
    return (lambda x, random: _noisy(x, options.photons, random)) if _adds_noise(options) else None


def _adds_noise(options: UpscaleOptions) -> bool:
    return options.alone and options.degrade == "microscope" and options.along != "Z"


def _noisy_batch(x: Tensor, photons: float, random: Generator) -> Tensor:
    """What `_noisy` does, on the device."""
    import torch

    bright = (x.clamp(min=0) * photons).to(random.device)
    light = torch.poisson(bright, generator=random)
    light += torch.randn(x.shape, generator=random, device=random.device) * READ_NOISE
    return light.to(x.device) / photons + x.clamp(max=0)


def baseline(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: UpscaleOptions
) -> tuple[list[NDArray[Any]], str]:
    """Bicubic interpolation."""
    found = []
    for x, y in zip(inputs, truths, strict=True):
        found.append(cubic(x, [b / a for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]))
    return found, "bicubic interpolation"


# along Z ------------------------------------------------------------------------------------------------------------


def _from_planes(dataset: Dataset, factor: int) -> Dataset:
    """Planes of stacks, their rows thinned as the planes of the stack are: 2-D pairs, each plane both ways round."""
    pairs = tuple(pair for stack in dataset.samples for pair in _pairs_of(stack, factor))
    size = dataset.pixel_size and dataset.pixel_size[1:]
    axes = "YX" if dataset.channels == 1 else "CYX"
    return replace(dataset, samples=pairs, spatial="YX", axes=axes, pixel_size=size)


def _pairs_of(stack: Sample, factor: int) -> Iterator[Sample]:
    """The pairs of one stack; DojoError where its planes are too small."""
    x = np.asarray(stack.x, np.float32)  # (C, Z, Y, X)
    if min(x.shape[2:]) < 4 * factor:
        raise DojoError(
            f"{stack.name} is too small for a factor of {factor}: its planes are {x.shape[2]} x {x.shape[3]} px."
        )
    noise = [measure_noise(c) for c in x]
    wide = _wider(x, factor, [n.sigma**2 for n in noise])
    left = 1 / (2 * np.sqrt(np.pi) * wide) if wide else (0.5 if factor % 2 == 0 else 1.0)  # of the noise's variance
    lost = [n.sigma * np.sqrt(max(0.0, 1 - left)) for n in noise]
    whole = stack.whole or Series([stack.x[:, z] for z in range(x.shape[1])])  # by whose numbers it is predicted
    pixel_size = stack.pixel_size and stack.pixel_size[1:]
    rng = np.random.default_rng(0)
    for z, turned in product(range(x.shape[1]), (False, True)):
        plane = np.swapaxes(x[:, z], 1, 2) if turned else x[:, z]
        y = plane[:, : plane.shape[1] // factor * factor]
        soft = ndimage.gaussian_filter1d(y, wide, axis=1) if wide else y
        thin = _thinned(soft, factor)
        for channel, sigma in zip(thin, lost, strict=True):  # the noise that averaging took away
            channel += rng.standard_normal(channel.shape, np.float32) * sigma
        name = f"{stack.name} [{z}]"
        about = replace(stack, name=name, region=None, whole=whole, pixel_size=pixel_size)
        yield replace(about, x=thin, y=np.ascontiguousarray(soft))


def _thinned(plane: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """One row of every ``factor`` rows (C, Y, X), in their middle, as another array."""
    first = plane[:, (factor - 1) // 2 :: factor]
    if factor % 2:
        return first.copy()
    # the middle of an even number of rows lies between two
    return np.asarray((first + plane[:, factor // 2 :: factor]) / 2, np.float32)


def _wider(x: NDArray[np.float32], factor: int, noise: Sequence[float]) -> float:
    """By which Gaussian along Y, in px, rows that are ``factor`` px apart get as alike as neighbouring planes are."""

    def alike(a: NDArray[Any], b: NDArray[Any], lost: float) -> float:
        both = [(p - p.mean(), q - q.mean(), v * lost) for p, q, v in zip(a, b, noise, strict=True)]
        above = sum(float((p * q).mean()) for p, q, _ in both)
        below = sum(float((p * p).mean() + (q * q).mean()) / 2 - v for p, q, v in both)
        return above / max(below, 1e-12)

    if x.shape[1] < 2:
        return 0.0
    planes = alike(x[:, :-1], x[:, 1:], 1.0)
    for wide in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0):
        soft = ndimage.gaussian_filter1d(x, wide, axis=2) if wide else x
        lost = 1 / (2 * np.sqrt(np.pi) * max(wide, 0.29))
        if alike(soft[:, :, :-factor], soft[:, :, factor:], min(1.0, lost)) >= planes:
            return wide
    return 6.0


UPSCALE = image_task(
    name="upscale",
    title="Super-resolve",
    sentence="Images get more pixels, with detail as in the sharp images that it was trained on.",
    target=Target(IMAGE, "sharp image", optional=True),
    options=UpscaleOptions,
    layout=lambda options: Layout(IMAGE, upsampling(options), sides=options.along == "Z"),
    summarize=summarize,
    prepare=prepare,
    supervision=Supervision(region_record, targets, degraded=degraded),
    baseline=baseline,
)
