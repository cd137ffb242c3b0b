"""What a training leaves on the disk: the run's events and state, and the model with its card, from the first check on."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.split import Split
from napari_dojo.errors import DojoError
from napari_dojo.events import Event, Step, encode
from napari_dojo.io.atomic import check_writable, remove_parts, unwritable, write_safely
from napari_dojo.metrics.domain_shift import profile_of, seen
from napari_dojo.models import bundle as bundles
from napari_dojo.models.bundle import Bundle, is_free
from napari_dojo.models.card import Card, read_card
from napari_dojo.models.kept import EVENTS
from napari_dojo.nets import Network
from napari_dojo.settings import fields_of
from napari_dojo.training.learner import Learner
from napari_dojo.training.prepare import Setup

__all__ = ["Recorder", "Target", "card_of"]

LOOKED_AT = 24  # training images whose looks are remembered


@dataclass(frozen=True)
class Target:
    """Where a training goes, and what the model is called.

    Attributes
    ----------
    out : the model's folder; ``out/run`` holds what is needed to resume.
    resume : continue the run that lies there; ``overwrite`` : replace it.
    name, description, license, authors : for the model card.
    began : time.monotonic() at which the budget starts to count.
    corrections : a person corrects what the start predicts, and this training is one of several on the same images. So its
        model is never compared as a start, and it rehearses what its start learned.
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    name: str = ""
    description: str = ""
    license: str | None = None
    authors: tuple[str, ...] = ()
    began: float | None = None
    corrections: bool = False

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.out / "run"

    def check_free(self) -> None:
        """Refuse to write over something unless it is a model that may be replaced.

        Raises
        ------
        DojoError : a folder that exists and is neither to be resumed nor overwritten, is not a model, or cannot be written.
        """
        out = self.out
        taken = not self.resume and out.exists() and not (out.is_dir() and is_free(out))
        if taken and not self.overwrite:
            raise DojoError(f"{out} exists already. Choose another name, resume it, or overwrite it.")
        if taken and not (out.is_dir() and ((out / "rdf.yaml").exists() or (out / "run").is_dir())):
            raise DojoError(f"{out} is not a model, so it is not replaced. Choose another name.")
        check_writable(out)

    def make_room(self) -> None:
        """Remove an older run, its cover and what a kill left half written; the older model stays until the new one is there."""
        with _writing(self.out):
            if self.overwrite and self.out.is_dir():
                if self.run.is_dir():
                    shutil.rmtree(self.run)
                (self.out / "cover.png").unlink(missing_ok=True)
        remove_parts(self.out)
        remove_parts(self.run)


