"""A new task is its own file: a dense one, and one whose target is a category and whose network has no map as output.

Both are made here and put into the registries; nothing else in the program knows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, sobel
from torch import Tensor, nn

from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import CATEGORY, IMAGE
from napari_dojo.events import Done
from napari_dojo.inference.predict import predict
from napari_dojo.models.bundle import load
from napari_dojo.nets.base import Network
from napari_dojo.nets.registry import NETS
from napari_dojo.settings import Option, TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.tasks.base import Augmentation, Hints, Summary, Supervision, Target, Task, as_given
from napari_dojo.tasks.findings import size_findings
from napari_dojo.tasks.images import ImageDecoding, image_names, image_task
from napari_dojo.training.train import Target as Out
from napari_dojo.training.train import train_steps

SETTINGS = TrainSettings(steps=60, batch=4, patch=16, width=4, depth=2, device="cpu", learning_rate=0.02)


@dataclass(frozen=True)
class EdgeOptions:
    """Options of the dense task."""

    loss: Annotated[str, Option("Loss", "What is minimized.")] = "absolute"


def summarize_edges(dataset: Dataset, options: EdgeOptions) -> Summary:
    """One map."""
    return Summary(options, image_names(1), ImageDecoding(), size_findings(dataset))


EDGES = image_task(
    name="edges",
    title="Find edges",
    sentence="Edges of an image.",
    target=Target(IMAGE, "edge image", own_units=True),
    options=EdgeOptions,
    layout=lambda options: Layout(IMAGE),
    summarize=summarize_edges,
)


class Head(Network):
    """Two convolutions and global pooling: (N, C, Y, X) -> (N, K)."""

    dense = False

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 8, **_: Any) -> None:
        super().__init__()
        self.out_channels, self.scale = out_channels, (1, 1)
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1)
        )
        self.last = nn.Linear(width, out_channels)

    @property
    def stride(self) -> tuple[int, ...]:
        return (2, 2)

    @property
    def receptive_radius(self) -> tuple[int, ...]:
        return (4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x).relu().mean((2, 3)))


@dataclass(frozen=True)
class ClassifyOptions:
    """Options of the category task."""

    classes: int = 2


@dataclass(frozen=True)
class Right:
    """How many categories are right."""

    right: int = 0
    total: int = 0

    def __add__(self, other: Right) -> Right:
        return Right(self.right + other.right, self.total + other.total)

    @property
    def selection_score(self) -> float:
        return self.right / max(1, self.total)

    @property
    def selection_name(self) -> str:
        return "accuracy"

    @property
    def sentence(self) -> str:
        return f"{self.right} of {self.total} right"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def targets(crops: Any, options: ClassifyOptions, random: Any) -> tuple[Any, Any, Any]:
    return crops.x, crops.y[:, None], torch.ones(len(crops.x), 1)


def loss(out: Tensor, target: Tensor, weight: Tensor, options: ClassifyOptions) -> Tensor:
    return (nn.functional.cross_entropy(out, target[:, 0].long(), reduction="none") * weight[:, 0]).mean()


def baseline(inputs: Sequence[Any], truths: Sequence[Any], options: Any) -> tuple[list[Any], str]:
    return [np.int32(0) for _ in inputs], "always 0"


KIND_OF_IMAGE = Task(
    name="kind",
    title="What is it?",
    sentence="One category for an image.",
    target=Target(CATEGORY, "category"),
    result=CATEGORY,
    options=ClassifyOptions,
    decoding=ImageDecoding,
    layout=lambda options: Layout(CATEGORY),
    augmentation=lambda options: Augmentation(resample=False),
    summarize=lambda dataset, options: Summary(
        options, ("no", "yes"), ImageDecoding(), size_findings(dataset), hints=Hints(network="head")
    ),
    prepare=as_given,
    supervision=Supervision(lambda y, region, options: None, targets),
    loss=loss,
    decode=lambda maps, decoding, options: np.int32(np.argmax(maps)),
    score=lambda result, truth, region, options: Right(int(result == truth), 1),
    baseline=baseline,
)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "edges", EDGES)
    monkeypatch.setitem(TASKS, "kind", KIND_OF_IMAGE)
    monkeypatch.setitem(NETS, "head", Head)


def trained(dataset: Dataset, task: Task, out: Path) -> Any:
    last = list(train_steps(dataset, task, Out(out), SETTINGS))[-1]
    assert isinstance(last, Done)
    return load(out)


def test_a_dense_task_in_one_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = [gaussian_filter(rng.random((48, 48)), 2).astype(np.float32) for _ in range(3)]
    y = [np.hypot(sobel(a, 0), sobel(a, 1)).astype(np.float32) for a in x]
    bundle = trained(Dataset.of(x, y, layout=Layout(IMAGE)), EDGES, tmp_path / "m")
    assert bundle.card.score["psnr"] > 0
    assert predict(bundle, x[0], "YX").shape == (48, 48)


def test_a_category_with_a_network_without_maps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fine = [rng.random((32, 32)).astype(np.float32) for _ in range(8)]
    smooth = [gaussian_filter(rng.random((32, 32)), 2).astype(np.float32) for _ in range(8)]
    images, categories = [*fine, *smooth], [np.int32(0)] * 8 + [np.int32(1)] * 8
    torch.manual_seed(0)
    bundle = trained(Dataset.of(images, categories, layout=Layout(CATEGORY)), KIND_OF_IMAGE, tmp_path / "m")
    assert bundle.card.net == "head"
    found = [int(predict(bundle, x, "YX").item()) for x in images]
    assert np.mean(np.equal(found, categories)) > 0.8
    series = np.stack([fine[0], smooth[0], smooth[1], fine[1]])
    assert predict(bundle, series, "TYX").tolist() == [0, 1, 1, 0]
