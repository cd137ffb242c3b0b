"""How predictions of each kind are shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Image, Labels, Points
from pytestqt.qtbot import QtBot

from napari_dojo.data import kinds
from napari_dojo.models.card import Card
from napari_dojo.widgets.common.icons import OF_KINDS, icon
from napari_dojo.widgets.common.kinds import LOOKS, layers_for, result_name

pytestmark = pytest.mark.gui


def test_every_kind_has_a_look() -> None:
    assert set(LOOKS) == {kind for kind in vars(kinds).values() if isinstance(kind, kinds.Kind)}


def test_every_kind_has_its_own_picture(qtbot: QtBot) -> None:
    assert set(OF_KINDS) == set(LOOKS)
    drawn = {name: icon(name).pixmap(32, 32).toImage() for name in ("instances", "semantic", "classify", "denoise")}
    assert all(a == b or drawn[a] != drawn[b] for a in drawn for b in drawn)
    assert drawn["denoise"] == icon("noise2void").pixmap(32, 32).toImage()


def test_layers_of_the_type_of_a_kind_may_hold_it() -> None:
    x = np.zeros((4, 5), np.int32)
    layers = [Image(x, name="image"), Labels(x, name="labels"), Points([[1, 2]], name="points")]
    listed = {name: [layer.name for layer in layers_for(getattr(kinds, name), layers)] for name in ("LABELS", "IMAGE")}
    assert listed == {"LABELS": ["labels"], "IMAGE": ["image"]}


def test_predicted_images_are_named_as_such() -> None:
    card = Card("m", "instances", {}, {}, "unet", {}, "YX", "YX", 1, ("nuclei", "actin"))
    assert result_name(card, "m", "cells") == "cells m"
    card = replace(card, task="translate")
    assert result_name(card, "m", "cells") == "cells (predicted by m)"
    assert result_name(card, "m", "cells", 1, 2) == "cells actin (predicted by m)"
