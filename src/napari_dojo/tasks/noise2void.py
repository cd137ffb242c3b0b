"""Denoise without clean images: a pixel is predicted from its surroundings, which know the signal but not its noise.

Blind spots as in Noise2Void (Krull et al. 2019, arXiv:1811.10980), many in each piece and hidden by a neighbour, or by
the median of the neighbours and with the net of N2V2 (Höck et al. 2022, arXiv:2211.08512), which leaves no checkerboard;
lines of noise are hidden as a whole (structN2V: Broaddus et al. 2020, ISBI).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.data.noise import Noise
from napari_dojo.metrics.residuals import ResidualScores
from napari_dojo.settings import Option
from napari_dojo.tasks.alignment import without_saturated
from napari_dojo.tasks.base import Augmentation, Finding, Fix, Summary
from napari_dojo.tasks.findings import size_findings
from napari_dojo.tasks.image_findings import frame_findings, noise_findings
from napari_dojo.tasks.images import (
    CONTEXT,
    FRAMES,
    RESTORATION,
    ImageDecoding,
    image_names,
    image_task,
    noise_of,
    some,
)

__all__ = ["NOISE2VOID", "Noise2VoidOptions"]

EVERY = 3  # px: one blind spot in each square of this edge; as many as can be, see LOG.md
LINE = 5  # px to each side that are hidden with a blind spot, where noise comes in lines
CORRELATED = 0.15  # correlation of neighbours from which on the noise is not independent
LITTLE = 0.015  # noise over the range of the image, below which there is hardly any


@dataclass(frozen=True)
class Noise2VoidOptions:
    """What is fixed at training. ``channels`` follows from them."""

    lines: Annotated[
        Literal["none", "x", "y"],
        Option(
            "Lines of noise",
            "Hide whole lines along this axis: for noise that neighbours share, as scanning microscopes have it.",
            words=("none", "along x", "along y"),
        ),
    ] = "none"
    context: Annotated[int, CONTEXT] = 0
    hide: Annotated[
        Literal["neighbour", "median"],
        Option(
            "Hide by",
            "The value of a blind spot: a random neighbour, or the median of them with a smoother network (N2V2), "
            "for images in which a checkerboard is left.",
            advanced=True,
            words=("a neighbour", "the median (N2V2)"),
        ),
    ] = "neighbour"
    frames: Annotated[Literal["whole", "each"], FRAMES] = "whole"
    channels: int = 1

    loss = "squared"  # blind spots need the mean of what is likely


def summarize(dataset: Dataset, options: Noise2VoidOptions) -> Summary:
    """Whether there is noise, whether it is independent from pixel to pixel, and whether there is anything else."""
    noisy = noise_of(some(dataset.samples), lambda i: dataset.own(i.x))
    findings = [
        *size_findings(dataset),
        *noise_findings(noisy, ()),
        *_noise_findings(noisy, options),
        *frame_findings(dataset, options.frames),
    ]
    channels = dataset.channels // (1 + 2 * dataset.context)
    smooth = options.hide == "median"  # with medians, no single pixel may shine through
    return Summary(
        replace(options, channels=channels),
        image_names(channels),
        ImageDecoding(),
        tuple(findings),
        frames=options.frames,
        hints=replace(RESTORATION, arguments={**RESTORATION.arguments, "smooth": smooth}),
    )


def _noise_findings(noisy: Sequence[Noise], options: Noise2VoidOptions) -> list[Finding]:
    if not noisy:
        return []
    y, x = (float(np.median([n.correlation[a] for n in noisy])) for a in (-2, -1))
    fine = Fix("Ignore it", "fine")
    found = []
    along, across = ("x", y) if x > y else ("y", x)
    apart = max(x, y) > 2 * across + 0.05 or 1 - max(x, y) < 0.3 * (1 - across)  # or nearly the same all along
    if max(x, y) > CORRELATED and apart:
        if options.lines != along:
            text = f"The noise is correlated along {along} ({max(x, y):.2f} between neighbours): use the line mask."
            found.append(Finding("warning", text, (Fix("Use the line mask", "option", value=("lines", along)), fine)))
        else:
            found.append(Finding("ok", f"Lines along {along} are hidden"))
    elif min(x, y) > 2 * CORRELATED and float(np.median([n.relative for n in noisy])) > LITTLE:
        text = f"The noise of neighbours is alike in both directions ({min(x, y):.2f}): little of it can be removed."
        found.append(Finding("warning", text, (fine,)))
    if float(np.median([n.relative for n in noisy])) < LITTLE:
        found.append(Finding("warning", "The images have little noise: expect little.", (fine,)))
    if float(np.median([n.structure for n in noisy])) < 3:
        text = "The images show noise alone, such as a camera without light: there is nothing to bring out."
        found.append(Finding("warning", text, (fine,)))
    return found


def prepare(dataset: Dataset, options: Noise2VoidOptions) -> Dataset:
    """Saturated pixels excluded."""
    return without_saturated(dataset, lambda sample: dataset.own(sample.x))


def example(
    x: NDArray[np.float32],
    y: Any,
    region: NDArray[np.bool_] | None,
    options: Noise2VoidOptions,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The input with blind spots, the input as it is, and weight on the spots alone."""
    size = x.shape[1:]
    first = (len(x) - options.channels) // 2
    mine = slice(first, first + options.channels)  # neighbours in time have noise of their own, and stay
    spots = _spots(size, options.lines, rng)
    around = _surroundings(len(size), options.lines)
    hidden = np.array(x)
    if options.hide == "median":
        hidden[(mine, *spots.T)] = np.median(_beside(x[mine], spots[:, None], around), -1)
    else:
        hidden[(mine, *spots.T)] = _by_chance(x[mine], spots, around, rng)
    for step in range(-LINE, LINE + 1) if options.lines != "none" else ():
        if step:
            beside = spots + step * _along(len(size), options.lines)
            beside = beside[((beside >= 0) & (beside < size)).all(1)]
            hidden[(mine, *beside.T)] = _by_chance(x[mine], beside, around, rng)
    weight = np.zeros((1, *size), np.float32)
    weight[(0, *spots.T)] = 1.0
    if region is not None:
        weight *= region
    return hidden, np.ascontiguousarray(x[mine]), weight


