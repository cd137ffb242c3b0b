"""Drafts of a person's work: kept whole or not at all, offered when their window is gone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.jobs import autosave as module
from napari_dojo.jobs.autosave import Draft, Layer, Row, Work, drafts
from napari_dojo.paths import runs_folder

PLACE = {"scale": np.array([0.5, 0.5]), "units": ["um", "um"]}


def mask(n: int = 64, value: int = 1) -> np.ndarray:
    labels = np.zeros((n, n), np.int32)
    labels[5:9, 5:20] = value
    return labels


def work(**more: Layer) -> Work:
    """Two images, one of them from a file, labels of the first, a region, features that JSON does not know."""
    rng = np.random.default_rng(0)
    region = [np.array([[0, 0], [0, 9.5], [9, 9]]), np.array([[1, 1], [2, 2], [3, 3], [4, 4.0]])]
    state = {"place": PLACE, "make": {"features": {"index": np.array([1, 2]), "class": np.array(["a", "b"], object)}}}
    layers = {
        "a": Layer("image", "cells", rng.integers(0, 999, (64, 64, 3)).astype(np.uint16), {"place": PLACE}),
        "b": Layer("image", "far", np.zeros((8, 8)), {}, path="/data/far.tif"),
        "l": Layer("labels", "cells labels", mask(), state),
        "r": Layer("shapes", "region", region, {"make": {"shape_type": ["polygon", "polygon"]}}),
    }
    rows = (Row(("a", "b"), "l", "r", "training"), Row(("b",), None, None, "automatic"))
    return Work("cells", rows, {"task": "instances", "minutes": 5.0}, {**layers, **more})


def dead(draft: Draft) -> Draft:
    """As a crash leaves it: owned by a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    owner = draft.folder / "owner.json"
    owner.write_text(json.dumps({**json.loads(owner.read_text()), "pid": gone.pid}))
    return draft


def kept(**more: Layer) -> Draft:
    draft = Draft.new()
    draft.write(work(**more))
    return draft


def files(draft: Draft) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in draft.folder.iterdir() if p.name not in ("draft.json", "owner.json")}


def test_all_comes_back() -> None:
    before, after = work(), dead(kept()).read()
    assert (after.title, after.choices, after.rows) == (before.title, before.choices, before.rows)
    for key, dtype in (("a", np.uint16), ("l", np.int32)):
        np.testing.assert_array_equal(after.layers[key].data, before.layers[key].data)
        assert after.layers[key].data.dtype == dtype
    for mine, theirs in zip(before.layers["r"].data, after.layers["r"].data, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert after.layers["b"].path == "/data/far.tif"
    assert after.layers["b"].data is None
    labels = after.layers["l"]
    assert (labels.kind, labels.name) == ("labels", "cells labels")
    assert labels.state["place"] == {"scale": [0.5, 0.5], "units": ["um", "um"]}
    assert labels.state["make"]["features"] == {"index": [1, 2], "class": ["a", "b"]}


@pytest.mark.parametrize(
    "data",
    [
        mask(value=70_000),
        mask(value=-3),
        mask().astype(np.uint64) * 2**40,
        np.asfortranarray(mask()),
        mask().astype(">u2"),
        np.zeros((0, 4), np.uint8),
        np.arange(2 * 3 * 4, dtype=np.int64).reshape(2, 3, 4),
    ],
)
def test_labels_of_any_type_and_shape_come_back(data: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 1000)
    after = kept(l=Layer("labels", "l", data, {})).read().layers["l"].data
    np.testing.assert_array_equal(after, data)
    assert after.dtype == data.dtype.newbyteorder("=")


def test_no_shapes_come_back_as_none() -> None:
    assert kept(r=Layer("shapes", "r", [], {})).read().layers["r"].data == []


def test_only_what_changed_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 1024)  # 16 rows
    draft = kept()
    before = files(draft)
    labels = mask()
    labels[40, 40] = 2
    draft.write(work(l=Layer("labels", "cells labels", labels, {}, version=1)))
    after = files(draft)
    assert len(set(after.items()) - set(before.items())) == 1  # one block of the labels
    np.testing.assert_array_equal(draft.read().layers["l"].data, labels)
    draft.write(work(l=Layer("labels", "cells labels", mask(), {}, version=1)))
    assert files(draft) == after  # the version says that nothing changed
    draft.write(replace(work(), layers={}, rows=()))
    assert files(draft) == {}


def test_a_mask_takes_little_room() -> None:
    draft = Draft.new()
    draft.write(replace(work(), layers={"l": Layer("labels", "l", mask(2048), {})}))
    (name,) = files(draft)
    assert (draft.folder / name).stat().st_size < 25_000


