"""Instances: each object gets its own label.

The network predicts, for each pixel, whether it lies inside an object, and the normalised distance to the object's edge: 1
at the innermost point of each object, whatever its size. Its h-maxima are seeds, from which a watershed floods the objects;
touching, elongated, concave and large objects have one maximum each. Three more maps are predicted during training only,
because they teach the network where objects end: the boundary between objects, the direction away from the nearest edge, and
the offset to the object's centre.
(Distance maps for cells: Naylor et al. 2019, IEEE TMI 38:448; h-maxima: Soille 2003. LOG.md has what was compared.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset, Layout, Sample
from napari_dojo.data.holding import Pieces
from napari_dojo.data.kinds import LABELS, renumbered
from napari_dojo.data.units import unit_text
from napari_dojo.metrics.baselines import otsu_watershed
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.metrics.strokes import StrokeCounts
from napari_dojo.settings import Option
from napari_dojo.tasks.base import (
    Augmentation,
    Completion,
    Finding,
    Fix,
    Hints,
    Summary,
    Supervision,
    Target,
    Task,
    as_given,
)
from napari_dojo.tasks.findings import label_findings, size_findings, swap_findings
from napari_dojo.tasks.label_defects import background_findings, edge_findings, label_shift_findings
from napari_dojo.tasks.sections import annotated_planes, strokes_of_planes
from napari_dojo.tasks.stroke_findings import looks_like_strokes, stroke_findings, stroked_areas
from napari_dojo.tasks.strokes import BACKGROUND, completed_strokes
from napari_dojo.tasks.watershed import split_objects

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from napari_dojo.data.resident import Crops

CENTRE = 20.0  # px; unit of the distance to the centre
EDGE = 24  # px that labels are mirrored beyond the edge of a sample
LEVELS = 127  # steps in which distances, directions and, in px, ways to the centre are kept
INSIDE, BOUNDARY, KNOWN = 1, 2, 4  # flags of a pixel
ENOUGH = 50  # objects, of which a good model is made
RENEWED = (0.3, 0.5, 0.7)  # shares of a training from strokes after which the network's objects are taken
ALIKE = 1.2  # ratio of pixel sizes that makes no difference
FEW = 5  # label values; with so few, many pieces are most likely a mask

__all__ = ["INSTANCES", "InstancesDecoding", "InstancesOptions"]


@dataclass(frozen=True)
class InstancesOptions:
    """What is fixed at training. ``dims`` follows from the images."""

    diameter: Annotated[
        float,
        Option("Diameter", "Typical diameter of the objects; 0 measures it on the labels.", 0, 10_000, "px", True),
    ] = 0.0
    annotation: Annotated[
        Literal["complete", "strokes"],
        Option(
            "Annotation",
            "Complete: every object is labelled, all else is background. Strokes: 0 is not annotated, 1 is background, "
            "2 and above are objects, each touched by a stroke or painted in part.",
            words=("complete", "strokes"),
            of_data=True,
            kept=False,
        ),
    ] = "complete"
    dims: int = 2
    spacing: tuple[float, ...] = ()  # of pixels along each axis, the smallest 1; empty: the same along all
    planes: bool = False  # only planes of stacks are annotated

    @property
    def strokes(self) -> bool:
        """Whether objects are annotated by strokes."""
        return self.annotation == "strokes"


@dataclass(frozen=True)
class InstancesDecoding:
    """How maps become objects."""

    threshold: Annotated[
        float,
        Option("Probability", "Pixels of at least this probability belong to objects.", 0.01, 0.99, trials=(0.4, 0.6)),
    ] = 0.5
    split: Annotated[
        float,
        Option(
            "Separation",
            "Neighbouring objects are split where the normalised distance between them dips by this much (h of the h-maxima).",
            0.01,
            0.95,
            trials=(0.12, 0.25, 0.3),
        ),
    ] = 0.2
    minimum_area: Annotated[
        float, Option("Minimum area", "Smaller objects are removed.", 0, 1e9, "px", counted=True)
    ] = 12.0

    lowest = 0.2  # normalised distance that an object must exceed somewhere
    margin = 5  # px: smoothing reaches four

    def terrain(self, maps: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Where objects are (*S), and the smoothed distance, from the logit of "inside" and the distance in maps (K, *S)."""
        from scipy.ndimage import gaussian_filter

        inside = maps[0] > np.log(self.threshold / (1 - self.threshold))
        return inside, gaussian_filter(np.asarray(maps[1], np.float32), 1.0) if inside.any() else maps[1]


