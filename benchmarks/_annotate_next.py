"""Where to annotate next, simulated: boxes are annotated one after the other by several rules, and models trained on them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.events import Control, result_of
from napari_dojo.inference.geometry import Image, resolve
from napari_dojo.inference.places import Place, places_in, spread
from napari_dojo.inference.predict import Ready, predict_image
from napari_dojo.inference.tables import measure
from napari_dojo.io.images import Picture, read
from napari_dojo.io.pairing import list_inputs, pair_files
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.objects import InstanceCounts, overlap
from napari_dojo.models import bundle as bundles
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import random_nuclei
from napari_dojo.training import train

MERGED, SPLIT, EDGE_UNSURE, MISSED, UNLIKE = (
    "likely two merged",
    "likely one split",
    "unsure edge",
    "perhaps a missed object",
    "unlike anything annotated",
)
EDGE = 96  # px of a box that a person annotates completely
RULES = ("even", "crowded", "doubtful", "unlike", "both")

Picture2 = tuple[NDArray[np.float32], NDArray[np.int32]]  # an image and its truth (Y, X)


@dataclass(frozen=True)
class Effort:
    """How much is annotated and trained: boxes at first, boxes a round, rounds, steps of each training."""

    first: int = 3
    more: int = 3
    rounds: int = 4
    steps: int = 150
    pool: int = 24
    test: int = 20


@dataclass
class Person:
    """What is annotated so far: places, and where that is in each image."""

    pictures: Sequence[Picture2]
    places: list[Place] = field(default_factory=list)

    def annotate(self, chosen: Sequence[Place]) -> None:
        self.places += chosen

    def region(self, image: int) -> NDArray[np.bool_]:
        done = np.zeros(self.pictures[image][1].shape, bool)
        for place in self.places:
            if place.image == image:
                done[place.slices] = True
        return done

    @property
    def objects(self) -> int:
        """True objects in what is annotated, each once."""
        images = {p.image for p in self.places}
        return sum(len(np.unique(self.pictures[i][1][self.region(i)])) - 1 for i in images)

    def dataset(self) -> Dataset:
        images = sorted({p.image for p in self.places})
        found = [(self.pictures[i][0][None], self.pictures[i][1], self.region(i)) for i in images]
        return Dataset(tuple(Sample(f"image {k}", x, y, region) for k, (x, y, region) in enumerate(found)))


def dsb(data: Path, count: int, seed: int) -> list[Picture2]:
    """Random training images, cut to 256 x 256 px."""
    folder = data / "dsb2018_fluo" / "train"
    pairs, _, _ = pair_files(list_inputs(folder / "images"), list_inputs(folder / "masks", targets=True))
    rng = np.random.default_rng(seed)
    found = []
    for i in rng.permutation(len(pairs))[:count]:
        x, y = np.asarray(read(pairs[i][0]).data, np.float32), np.asarray(read(pairs[i][1], labels=True).data)
        x = x if x.ndim == 2 else x[..., :3].mean(-1)
        found.append((x[:256, :256], y[:256, :256].astype(np.int32)))
    return found


def simulated(count: int, seed: int) -> list[Picture2]:
    """Nuclei as many microscopes show them, 256 x 256 px, those with three objects and more."""
    found: list[Picture2] = []
    k = 1000 * seed
    while len(found) < count:
        scene = random_nuclei(500_000 + k, (256, 256))
        k += 1
        if 3 <= int(scene.labels.max()) <= 150:
            found.append((scene.image.astype(np.float32), scene.labels))
    return found


def trained(dataset: Dataset, steps: int, folder: Path) -> Ready:
    """A model from nothing but this annotation."""
    settings = TrainSettings(steps=steps, validation=0.0, test=0.0, device="cpu", batch=8, patch=64, width=16)
    for _ in train.train_steps(dataset, "instances", train.Target(folder), settings):
        pass
    return Ready.of(bundles.load(folder))


def seen(ready: Ready, x: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Labels of an image and the maps that they are from."""
    image = resolve(ready.card, Image("image", Picture(x, None), "YX"), ready.settings)
    found = result_of(predict_image(ready, image, Control(), keep_maps=True))
    assert found.maps is not None
    return np.asarray(found.array), found.maps[0]


def score(ready: Ready, test: Sequence[Picture2]) -> InstanceCounts:
    return pool([InstanceCounts.of(y, seen(ready, x)[0]) for x, y in test])