def _spots(size: Sequence[int], lines: str, rng: np.random.Generator) -> NDArray[np.intp]:
    """One random position in each cell of the plane: (n, dims); cells are wider where lines are hidden."""
    along = _along(len(size), lines)
    cell = np.array([1] * (len(size) - 2) + [EVERY] * 2) + along * (2 * LINE + 1)
    cell[:-2] = 1
    grid = np.stack(np.meshgrid(*(np.arange(0, n, c) for n, c in zip(size, cell, strict=True)), indexing="ij"), -1)
    spots = grid.reshape(-1, len(size)) + rng.integers(0, cell, (grid.size // len(size), len(size)))
    return np.asarray(spots[(spots < size).all(1)])


def _along(dims: int, lines: str) -> NDArray[np.intp]:
    """A step along the lines."""
    return np.array([0] * (dims - 2) + [int(lines == "y"), int(lines == "x")])


def _surroundings(dims: int, lines: str) -> NDArray[np.intp]:
    """Steps to the pixels of the plane around a spot that know nothing of its noise: (m, dims)."""
    grid = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), indexing="ij"), -1).reshape(-1, 2)
    apart = {"x": grid[:, 0] != 0, "y": grid[:, 1] != 0}.get(lines, (grid != 0).any(1))
    return np.pad(grid[apart], ((0, 0), (dims - 2, 0)))


def _by_chance(
    x: NDArray[np.float32], places: NDArray[np.intp], around: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.float32]:
    """For each of the places (n, dims) of (C, *S) the value of one of its surroundings: (C, n)."""
    return _beside(x, places, around[rng.integers(len(around), size=len(places))])


def _beside(x: NDArray[np.float32], places: NDArray[np.intp], steps: NDArray[np.intp]) -> NDArray[np.float32]:
    """Values of (C, *S) at offsets (..., dims) from positions (..., dims): (C, ...).

    Over a border it steps to the other side, so that none comes back to its place.
    """
    last = np.array(x.shape[1:]) - 1
    there = places + steps
    there = np.where((there < 0) | (there > last), places - steps, there)
    return x[(slice(None), *np.moveaxis(np.clip(there, 0, last), -1, 0))]


def score(result: NDArray[Any], truth: NDArray[Any], region: Any, options: Any) -> ResidualScores:
    """How much of the noise is gone, and whether the residual looks like noise; ``truth`` is the input."""
    return ResidualScores.of(truth, result)


def baseline(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: Any
) -> tuple[list[NDArray[Any]], str]:
    """The Gaussian filter that predicts a pixel best from its surroundings (Batson and Royer 2019, arXiv:1901.11365)."""
    widths = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0)
    chosen = some(list(inputs))

    def quality(sigma: float) -> float:
        return float(np.mean([_blind_error(c, sigma) for x in chosen for c in np.asarray(x, np.float32)]))

    best = min(widths, key=quality)
    found = [np.stack([ndimage.gaussian_filter(np.asarray(c, np.float32), best) for c in x]) for x in inputs]
    return found, f"Gaussian filter of {best:g} px"


def _blind_error(x: NDArray[np.float32], sigma: float) -> float:
    """Squared error of a Gaussian with a hole in its middle, over the variance of the image."""
    middle = np.zeros((17,) * 2, np.float32)
    middle[8, 8] = 1
    weight = float(ndimage.gaussian_filter(middle, sigma)[8, 8])
    plane = np.nan_to_num(x if x.ndim == 2 else x[len(x) // 2])
    blind = (ndimage.gaussian_filter(plane, sigma) - weight * plane) / (1 - weight)
    return float(np.mean((blind - plane) ** 2) / max(float(np.var(plane)), 1e-20))


NOISE2VOID = image_task(
    name="noise2void",
    title="Denoise (no pairs)",
    sentence="Noise is removed by what a pixel's surroundings tell; no clean image is needed.",
    target=None,
    options=Noise2VoidOptions,
    layout=lambda options: Layout(IMAGE, context=options.context),
    augmentation=lambda options: Augmentation(resample=False, quarter=options.lines == "none", intensity=None),
    summarize=summarize,
    prepare=prepare,
    example=example,
    score=score,
    baseline=baseline,
)
