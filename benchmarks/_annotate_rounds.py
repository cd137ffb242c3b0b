"""Correcting in rounds, simulated: a person corrects ten objects, the model is trained again from its base, and again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _annotate_kinds import KINDS as UNSEEN
from _annotate_next import Picture2, seen
from numpy.typing import NDArray

from napari_dojo.data import edits
from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.inference.places import next_places
from napari_dojo.inference.predict import Ready
from napari_dojo.io.images import read
from napari_dojo.io.pairing import list_inputs, pair_files
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.corrections import Checked, fixed_and_broken
from napari_dojo.metrics.matching import Comparison, Verdict
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.models import bundle as bundles
from napari_dojo.models.library import find
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TASKS
from napari_dojo.training import train

BASE = "nuclei-fluorescence"
BASES = {
    "nuclei3d_small": "objects-grey"
}  # of real nuclei: it never saw a real image; the other one finds .93 of them at once
KINDS = ("bacteria", "bright_field", "nuclei3d_small")  # of cells, there is too little to correct
BOX = 96  # px of a place that is suggested
CORRECTED = 30  # images: ten hold less than thirty mistakes once the first twenty are corrected
APART = 18  # further images, on which the models are tested
CRUMB = 0.1  # of the usual area: what the edge or others leave of smaller objects nobody sees, so it is not drawn; it is tested
TESTED = 20  # images of the base model's own test set, cut to 256 x 256 px


def pictures_of(kind: str, data: Path, seed: int) -> tuple[list[Picture2], list[Picture2]]:
    """Images to correct, and others to test on, of a kind that the base model never saw."""
    if kind == "nuclei3d_small":
        folder = data / kind
        x = np.asarray(read(folder / "stardist_img2d.tif").data, np.float32)
        y = np.asarray(read(folder / "stardist_mask2d.tif", labels=True).data).astype(np.int32)
        parts = [(x[a : a + 256, b : b + 256], y[a : a + 256, b : b + 256]) for a in (0, 256) for b in (0, 256)]
        test = parts.pop(seed % 4)
        return parts, [test]
    made = UNSEEN[kind] if kind in UNSEEN else partial(_simulated, kind)
    found = [(np.asarray(x, np.float32), y) for x, y in (made(1000 * (seed + 1) + k) for k in range(CORRECTED + APART))]
    return found[:CORRECTED], found[CORRECTED:]


def _simulated(kind: str, seed: int) -> Picture2:
    scene = simulate(kind, (256, 256), seed)
    return scene.image if scene.image.ndim == 2 else scene.image[0], scene.labels


def old_test(data: Path) -> list[Picture2]:
    """Part of the test set that the base model's card names."""
    folder = data / "dsb2018_fluo" / "test"
    pairs, _, _ = pair_files(list_inputs(folder / "images"), list_inputs(folder / "masks", targets=True))
    found = []
    for path, target in pairs[:: max(1, len(pairs) // TESTED)][:TESTED]:
        x, y = np.asarray(read(path).data, np.float32), np.asarray(read(target, labels=True).data)
        x = x if x.ndim == 2 else x[..., :3].mean(-1)
        found.append((x[:256, :256], y[:256, :256].astype(np.int32)))
    return found


@dataclass
class Desk:
    """The layers of one person: images, labels as predicted and corrected, and what is accepted."""

    pictures: Sequence[Picture2]
    labels: list[NDArray[np.int32]]
    accepted: list[NDArray[np.uint8]]
    corrections: int = 0

    def correct(self, most: int) -> None:
        """Go from place to place; correct what is wrong in it, and accept it; until so many objects were corrected."""
        done = 0
        while done < most:
            stack, masks = np.stack(self.labels), np.stack(self.accepted)
            places = next_places(stack, masks if masks.any() else None, BOX, 1)
            if not places:
                break
            place = places[0]
            left = self._correct_in(place.image, place.slices, most - done)
            done = most - left
            if left:
                k = place.image
                box = place.slices
                edit = edits.Edit.of(self.accepted[k], box, np.ones_like(self.accepted[k][box]))
                if edit is not None:
                    edit.apply(self.accepted[k])
                else:
                    break
        self.corrections += done

    def _correct_in(self, k: int, box: Any, most: int) -> int:
        """Correct the objects of a box one by one; how many more corrections may be made."""
        truth = self.pictures[k][1]
        areas = np.bincount(truth.ravel())[1:]
        least = CRUMB * float(np.median(areas[areas > 0])) if areas.any() else 0.0
        whole = tuple(slice(0, n) for n in truth.shape)
        labels = self.labels[k]
        compared = Comparison.of(truth, labels)
        verdicts = compared.at(0.5)
        wrong = [int(n) for n, v in zip(compared.overlap.true, verdicts.true, strict=True) if v != Verdict.MATCHED]
        false = [
            int(n) for n, v in zip(compared.overlap.predicted, verdicts.predicted, strict=True) if v != Verdict.MATCHED
        ]
        for number in wrong:
            mask = truth == number
            if mask.sum() < least or not mask[box].any() or 2 * mask[box].sum() < mask.sum():
                continue
            if most == 0:
                return 0
            mine = [int(n) for n in np.unique(labels[mask]) if n]
            for n in mine:  # what lies there goes, with shreds of it, and the outline is drawn by hand
                rest = (labels == n) & ~mask
                shred = rest.sum() < least or (n in false and (truth[rest] > 0).mean() < 0.5)
                gone = (labels == n) & (mask | shred)
                self._write(k, [edits.Edit.of(labels, whole, np.where(gone, 0, labels))], mark=gone & ~mask)
            new = int(labels.max()) + 1
            self._write(k, [edits.Edit.of(labels, whole, np.where(mask, new, labels))], [new])
            most -= 1
        for number in false:
            there = labels == number
            if not there.any() or 2 * there[box].sum() < there.sum():
                continue
            if (truth[there] > 0).mean() > 0.5:  # what is left of it, now that its objects are drawn
                self._write(k, [edits.Edit.of(labels, whole, np.where(there, 0, labels))], mark=there)
                continue
            if most == 0:
                return 0
            self._write(k, [edits.Edit.of(labels, whole, np.where(there, 0, labels))], mark=there)
            most -= 1
        return most

    def _write(self, k: int, found: Any, numbers: Sequence[int] = (), mark: Any = None) -> None:
        """Apply edits; what is corrected is accepted by itself, as the panel does it in predictions."""
        labels, accepted = self.labels[k], self.accepted[k]
        for edit in found:
            if edit is not None:
                edit.apply(labels)
        whole = tuple(slice(0, n) for n in labels.shape)
        if numbers:
            edit = edits.accept(labels, accepted, numbers, whole, whole)
            if edit is not None:
                edit.apply(accepted)
        if mark is not None:
            accepted[mark] = 1

    def dataset(self) -> Dataset:
        """What a training gets: images with their labels, accepted places alone."""
        some = [k for k, a in enumerate(self.accepted) if a.any()]
        return Dataset(
            tuple(
                Sample(f"image {k}", self.pictures[k][0][None], self.labels[k].copy(), self.accepted[k] > 0)
                for k in some
            )
        )

    def predicted(self, ready: Ready) -> list[NDArray[np.int32]]:
        return [seen(ready, x)[0] for x, _ in self.pictures]

    def check(self, before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]) -> Checked:
        """All accepted objects, with the old and the new model."""
        four = zip(self.labels, before, after, self.accepted, strict=True)
        return pool([fixed_and_broken(y, a, b, m) for y, a, b, m in four if m.any()])

    def take(self, predicted: Sequence[NDArray[np.int32]]) -> None:
        """The new prediction, where nothing is accepted yet."""
        for k, new in enumerate(predicted):
            self.labels[k] = edits.kept(self.labels[k], self.accepted[k], new)


@dataclass(frozen=True)
class Effort:
    """How much is corrected and trained: objects a round, rounds, steps or minutes of each training."""

    corrections: int = 10
    rounds: int = 5
    steps: int = 0
    minutes: float = 0.8

    @property
    def settings(self) -> TrainSettings:
        """As the panel asks for it."""
        long = {"steps": self.steps} if self.steps else {"minutes": self.minutes}
        return TrainSettings(**long, validation=0.0, test=0.0, device="cpu")  # type: ignore[arg-type]


def scored(ready: Ready, test: Sequence[Picture2], old: Sequence[Picture2]) -> dict[str, float]:
    """AP at IoU .5 of all images together, there and on the old test set, and the mean AP of IoU .5 to .9 there."""
    here, there = (pool([InstanceCounts.of(y, seen(ready, x)[0]) for x, y in some]) for some in (test, old))
    found = {"ap": here.ap["0.5"], "mean_ap": here.selection_score, "old": there.ap["0.5"]}
    return {name: round(float(value), 4) for name, value in found.items()}


def retrained(dataset: Dataset, effort: Effort, folder: Path, base: str = BASE) -> Ready:
    """A model from the base and all that is accepted, as the panel's button makes it."""
    options = TASKS["instances"].options()
    target = train.Target(folder, corrections=True)
    for _ in train.train_steps(dataset, "instances", target, effort.settings, options, bundles.load(find(base))):
        pass
    return Ready.of(bundles.load(folder))


def rounds(kind: str, data: Path, effort: Effort, seed: int, old: Sequence[Picture2]) -> dict[str, Any]:
    """One person and one kind of images: before any correction and after each round, AP there and on the old test set; what was
    fixed and broken, whether the new model was taken, and the seconds from the button to the check.
    """
    name = BASES.get(kind, BASE)
    base = Ready.of(bundles.load(find(name)))
    pictures, test = pictures_of(kind, data, seed)
    before = [seen(base, x)[0] for x, _ in pictures]
    desk = Desk(pictures, [b.copy() for b in before], [np.zeros(b.shape, np.uint8) for b in before])
    told: list[dict[str, Any]] = [scored(base, test, old)]
    print(json.dumps({"kind": kind, "seed": seed, "round": 0, **told[0]}), flush=True)
    with TemporaryDirectory(prefix="dojo-rounds-") as folder:
        for k in range(effort.rounds):
            done = desk.corrections
            desk.correct(effort.corrections)
            if desk.corrections == done:  # nothing is wrong any more
                break
            began, spent = time.monotonic(), time.process_time()
            new = retrained(desk.dataset(), effort, Path(folder) / str(k), name)
            after = desk.predicted(new)
            checked = desk.check(before, after)
            seconds = {"s": round(time.monotonic() - began, 1), "cpu_s": round(time.process_time() - spent, 1)}
            scores = scored(new, test, old)
            if checked.lost:  # the model before stays
                scores = {name: told[-1][name] for name in scores}
            else:
                before = after
                desk.take(after)
            found: dict[str, Any] = {"corrections": desk.corrections, **scores, "objects": checked.objects}
            found |= {"fixed": len(checked.fixed), "broke": len(checked.broken), "taken": not checked.lost, **seconds}
            told.append(found)
            print(json.dumps({"kind": kind, "seed": seed, "round": k + 1, **found}), flush=True)
    return {"kind": kind, "base": name, "seed": seed, "effort": asdict(effort), "rounds": told}


def simulate_rounds(
    data: Path, effort: Effort, kinds: Sequence[str], seeds: Sequence[int], kept: Path | None = None
) -> dict[str, Any]:
    """Medians over seeds for each kind. What ``kept`` (lines of JSON) holds of this effort is not done again."""
    lines = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    done = [one for one in map(json.loads, lines) if one["effort"] == asdict(effort)]
    made, old = {}, old_test(data)
    for kind in kinds:
        found = [one for one in done if one["kind"] == kind]
        for seed in [s for s in seeds if s not in [one["seed"] for one in found]]:
            found.append(rounds(kind, data, effort, seed, old))
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(found[-1]) + "\n")
        made[kind] = summary([one["rounds"] for one in found])
    return made


def summary(found: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over seeds: AP of each round and whether it rises every time; what the old test set loses, in the worst round.

    The curve ends with the first seed in which nothing was wrong any more; ``corrections`` and ``rounds`` of each seed say when.
    """
    some = range(min(len(seed) for seed in found))
    curve, mean, old = (
        [float(np.median([s[k][name] for s in found])) for k in some] for name in ("ap", "mean_ap", "old")
    )
    after = [r for seed in found for r in seed[1:]]
    return {
        "seeds": len(found),
        "rounds": [len(seed) - 1 for seed in found],
        "corrections": [seed[-1].get("corrections", 0) for seed in found],
        "ap": [round(v, 4) for v in curve],
        "mean_ap": [round(v, 4) for v in mean],
        "rises": bool((np.diff(curve) > 0).all()),
        "old": [round(v, 4) for v in old],
        "old_lost": round(old[0] - min(old), 4),
        "fixed": sum(r["fixed"] for r in after),
        "broke": sum(r["broke"] for r in after),
        "refused": sum(not r["taken"] for r in after),
        "slowest_s": max((r["s"] for r in after), default=0.0),
    }
