"""The split into training, validation and test: by roles, by groups, by place in the images, by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box, slices
from napari_dojo.data.coverage import balanced, numbers_in, on_both_sides
from napari_dojo.data.dataset import ROLES, Sample, content
from napari_dojo.errors import DojoError

__all__ = ["Crop", "Split", "folds", "split_by_class", "split_of"]

TRIES = 30  # random splits, of which the one with the most classes on both sides is taken
MANY = 500  # samples of each class from which on some are for test, too
AS_ROLES = "as the roles say"
FEW = 10  # from this many images on, whole images are kept aside; below, places inside the images


@dataclass(frozen=True)
class Crop:
    """A box of one item: ``box`` holds (start, stop) for each axis of S."""

    item: int
    box: Box

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as a key for an array (*S)."""
        return slices(self.box)

    @property
    def volume(self) -> int:
        """Number of pixels."""
        return int(np.prod([b - a for a, b in self.box]))


@dataclass(frozen=True)
class Split:
    """Which crops train the model, which choose it (validation), which it never sees (test); ``how`` says it in words.

    ``one_sided`` : classes that lie only in training or only in validation, so that no score tells of them.
    """

    training: tuple[Crop, ...]
    validation: tuple[Crop, ...]
    test: tuple[Crop, ...]
    how: str
    one_sided: tuple[int, ...] = ()


def split_of(
    samples: Sequence[Sample],
    validation: float | None = None,
    test: float | None = None,
    seed: int = 0,
    smallest: int = 32,
    strata: Sequence[NDArray[Any]] = (),
) -> Split:
    """Split into training, validation and test.

    Roles that a person gave win; an image without one goes with the images of its group, else it is for training.
    Else, with ten images or more, whole groups are chosen at random (by default 80 % training, 10 % validation,
    10 % test); with fewer, a band of each image becomes validation, with a gap. ``smallest`` is the shortest edge,
    in pixels, that a band may have. ``strata`` (see `napari_dojo.data.coverage`), one array (*S) for each sample,
    are put on both sides where that is possible.
    """
    found = _split(samples, validation, test, seed, smallest, strata)
    if not (strata and found.validation):
        return found
    both = on_both_sides(strata, _boxes(found.training), _boxes(found.validation))
    return replace(found, one_sided=tuple(v for v in numbers_in(strata) if v not in both))


def split_by_class(
    samples: Sequence[Sample], validation: float | None = None, test: float | None = None, seed: int = 0
) -> Split:
    """Split samples that have a category each: of every class the same share goes to validation, and to test.

    Roles that a person gave win. Groups, and so copies of an image, stay together. By default 15 % are for
    validation, and where each class has `MANY` samples 10 % for test. Of classes with less than three groups all
    is trained on.
    """
    if _has_roles(samples):
        return _with_one_sided(samples, _by_roles(samples, _full_roles(samples), AS_ROLES))
    of_class, keys, together = _of_class(samples)
    counts = {value: len(groups) for value, groups in of_class.items()}
    how = "the same share of each class, chosen at random" + together
    rng, role = np.random.default_rng(seed), dict[str, str]()
    validation = 0.15 if validation is None else validation
    test = (0.1 if min(counts.values()) >= MANY else 0.0) if test is None else test
    for value in sorted(of_class, key=lambda v: counts[v]):
        groups = list(dict.fromkeys(of_class[value]))
        left = [g for g in (groups[i] for i in rng.permutation(len(groups))) if g not in role]
        for name, share in (("validation", validation), ("test", test)):
            there = sum(role.get(g) == name for g in groups)
            wanted = max(1, round(share * len(groups))) - there if share and len(groups) > 2 else 0
            taken = left[: max(0, min(wanted, len(left) - 1))]
            role |= dict.fromkeys(taken, name)
            left = left[len(taken) :]
    return _with_one_sided(samples, _by_roles(samples, [role.get(key, "training") for key in keys], how))