def summarize(dataset: Dataset, options: InstancesOptions) -> Summary:
    """Count and measure the labelled objects."""
    options = replace(options, dims=len(dataset.spatial), spacing=_spacing(dataset), planes=False)
    if options.strokes:
        return _summary_of_strokes(dataset, options)
    if planes := annotated_planes(dataset):
        return _summary_of_strokes(strokes_of_planes(dataset), replace(options, planes=True), planes)
    findings = [*size_findings(dataset), *swap_findings(dataset)]
    if like := looks_like_strokes(dataset):
        findings += like
    else:
        findings += [*edge_findings(dataset), *background_findings(dataset), *label_shift_findings(dataset)]
    objects, dims = _Counted.of(dataset), len(dataset.spatial)
    areas = objects.areas
    if not len(areas):
        findings.append(
            Finding(
                "error", "No object is labelled: all labels are 0. Paint at least one object, each with its own number."
            )
        )
        return Summary(options, _maps(dims), InstancesDecoding(), tuple(findings))
    diameter = options.diameter or _diameter(areas, dims)
    if not like:
        findings += _number_findings(objects.pieces)
        findings += label_findings(dataset, diameter)
    findings.append(
        Finding(
            "ok",
            f"{len(areas)} object{'s' * (len(areas) != 1)}{_few(len(areas))}, diameter about {diameter:.0f} px"
            + _physical(diameter, dataset),
        )
    )
    if objects.empty:
        findings.append(Finding("ok", f"{objects.empty} image{'s' if objects.empty > 1 else ''} without objects"))
    thickness = _thickness(dataset.samples, diameter)
    least = np.percentile(objects.whole if len(objects.whole) else areas, 1)
    minimum_area = max(3.0, round(0.5 * float(least), 1))
    return Summary(
        replace(options, diameter=float(diameter)),
        _maps(dims),
        InstancesDecoding(minimum_area=minimum_area),
        tuple(findings),
        objects=len(areas),
        diameter=float(diameter),
        thickness=thickness,
    )


def doubts(dataset: Dataset, options: InstancesOptions) -> list[str]:
    """Whether labels look like strokes where whole objects are expected, or the other way round, or like a mask."""
    if options.strokes:
        return [finding.text for finding in stroke_findings(dataset)[1]]
    if masks := _number_findings(_Counted.of(dataset).pieces):
        return [finding.text for finding in masks]
    advice = "They are taken for whole objects; if they are strokes, say so with --annotation strokes."
    return [f"{finding.text} {advice}" for finding in looks_like_strokes(dataset)]


@dataclass(frozen=True, eq=False)
class _Counted:
    """The labelled objects of all samples.

    Attributes
    ----------
    areas : px of each, cut to the regions; ``whole`` : of those that no region cuts.
    empty : how many samples have none.
    pieces : of samples with few numbers in many pieces, how many of both, by name.
    """

    areas: NDArray[Any]
    whole: NDArray[Any]
    empty: int
    pieces: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, dataset: Dataset) -> _Counted:
        """Count and measure them."""
        areas, whole = [np.zeros(0, int)], [np.zeros(0, int)]
        empty, pieces = 0, {}
        for item in dataset.samples:
            y = _annotated(item)
            found = np.bincount(renumbered(y).ravel())[1:]
            found = found[found > 0]
            empty += not len(found)
            areas.append(found)
            whole.append(found if item.region is None else _whole(item.y, item.region))
            if 0 < len(found) <= FEW and (n := int(numbered_pieces(y).max())) >= 3 * len(found):
                pieces[item.name] = (len(found), n)
        return cls(np.concatenate(areas), np.concatenate(whole), empty, pieces)


