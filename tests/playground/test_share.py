"""Exercises as text: there and back, and nothing that can harm."""

from __future__ import annotations

import base64
import json
import time
import zlib
from typing import Any

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground import Session, Setup
from napari_dojo.playground.exercise import load
from napari_dojo.playground.share import Shared, from_text, to_text

EXERCISE = load("parabola")


def packed(values: Any, version: int = 1) -> str:
    """A text of any values."""
    raw = values if isinstance(values, bytes) else json.dumps(values).encode()
    return f"dojo{version}:{base64.urlsafe_b64encode(zlib.compress(raw)).decode()}"


def plain(**changes: Any) -> dict[str, Any]:
    """The values of a good text, with some replaced."""
    good = {"name": "parabola", "exercise": EXERCISE.as_dict(), "setup": EXERCISE.start.as_dict()}
    return {**good, **changes}


def test_there_and_back_with_weights() -> None:
    session = Session(EXERCISE.start.with_(hidden=(4,), epochs=2, seed=3))
    for _ in session.run():
        pass
    session.score("test")
    text = to_text(Shared.of(EXERCISE, session, by="Ada Lovelace"))
    assert text.isascii()
    assert "\n" not in text
    got = from_text(text)
    assert (got.by, got.epochs, got.looks) == ("Ada Lovelace", 2, 1)
    assert got.setup == session.setup
    assert got.exercise.goal == EXERCISE.goal
    assert got.exercise.solution is None  # students do not find it there
    again = got.session()
    np.testing.assert_array_equal(again.net.parameters, session.net.parameters)
    assert again.score("validation") == session.score("validation")
    assert again.looks == 1


def test_a_teachers_text() -> None:
    text = to_text(Shared(EXERCISE, EXERCISE.start), solution=True)
    got = from_text(text)
    assert got.exercise == EXERCISE
    assert got.parameters is None
    assert len(text) < 3000


def test_broken_lines_of_a_mail_do_no_harm() -> None:
    text = to_text(Shared(EXERCISE, EXERCISE.start))
    broken = " " + "\r\n".join(text[i : i + 60] for i in range(0, len(text), 60)) + " \n"
    assert from_text(broken) == from_text(text)


def test_the_largest_exercise_fits() -> None:
    rows = tuple((float(x), float(y), float(v)) for x, y, v in np.random.default_rng(0).random((2000, 3)).round(4))
    setup = Setup().with_(kind="custom", rows=rows, hidden=(32,) * 8, output="linear", loss="squared_error")
    session = Session(setup)
    assert from_text(to_text(Shared.of(EXERCISE, session))).setup == setup


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "dojo1:",
        "dojo0:abcd",
        "dojo1:abc",
        "dojo1:!!!!",
        "dojo1:" + "A" * 400,
        packed(b"not json"),
        packed(b"[" * 100_000),
        packed(b'{"a":' * 50_000),
        packed(b"[1,2]"),
        packed(b'"text"'),
        packed(b"\xff\xfe"),
        packed(b'{"name": NaN}'),
        packed(b'{"epochs": ' + b"9" * 5000 + b"}"),
        packed({}),
        packed(plain(name=3)),
        packed(plain(name="a" * 200)),
        packed(plain(by=["x"])),
        packed(plain(setup=[])),
        packed(plain(setup={"net": 3})),
        packed(plain(setup={"net": {"hidden": [10**9]}})),
        packed(plain(setup={"net": {"__class__": 1}})),
        packed(plain(setup={"points": {"kind": "custom", "rows": [[1, 2, "a"]]}})),
        packed(plain(setup={"points": {"kind": "custom", "rows": [[0, 0, 1e999]]}})),
        packed(plain(setup={"learning": {"epochs": 10**12}})),
        packed(plain(exercise=3)),
        packed(plain(exercise={**EXERCISE.as_dict(), "goal": "__import__('os')"})),
        packed(plain(exercise={**EXERCISE.as_dict(), "title": "a" * 10**6})),
        packed(plain(exercise={**EXERCISE.as_dict(), "goal": "a" * 10**6})),
        packed(plain(exercise={**EXERCISE.as_dict(), "x" * 10**6: 1})),
        packed(plain(setup={"net": {"activation": "x" * 10**6}})),
        packed(plain(epochs=-1)),
        packed(plain(epochs=1.5)),
        packed(plain(looks="many")),
        packed(plain(looks=10**15)),
        packed(plain(parameters="abc")),
        packed(plain(parameters=[1, 2])),
        packed(plain(parameters=[1, 2, "3"])),
        packed(plain(parameters=[1, 2, True])),
        packed(plain(parameters=[1, 2, 10**400])),
        packed(plain(parameters=[1, 2, [3]])),
        packed(b" " * 5_000_000),
        "dojo1:" + "A" * 1_000_000,
    ],
    ids=range(44),
)
def test_hostile_and_broken_texts_give_one_sentence(text: str) -> None:
    began = time.process_time()
    with pytest.raises(DojoError) as caught:
        from_text(text)
    assert time.process_time() - began < 2
    assert len(str(caught.value)) < 320
    assert "\n" not in str(caught.value)


def test_every_cut_and_every_wrong_letter_is_noticed() -> None:
    text = to_text(Shared(EXERCISE, EXERCISE.start))
    for end in range(0, len(text), 37):
        with pytest.raises(DojoError):
            from_text(text[:end])
    rng = np.random.default_rng(0)
    for at in rng.integers(6, len(text), 60):
        wrong = "A" if text[at] != "A" else "B"
        with pytest.raises(DojoError, match="damaged"):
            from_text(text[:at] + wrong + text[at + 1 :])
    with pytest.raises(DojoError, match="damaged"):
        from_text(text + "AAAA")


def test_a_newer_version_says_so() -> None:
    with pytest.raises(DojoError, match=r"version 2, from a newer napari-dojo\. Update"):
        from_text(packed(plain(), version=2))
    with pytest.raises(DojoError, match="format 7, from a newer version"):
        from_text(packed(plain(exercise={**EXERCISE.as_dict(), "format": 7})))


def test_weights_that_ran_away_are_refused_when_used() -> None:
    shared = from_text(packed(plain(parameters=[1e9, 0, 0])))
    with pytest.raises(DojoError, match="must lie between"):
        shared.session()


def test_nothing_unprintable_gets_through() -> None:
    got = from_text(packed(plain(by="A\x1b[31mB\n", exercise={**EXERCISE.as_dict(), "title": "a\u202eb\x00"})))
    assert got.by == "A [31mB"
    assert got.exercise.title == "a b"