def folds(samples: Sequence[Sample], split: Split, count: int, seed: int = 0) -> tuple[Split, ...]:
    """Splits for cross-validation of what ``split`` trains on: each sample with a category is for validation in one of them.

    Each has about the same share of every class; groups stay together. A class of one group is always trained on.
    """
    of_class, keys, together = _of_class(samples)
    rng, fold = np.random.default_rng(seed), dict[str, int]()
    ours = {keys[crop.item] for crop in split.training}
    filled = np.zeros(count, np.int64)
    for value in sorted(of_class, key=lambda v: len(of_class[v])):
        groups = [g for g in dict.fromkeys(of_class[value]) if g in ours]
        if len(groups) < 2:
            fold |= dict.fromkeys(groups, -1)
            continue
        for i in rng.permutation(len(groups)):
            if groups[i] not in fold:
                fold[groups[i]] = int(np.argmin(filled))
                filled[fold[groups[i]]] += 1
    parts = []
    for k in range(count):
        held = tuple(crop for crop in split.training if fold[keys[crop.item]] == k)
        rest = tuple(crop for crop in split.training if fold[keys[crop.item]] != k)
        if held and rest:
            parts.append(Split(rest, held, (), f"part {k + 1} of {count} of a cross-validation{together}"))
    return tuple(parts)


def _of_class(samples: Sequence[Sample]) -> tuple[dict[int, list[str]], list[str], str]:
    """The groups of each class, one for each sample; the group of each sample; and words where series are split."""
    values, keys = [int(np.asarray(item.y)) for item in samples], [item.group for item in samples]
    counts, grouped = Counter(values), Counter(v for v, _ in set(zip(values, keys, strict=True)))
    together = ""
    if any(grouped[v] < 3 <= counts[v] for v in counts):  # too few groups: frames of one series on both sides
        keys = [content(s.x).hex() or s.name for s in samples]
        together = " (frames of a series on both sides)"
    of_class: dict[int, list[str]] = {}
    for value, key in zip(values, keys, strict=True):
        of_class.setdefault(value, []).append(key)
    return of_class, keys, together


def _with_one_sided(samples: Sequence[Sample], split: Split) -> Split:
    """The split of samples with categories, with the classes that only one side has, by their rank from 1 on."""
    sides = [{int(np.asarray(samples[c.item].y)) for c in part} for part in (split.training, split.validation)]
    ranked = sorted(sides[0] | sides[1])
    lost = tuple(k for k, v in enumerate(ranked, 1) if (v in sides[0]) != (v in sides[1]))
    return replace(split, one_sided=lost if split.validation else ())


def _split(
    samples: Sequence[Sample],
    validation: float | None,
    test: float | None,
    seed: int,
    smallest: int,
    strata: Sequence[NDArray[Any]],
) -> Split:
    if _has_roles(samples):
        return _by_roles(samples, _full_roles(samples), AS_ROLES)
    groups = len({item.group for item in samples})
    validation = 0.1 if validation is None else validation
    if len(samples) >= FEW and groups >= 3:
        return _by_group(samples, validation, 0.1 if test is None else test, seed, strata)
    if test:
        if groups < 3:
            raise DojoError(
                f"A test part needs at least 3 independent images; there are {groups}. Leave the test share away or add images."
            )
        return _by_group(samples, validation, test, seed, strata)
    share = max(validation, 0.2) if validation else 0.0
    found = _by_place(samples, share, smallest)
    return _with_strata(found, samples, share, smallest, strata)


def _whole(samples: Sequence[Sample]) -> list[Crop]:
    return [Crop(i, tuple((0, n) for n in item.size)) for i, item in enumerate(samples)]


def _has_roles(samples: Sequence[Sample]) -> bool:
    return any(item.role != "automatic" for item in samples)


def _full_roles(samples: Sequence[Sample]) -> list[str]:
    """The role of each sample; without one it has the strictest role of its group, else it is for training."""
    of_group: dict[str, str] = {}
    for item in samples:
        of_group[item.group] = max(of_group.get(item.group, "training"), item.role, key=ROLES.index)
    return [of_group[i.group] if i.role == "automatic" else i.role for i in samples]


