"""The apply loop: what is written, what is skipped, and what happens when the disk is full or someone stops."""

from __future__ import annotations

import errno
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import tifffile
from bright import bright, squares
from held import held_but
from same import same

from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Event, Failed, Progress, Skipped, StoppedError, Written
from napari_dojo.inference.apply import Memory, apply
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.predict import Prediction, Ready
from napari_dojo.inference.sinks import ArraySink
from napari_dojo.inference.sources import ArraySource, FileSource, StoredSource
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.io import images
from napari_dojo.io.images import Picture
from napari_dojo.models.bundle import Bundle
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS

CPU = PredictSettings(device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a, b, c with 1, 2, 3 squares, 0.5 um a pixel."""
    for k, name in enumerate("abc"):
        images.write(tmp_path / "in" / f"{name}.tif", squares(k + 1), "YX", (0.5, 0.5), "um")
    return tmp_path


def files(folder: Path, **more: Any) -> TiffSink:
    return TiffSink(tuple(sorted((folder / "in").iterdir())), folder / "out", **more)


def steps(
    bundle: Bundle,
    sink: TiffSink,
    settings: PredictSettings = CPU,
    axes: str | None = None,
    decoding: Any = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """The loop over files."""
    sources = [FileSource(path, axes) for path in sink.inputs]
    return apply(Ready.of(bundle, settings, decoding), sources, sink, control)


def test_predictions_lie_in_the_folder_with_pixel_size_and_a_table(folder: Path) -> None:
    said = list(steps(bright(), files(folder, tables=True)))
    done = said[-1]
    assert isinstance(done, Done)
    assert [Path(r["prediction"]).name for r in done.facts["results"]] == ["a.tif", "b.tif", "c.tif"]
    assert [Path(r["table"]).name for r in done.facts["results"]] == ["a.csv", "b.csv", "c.csv"]
    assert (done.facts["skipped"], done.facts["images"], done.facts["stopped"]) == ([], 3, False)
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.csv", "a.tif", "b.csv", "b.tif", "c.csv", "c.tif"]
    for k, name in enumerate("abc"):
        written = images.read(folder / "out" / f"{name}.tif")
        assert written.pixel_size == pytest.approx((0.5, 0.5))
        assert written.unit == "um"
        assert written.data.max() == k + 1
        lines = (folder / "out" / f"{name}.csv").read_text().splitlines()
        assert len(lines) == k + 2
        row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
        assert (row["index"], row["area_px"], row["area_um2"], row["mean_intensity"]) == ("1", "64", "16", "900")
    assert "bright" in images.read(folder / "out" / "a.tif").description


def test_progress_goes_over_all_files(folder: Path) -> None:
    told = [(e.done, e.total) for e in steps(bright(), files(folder)) if isinstance(e, Progress)]
    assert {total for _, total in told} == {300}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (300, 300)


def test_a_bad_file_is_skipped_and_named(folder: Path) -> None:
    (folder / "in" / "aa.tif").write_text("no image")
    tifffile.imwrite(folder / "in" / "ab.tif", np.zeros((3, 9, 9), np.uint8), photometric="minisblack")
    said = list(steps(bright(), files(folder)))
    done = said[-1]
    assert len(done.facts["results"]) == 3
    assert "aa.tif" in done.facts["skipped"][0]
    assert "Name the axes" in done.facts["skipped"][1]
    assert [e.sentence for e in said if isinstance(e, Skipped)] == done.facts["skipped"]
    assert not done.facts["stopped"]


def scenes(path: Path) -> None:
    """A file with three images of 1, 2 and 3 squares and of different sizes."""
    with tifffile.TiffWriter(path) as tif:
        for k in range(3):
            tif.write(squares(k + 1)[: 44 + 2 * k], photometric="minisblack", metadata=None)


def test_each_image_of_a_file_gives_a_prediction(folder: Path) -> None:
    scenes(folder / "in" / "b.tif")
    said = list(steps(bright(), files(folder, tables=True)))
    done = said[-1]
    assert (len(done.facts["results"]), done.facts["skipped"], done.facts["images"]) == (5, [], 5)
    assert [r["index"] for r in done.facts["results"]] == [0, 1, 1, 1, 2]
    assert [r["name"] for r in done.facts["results"]][1:3] == ["b.tif (image 1)", "b.tif (image 2)"]
    names = [f"{name}{end}" for name in ("a", "b_image1", "b_image2", "b_image3", "c") for end in (".csv", ".tif")]
    assert sorted(p.name for p in (folder / "out").iterdir()) == names
    for k in range(3):
        written = tifffile.imread(folder / "out" / f"b_image{k + 1}.tif")
        assert (written.max(), written.shape) == (k + 1, (44 + 2 * k, 52))
    told = [(e.done, e.total) for e in said if isinstance(e, Progress)]
    assert told[-1] == (500, 500)


def test_an_image_of_a_file_that_cannot_be_written_is_named(folder: Path) -> None:
    scenes(folder / "in" / "b.tif")
    (folder / "out").mkdir()
    (folder / "out" / "b_image2.tif").write_text("mine")
    done = list(steps(bright(), files(folder)))[-1]
    (why,) = done.facts["skipped"]
    assert why.startswith("b.tif (image 2): ")
    assert "b_image2.tif exists already" in why
    assert (len(done.facts["results"]), done.facts["images"]) == (4, 5)
    assert (folder / "out" / "b_image2.tif").read_text() == "mine"
    images.write(folder / "in" / "b_image3.tif", squares(1), "YX")
    done = list(steps(bright(), files(folder, overwrite=True)))[-1]
    assert "b_image3.tif" in done.facts["skipped"][0]
    assert tifffile.imread(folder / "out" / "b_image3.tif").max() == 1


def test_outlines_lie_beside_predictions_with_objects(folder: Path) -> None:
    images.write(folder / "in" / "b.tif", np.zeros((48, 52), np.uint16), "YX")
    done = list(steps(bright(), files(folder, rois=True)))[-1]
    assert [r["rois"] and Path(r["rois"]).name for r in done.facts["results"]] == ["a.zip", None, "c.zip"]
    with zipfile.ZipFile(folder / "out" / "c.zip") as rois:
        assert len(rois.namelist()) == 3


def test_one_bad_file_alone_says_what_is_wrong(folder: Path) -> None:
    (folder / "in" / "d.tif").write_text("no image")
    with pytest.raises(DojoError, match=r"d\.tif holds text"):
        list(steps(bright(), TiffSink((folder / "in" / "d.tif",), folder / "out")))
    many = TiffSink((folder / "in" / "d.tif", folder / "in" / "e.tif"), folder / "out")
    with pytest.raises(DojoError, match=r"None of the 2 images could be done. The first: .*d.tif"):
        list(steps(bright(), many))


def test_a_full_disk_ends_it_and_leaves_no_torn_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls, one = tifffile.imwrite, [], Lock()

    def full(path: Path, *args: Any, **more: Any) -> None:
        with one:  # several are written at a time
            calls.append(path)
            first = len(calls) == 1
        real(path, *args, **more)
        if not first:
            raise OSError(errno.ENOSPC, "No space left on device")

    for name in "defghi":
        images.write(folder / "in" / f"{name}.tif", squares(1), "YX")
    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(DojoError, match=r"^The disk of .*out is full\."):
        list(steps(bright(), files(folder)))
    assert len(calls) < 9  # those that were under way, and no other
    assert len(list((folder / "out").iterdir())) == 1  # the first that was written, and no part of another


def test_stop_keeps_what_is_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_but(monkeypatch, "a.tif", "b.tif")
    control, said = Control(), []
    for name in "defghijklmno":
        images.write(folder / "in" / f"{name}.tif", squares(1), "YX")
    for event in steps(bright(), files(folder), control=control):
        said.append(event)
        control.stop |= isinstance(event, Written) and event.stored["name"] == "b.tif"
    done = said[-1]
    assert isinstance(done, Done)
    assert done.facts["stopped"]
    written = [Path(r["prediction"]).name for r in done.facts["results"]]
    assert written == sorted(p.name for p in (folder / "out").iterdir()) == ["a.tif", "b.tif"]
    monkeypatch.undo()
    *_, last = steps(bright(), files(folder, overwrite=True), control=Control(stop=True))
    assert last == Failed("Stopped before any image was done.")


def test_the_decoding_and_the_axes_are_used(folder: Path) -> None:
    large = TASKS["instances"].decoding(minimum_area=100)
    list(steps(bright(), files(folder), decoding=large))
    assert tifffile.imread(folder / "out" / "c.tif").max() == 0
    series = np.stack([squares(1), squares(2)])
    tifffile.imwrite(folder / "t.tif", series, photometric="minisblack")
    one = TiffSink((folder / "t.tif",), folder / "out", tables=True)
    list(steps(bright(), one, axes="TYX"))
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
    list(steps(made, TiffSink((tmp_path / "two.tif",), tmp_path / "out", tables=True)))
    head, first, *_ = (tmp_path / "out" / "two.csv").read_text().splitlines()
    row = dict(zip(head.split(","), first.split(","), strict=True))
    assert (row["mean_intensity_c0"], row["mean_intensity_c1"], row["area_um2"]) == ("0.125", "900", "2.56")


def test_a_prediction_is_there_only_with_its_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_dojo.inference.tiff_sink.write_csv", stopped)
    with pytest.raises(KeyboardInterrupt):
        list(steps(bright(), files(folder, tables=True)))
    assert files(folder, tables=True).left() == (0, 1, 2)


def test_an_image_is_never_replaced_by_its_prediction(folder: Path) -> None:
    there = TiffSink(files(folder).inputs, folder / "in", overwrite=True)
    with pytest.raises(DojoError, match=r"would overwrite the image a.tif itself"):
        there.check()
    (folder / "out").mkdir()
    (folder / "out" / "b.csv").write_text("mine")
    files(folder).check()
    with pytest.raises(DojoError, match=r"b.csv exists already"):
        files(folder, tables=True).check()
    assert files(folder, tables=True, overwrite=True).paths()[1][1] == folder / "out" / "b.csv"


def test_predicted_images_say_what_made_them(folder: Path) -> None:
    settings = PredictSettings(device="cpu", uncertainty=True)
    marked = TiffSink(files(folder).inputs[:1], folder / "out", mark=" (predicted by same)")
    list(steps(same(), marked, settings))
    names = ["a (predicted by same).tif", "a (predicted by same)_uncertainty.tif"]
    assert sorted(p.name for p in (folder / "out").iterdir()) == names
    written, spread = (images.read(folder / "out" / name) for name in names)
    assert written.data.dtype == np.float32
    np.testing.assert_allclose(written.data, squares(1), atol=0.5)
    assert np.abs(spread.data).max() < 0.5  # it says the same however the image is turned
    assert written.pixel_size == pytest.approx((0.5, 0.5))
    with tifffile.TiffFile(folder / "out" / names[0]) as tif:
        assert "denoise of a.tif (predicted by same)" in str(tif.imagej_metadata)


def test_the_inputs_type_is_written_back_when_asked(folder: Path) -> None:
    list(steps(same(), files(folder), PredictSettings(device="cpu", dtype="input")))
    written = images.read(folder / "out" / "b.tif").data
    assert written.dtype == np.uint16
    np.testing.assert_allclose(written.astype(int), squares(2).astype(int), atol=1)


def test_finer_predictions_have_smaller_pixels(folder: Path) -> None:
    fine = same("fine", "upscale", options={"factor": 2}, upsampling={"Y": 2, "X": 2}, net_options={"scale": [2, 2]})
    list(steps(fine, files(folder)))
    written = images.read(folder / "out" / "a.tif")
    assert written.data.shape == (96, 104)
    assert written.pixel_size == pytest.approx((0.25, 0.25))


def test_arrays_in_memory_and_in_files_give_the_same(tmp_path: Path) -> None:
    x = np.stack([squares(1), squares(3)])
    np.save(tmp_path / "x.npy", x)
    image = Image("x", Picture(x, None), "TYX")
    stored = StoredSource(tmp_path / "x.npy", Image("y", Picture(np.zeros(0), None), "TYX"))
    sink = ArraySink()
    *_, done = apply(Ready.of(bright(), CPU), [ArraySource(image), stored], sink)
    assert isinstance(done, Done)
    assert [plane.max() for plane in sink.found[0]] == [1, 3]
    np.testing.assert_array_equal(sink.found[0], sink.found[1])
    assert [(r["index"], r["name"], r["axes"]) for r in done.facts["results"]] == [(0, "x", "TYX"), (1, "y", "TYX")]


def test_a_file_whose_channels_have_names_is_put_in_the_order_of_the_model(tmp_path: Path) -> None:
    two = np.stack([squares(2), squares(1)])
    made = bright(channels=2, axes="CYX", channel_names=("red", "green"))  # finds what is bright in green
    for names, found in ((("red", "green"), 1), (("green", "red"), 2)):
        sink = ArraySink()
        source = ArraySource(Image("x", Picture(two, "CYX", channel_names=names)))
        list(apply(Ready.of(made, CPU), [source], sink))
        assert sink.found[0].max() == found


def test_a_disk_without_room_for_the_prediction_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_dojo.inference.tiff_sink.LARGE", 0)
    monkeypatch.setattr("numpy.lib.format.open_memmap", full)
    with pytest.raises(DojoError, match=r"^The disk of .*out is full\. Free space there"):
        list(steps(bright(), files(folder)))


@dataclass(frozen=True, eq=False)
class Watched(ArraySource):
    """An image whose reading is noticed."""

    seen: threading.Event = field(default_factory=threading.Event)

    def read(self, number: int = 0) -> Image:
        self.seen.set()
        return super().read(number)


def sources(count: int) -> list[Watched]:
    return [Watched(Image(f"image {k}", Picture(squares(k % 3 + 1), "YX"))) for k in range(count)]


def test_an_image_is_read_while_another_is_written() -> None:
    first, second = sources(2)

    class Waiting(ArraySink):
        def write(self, index: int, *given: Any) -> Any:
            assert index or second.seen.wait(60)
            return super().write(index, *given)

    *_, done = apply(Ready.of(bright(), CPU), [first, second], Waiting())
    assert [r["name"] for r in done.facts["results"]] == ["image 0", "image 1"]


def test_many_images_keep_their_order_and_only_a_few_are_under_way() -> None:
    given, sink = sources(30), ArraySink()
    said = apply(Ready.of(bright(), CPU), given, sink)
    next(said)
    assert not given[-1].seen.is_set()
    *_, done = said
    assert [r["name"] for r in done.facts["results"]] == [f"image {k}" for k in range(30)]
    assert [sink.found[k].max() for k in range(30)] == [k % 3 + 1 for k in range(30)]


def test_nothing_is_under_way_once_the_caller_is_gone() -> None:
    given = sources(30)
    said = apply(Ready.of(bright(), CPU), given, ArraySink())
    next(said)
    said.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("apply")]
    assert not given[-1].seen.is_set()


def test_a_bug_is_not_taken_for_an_image_that_does_not_fit() -> None:
    class Broken(Watched):
        def read(self, number: int = 0) -> Image:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(apply(Ready.of(bright(), CPU), [*sources(2), Broken(sources(1)[0].image)], ArraySink()))


def test_images_that_do_not_fit_in_memory_together_wait_for_each_other() -> None:
    memory = Memory(100.0)
    with memory.taken(1000.0, Control()), pytest.raises(StoppedError), memory.taken(1.0, Control(stop=True)):
        pass
    with memory.taken(60.0, Control()), memory.taken(40.0, Control()):
        assert memory.used == 100
    assert memory.used == 0


def test_too_little_memory_skips_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(ready: Any, given: Any, *more: Any) -> Any:
        if given.name == "image 1":
            raise MemoryError
        yield Progress(1, 1)
        return Prediction(given.array, given.axes)

    monkeypatch.setattr("napari_dojo.inference.predict.predict_image", small)
    *_, done = apply(Ready.of(bright(), CPU), sources(3), ArraySink())
    assert [r["name"] for r in done.facts["results"]] == ["image 0", "image 2"]
    assert done.facts["skipped"] == [
        "image 1: Not enough memory. Use smaller images or tiles, or close other programs."
    ]