def _summary_of_strokes(dataset: Dataset, options: InstancesOptions, planes: int = 0) -> Summary:
    """Count the strokes, or the objects that planes cut, and measure the objects that a classifier finds around them."""
    dims, objects, findings = len(dataset.spatial), *stroke_findings(dataset, planes > 0)
    findings = [*size_findings(dataset), *swap_findings(dataset), *findings]
    if not objects:
        return Summary(options, _maps(dims), InstancesDecoding(), tuple(findings))
    areas, thickness = stroked_areas(dataset, options.spacing)
    diameter = options.diameter or _diameter(areas, dims)
    what = f"{planes} plane{'s' * (planes != 1)} annotated, which cut" if planes else "Strokes on"
    text = f"{what} {objects} object{'s' * (objects != 1)}{_few(objects)}, diameter about {diameter:.0f} px"
    findings.append(Finding("ok", text + _physical(diameter, dataset)))
    return Summary(
        replace(options, diameter=float(diameter)),
        _maps(dims),
        InstancesDecoding(minimum_area=max(3.0, round(0.25 * float(np.percentile(areas, 10)), 1))),
        tuple(findings),
        objects=objects,
        diameter=float(diameter),
        thickness=thickness,
        hints=Hints(validation=0.0),
    )


def _spacing(dataset: Dataset) -> tuple[float, ...]:
    """Of pixels along each axis, the smallest 1; empty where they are alike or not known."""
    size = dataset.pixel_size or (1.0,)
    return () if max(size) < ALIKE * min(size) else tuple(float(s / min(size)) for s in size)


def _diameter(areas: NDArray[np.int64], dims: int) -> float:
    """Of a disc or ball of the median size, px."""
    measured = float(np.median(areas))
    return float(2 * np.sqrt(measured / np.pi) if dims == 2 else (6 * measured / np.pi) ** (1 / 3))


def _few(objects: int) -> str:
    return f" ({ENOUGH} or more make a better model)" if objects < ENOUGH else ""


def _number_findings(pieces: Mapping[str, tuple[int, int]]) -> list[Finding]:
    """Masks given as objects. ``pieces``: values and pieces of each image with too few values."""
    found = []
    if pieces:
        name, (values, n) = next(iter(pieces.items()))
        what = "one value" if values == 1 else f"{values} values"
        more = f" ({len(pieces) - 1} more images like it)" if len(pieces) > 1 else ""
        text = f"The labels of {name} hold {what} in {n} piece{'s' * (n != 1)}{more}, so they count as {values}. Number the pieces (those that touch stay one)?"
        found.append(Finding("warning", text, (Fix("Number them", "relabel", tuple(pieces), numbered_pieces),)))
    return found


def numbered_pieces(y: NDArray[Any]) -> NDArray[np.int32]:
    """Each connected piece of one value gets its own number, 1..n; (*S) -> (*S)."""
    from skimage.measure import label

    return np.asarray(label(np.asarray(y), connectivity=1), np.int32)


def record(y: NDArray[Any], region: NDArray[np.bool_] | None, options: InstancesOptions) -> NDArray[np.int8]:
    """What is known of each pixel, in steps of one byte: flags, distance, direction and centre, (2 + 2 * dims, *S)."""
    mirrored = np.pad(renumbered(y), EDGE, mode="symmetric")  # an object at the edge continues beyond it
    inner = tuple(slice(EDGE, EDGE + n) for n in y.shape)
    where, values = object_values(mirrored, options.spacing)
    values[1 + y.ndim :].clip(-LEVELS, LEVELS, out=values[1 + y.ndim :])
    values[: 1 + y.ndim] *= LEVELS
    found = np.zeros((1 + len(values), *mirrored.shape), np.int8)
    found.reshape(len(found), -1)[1:, where] = np.rint(values)
    found = np.ascontiguousarray(found[(slice(None), *inner)])
    flags = KNOWN * (np.ones(y.shape, np.int8) if region is None else region.astype(np.int8))
    found[0] = INSIDE * (mirrored[inner] > 0) + BOUNDARY * _boundary(mirrored)[inner] + flags
    return found