def _by_roles(samples: Sequence[Sample], roles: Sequence[str], how: str) -> Split:
    of = {r: tuple(p for p, role in zip(_whole(samples), roles, strict=True) if role == r) for r in ROLES[1:]}
    if not of["training"]:
        raise DojoError(
            "At least one image must be for training; all were kept aside. Give one of them the role training."
        )
    return Split(of["training"], of["validation"], of["test"], how)


def _by_group(
    samples: Sequence[Sample], validation: float, test: float, seed: int, strata: Sequence[NDArray[Any]]
) -> Split:
    """The first of some random splits, or the one with the most strata on both sides."""
    rng = np.random.default_rng(seed)
    best = _shuffled(samples, validation, test, rng)
    if not (validation and strata):
        return best
    wanted, most = len(numbers_in(strata)), _both(best, strata)
    for _ in range(TRIES - 1):
        if most == wanted:
            break
        split = _shuffled(samples, validation, test, rng)
        both = _both(split, strata)
        if both > most:
            best, most = split, both
    return best


def _shuffled(samples: Sequence[Sample], validation: float, test: float, rng: np.random.Generator) -> Split:
    groups = sorted({item.group for item in samples})
    order = [groups[i] for i in rng.permutation(len(groups))]
    n_test = min(len(order) - 2, max(1, round(test * len(order)))) if test else 0
    n_val = min(len(order) - 1 - n_test, max(1, round(validation * len(order)))) if validation else 0
    role = dict.fromkeys(order[:n_test], "test") | dict.fromkeys(order[n_test : n_test + n_val], "validation")
    roles = [role.get(item.group, "training") for item in samples]
    return _by_roles(samples, roles, "random split of whole images")


def _by_place(samples: Sequence[Sample], share: float, smallest: int) -> Split:
    """A band of each image for validation, with a gap, at its end or, in every other group, at its beginning."""
    training, validation = [], []
    groups = [item.group for item in samples]
    order = list(dict.fromkeys(groups))
    for part, group in zip(_whole(samples), groups, strict=True):
        lengths = [b - a for a, b in part.box]
        axis = int(np.argmax(lengths))
        n = lengths[axis]
        band, gap = round(share * n), min(16, n // 16)
        if not share or band < smallest or n - band - gap < smallest:
            training.append(part)
            continue
        at_end = order.index(group) % 2 == 0
        keep, judge = ((0, n - band - gap), (n - band, n)) if at_end else ((band + gap, n), (0, band))
        training.append(replace(part, box=(*part.box[:axis], keep, *part.box[axis + 1 :])))
        validation.append(replace(part, box=(*part.box[:axis], judge, *part.box[axis + 1 :])))
    if not validation and share and len(order) > 1:
        roles = ["validation" if group == order[-1] else "training" for group in groups]
        return _by_roles(samples, roles, "the last image, because the images are small")
    how = f"a band of {share:.0%} of each image" if validation else "nothing: the images are too small or too few"
    return Split(tuple(training), tuple(validation), (), how)


def _with_strata(
    split: Split, samples: Sequence[Sample], share: float, smallest: int, strata: Sequence[NDArray[Any]]
) -> Split:
    """The split, or one with more of the strata on both sides."""
    if not share or not strata or _both(split, strata, 0.02) == len(numbers_in(strata)):
        return split
    groups = [item.group for item in samples]
    training, validation = balanced(strata, groups, share, smallest)
    train, held = (tuple(Crop(i, box) for i, box in boxes) for boxes in (training, validation))
    others = [Split(train, held, (), "parts of the images, chosen by what is labelled")] if train and held else []
    if len(set(groups)) > 1:
        for name in dict.fromkeys(groups):
            roles = ["validation" if group == name else "training" for group in groups]
            others.append(_by_roles(samples, roles, "one image, because the images are small"))
    return max([split, *others], key=lambda found: _both(found, strata))


def _both(split: Split, strata: Sequence[NDArray[Any]], fewest: float = 0.0) -> int:
    return len(on_both_sides(strata, _boxes(split.training), _boxes(split.validation), fewest))


def _boxes(crops: Sequence[Crop]) -> list[tuple[int, Box]]:
    return [(crop.item, crop.box) for crop in crops]
