"""Models that need no training, by name, and folders of images with bright squares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bright import bright, squares
from same import same

from napari_dojo.io import images
from napari_dojo.models import bundle
from napari_dojo.models.bundle import Bundle
from napari_dojo.nets import build
from napari_dojo.nets.base import Network
from napari_dojo.recipes.recipe import Recipe, parsed


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """``plate`` with wells A1 (1 and 2 squares) and B2 (3 squares), 0.5 um a pixel."""
    for well, name, n in (("A1", "a", 1), ("A1", "b", 2), ("B2", "a", 3)):
        images.write(tmp_path / "plate" / well / f"{name}.tif", squares(n), "YX", (0.5, 0.5), "um")
    return tmp_path / "plate"


class Glow(Network):
    """A net that knows its task: an object is of the second class where its crop holds a value above 0.8."""

    dense, stride, receptive_radius, scale, out_channels = False, (1, 1), (0, 0), (1, 1), 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        high = 40 * (x.flatten(1).amax(1) - 0.8)
        return torch.stack([torch.zeros_like(high), high], 1)


def glow() -> Bundle:
    """Objects are dim or glowing."""
    options = {"values": [1, 2], "classes": ["dim", "glowing"], "shape": [16, 16], "side": 16.0}
    card = bright(name="glow", task="classify", options=options, decoding={}, maps=("dim", "glowing")).card
    return Bundle(replace(card, net="classifier"), Glow().eval())


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Bundle]]:
    """``bright`` finds what is bright, ``two`` the same in images of two channels, ``same`` predicts the image itself, ``glow`` classifies."""
    folder = tmp_path_factory.mktemp("lab")
    found = {"bright": bright(), "two": bright(name="two", channels=2, axes="CYX"), "same": same()}
    for name, model in found.items():  # on the disk with networks that can be saved
        options = {**found["same"].card.net_options, "direct": [0] * len(model.card.maps)}
        card = replace(model.card, net_options=options)
        net = build("unet", in_channels=card.channels, out_channels=len(card.maps), **card.net_options)
        bundle.save(Bundle(card, net.eval()), folder / name, np.zeros((card.channels, 16, 16), np.float32))
    found["glow"] = glow()
    small = {"stem": [1, 1], "pools": [], "width": 8, "size": [16, 16]}
    net = build("classifier", in_channels=1, out_channels=2, **small)
    card = replace(found["glow"].card, net_options=small)
    bundle.save(Bundle(card, net.eval()), folder / "glow", np.zeros((1, 16, 16), np.float32))
    return folder, found


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, made: tuple[Path, dict[str, Bundle]]) -> None:
    """These models by name."""
    monkeypatch.setenv("NAPARI_DOJO_MODELS", str(made[0]))
    monkeypatch.setattr(bundle, "load", lambda path: made[1][Path(path).name])


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe of the plate from its steps as YAML; ``more`` : lines before them."""

    def made(steps: str, more: str = "input: plate\nout: out\n") -> Recipe:
        return replace(parsed(f"recipe: 1\n{more}steps:\n{steps}".encode(), "r.yaml"), base=tmp_path)

    return made
