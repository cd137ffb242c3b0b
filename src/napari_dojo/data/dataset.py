"""The dataset: samples with their targets (or without), checked once, split once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes, own_channels
from napari_dojo.data.kinds import LABELS, Kind, as_image
from napari_dojo.data.normalize import Normalization, Rule, is_blank
from napari_dojo.data.units import same_pixels
from napari_dojo.errors import DojoError

__all__ = ["ONE_TO_ONE", "ROLES", "Dataset", "Excluded", "Layout", "Sample", "content"]

ROLES = ("automatic", "training", "validation", "test")


@dataclass(frozen=True)
class Layout:
    """How the targets of a task lie to its inputs, and predictions to images.

    Attributes
    ----------
    kind : what targets are.
    upsampling : target pixels per input pixel along the axes where they are not 1.
    planes : where a target has no Z, the planes of its input are channels.
    context : this many frames or planes to each side are channels, too, see `napari_dojo.data.axes.Axes`.
    sides : a stack is predicted from two sides, as planes (Z, X) and (Z, Y), and the mean is taken.
    support_map : the first channel holds localisations, so that the support of a prediction can be shown.
    classes : names of the categories, in the order of their numbers from 1 on; empty: as they are found.
    size, side : of crops around objects, px, and px of the image that they show; empty and 0: as suits the objects.
    """

    kind: Kind = LABELS
    upsampling: Mapping[str, int] = field(default_factory=dict)
    planes: bool = False
    context: int = 0
    sides: bool = False
    support_map: bool = False
    classes: tuple[str, ...] = ()
    size: tuple[int, ...] = ()
    side: float = 0.0

    def scale(self, spatial: str) -> tuple[int, ...]:
        """Target pixels per input pixel for each spatial axis."""
        return tuple(self.upsampling.get(a, 1) for a in spatial)

    def axes(self, axes: Axes, x: Sequence[int], y: Sequence[int] | None) -> Axes:
        """The axes of an input of shape ``x`` with a target of shape ``y``."""
        if self.planes and "Z" in axes.names and "C" not in axes.names and y is not None and len(y) == len(x) - 1:
            axes = Axes(axes.names.replace("Z", "C"))
        return axes.with_context(self.context)

    def views(self, axes: Axes) -> tuple[Axes, ...]:
        """The axes as which an image is predicted, one after the other; the prediction is their mean.

        Raises
        ------
        DojoError : a stack is needed and ``axes`` have no Z.
        """
        if not self.sides:
            return (axes,)
        if "Z" not in axes.names:
            raise DojoError(
                f"This model upsamples stacks along Z; this image ({axes.names}) has no axis Z. Choose a stack."
            )
        sides = ({"Z": "Y", "Y": "Z"}, {"Z": "Y", "Y": "X", "X": "Z"})
        return tuple(replace(axes, names="".join(side.get(a, a) for a in axes.names)) for side in sides)


ONE_TO_ONE = Layout()


@dataclass(frozen=True, eq=False)
class Series:
    """The frames (C, *S) of the series that samples are from, each of which has its channels ``times`` times."""

    frames: Sequence[Any]
    times: int = 1
    _known: dict[Rule, Normalization] = field(default_factory=dict)

    def normalization(self, rule: Rule) -> Normalization:
        """The numbers of the whole series for one of its samples; measured once."""
        if rule not in self._known:
            self._known[rule] = rule.measure_series(self.frames).repeated(self.times)
        return self._known[rule]


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample of the training data.

    Attributes
    ----------
    name : what the user knows it by.
    x : input (C, *S), any real dtype, numpy or dask.
    y : target: labels (*S) of integers, an image (K, *S), or None.
    region : bool (*S), True where the annotation counts; None means everywhere.
    whole : the series on which intensities are measured; None where it is the sample.
    group : samples of one group never stand on two sides of a split.
    role : "automatic", "training", "validation" or "test".
    clean : padding and hot pixels of ``x`` are filled: it was scaled since, which looks like other defects.
    pixel_size : its own, along each spatial axis; None: that of its dataset.
    """

    name: str
    x: Any
    y: Any = None
    region: NDArray[np.bool_] | None = None
    whole: Series | None = None
    group: str = ""
    role: str = "automatic"
    clean: bool = False
    pixel_size: tuple[float, ...] | None = None

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial size S."""
        return tuple(self.x.shape[1:])

    def normalization(self, rule: Rule) -> Normalization:
        """The numbers of the whole source image, or of its series."""
        return rule.measure(self.x) if self.whole is None or rule.frames == "each" else self.whole.normalization(rule)


@dataclass(frozen=True)
class Excluded:
    """A file or an image that training does not use: what it is called, and why, as a sentence that names it."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples of aligned inputs and targets.

    Attributes
    ----------
    samples : the samples.
    spatial : "YX" or "ZYX".
    axes : the axis names that the inputs came with; a model remembers them.
    pixel_size : of the first image, one figure for each of ``spatial``, in ``unit``; None where unknown; ``target_pixel_size`` of
        targets.
    channel_names : of the inputs, where they have some.
    context : this many frames or planes to each side are channels, see `napari_dojo.data.axes.Axes`.
    excluded : what was named or found, but is not used, with the reason.
    class_names : of the categories 1, 2, ..., where the targets are categories.
    side : px of an image that each sample shows, where samples are crops around objects; else 0.
    """

    samples: tuple[Sample, ...]
    spatial: str = "YX"
    axes: str = "YX"
    pixel_size: tuple[float, ...] | None = None
    unit: str | None = None
    target_pixel_size: tuple[float, ...] | None = None
    channel_names: tuple[str, ...] = ()
    context: int = 0
    excluded: tuple[Excluded, ...] = ()
    class_names: tuple[str, ...] = ()
    side: float = 0.0

    @property
    def pixel_sizes(self) -> dict[str, tuple[float, ...]]:
        """The pixel sizes that count as different, each with the name of the first sample that has it."""
        found: dict[str, tuple[float, ...]] = {}
        for sample in self.samples:
            size = sample.pixel_size
            if size is not None and not any(same_pixels(size, known) for known in found.values()):
                found[sample.name] = size
        return found

    @property
    def one_pixel_size(self) -> tuple[float, ...] | None:
        """The pixel size by which other images may be scaled to these; None where it is unknown, or there are several."""
        return None if len(self.pixel_sizes) > 1 else self.pixel_size

    @property
    def channels(self) -> int:
        """Channels of the inputs, context included."""
        return int(self.samples[0].x.shape[0])

    def own(self, x: Any) -> Any:
        """The channels of a sample (C, *S) itself, without its context."""
        return own_channels(x, self.context)

    @staticmethod
    def of(
        inputs: Sequence[Any],
        targets: Sequence[Any] | None = None,
        axes: Axes | None = None,
        *,
        layout: Layout = ONE_TO_ONE,
        names: Sequence[str] = (),
        groups: Sequence[str] = (),
        regions: Sequence[Any] = (),
        roles: Sequence[str] = (),
        pixel_sizes: Sequence[Sequence[float] | None] = (),
        **about: Any,
    ) -> Dataset:
        """Check arrays and make them a dataset.

        Parameters
        ----------
        inputs : arrays as they lie, all with the same ``axes``.
        targets : as many arrays; labels have the inputs' axes without C, images may lack it.
        axes : of the inputs; guessed from the first where None.
        layout : what targets are, and how they lie to the inputs.
        names, groups, regions, roles, pixel_sizes : one for each input, where given.
        about : pixel_size, unit, target_pixel_size, channel_names, class_names, side.

        Raises
        ------
        DojoError : with the name of the image, what was needed and what came.
        """
        _same_numbers(inputs, targets)
        first = np.shape(inputs[0])
        axes = layout.axes(axes or Axes.resolve(first), first, None if targets is None else np.shape(targets[0]))
        names = tuple(names) or tuple(f"image {i + 1}" for i in range(len(inputs)))
        items: list[Sample] = []
        for i, x in enumerate(inputs):
            whole = Sample(
                names[i],
                _image(x, names[i], axes),
                None if targets is None else targets[i],
                regions[i] if len(regions) else None,
                group=groups[i] if len(groups) else names[i],
                role=roles[i] if len(roles) else "automatic",
                pixel_size=_of_axes(pixel_sizes[i], axes) if len(pixel_sizes) else None,
            )
            items += _samples(whole, axes, layout)
        _same_channels("images", [len(i.x) for i in items])
        _same_channels("targets", [layout.kind.channels(i.y) for i in items if i.y is not None])
        for size in ("pixel_size", "target_pixel_size"):  # of a stack whose planes are channels, the plane's
            if about.get(size) is not None:
                about[size] = _of_axes(about[size], axes)
        samples, excluded = _distinct(items, layout, about.get("class_names", ()))
        return Dataset(samples, axes.spatial, axes.names, context=axes.context, excluded=excluded, **about)


def _of_axes(size: Sequence[float] | None, axes: Axes) -> tuple[float, ...] | None:
    """The pixel size along the spatial axes; None where it is not known of all of them."""
    return None if size is None or len(size) < len(axes.spatial) else tuple(size)[-len(axes.spatial) :]


def _same_numbers(inputs: Sequence[Any], targets: Sequence[Any] | None) -> None:
    """DojoError where there is no image, or another number of targets."""
    if not len(inputs):
        raise DojoError("No training image was given. Choose an image or a folder.")
    if targets is not None and len(targets) != len(inputs):
        raise DojoError(f"Each image needs its own target: there are {len(inputs)} images and {len(targets)} targets.")


def _image(x: Any, name: str, axes: Axes) -> Any:
    x = x if hasattr(x, "ndim") else np.asarray(x)
    if x.ndim != len(axes.names):
        raise DojoError(
            f"{name} has {x.ndim} dimensions, but the axes {axes.names} name {len(axes.names)}: {_times(x.shape)}."
        )
    return as_image(x, name)


def _samples(whole: Sample, axes: Axes, layout: Layout) -> list[Sample]:
    x, y, name = whole.x, whole.y, whole.name
    y_axes = axes
    if y is not None:
        y = layout.kind.checked(y if hasattr(y, "ndim") else np.asarray(y), name)
        y_axes = _fitting(y, x, name, axes, layout)
    region = None if whole.region is None else np.asarray(whole.region).astype(bool)
    flat = axes.without_channels()
    count = axes.count(x.shape)
    series = Series(axes.frames(x), 1 + 2 * axes.context) if count > 1 else None
    found = []
    for i in range(count):
        sx = axes.sample(x, i)
        sr = None if region is None else (region if region.shape == sx.shape[1:] else flat.sample(region, i)[0])
        if sr is not None and sr.shape != sx.shape[1:]:
            raise DojoError(
                f"The region of {name} must have the image's size {_times(sx.shape[1:])}; it is {_times(sr.shape)}."
            )
        found.append(
            replace(
                whole,
                name=f"{name} [{i}]" if count > 1 else name,
                x=sx,
                y=None if y is None else layout.kind.sample(y_axes, y, i),
                region=sr,
                whole=series,
            )
        )
    return found


def _fitting(y: Any, x: Any, name: str, axes: Axes, layout: Layout) -> Axes:
    """The axes of a target; DojoError where it does not fit to its input."""
    scale = layout.scale(axes.spatial)
    y_axes, shape = layout.kind.place(y.shape, axes, x.shape, scale)
    if len(y.shape) == len(shape) and all(
        a == b or n == "C" for a, b, n in zip(y.shape, shape, y_axes.names, strict=False)
    ):
        return y_axes
    rule = f"be {_times(scale)} times as large as the image" if layout.upsampling else "have the size of the image"
    raise DojoError(
        f"The target must {rule}: {name} is {_times(x.shape)} ({axes.names}), so its target is {_times(shape)}; "
        f"it came as {_times(y.shape)}. {'Are they swapped?' if y.size < x.size else 'Do they belong together?'}"
    )


def _same_channels(what: str, channels: Sequence[int | None]) -> None:
    counts = sorted({n for n in channels if n is not None})
    if len(counts) > 1:
        raise DojoError(
            f"All {what} need the same number of channels; there are {what} with {' and '.join(map(str, counts))}."
        )


def _without_contradictions(
    samples: Sequence[Sample], names: Sequence[str]
) -> tuple[list[Sample], tuple[Excluded, ...]]:
    """Samples without those whose image occurs in another class, too, and these: nobody knows which class is right."""
    together: dict[bytes, list[Sample]] = {}
    for item in samples:
        if key := content(item.x):
            together.setdefault(key, []).append(item)
    doubtful: dict[str, Excluded] = {}
    for same in together.values():
        classes = {int(np.asarray(item.y)) for item in same if item.y is not None}
        if len(classes) > 1:
            told = " and ".join(f"{i.name} ({_class_name(int(np.asarray(i.y)), names)})" for i in same[:4])
            reason = (
                f"{told} are the same image in {len(classes)} classes, so it is not used. Delete it where it is wrong."
            )
            doubtful |= {item.name: Excluded(item.name, reason) for item in same}
    return [item for item in samples if item.name not in doubtful], tuple(doubtful.values())


def _class_name(number: int, names: Sequence[str]) -> str:
    return names[number - 1] if 0 < number <= len(names) else f"class {number}"


def _distinct(
    items: Sequence[Sample], layout: Layout, class_names: Sequence[str]
) -> tuple[tuple[Sample, ...], tuple[Excluded, ...]]:
    """The samples without copies, and without images that are in several classes; DojoError where none is left."""
    if layout.kind.dense:
        return _without_copies(items)
    agreed, doubtful = _without_contradictions(items, class_names)
    if not agreed:
        raise DojoError(f"None of the {len(items)} images can be used. The first: {doubtful[0].reason}")
    samples, excluded = _without_copies(agreed)
    return samples, (*doubtful, *excluded)


def _without_copies(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[Excluded, ...]]:
    """Samples without those for training that are copies of one for validation or test, and these.

    Groups in which the same image occurs twice become one, so that a copy never tests what its twin taught. Constant
    images are no copies of each other: blank frames say nothing of where they come from.
    """
    keys = [content(item.x) for item in samples] if len(samples) > 1 else [b""]
    root: dict[str, str] = {item.group: item.group for item in samples}

    def find(g: str) -> str:
        while root[g] != g:
            g = root[g]
        return g

    first: dict[bytes, str] = {}
    strict: dict[bytes, Sample] = {}  # of each image, the copy whose role keeps it farthest from training
    for item, key in zip(samples, keys, strict=True):
        if key:
            root[find(item.group)] = find(first.setdefault(key, item.group))
            if ROLES.index(item.role) > ROLES.index(strict.setdefault(key, item).role):
                strict[key] = item
    kept: list[Sample] = []
    excluded: list[Excluded] = []
    for item, key in zip(samples, keys, strict=True):
        other = strict.get(key, item)
        if item.role != "automatic" and ROLES.index(item.role) < ROLES.index(other.role):
            reason = f"{item.name}, for {item.role}, is a copy of {other.name}, which is for {other.role}."
            excluded.append(Excluded(item.name, reason))
        else:
            kept.append(replace(item, group=find(item.group)))
    return tuple(kept), tuple(excluded)


def content(x: Any) -> bytes:
    """What tells an image (C, *S) in memory from others; empty for a constant one, and for one that stays in its file."""
    if not isinstance(x, np.ndarray) or x.nbytes > 2**28 or is_blank(x):
        return b""
    values = np.ascontiguousarray(x, np.float32)
    return hashlib.blake2b(repr(x.shape).encode() + values.tobytes(), digest_size=16).digest()


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
