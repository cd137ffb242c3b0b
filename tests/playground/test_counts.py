"""Parameters and updates, with the sum written out."""

from __future__ import annotations

import pytest

from napari_dojo.playground import NetShape
from napari_dojo.playground.counts import parameter_sum, split_words, update_sum, updates_per_epoch


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (NetShape(), "2·1+1 = 3"),
        (NetShape(hidden=(4,)), "2·4+4 + 4·1+1 = 17"),
        (NetShape(inputs=("x",), hidden=(16, 16), outputs=4), "1·16+16 + 16·16+16 + 16·4+4 = 372"),
        (NetShape(hidden=(4,), skip=True), "2·4+4 + 6·1+1 = 19"),
    ],
)
def test_parameters(net: NetShape, text: str) -> None:
    assert parameter_sum(net) == text
    assert eval(text.split(" = ")[0].replace("·", "*")) == net.parameters


@pytest.mark.parametrize(
    ("points", "batch", "text", "count"),
    [
        (500, 16, "500 / 16 = 32 (rounded up)", 32),
        (500, 4, "500 / 4 = 125", 125),
        (500, 1, "500 / 1 = 500", 500),
        (500, 0, "500 / 500 = 1", 1),
        (20, 32, "20 / 20 = 1", 1),
    ],
)
def test_updates(points: int, batch: int, text: str, count: int) -> None:
    assert update_sum(points, batch) == text
    assert updates_per_epoch(points, batch) == count


def test_how_points_are_split() -> None:
    assert split_words((36, 12, 12)) == "60 points: ● 36 training, ■ 12 validation, ◆ 12 test"
    assert split_words((1, 0, 0)).startswith("1 point: ")
