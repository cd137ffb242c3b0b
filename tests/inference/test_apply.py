"""Files in, files out: what is written, what is left out, and what happens when the disk is full or someone stops."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from bright import bright, squares
from same import same

from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Failed, Message, Progress
from napari_dojo.inference.apply import Files, among, apply_steps, folder_for, there_already
from napari_dojo.io import images
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS

CPU = PredictSettings(device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a, b, c with 1, 2, 3 squares, 0.5 um a pixel."""
    for k, name in enumerate("abc"):
        images.write(tmp_path / "in" / f"{name}.tif", squares(k + 1), "YX", (0.5, 0.5), "um")
    return tmp_path


def files(folder: Path, **more: Any) -> Files:
    return Files(tuple(sorted((folder / "in").iterdir())), folder / "out", **more)


def test_answers_lie_in_the_folder_with_pixel_size_and_a_table(folder: Path) -> None:
    said = list(apply_steps(bright(), files(folder, tables=True), CPU))
    done = said[-1]
    assert isinstance(done, Done)
    assert [Path(p).name for p in done.facts["written"]] == ["a.tif", "b.tif", "c.tif"]
    assert (done.facts["skipped"], done.facts["images"], done.facts["stopped"]) == ([], 3, False)
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.csv", "a.tif", "b.csv", "b.tif", "c.csv", "c.tif"]
    for k, name in enumerate("abc"):
        answer = images.read(folder / "out" / f"{name}.tif")
        assert answer.pixel_size == pytest.approx((0.5, 0.5))
        assert answer.unit == "um"
        assert answer.data.max() == k + 1
        lines = (folder / "out" / f"{name}.csv").read_text().splitlines()
        assert len(lines) == k + 2
        row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
        assert (row["index"], row["area_px"], row["area_um2"], row["mean_intensity"]) == ("1", "64", "16", "900")
    assert "bright" in images.read(folder / "out" / "a.tif").description


def test_progress_goes_over_all_files(folder: Path) -> None:
    told = [(e.done, e.total) for e in apply_steps(bright(), files(folder), CPU) if isinstance(e, Progress)]
    assert {total for _, total in told} == {300}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (300, 300)


@pytest.mark.parametrize(
    ("event", "index", "count", "wanted"),
    [(Progress(1, 4), 0, 1, (1, 4)), (Progress(1, 4), 0, 2, (25, 200)), (Progress(4, 4), 1, 2, (200, 200))],
)
def test_progress_of_one_among_many(event: Progress, index: int, count: int, wanted: tuple[int, int]) -> None:
    assert (among(event, index, count).done, among(event, index, count).total) == wanted


def test_a_bad_file_is_left_out_and_named(folder: Path) -> None:
    (folder / "in" / "aa.tif").write_text("no image")
    tifffile.imwrite(folder / "in" / "ab.tif", np.zeros((3, 9, 9), np.uint8), photometric="minisblack")
    said = list(apply_steps(bright(), files(folder), CPU))
    done = said[-1]
    assert len(done.facts["written"]) == 3
    assert "aa.tif" in done.facts["skipped"][0]
    assert "Name the axes" in done.facts["skipped"][1]
    assert [e.level for e in said if isinstance(e, Message)] == ["warning"] * 2
    assert not done.facts["stopped"]


def test_one_bad_file_alone_says_what_is_wrong(folder: Path) -> None:
    (folder / "in" / "d.tif").write_text("no image")
    with pytest.raises(DojoError, match=r"d\.tif holds text"):
        list(apply_steps(bright(), Files((folder / "in" / "d.tif",), folder / "out"), CPU))
    many = Files((folder / "in" / "d.tif", folder / "in" / "e.tif"), folder / "out")
    with pytest.raises(DojoError, match=r"None of the 2 images could be done. The first: .*d.tif"):
        list(apply_steps(bright(), many, CPU))


def test_a_full_disk_ends_it_and_leaves_no_torn_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = tifffile.imwrite, []

    def full(path: Path, *args: Any, **more: Any) -> None:
        calls.append(path)
        real(path, *args, **more)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(DojoError, match=r"the disk of .* is full.*Before that, 1 of 3 images were done\."):
        list(apply_steps(bright(), files(folder), CPU))
    assert len(calls) == 2  # the third was not even tried
    assert [p.name for p in (folder / "out").iterdir()] == ["a.tif"]


def test_stop_keeps_what_is_done(folder: Path) -> None:
    control, said = Control(), []
    for event in apply_steps(bright(), files(folder), CPU, control=control):
        said.append(event)
        control.stop = isinstance(event, Progress) and event.done > 100
    done = said[-1]
    assert isinstance(done, Done)
    assert done.facts["stopped"]
    assert [p.name for p in (folder / "out").iterdir()] == ["a.tif"]
    *_, last = apply_steps(bright(), files(folder, overwrite=True), CPU, control=Control(stop=True))
    assert last == Failed("Stopped: nothing was written.")


