from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from typing import Annotated, Literal

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.settings import Option, PredictSettings, TrainSettings, checked, fields_of


@dataclass(frozen=True)
class Some:
    edge: Annotated[int, Option("Edge", "Of a piece.", 0, 9, "px")] = 3
    share: Annotated[float | None, Option("Share", "Kept aside.", 0, 1)] = None
    mode: Annotated[Literal["fast", "good"], Option("Mode", "How.")] = "good"
    names: Annotated[tuple[str, ...], Option("Names", "Of the classes.")] = ()
    on: Annotated[bool, Option("On", "Whether.")] = True
    found_in_the_data: int = 0


def test_fields_say_what_a_form_needs():
    edge, share, mode, names, on = fields_of(Some)
    assert (edge.name, edge.kind, edge.default, edge.optional, edge.choices) == ("edge", int, 3, False, ())
    assert (share.kind, share.default, share.optional) == (float, None, True)
    assert (mode.kind, mode.choices) == (str, ("fast", "good"))
    assert names.kind is tuple
    assert on.kind is bool
    assert edge.option.unit == "px"


def test_flags():
    assert {f.name: f.flag for f in fields_of(TrainSettings)}["learning_rate"] == "--learning-rate"


@pytest.mark.parametrize("cls", [TrainSettings, PredictSettings, Some])
def test_defaults_are_within_their_own_ranges(cls):
    values = {f.name: f.default for f in fields_of(cls)}
    assert checked(cls, values) == cls()
    assert all(f.option.label and f.option.help for f in fields_of(cls))


@pytest.mark.parametrize("cls", [TrainSettings, PredictSettings])
def test_settings_are_frozen_and_wholly_declared(cls):
    assert {f.name for f in fields_of(cls)} == set(cls.__dataclass_fields__)
    with pytest.raises(FrozenInstanceError):
        cls().device = "cpu"


def test_plain_values_become_settings():
    found = checked(Some, {"edge": "5", "share": "0.5", "names": ["a", "b"], "on": False, "mode": "fast"})
    assert found == Some(5, 0.5, "fast", ("a", "b"), False)
    assert checked(Some, {"names": "cell, sky"}).names == ("cell", "sky")
    assert checked(Some, {"on": "false"}).on is False
    assert checked(Some, {"edge": 5.0}).edge == 5


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"edge": 10}, "Edge must lie between 0 and 9 px; got 10"),
        ({"edge": -1}, "Edge must lie between"),
        ({"edge": "wide"}, "Edge must be .*; got 'wide'"),
        ({"edge": 2.5}, "Edge must be .*; got 2.5"),
        ({"edge": None}, "Edge must be .*; got None"),
        ({"share": float("nan")}, "Share must lie between"),
        ({"share": [1]}, "Share must be"),
        ({"mode": "slow"}, "Mode must be one of fast, good; got 'slow'"),
        ({"names": None}, "Names must be"),
        ({"on": "perhaps"}, "On must be"),
        ({"edges": 1}, "has no option 'edges'. Choose among edge, share"),
    ],
)
def test_what_is_out_of_range_is_refused_by_label(values, says):
    with pytest.raises(DojoError, match=says):
        checked(Some, values)