def test_a_kill_at_any_moment_leaves_the_last_whole_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    real, at = os.replace, [0]

    def dying(a: Path, b: Path) -> None:
        at[0] -= 1
        if at[0] == 0:
            raise KeyboardInterrupt
        real(a, b)

    monkeypatch.setattr(os, "replace", dying)
    for moment in range(1, 4):  # while the blocks of two layers and the table are replaced
        draft = kept()
        at[0] = moment
        more = {k: Layer("labels", k, mask(value=9), {}, version=1) for k in "lm"}
        more["m"] = replace(more["m"], data=mask(32, 8))
        with pytest.raises(KeyboardInterrupt):
            draft.write(work(**more))
        after = draft.read()
        assert set(after.layers) == {"a", "b", "l", "r"}
        np.testing.assert_array_equal(after.layers["l"].data, mask())
        draft.write(work(**more))
        np.testing.assert_array_equal(draft.read().layers["m"].data, mask(32, 8))
        assert not list(draft.folder.glob(".*.part"))


def test_labels_are_safe_before_images_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Draft._store

    def failing(self: Draft, layer: Layer) -> dict[str, object]:
        if layer.kind == "image":
            raise KeyboardInterrupt
        return real(self, layer)

    monkeypatch.setattr(Draft, "_store", failing)
    draft = Draft.new()
    with pytest.raises(KeyboardInterrupt):
        draft.write(work())
    after = draft.read()
    np.testing.assert_array_equal(after.layers["l"].data, mask())
    assert after.layers["a"].data is None
    assert after.rows[0].images == ("a", "b")


def test_large_images_are_known_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 64 * 64 * 6 - 1)
    after = kept().read().layers
    assert (after["a"].name, after["a"].data, after["a"].path) == ("cells", None, None)
    assert after["l"].data is not None


def test_what_is_damaged_is_left_out() -> None:
    draft = kept()
    for path in draft.folder.glob("*.u1"):
        path.write_bytes(b"torn")
    after = draft.read().layers
    assert after["l"].data is None
    assert after["a"].data is not None
    (draft.folder / "draft.json").write_text('{"title": ')
    with pytest.raises(DojoError, match="damaged"):
        draft.read()
    assert drafts() == []


def test_drafts_of_the_living_are_not_offered() -> None:
    mine = kept()
    assert drafts() == []
    crashed = dead(kept())
    mine.release()
    offered = drafts()
    assert [d.folder for d in offered] == [crashed.folder, mine.folder]  # the newest first
    assert offered[0].title == "cells"
    assert abs(offered[0].when - time.time()) < 30


def test_a_draft_is_continued_in_one_window_only() -> None:
    dead(kept())
    (first,), (second,) = drafts(), drafts()
    first.claim()
    with pytest.raises(DojoError, match="another window"):
        second.claim()
    before = files(first)
    first.write(work())
    assert files(first) == before  # versions of a claimed draft begin at 0
    first.discard()
    with pytest.raises(DojoError, match="gone"):
        second.claim()
    assert drafts() == []


def test_what_has_ended_is_not_written_again() -> None:
    draft = kept()
    draft.release()
    draft.write(work(l=Layer("labels", "l", mask(value=5), {}, version=1)))
    assert draft.read().layers["l"].data.max() == 1
    draft.discard()
    draft.write(work())
    assert not draft.folder.exists()
    Draft.new().release()  # nothing was written
    assert not list(runs_folder().iterdir())


def test_old_drafts_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    dead(kept())
    living = kept()
    (runs_folder() / "draft-torn").mkdir()
    assert len(drafts()) == 1
    later = time.time() + 31 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert drafts() == []
    assert [p.name for p in runs_folder().iterdir()] == [living.folder.name]


@pytest.mark.parametrize("where", ["first", "later"])
def test_a_full_disk_is_a_sentence_and_loses_nothing(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = Draft.new() if where == "first" else kept()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", full)
        with pytest.raises(DojoError, match=r"No space left on device\)\. Free disk space there"):
            draft.write(work(l=Layer("labels", "l", mask(value=5), {}, version=1)))
    if where == "later":
        np.testing.assert_array_equal(draft.read().layers["l"].data, mask())
    draft.write(work(l=Layer("labels", "l", mask(value=5), {}, version=1)))
    assert draft.read().layers["l"].data.max() == 5


def test_a_folder_that_is_a_file_is_a_sentence() -> None:
    runs_folder().parent.mkdir(parents=True)
    runs_folder().write_text("x")
    with pytest.raises(DojoError, match="cannot be written"):
        kept()
    assert drafts() == []


def test_painting_during_a_write_gives_no_wrong_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is copied before its type is chosen: what is painted meanwhile comes with the next write."""
    data = mask()
    real: Callable[..., np.dtype] = np.min_scalar_type

    def paint(value: int) -> np.dtype:
        data[0, 0] = 70_000
        return real(value)

    monkeypatch.setattr(np, "min_scalar_type", paint)
    after = kept(l=Layer("labels", "l", data, {})).read().layers["l"].data
    np.testing.assert_array_equal(after, mask())
