from __future__ import annotations

import json
import math
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from napari_dojo.events import (
    Control,
    Done,
    Event,
    Failed,
    Filling,
    Message,
    Previewed,
    Progress,
    Skipped,
    Started,
    Step,
    Tried,
    Validated,
    Written,
    decode,
    encode,
)

ALL = [
    Started({"patch": [128, 128], "minutes": None}),
    Step(3, None, 1.5, 0.25, 1e-3),
    Step(3, 10, None, 0.25, 1e-3),
    Validated(3, 0.5, None, {"ap": {"0.5": 1.0}}, {}, "a/preview.npy"),
    Tried("nuclei", 20, "PSNR 30.1 dB", {"psnr": 30.1}, {}, "a/preview.npy"),
    Progress(1, 4),
    Previewed("a/live-1-0.npy", [[0, 5], [2, 9]], 1, 0.4, True),
    Filling(0, ["out/big.zarr/0", "out/big.zarr/1"], "YX", "out/big.zarr"),
    Message("warning", "Gewebe \u2713 \u00b5m\nzwei Zeilen"),
    Skipped("b.tif has 2 channels.", "b.tif", "it has 2 channels."),
    Written({"index": 1, "prediction": "out/c.tif", "table": None}),
    Done("models/m", {"steps": 3}),
    Failed("The disk is full."),
]


@pytest.mark.parametrize("event", ALL, ids=lambda e: type(e).__name__)
def test_an_event_is_one_line_and_comes_back(event):
    line = encode(event)
    assert "\n" not in line
    assert decode(line) == event
    assert pickle.loads(pickle.dumps(event)) == event
    with pytest.raises(FrozenInstanceError):
        event.step = 1


def test_every_event_is_tried_here():
    assert {type(e).__name__ for e in ALL} == set(Event.kinds)


def test_numpy_values_and_paths_are_written_as_plain_ones():
    said = Validated(np.int64(3), np.float32(0.5), None, {"ap": np.float64(0.5), "n": np.arange(2)}, {}, Path("p.npy"))
    assert decode(encode(said)) == Validated(3, 0.5, None, {"ap": 0.5, "n": [0, 1]}, {}, "p.npy")


def test_nan_survives():
    assert math.isnan(decode(encode(Step(1, 2, 3.0, math.nan, 0.1))).loss)


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "3", "{}", '{"event": "Format"}', '{"event": "Step"}', json.dumps({"event": ["Step"]})]
)
def test_what_is_no_event_is_a_value_error(line):
    with pytest.raises(ValueError):  # noqa: PT011 - json's own or ours
        decode(line)


def test_control_starts_without_wishes():
    assert Control() == Control(stop=False, look=None)