def test_the_decoding_and_the_axes_are_used(folder: Path) -> None:
    large = TASKS["instances"].decoding(smallest=100)
    list(apply_steps(bright(), files(folder), CPU, large))
    assert tifffile.imread(folder / "out" / "c.tif").max() == 0
    series = np.stack([squares(1), squares(2)])
    tifffile.imwrite(folder / "t.tif", series, photometric="minisblack")
    one = Files((folder / "t.tif",), folder / "out", axes="TYX", tables=True)
    list(apply_steps(bright(), one, CPU))
    assert [plane.max() for plane in tifffile.imread(folder / "out" / "t.tif")] == [1, 2]
    assert [line.split(",")[:2] for line in (folder / "out" / "t.csv").read_text().splitlines()[1:]] == [
        ["1", "0"],
        ["1", "1"],
        ["2", "1"],
    ]


def test_channels_are_measured_one_by_one(tmp_path: Path) -> None:
    two = np.stack([np.eye(48, 52, dtype=np.uint16), squares(2)])
    images.write(tmp_path / "two.tif", two, "CYX", (0.2, 0.2), "um")
    made = bright(channels=2, axes="CYX")
    list(apply_steps(made, Files((tmp_path / "two.tif",), tmp_path / "out", tables=True), CPU))
    head, first, *_ = (tmp_path / "out" / "two.csv").read_text().splitlines()
    row = dict(zip(head.split(","), first.split(","), strict=True))
    assert (row["mean_intensity_c0"], row["mean_intensity_c1"], row["area_um2"]) == ("0.125", "900", "2.56")


def test_an_image_is_never_replaced_by_its_answer(folder: Path) -> None:
    there = Files(files(folder).inputs, folder / "in", overwrite=True)
    with pytest.raises(DojoError, match=r"would overwrite the image a.tif itself"):
        there.answers()
    (folder / "out").mkdir()
    (folder / "out" / "b.csv").write_text("mine")
    files(folder).answers()
    with pytest.raises(DojoError, match=r"b.csv exists already"):
        files(folder, tables=True).answers()
    assert files(folder, tables=True, overwrite=True).answers()[1][1] == folder / "out" / "b.csv"


def test_how_many_answers_are_there(folder: Path) -> None:
    assert there_already(files(folder)) == 0
    (folder / "out").mkdir()
    for name in ("a.tif", "a.csv", "b.csv"):
        (folder / "out" / name).write_text("")
    assert there_already(files(folder)) == 1
    assert there_already(files(folder, tables=True)) == 2


def test_answers_lie_beside_what_was_given(folder: Path) -> None:
    assert folder_for(folder / "in", "m") == folder / "in_m"
    assert folder_for(folder / "in" / "a.ome.tif", "m") == folder / "in" / "a_m"
    assert folder_for(folder / "in" / "*.tif", "m") == folder / "in" / "all_m"


def test_images_as_answers_say_what_made_them(folder: Path) -> None:
    settings = PredictSettings(device="cpu", spread=True)
    marked = Files(files(folder).inputs[:1], folder / "out", mark=" (predicted by same)")
    list(apply_steps(same(), marked, settings))
    names = ["a (predicted by same).tif", "a (predicted by same)_uncertainty.tif"]
    assert sorted(p.name for p in (folder / "out").iterdir()) == names
    answer, spread = (images.read(folder / "out" / name) for name in names)
    assert answer.data.dtype == np.float32
    np.testing.assert_allclose(answer.data, squares(1), atol=0.5)
    assert np.abs(spread.data).max() < 0.5  # it says the same however the image is turned
    assert answer.pixel_size == pytest.approx((0.5, 0.5))
    with tifffile.TiffFile(folder / "out" / names[0]) as tif:
        assert "denoise of a.tif (predicted by same)" in str(tif.imagej_metadata)


def test_the_inputs_type_is_written_back_when_asked(folder: Path) -> None:
    list(apply_steps(same(), files(folder), PredictSettings(device="cpu", dtype="input")))
    answer = images.read(folder / "out" / "b.tif").data
    assert answer.dtype == np.uint16
    np.testing.assert_allclose(answer.astype(int), squares(2).astype(int), atol=1)


def test_finer_answers_have_smaller_pixels(folder: Path) -> None:
    fine = same("fine", "upscale", options={"factor": 2}, finer={"Y": 2, "X": 2}, net_options={"scale": [2, 2]})
    list(apply_steps(fine, files(folder), CPU))
    answer = images.read(folder / "out" / "a.tif")
    assert answer.data.shape == (96, 104)
    assert answer.pixel_size == pytest.approx((0.25, 0.25))