def object_values(
    numbers: NDArray[np.int32], spacing: Sequence[float] = ()
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The pixels (n,) of objects 1..n (*S), and of each the normalised distance, the direction away from the nearest edge
    (a unit vector) and the way to the object's centre (px): (1 + 2 * dims, n).

    ``spacing`` : of pixels along each axis; distances and directions are those in space. Empty: the same along all.
    """
    where = np.flatnonzero(numbers)
    mine = numbers.ravel()[where]
    size = numbers.shape
    here = np.stack(np.unravel_index(where, size)).astype(np.float32)
    values = np.zeros((1 + 2 * len(size), len(where)), np.float32)
    edge = _nearest_edge(numbers, spacing)
    if edge is None:  # one object everywhere
        values[0] = 1
    else:
        away = here - edge.reshape(len(size), -1)[:, where]
        if spacing:
            away *= np.asarray(spacing, np.float32)[:, None]
        length = np.sqrt((away**2).sum(0))
        deepest = np.zeros(int(numbers.max(initial=0)) + 1, np.float32)
        np.maximum.at(deepest, mine, length)
        values[0] = length / np.maximum(deepest, 1)[mine]
        values[1 : 1 + len(size)] = away / np.maximum(length, 1e-6)
    weight = values[0] ** 2  # the centre lies towards the innermost point
    total = np.maximum(np.bincount(mine, weight), 1e-6)
    for axis, place in enumerate(here):
        values[1 + len(size) + axis] = (np.bincount(mine, weight * place) / total)[mine] - place
    return where, values


def targets(crops: Crops, options: InstancesOptions, random: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (N, 3 + 2 * dims, *S): inside, distance, boundary, direction (one per axis), centre (one per axis, `CENTRE` px)."""
    import torch

    assert crops.record is not None
    flags = crops.record[:, 0]
    steps = crops.record[:, 1:].to(torch.float32, memory_format=torch.contiguous_format)
    n, _, *size = steps.shape
    dims = len(size)
    vectors = crops.turned(steps[:, 1:].view(n, 2, dims, *size))
    target = steps.new_empty((n, 3 + 2 * dims, *size))
    target[:, 0], target[:, 2] = (flags & INSIDE) > 0, (flags & BOUNDARY) > 0
    torch.mul(steps[:, 0], 1 / LEVELS, out=target[:, 1])
    torch.mul(vectors[:, 0], 1 / LEVELS, out=target[:, 3 : 3 + dims])
    torch.mul(vectors[:, 1], (crops.zoom / CENTRE).view(-1, 1, *(1,) * dims), out=target[:, 3 + dims :])
    return crops.x, target, ((flags & KNOWN) > 0)[:, None].float()


def completion(options: InstancesOptions) -> Completion | None:
    """How strokes or planes become objects; None where all objects are labelled."""
    return Completion(completed_strokes, RENEWED) if options.strokes or options.planes else None


def pieces(sample: Sample, options: InstancesOptions) -> Pieces:
    """Objects, and each stroke of the background by itself."""
    y = _annotated(sample).astype(np.int64)
    if not options.strokes:
        return Pieces(y, dict.fromkeys(np.unique(y[y > 0]).tolist(), 0))
    ground = numbered_pieces(y == BACKGROUND)
    numbers = np.where(y > BACKGROUND, y, -ground.astype(np.int64))
    there = np.unique(numbers[numbers != 0]).tolist()
    return Pieces(numbers, {n: int(n < 0) for n in there})


def loss(out: Tensor, target: Tensor, weight: Tensor, options: InstancesOptions) -> Tensor:
    """Cross-entropy and soft Dice of "inside" and "boundary", errors of distance, direction and centre."""
    from napari_dojo.nets.losses import binary_cross_entropy, l1, soft_dice
    from napari_dojo.nets.pooled import total

    inside, boundary = target[:, :1], target[:, 2:3]
    dims = (target.shape[1] - 3) // 2
    in_objects = inside * weight
    away = (out[:, 3 : 3 + dims] - target[:, 3 : 3 + dims]).square()
    centre = (out[:, 3 + dims :] - target[:, 3 + dims :]).abs()
    objects = total(in_objects) + 1
    return (
        binary_cross_entropy(out[:, :1], inside, weight)
        + 0.5 * soft_dice(out[:, :1].sigmoid(), inside, weight)
        + 2 * l1(out[:, 1:2], target[:, 1:2], weight)
        + binary_cross_entropy(out[:, 2:3], boundary, weight * (1 + 2 * boundary))
        + 0.5 * soft_dice(out[:, 2:3].sigmoid(), boundary, weight)
        + 0.5 * total(away * in_objects) / objects
        + 0.5 * total(centre * in_objects) / objects
    )


def decode(maps: NDArray[np.float32], decoding: InstancesDecoding, options: InstancesOptions) -> NDArray[np.int32]:
    """Labels (*S), 1..n, from maps (K, *S), of which the logit of "inside" and the distance are used."""
    return split_objects(*decoding.terrain(maps), decoding.split, decoding.lowest, decoding.minimum_area)


def score(
    result: NDArray[Any], truth: NDArray[Any], region: Any, options: InstancesOptions
) -> InstanceCounts | StrokeCounts:
    """True positives, false positives and false negatives at each IoU; where strokes are known alone, how they agree."""
    return (StrokeCounts if options.strokes else InstanceCounts).of(truth, result, region)


def baseline(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: InstancesOptions
) -> tuple[list[NDArray[Any]], str]:
    """Otsu's threshold and a distance watershed."""
    return [otsu_watershed(x) for x in inputs], "Otsu and watershed"


def _maps(dims: int) -> tuple[str, ...]:
    """Names of the maps that the network predicts."""
    return ("inside", "distance", "boundary", *(f"{m} {a}" for m in ("direction", "centre") for a in "zyx"[-dims:]))


def _annotated(item: Sample) -> NDArray[Any]:
    y = np.asarray(item.y)
    return y if item.region is None else np.where(item.region, y, 0)


def _whole(y: NDArray[Any], region: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Areas of the objects (*S) that are annotated with all their pixels; the region's edge cuts others."""
    numbers = renumbered(np.asarray(y))
    areas = np.bincount(numbers.ravel())[1:]
    known = np.bincount(numbers[region], minlength=len(areas) + 1)[1:]
    return areas[(areas > 0) & (known == areas)]


def _nearest_edge(y: NDArray[np.int32], spacing: Sequence[float]) -> NDArray[np.int32] | None:
    """The place of the nearest pixel that is outside of objects or touches another one, (dims, *S); None: nowhere."""
    from scipy.ndimage import distance_transform_edt

    inside = y > 0
    apart = inside.copy()
    for axis in range(y.ndim):
        a = tuple(slice(1, None) if i == axis else slice(None) for i in range(y.ndim))
        b = tuple(slice(None, -1) if i == axis else slice(None) for i in range(y.ndim))
        touch = (y[a] != y[b]) & inside[a] & inside[b]
        apart[a] &= ~touch
        apart[b] &= ~touch
    if apart.all():
        return None
    return np.asarray(distance_transform_edt(apart, spacing or None, return_distances=False, return_indices=True))


def _boundary(y: NDArray[Any], width: int = 5) -> NDArray[np.bool_]:
    """Pixels with two different objects within two pixels."""
    from scipy.ndimage import maximum_filter, minimum_filter

    most = maximum_filter(y, width)
    least = minimum_filter(np.where(y > 0, y, np.iinfo(np.int32).max), width)
    return np.asarray((most > 0) & (least < most))


def _thickness(items: Sequence[Sample], diameter: float, looked_at: int = 8) -> float:
    """Median of the largest inscribed diameter of objects, px, measured on a few images."""
    from scipy.ndimage import distance_transform_edt, maximum

    found: list[float] = []
    for item in items[:: max(1, len(items) // looked_at)]:
        y = renumbered(_annotated(item))
        if y.ndim == 3 and y.size > 2**24:
            y = y[tuple(slice(0, 256) for _ in range(3))]
        if not y.any():
            continue
        numbers = np.unique(y)[1:]
        found += list(2 * np.atleast_1d(maximum(distance_transform_edt(y > 0), y, numbers)))
    return float(np.median(found)) if found else diameter


def _physical(diameter: float, dataset: Dataset) -> str:
    if not dataset.one_pixel_size:
        return ""
    unit = unit_text(dataset.unit or "um")
    return f" ({diameter * dataset.one_pixel_size[-1]:.3g} {unit})"


INSTANCES = Task(
    name="instances",
    title="Find every object",
    sentence="Each object gets its own number.",
    target=Target(LABELS, "labels", doubts=doubts),
    result=LABELS,
    options=InstancesOptions,
    decoding=InstancesDecoding,
    layout=lambda options: Layout(LABELS),
    augmentation=lambda options: Augmentation(),
    summarize=summarize,
    prepare=as_given,
    supervision=Supervision(record, targets, decoded=2, completion=completion, pieces=pieces),
    loss=loss,
    decode=decode,
    score=score,
    baseline=baseline,
)
