"""What a person has said of objects."""

from __future__ import annotations

import json

import numpy as np

from napari_dojo.data.axes import Axes
from napari_dojo.objects.classes import MOST, Classes, History
from napari_dojo.objects.features import measure

A, B, C = (0, 1), (0, 2), (1, 1)


def test_objects_are_shown_and_taken_back():
    classes = Classes(("x", "y")).give([A, B], 0).give([B, C], 1)
    assert dict(classes.shown) == {A: 0, B: 1, C: 1}
    assert dict(classes.give([A, C], None).shown) == {B: 1}


def test_classes_come_go_and_are_renamed():
    classes = Classes().give([A], 0).give([B], 1).add()
    assert classes.names == ("class 1", "class 2", "class 3")
    assert classes.rename(1, "  Prophase, früh/spät ").names[1] == "Prophase, früh/spät"
    assert classes.rename(1, "class 1") is classes
    assert classes.rename(1, "  ") is classes
    left = classes.give([C], 2).remove(1)
    assert left.names == ("class 1", "class 3")
    assert dict(left.shown) == {A: 0, C: 1}
    assert left.add().names[-1] not in left.names


def test_history():
    history = History()
    assert not history.can_undo
    assert history.take(history.now.give([A], 0))
    assert not history.take(history.now)
    history.take(history.now.rename(0, "mitotic"))
    history.undo()
    assert (history.now.names[0], history.can_redo) == ("class 1", True)
    history.redo()
    assert (history.now.names[0], dict(history.now.shown)) == ("mitotic", {A: 0})
    history.undo()
    history.undo()
    history.undo()
    assert not history.now.shown
    history.take(history.now.give([B], 1))
    assert not history.can_redo


def test_examples_are_those_that_are_there():
    y = np.zeros((20, 20), int)
    y[2:6, 2:6], y[10:15, 10:15] = 2, 5
    shown = Classes(("x", "y")).give([(0, 5)], 1).give([(0, 3), (1, 2)], 0).examples(measure(y, y * 1.0, Axes("YX")))
    assert (shown.rows.tolist(), shown.classes.tolist(), shown.names) == ([1], [1], ("x", "y"))
    assert shown.per_class().tolist() == [0, 1]


def test_as_plain_values_and_back():
    classes = Classes(("ä, b", "c/d")).give([A], 1).give([C], 0)
    assert Classes.from_plain(json.loads(json.dumps(classes.plain()))) == classes
    assert Classes.from_plain({}) == Classes()
    assert Classes.from_plain({"names": ["x"], "shown": [[0, 1, 4]]}) == Classes(("x",))
    many = Classes.from_plain({"names": [str(k) for k in range(20)]})
    assert len(many.names) == MOST


def test_from_a_table():
    classes = Classes.from_table([0, 0, 1], [1, 2, 1], ["round", "", "long"])
    assert classes.names == ("round", "long")
    assert dict(classes.shown) == {A: 0, C: 1}
    assert Classes.from_table([0], [1], ["round"]).names == ("round", "class 2")
    assert Classes.from_table([], [], []) == Classes()