def features(labels: NDArray[np.int32], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Size, shape, brightness and contrast of each object, comparable between images."""
    if not labels.any():
        return np.zeros((0, 5))
    low, high = np.percentile(x, [1, 99.8])
    table = measure(
        labels,
        (x - low) / max(high - low, 1e-6),
        Axes("YX"),
        chosen=("eccentricity", "solidity", "mean_intensity", "std_intensity"),
    )
    columns = [
        np.log(table["area_px"]),
        *(table[c] for c in ("eccentricity", "solidity", "mean_intensity", "std_intensity")),
    ]
    return np.stack(columns, 1)


@dataclass(frozen=True, eq=False)
class Doubts:
    """How doubtful each object is, 0 to 1, and why; and places where one may be missed (n, 2), with their doubt.

    ``numbers`` : of the objects, ascending.
    """

    numbers: NDArray[np.int64]
    values: NDArray[np.float64]
    reasons: tuple[str, ...]
    missed: NDArray[np.float64]
    missed_values: NDArray[np.float64]


def doubts_of(
    labels: NDArray[Any], looser: Sequence[NDArray[Any]], finer: Sequence[NDArray[Any]], wider: Sequence[NDArray[Any]]
) -> Doubts:
    """How much each object depends on the numbers that maps are decoded with.

    Parameters
    ----------
    labels : (*S), as decoded.
    looser : decoded so that objects are joined more readily; ``finer`` : split more readily; ``wider`` : with lower and higher
        thresholds of the probability, so that edges move.
    """
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0].astype(np.int64)
    merged, split = (_unlike_most(labels, numbers, many) for many in (finer, looser))
    edges = _unlike_most(labels, numbers, wider)
    table = np.stack([merged, split, edges])
    words = np.array([MERGED, SPLIT, EDGE_UNSURE])
    missed, values = _missed(labels, [*finer, *wider])
    return Doubts(numbers, table.max(0, initial=0), tuple(words[table.argmax(0)].tolist()), missed, values)


def unlike(features: NDArray[np.float64], accepted: NDArray[np.float64]) -> NDArray[np.float64]:
    """How unlike the accepted objects each object is: the distance to the nearest one, in robust standard deviations.

    Parameters
    ----------
    features : (n, k) of all objects; accepted : (m, k).
    """
    both = np.concatenate([features, accepted])
    middle = np.nanmedian(both, 0)
    width = 1.5 * np.nanmedian(np.abs(both - middle), 0)
    width = np.where(width > 0, width, 1)
    if not len(accepted) or not len(features):
        return np.zeros(len(features))
    a, b = (np.nan_to_num(np.clip((x - middle) / width, -5, 5)) for x in (features, accepted))
    distance, _ = cKDTree(b).query(a)
    return np.asarray(distance / np.sqrt(features.shape[1]))


def with_unlike(doubts: Doubts, values: NDArray[np.float64], weight: float = 0.5) -> Doubts:
    """The doubts with how unlike anything annotated the objects are, for those where that is more."""
    strange = weight * np.clip(values, 0, 2) / 2
    reasons = tuple(UNLIKE if s > v else r for s, v, r in zip(strange, doubts.values, doubts.reasons, strict=True))
    return replace(doubts, values=np.maximum(doubts.values, strange), reasons=reasons)


def scored(place: Place, labels: NDArray[Any], doubts: Doubts) -> Place:
    """With the mean doubt of its objects, two certain ones added, and the reason that weighs most."""
    low, high = np.array(place.start), np.array(place.start) + np.array(place.edge)
    middles = np.array(ndimage.center_of_mass(labels > 0, labels, doubts.numbers)).reshape(-1, 2)
    inside, there = (((m >= low) & (m < high)).all(axis=1) for m in (middles, doubts.missed))
    values = np.concatenate([doubts.values[inside], doubts.missed_values[there]])
    reasons = [r for r, i in zip(doubts.reasons, inside, strict=True) if i] + [MISSED] * int(there.sum())
    weight: dict[str, float] = {}
    for v, r in zip(values, reasons, strict=True):
        weight[r] = weight.get(r, 0.0) + float(v)
    reason = max(weight, key=lambda r: weight[r]) if weight else ""
    return replace(place, score=float(values.sum() / (len(values) + 2)), reason=reason)


def _unlike_most(
    labels: NDArray[Any], numbers: NDArray[np.int64], others: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """For each object the mean over others of 1 - IoU with the object there that is most like it."""
    total = np.zeros(len(numbers))
    for other in others:
        shared = overlap(labels, other)
        best = np.zeros(len(shared.true))
        np.maximum.at(best, shared.rows, shared.iou)
        total += 1 - best[np.searchsorted(shared.true, numbers)]
    return total / max(1, len(others))


def _missed(labels: NDArray[Any], others: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of objects that there are only with other numbers."""
    found = []
    for other in others:
        shared = overlap(labels, other)
        alone = np.setdiff1d(np.arange(len(shared.predicted)), shared.columns)
        if len(alone):
            found += ndimage.center_of_mass(other > 0, other, shared.predicted[alone])
    places = np.array(found, float).reshape(-1, labels.ndim)
    return places, np.full(len(places), 1.0 / max(1, len(others)))


def candidates(rule: str, ready: Ready, person: Person) -> list[Place]:
    """All places of the pool, scored by a rule."""
    known = [
        features(np.where(person.region(i), person.pictures[i][1], 0), person.pictures[i][0])
        for i in {p.image for p in person.places}
    ]
    accepted, found = np.concatenate(known), []
    for i, (x, _) in enumerate(person.pictures):
        labels, maps = seen(ready, x)
        here = [p for p in places_in(labels, EDGE, i, person.region(i)) if p.objects]
        if rule == "crowded":
            here = [replace(p, score=float(p.objects)) for p in here]
        elif rule != "even":
            doubts = _doubts(ready, labels, maps)
            if rule == "unlike":
                doubts = replace(doubts, values=0 * doubts.values, missed_values=0 * doubts.missed_values)
            if rule in ("unlike", "both"):
                doubts = with_unlike(doubts, unlike(features(labels, x), accepted), 1.0 if rule == "unlike" else 0.5)
            here = [scored(p, labels, doubts) for p in places_in(labels, EDGE, i, person.region(i))]
        found += here
    return found


def _doubts(ready: Ready, labels: NDArray[np.int32], maps: NDArray[np.float32]) -> Any:
    decode, made, options = ready.task.decode, ready.decoding, ready.options
    other = [decode(maps, replace(made, split=s), options) for s in (0.4, 0.08)]
    wider = [decode(maps, replace(made, threshold=t), options) for t in (0.3, 0.7)]
    return doubts_of(labels, other[:1], other[1:], wider)


def curves(
    pictures: Sequence[Picture2], test: Sequence[Picture2], effort: Effort, rules: Sequence[str], seed: int
) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """AP after each round, by rule; all rules share the first places, which are evenly spread."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pictures))
    pictures = [pictures[i] for i in order]
    first = Person(pictures)
    start = [p for i, (_, y) in enumerate(pictures) for p in places_in(y, EDGE, i) if p.objects]
    first.annotate(spread(start, [], effort.first))
    with TemporaryDirectory(prefix="dojo-next-") as name:
        begun = trained(first.dataset(), effort.steps, Path(name) / "first")
        point = _point(first, begun, test)
        for rule in rules:
            person, ready, points = Person(pictures, list(first.places)), begun, [point]
            for k in range(effort.rounds):
                chosen = spread(candidates(rule, ready, person), person.places, effort.more, rule != "even")
                person.annotate(chosen)
                ready = trained(person.dataset(), effort.steps, Path(name) / f"{rule}-{k}")
                points.append(_point(person, ready, test))
            yield rule, points


def _point(person: Person, ready: Ready, test: Sequence[Picture2]) -> dict[str, float]:
    counts = score(ready, test)
    return {
        "places": len(person.places),
        "objects": person.objects,
        "ap": round(counts.ap["0.5"], 4),
        "mean_ap": round(counts.selection_score, 4),
    }


def needed(points: Sequence[dict[str, float]], even: Sequence[dict[str, float]], by: str, ap: str) -> float:
    """How many annotations a rule needs for the best AP that both reach, over those that an even spread needs."""

    def at(curve: Sequence[dict[str, float]], level: float) -> float:
        best = np.maximum.accumulate([p[ap] for p in curve])
        k = int(np.searchsorted(best, level))
        if k == 0:
            return float(curve[0][by])
        share = (level - best[k - 1]) / max(best[k] - best[k - 1], 1e-9)
        return float(curve[k - 1][by] + share * (curve[k][by] - curve[k - 1][by]))

    level = min(max(p[ap] for p in points), max(p[ap] for p in even))
    return at(points, level) / at(even, level)


def simulate_places(
    data: Path, effort: Effort, sets: Sequence[str], seeds: Sequence[int], rules: Sequence[str] = RULES
) -> dict[str, Any]:
    """Curves and, for each rule, the share of an even spread's annotations that gives the same AP: medians over seeds."""
    made: dict[str, Any] = {}
    for name in sets:
        shares: dict[str, list[dict[str, float]]] = {}
        for seed in seeds:
            began = time.process_time()
            count = effort.pool + effort.test
            pictures = dsb(data, count, seed) if name == "dsb2018" else simulated(count, seed)
            found: dict[str, list[dict[str, float]]] = {}
            for rule, points in curves(pictures[: effort.pool], pictures[effort.pool :], effort, rules, seed):
                found[rule] = points
                print(
                    name, seed, rule, [(p["places"], p["objects"], p["ap"], p["mean_ap"]) for p in points], flush=True
                )
            for rule in rules[1:]:
                share = {
                    f"{by}_{ap}": needed(found[rule], found["even"], by, ap)
                    for by in ("places", "objects")
                    for ap in ("ap", "mean_ap")
                }
                shares.setdefault(rule, []).append(share)
            print(name, seed, f"{time.process_time() - began:.0f} s of the processor", flush=True)
        made[name] = {
            rule: {k: round(float(np.median([s[k] for s in all_])), 2) for k in all_[0]}
            for rule, all_ in shares.items()
        }
    return made
