"""Denoise without clean images: a pixel is predicted from its surroundings, which know the signal but not its noise.

Blind spots as in Noise2Void (Krull et al. 2019, arXiv:1811.10980), many in each piece and hidden by a neighbour, or by
the median of the neighbours and with the net of N2V2 (Höck et al. 2022, arXiv:2211.08512), which leaves no checkerboard;
lines of noise are hidden as a whole (structN2V: Broaddus et al. 2020, ISBI).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.data.noise import Noise
from napari_dojo.metrics.residuals import ResidualScores
from napari_dojo.settings import Option
from napari_dojo.tasks.alignment import without_saturated
from napari_dojo.tasks.base import Augmentation, Finding, Fix, Summary, Supervision
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
    region_record,
    some,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from napari_dojo.data.resident import Crops

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


def targets(crops: Crops, options: Noise2VoidOptions, random: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs with blind spots, the inputs as they are, and weight on the spots alone."""
    import torch

    from napari_dojo.device import constant

    x, dims = crops.x, crops.x.ndim - 2
    first = (x.shape[1] - options.channels) // 2
    mine = slice(first, first + options.channels)  # neighbours in time have noise of their own, and stay
    own = x[:, mine]
    around = constant(_surroundings(dims, options.lines), torch.int64, x.device)
    spots = _spots(len(x), x.shape[2:], options.lines, random).to(x.device)
    hidden = own.clone()
    if options.hide == "median":
        values, half = _beside(own, spots[:, None], around).sort(2).values, len(around) // 2
        _put(hidden, spots, (values[..., half - 1] + values[..., half]) / 2)  # there are an even number of them
    else:
        _put(hidden, spots, _random_neighbour(own, spots, around, random))
    along = dims - (options.lines == "y")
    for step in range(-LINE, LINE + 1) if options.lines != "none" else ():
        if step:
            beside = spots.clone()  # those that would lie outside are hidden already
            beside[:, along] = (beside[:, along] + step).clamp(0, x.shape[1 + along] - 1)
            _put(hidden, beside, _random_neighbour(own, beside, around, random))
    weight = torch.zeros_like(x[:, :1])
    _put(weight, spots, weight.new_ones(len(spots), 1))
    if crops.record is not None:
        weight = weight * crops.known()
    inputs = hidden if own.shape == x.shape else torch.cat([x[:, :first], hidden, x[:, mine.stop :]], 1)
    return inputs, own.contiguous(), weight


def _spots(count: int, size: Sequence[int], lines: str, random: Generator) -> Tensor:
    """One random position in each cell of each plane: (n, 1 + dims), the first is the number of the patch.

    Cells are wider where lines are hidden.
    """
    import torch

    along = np.array(_along(len(size), lines))
    cell = np.array([1] * (len(size) - 2) + [EVERY] * 2) + along * (2 * LINE + 1)
    where = random.device
    steps = [torch.arange(0, n, int(c), device=where) for n, c in zip((count, *size), (1, *cell), strict=True)]
    grid = torch.stack(torch.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 1 + len(size))
    for a, c in enumerate(cell, 1):
        if c > 1:
            wide = (size[a - 1] - grid[:, a]).clamp(max=int(c))
            grid[:, a] += (torch.rand(len(grid), generator=random, device=where) * wide).long()
    return grid


def _along(dims: int, lines: str) -> tuple[int, ...]:
    """A step along the lines."""
    return (*(0,) * (dims - 2), int(lines == "y"), int(lines == "x"))


def _surroundings(dims: int, lines: str) -> tuple[tuple[int, ...], ...]:
    """Steps to the pixels of the plane around a spot that know nothing of its noise: (m, dims)."""
    grid = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), indexing="ij"), -1).reshape(-1, 2)
    apart = {"x": grid[:, 0] != 0, "y": grid[:, 1] != 0}.get(lines, (grid != 0).any(1))
    return tuple(map(tuple, np.pad(grid[apart], ((0, 0), (dims - 2, 0))).tolist()))


def _random_neighbour(x: Tensor, places: Tensor, around: Tensor, random: Generator) -> Tensor:
    """For each of the places (n, 1 + dims) of (N, C, *S) the value of one of its surroundings: (n, C)."""
    import torch

    which = torch.randint(len(around), (len(places),), generator=random, device=random.device).to(x.device)
    return _beside(x, places, around[which])


def _beside(x: Tensor, places: Tensor, steps: Tensor) -> Tensor:
    """Values of (N, C, *S) at offsets (..., dims) from places (..., 1 + dims); (n, C), or (n, C, m) for m offsets each.

    Over a border it steps to the other side, so that none comes back to its place.
    """
    import torch

    from napari_dojo.device import constant

    last = constant(tuple(n - 1 for n in x.shape[2:]), torch.int64, x.device)
    here = places[..., 1:]
    there = here + steps
    there = torch.where((there < 0) | (there > last), here - steps, there)
    there = torch.minimum(there.clamp(min=0), last)
    patch = places[..., 0].expand(there.shape[:-1])
    found = x.movedim(1, -1)[(patch, *there.unbind(-1))]
    return found if found.ndim == 2 else found.movedim(1, 2)


def _put(x: Tensor, places: Tensor, values: Tensor) -> None:
    """Set (N, C, *S) at places (n, 1 + dims) to values (n, C)."""
    x.movedim(1, -1)[places.unbind(1)] = values


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
    sentence="Removes noise. Trained on noisy images alone.",
    target=None,
    options=Noise2VoidOptions,
    layout=lambda options: Layout(IMAGE, context=options.context),
    augmentation=lambda options: Augmentation(resample=False, quarter=options.lines == "none", intensity=None),
    summarize=summarize,
    prepare=prepare,
    supervision=Supervision(region_record, targets),
    score=score,
    baseline=baseline,
)