class Recorder:
    """Writes events, the state and the model of one training. Nothing is written before the first state is saved, and nothing stays
    where that fails in a folder that was free, so that the same command can be given again.

    ``sample`` is a raw crop (C, *S) for the model's own test; ``data`` tells these data from others (`fingerprint`).
    """

    def __init__(self, target: Target, setup: Setup, sample: NDArray[Any], data: dict[str, str]) -> None:
        self._target, self._setup, self._sample, self.data = target, setup, sample, data
        self._saved = self._resumable = False
        self._fresh = False  # the folder was free
        self._waiting = ""

    def event(self, event: Event) -> None:
        """Append an event as one line of JSON; single steps are skipped."""
        if not isinstance(event, Step):
            self._waiting += encode(event) + "\n"
        if not (self._saved and self._waiting):
            return
        path = self._target.run / EVENTS
        with self._all_or_nothing(), _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as f:
                f.write(self._waiting)
        self._waiting = ""

    def state(self, learner: Learner) -> None:
        """Save what is needed to resume."""
        self._begin()
        buffer = io.BytesIO()
        torch.save(learner.state(), buffer)
        setup = self._setup
        about = {
            "task": setup.task.name,
            "settings": asdict(setup.settings),
            "options": asdict(setup.options),
            "plan": asdict(setup.plan) if setup.plan else {},
            "target": str(self._target.out),
            "data": self.data,
            "start": setup.start and setup.start.as_dict(),
            "excluded": [asdict(e) for e in setup.dataset.excluded],
        }
        with self._all_or_nothing():
            write_safely(self._target.run / "settings.json", json.dumps(about, indent=1).encode())
            write_safely(self._target.run / "state.pt", buffer.getvalue())
        self._resumable = True

    def model(self, card: Card, net: Network, cover: NDArray[np.uint8] | None = None) -> None:
        """Save the model with this card, and its cover (Y, X, 3) where there is one."""
        self._begin()
        with self._all_or_nothing():
            bundles.save(Bundle(card, deepcopy(net).cpu().eval()), self._target.out, self._sample, cover)

    def _begin(self) -> None:
        """Before anything is written."""
        if not self._saved:
            out = self._target.out
            self._fresh = not out.exists() or (out.is_dir() and is_free(out))
            self._target.make_room()
        self._saved = True

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Until there is a run to resume: where something cannot be written, what was written in a free folder goes."""
        try:
            yield
        except DojoError:
            if self._fresh and not self._resumable:
                shutil.rmtree(self._target.run, ignore_errors=True)
                bundles.remove_files(self._target.out)
                self._saved = False
            raise

    def resume(self, learner: Learner) -> Card | None:
        """Load the saved state into the learner; the card of the model that the run has saved, None where it has not checked any.

        Raises
        ------
        DojoError : the state cannot be read.
        """
        path = self._target.run / "state.pt"
        try:
            learner.load(torch.load(path, map_location=learner.device, weights_only=True))
        except Exception as e:
            raise DojoError(
                f"The unfinished run in {self._target.run} cannot be read ({type(e).__name__}). Overwrite it, or train under another name."
            ) from e
        checked = learner.best > float("-inf")  # else the model there is one that the run is to replace
        return read_card(self._target.out) if checked and (self._target.out / "rdf.yaml").exists() else None


def _kept_options(options: Any) -> dict[str, Any]:
    """What a model keeps of its options: not how its training data were annotated."""
    lost = {f.name for f in fields_of(type(options)) if not f.option.kept}
    return {k: v for k, v in asdict(options).items() if k not in lost}


def card_of(setup: Setup, dataset: Dataset, split: Split, target: Target, data: dict[str, str]) -> Card:
    """The card of a model before its first step; ``dataset`` and ``split`` at the network's scale; ``data`` is their fingerprint."""
    task, plan, summary = setup.task, setup.plan, setup.summary
    assert plan is not None
    counts = {role: len(getattr(split, role)) for role in ("training", "validation", "test")}
    return Card(
        name=target.name or target.out.name,
        task=task.name,
        options=_kept_options(summary.options),
        decoding=_decoding(setup, target),
        net=summary.hints.network,
        net_options={**plan.net, **_arguments(setup)},
        axes=dataset.axes,
        spatial=dataset.spatial,
        channels=dataset.channels,
        context=dataset.context,
        channel_names=dataset.channel_names,
        target=_target_numbers(setup, dataset, split),
        maps=summary.maps,
        rule=setup.rule,
        pixel_size=dataset.one_pixel_size,
        unit=dataset.unit,
        diameter=summary.diameter,
        zoom=plan.zoom,
        upsampling=dict(task.layout(summary.options).upsampling),
        description=target.description,
        license=target.license,
        authors=target.authors,
        split={"how": split.how, **counts},
        data={
            "images": len(dataset.samples),
            "objects": summary.objects,
            "fingerprint": data,
            "excluded": [asdict(e) for e in dataset.excluded],
            "seen": _seen(setup, dataset, split),
            **({"corrections": True} if target.corrections else {}),
        },
        parent=setup.start.name if setup.start else None,
    )


def _decoding(setup: Setup, target: Target) -> dict[str, Any]:
    """Before it is tuned: of a retraining on corrections that of its start, by which what is corrected was predicted, with objects as
    small as those that are accepted.
    """
    found = asdict(setup.summary.decoding)
    if setup.start is None or not target.corrections or setup.task.supervision.completion(setup.options) is not None:
        return found
    old = {k: v for k, v in setup.start.decoding.items() if k in found}
    least = {k: min(found[k], old[k]) for k in ("minimum_area",) if k in old}
    return {**found, **old, **least}


def _arguments(setup: Setup) -> dict[str, Any]:
    """Arguments of the network that the task needs; those of the start where there is one."""
    if setup.start is None:
        return dict(setup.summary.hints.arguments)
    known, ours = setup.start.net_options, setup.summary.hints.arguments
    data = {k: ours[k] for k in ("size", "padded", "orientations") if k in ours}  # of these images, not of the start's
    return data | {k: known[k] for k in ("scale", "direct", "norm", "smooth") if k in known}


def _trained_on(dataset: Dataset, split: Split) -> list[Sample]:
    return [dataset.samples[i] for i in sorted({crop.item for crop in split.training})]


def _target_numbers(setup: Setup, dataset: Dataset, split: Split) -> Normalization | None:
    """What brings predictions into the targets' units, measured on the training images; None where the input's do."""
    if setup.task.target is None or not setup.task.target.own_units:
        return None
    measured = [setup.rule.measure(sample.y) for sample in _trained_on(dataset, split)]
    low = np.median([m.offset for m in measured], 0)
    high = np.median([np.add(m.offset, m.scale) for m in measured], 0)
    return Normalization(tuple(map(float, low)), tuple(float(s) or 1.0 for s in high - low))


def _seen(setup: Setup, dataset: Dataset, split: Split) -> dict[str, list[float]]:
    """What training images look like, where results are intensities: domain shift is measured from it."""
    if not setup.task.result.intensities:
        return {}
    samples = _trained_on(dataset, split)
    some = samples[:: max(1, -(-len(samples) // LOOKED_AT))]
    return seen(profile_of(sample.x, sample.normalization(setup.rule)) for sample in some)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the system refuses becomes a sentence."""
    try:
        yield
    except OSError as e:
        raise unwritable(path, e) from e
