"""The command line: what it does, and one sentence with exit code 2 where it cannot."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from discs import discs
from forked import forked_jobs  # noqa: F401 : a fixture

from napari_dojo.cli import main
from napari_dojo.events import Event
from napari_dojo.models.card import read_card
from napari_dojo.training.train import train_steps

TINY = ["--steps", "3", "--batch", "2", "--patch", "64", "--width", "8", "--depth", "2", "--device", "cpu"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Folders ``images`` and ``labels`` of three pairs."""
    images, labels = discs()
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for i, (x, y) in enumerate(zip(images, labels, strict=True)):
        tifffile.imwrite(tmp_path / "images" / f"{i}.tif", x)
        tifffile.imwrite(tmp_path / "labels" / f"{i}.tif", y.astype(np.uint16))
    return tmp_path


def train(data: Path, *more: str) -> int:
    """``train instances`` on the data."""
    given = ["--input", str(data / "images"), "--target", str(data / "labels"), "--out", str(data / "m")]
    return main(["train", "instances", *given, *TINY, *more])


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The JSON object on the last line."""
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])  # type: ignore[no-any-return]


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of what went to standard error."""
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_train_predict_evaluate(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(data, "--json") == 0
    said = last_line(capsys)
    assert said["model"] == str(data / "m")
    assert said["steps"] == 3
    out = data / "out"
    assert main(["predict", str(data / "m"), str(data / "images"), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["0.tif", "1.tif", "2.tif"]
    labels = tifffile.imread(out / "0.tif")
    assert labels.dtype == np.uint16
    assert labels.shape == (96, 96)
    capsys.readouterr()
    given = ["--input", str(data / "images"), "--target", str(data / "labels"), "--json"]
    assert main(["evaluate", str(data / "m"), *given]) == 0
    scores = last_line(capsys)
    assert scores["n_true"] == 27
    assert set(scores["ap"]) == {"0.5", "0.6", "0.7", "0.8", "0.9"}  # type: ignore[call-overload]
    table = data / "scored" / "scores.csv"
    given += ["--out", str(table.parent)]
    assert main(["evaluate", str(data / "m"), *given]) == 0
    table.write_text("older")
    capsys.readouterr()
    assert main(["evaluate", str(data / "m"), *given]) == 2
    assert sentence(capsys).endswith(f"{table} exists already. Choose another folder, or overwrite it.")
    assert table.read_text() == "older"
    assert main(["evaluate", str(data / "m"), *given, "--overwrite"]) == 0
    assert table.read_text() != "older"


def test_strokes_are_scored_as_strokes_and_whole_objects_as_whole(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data)
    (data / "strokes").mkdir()
    for path in (data / "labels").iterdir():
        y = tifffile.imread(path)
        lines = np.indices(y.shape)[0] % 32  # two rows through each disc, and two between them
        drawn = np.where((y > 0) & (lines // 2 == 8), y + 1, np.where(lines // 2 == 0, 1, 0))
        tifffile.imwrite(data / "strokes" / path.name, drawn.astype(np.uint16))

    def scored(target: str, *more: str) -> tuple[dict[str, object], str]:
        capsys.readouterr()
        given = ["--input", str(data / "images"), "--target", str(data / target), "--json"]
        assert main(["evaluate", str(data / "m"), *given, *more]) == 0
        out, err = capsys.readouterr()
        said = json.loads(out.strip().splitlines()[-1])
        assert f"3 images, annotation: {said['annotation']}" in out
        return said, err

    found, err = scored("strokes", "--annotation", "strokes")
    assert (found["annotation"], found["objects"]) == ("strokes", 27)
    assert "look like" not in err
    found, err = scored("strokes")
    assert found["annotation"] == "complete"
    assert "n_true" in found
    assert "look like strokes" in err
    assert "say so with --annotation strokes" in err
    whole, err = scored("labels")
    assert (whole["annotation"], whole["n_true"]) == ("complete", 27)
    assert "strokes" not in err
    assert scored("labels", "--annotation", "strokes")[0]["objects"] == 24  # number 1 is background
    (data / "classes").mkdir()
    for path in (data / "labels").iterdir():
        tifffile.imwrite(data / "classes" / path.name, (tifffile.imread(path) > 0).astype(np.uint8))
    given = ["--input", str(data / "images"), "--target", str(data / "classes")]
    assert main(["train", "semantic", *given, "--out", str(data / "c"), "--zero", "background", *TINY]) == 0
    for said in ([], ["--zero", "unlabelled"]):
        capsys.readouterr()
        assert main(["evaluate", str(data / "c"), *given, *said, "--json"]) == 0
        scores = last_line(capsys)
        assert scores["zero"] == (said[1] if said else "background")
        assert scores["pixels"] == (
            sum(y.sum() for y in map(tifffile.imread, (data / "classes").iterdir())) if said else 3 * 96 * 96
        )
    one = str(data / "images" / "0.tif")
    given = ["--input", one, "--target", one, "--annotation", "strokes"]
    assert main(["evaluate", "denoise-fluorescence", *given]) == 2
    assert "--annotation is not for denoise-fluorescence, a model of the task denoise" in sentence(capsys)
    assert main(["evaluate", str(data / "m"), *given[:4], "--objects", str(data / "m")]) == 2
    assert "The model m predicts no images to find objects in. Leave --objects out." in sentence(capsys)
    assert main(["evaluate", "denoise-fluorescence", *given[:4], "--objects", "denoise-fluorescence"]) == 2
    assert "The model denoise-fluorescence detects no objects" in sentence(capsys)
    assert main(["evaluate", "denoise-fluorescence", *given[:4], "--out", f"{one}/scores"]) == 2
    out, err = capsys.readouterr()
    assert "cannot be written" in err
    assert not out  # said before anything is scored


def test_results_are_not_replaced_without_overwrite(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(data)
    apply = ["predict", str(data / "m"), str(data / "images" / "0.tif"), "--out", str(data / "out")]
    assert main(apply) == 0
    assert main(apply) == 2
    assert "exists already" in sentence(capsys)
    assert main([*apply, "--overwrite"]) == 0


def test_a_bad_file_among_good_ones_is_excluded_and_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "images" / "bad.tif").write_text("no image")
    (data / "labels" / "bad.tif").write_text("no image")
    assert train(data, "--json") == 1
    said = capsys.readouterr()
    assert said.err.count("bad.tif") == 2  # before the training and at its end
    assert said.err.count("Excluded:") == 2
    (left,) = json.loads(said.out.splitlines()[-1])["excluded"]
    assert left["name"] == "bad.tif"
    assert read_card(data / "m").data["excluded"] == [left]
    assert main(["predict", str(data / "m"), str(data / "images"), "--out", str(data / "out")]) == 1
    said = capsys.readouterr()
    assert "3 of 4 images done" in said.out
    assert "bad.tif" in said.err
    given = ["--input", str(data / "images"), "--target", str(data / "labels")]
    assert main(["evaluate", str(data / "m"), *given]) == 1
    assert "but bad.tif holds text" in capsys.readouterr().err


def test_long_names_and_folders_of_inputs_are_kept(data: Path) -> None:
    train(data)
    names = ["A" * 247, "C" * 240, "short"]
    for name in names:
        shutil.copyfile(data / "images" / "0.tif", data / "labels" / f"{name}.tif")
    pattern = str(data / "labels" / "[ACs]*.tif")
    assert main(["predict", str(data / "m"), pattern, "--out", str(data / "long")]) == 0
    assert sorted(p.name for p in (data / "long").iterdir()) == [f"{name}.tif" for name in names]
    for well in ("A1", "A2"):
        (data / "wells [1]" / well).mkdir(parents=True)
        shutil.copyfile(data / "images" / "0.tif", data / "wells [1]" / well / "img.tif")
    (data / "files.txt").write_text("# wells\nwells [1]/A2/img.tif\nwells [1]/A1/img.tif\n")
    plate, both = str(data / "wells [1]"), ["A1/img.tif", "A2/img.tif"]
    ways: list[tuple[list[str], list[str]]] = [
        ([f"{plate}/*/img.tif"], both),
        ([plate, "--subfolders"], both),
        ([plate, "--subfolders", "--exclude", "A1/*"], ["img.tif"]),
        ([str(data / "files.txt")], both),
    ]
    for i, (given, wanted) in enumerate(ways):
        out = data / f"out{i}"
        assert main(["predict", str(data / "m"), *given, "--out", str(out)]) == 0
        assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.tif")) == wanted
    assert main(["predict", str(data / "m"), plate, "--out", str(data / "no")]) == 2


def test_tables_and_outlines_beside_the_results(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data / "out"
    given = [str(data / "images"), "--out", str(out), "--device", "cpu"]
    assert main(["predict", "nuclei-fluorescence", *given, "--diameter", "14", "--tables", "--rois"]) == 0
    assert sorted(p.name for p in out.iterdir()) == [f"{i}{end}" for i in range(3) for end in (".csv", ".tif", ".zip")]
    assert main(["predict", "nuclei-fluorescence", *given, "--overwrite", "--measure", "feret,perimeter"]) == 0
    assert (out / "0.csv").read_text().splitlines()[0].endswith("centroid_x_px,perimeter_px,feret_px")
    assert main(["predict", "nuclei-fluorescence", *given, "--overwrite", "--measure", "girth"]) == 2
    assert "no measurement 'girth'" in sentence(capsys)
    assert main(["predict", "denoise-fluorescence", *given, "--overwrite", "--tables"]) == 2
    assert "Leave --tables and --rois out." in sentence(capsys)


def test_a_run_is_resumed_on_its_own_data_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(data) == 0
    assert train(data, "--resume") == 0
    assert train(data, "--resume", "--validation", "0") == 2
    assert "the split into training, validation and test parts is another one" in capsys.readouterr().err
    for folder, what in (("labels", "targets"), ("images", "images")):
        x = tifffile.imread(data / folder / "0.tif")
        tifffile.imwrite(data / folder / "0.tif", x[::-1])
        before = (data / "m" / "rdf.yaml").read_bytes()
        assert train(data, "--resume") == 2
        assert f"cannot be resumed: the {what} are not the same" in capsys.readouterr().err
        assert (data / "m" / "rdf.yaml").read_bytes() == before
    shutil.rmtree(data / "m" / "run")
    assert train(data, "--resume") == 2
    assert "holds a model, but no run that can be resumed" in sentence(capsys)


def test_stopped_before_the_first_step_nothing_is_saved(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at_the_plan(*args: Any) -> Iterator[Event]:
        for event in train_steps(*args):
            args[-1].stop = True
            yield event

    monkeypatch.setattr("napari_dojo.training.train.train_steps", stop_at_the_plan)
    assert train(data) == 1
    assert sentence(capsys) == "napari-dojo: Stopped before the first step: nothing was saved."
    assert not (data / "m").exists()
    monkeypatch.undo()
    assert train(data) == 0
    before = {p.name: p.stat().st_mtime_ns for p in (data / "m").rglob("*")}
    monkeypatch.setattr("napari_dojo.training.train.train_steps", stop_at_the_plan)
    assert train(data, "--overwrite") == 1
    assert {p.name: p.stat().st_mtime_ns for p in (data / "m").rglob("*")} == before


@pytest.mark.parametrize(
    ("image", "axes"),
    [
        (np.zeros((40, 40), np.uint8), None),
        (np.full((40, 40), 7.5, np.float32), None),
        (np.full((40, 40), np.nan, np.float32), None),
        (np.ones((1, 1), np.uint16), None),
        (np.zeros((2, 30, 31), np.uint16), "TYX"),
    ],
)
def test_an_image_without_anything_gives_empty_labels(data: Path, image: np.ndarray, axes: str | None) -> None:
    train(data)
    tifffile.imwrite(data / "blank.tif", image)
    more = ["--axes", axes] if axes else []
    assert main(["predict", str(data / "m"), str(data / "blank.tif"), "--out", str(data / "out"), *more]) == 0
    labels = tifffile.imread(data / "out" / "blank.tif")
    assert labels.max() == 0
    assert labels.shape == image.shape


def test_awkward_images_are_predicted(data: Path) -> None:
    train(data)
    rng = np.random.default_rng(0)
    awkward = {
        "thin": rng.integers(0, 99, (1, 300)).astype(np.uint16),
        "odd": rng.integers(0, 99, (37, 61)).astype(np.uint8),
        "huge": rng.random((50, 50)) * 1e30,
        "negative": (rng.random((50, 50)) - 0.5).astype(np.float32),
        "wide": rng.integers(0, 9999, (40, 3000)).astype(np.int32),
    }
    awkward["holes"] = np.where(rng.random((50, 50)) < 0.1, np.nan, rng.random((50, 50))).astype(np.float32)
    awkward["holes"][3, 3] = np.inf
    (data / "awkward").mkdir()
    for name, image in awkward.items():
        tifffile.imwrite(data / "awkward" / f"{name}.tif", image)
    assert main(["predict", str(data / "m"), str(data / "awkward"), "--out", str(data / "out")]) == 0
    for name, image in awkward.items():
        assert tifffile.imread(data / "out" / f"{name}.tif").shape == image.shape


def test_bad_choices_are_one_sentence(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = str(data / "images"), str(data / "labels")
    out = ["--out", str(data / "m")]
    cases = {
        "does not exist": ["train", "instances", "--input", "nowhere", "--target", labels, *out],
        "Validation must lie between": [
            "train",
            "instances",
            "--input",
            images,
            "--target",
            labels,
            *out,
            "--validation",
            "3",
        ],
        "There is no model": ["predict", "nobody", images, "--out", str(data / "x")],
        "class": ["train", "semantic", "--input", images, "--target", labels, *out, "--classes", "a,b"],
    }
    for said, command in cases.items():
        assert main(command) == 2
        text = sentence(capsys)
        assert said in text
        assert "Traceback" not in text
    assert not (data / "m").exists()


def test_what_means_nothing_for_a_model_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that changes nothing is a misunderstanding, not a detail."""
    images, labels, out = str(data / "images"), str(data / "labels"), ["--out", str(data / "out")]
    grey, noise = "objects-grey", "denoise-fluorescence"
    for flag, command in {
        "--target": ["predict", grey, images, *out, "--target", labels],
        "--uncertainty": ["predict", grey, images, *out, "--uncertainty"],
        "--dtype": ["predict", grey, images, *out, "--dtype", "input"],
        "--any-size": ["predict", noise, images, *out, "--any-size"],
        "--planes": ["predict", noise, images, *out, "--planes", "number"],
        "--diameter": ["evaluate", noise, "--input", images, "--target", images, "--diameter", "9"],
        "--unsure": ["predict", grey, images, *out, "--unsure", "0.8"],
        "--threshold": ["predict", noise, images, *out, "--threshold", "0.8"],
        "--classes": ["evaluate", grey, "--input", images, "--target", labels, "--classes", "no.csv"],
    }.items():
        assert main(command) == 2
        task = "denoise" if noise in command else "instances"
        said = f"{flag} is not for {command[1]}, a model of the task {task} for planes. Leave it out."
        assert said in sentence(capsys)
    for flag in ("--uncertainty", "--planes=number"):  # nothing is written that they could change
        with pytest.raises(SystemExit) as left:
            main(["evaluate", noise, "--input", images, "--target", images, flag])
        assert left.value.code == 2
        assert f"unrecognized arguments: {flag}" in sentence(capsys)
    pair = ["models", "export", grey, "--then", noise, "--out", str(data / "pair.zip")]
    assert main(pair) == 2
    assert "gives no classes to objects" in sentence(capsys)
    assert not (data / "out").exists()
    assert not (data / "pair.zip").exists()


def test_three_dimensions_without_a_name_are_refused_with_the_candidates(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data)
    tifffile.imwrite(data / "what.tif", np.zeros((5, 40, 40), np.uint8), photometric="minisblack")
    capsys.readouterr()
    assert main(["predict", str(data / "m"), str(data / "what.tif"), "--out", str(data / "out")]) == 2
    text = sentence(capsys)
    assert "ZYX" in text
    assert "TYX" in text


def test_models_are_exported_imported_listed_and_removed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(data)
    assert main(["models", "export", str(data / "m"), "--out", str(data / "m.zip")]) == 0
    assert main(["models", "import", str(data / "m.zip"), "--name", "mine"]) == 0
    capsys.readouterr()
    assert main(["models", "list", "--json"]) == 0
    there = capsys.readouterr().out.strip().splitlines()[-1]
    assert {"mine"} <= {m["name"] for m in json.loads(there)}
    for model in ("mine", str(data / "m.zip")):
        assert main(["predict", model, str(data / "images"), "--out", str(data / "out"), "--overwrite"]) == 0
        capsys.readouterr()
        assert main(["models", "test", model, "--json"]) == 0
        assert float(str(last_line(capsys)["difference"])) < 1e-4
    assert main(["models", "remove", "mine"]) == 0
    assert main(["models", "test", "mine"]) == 2
    assert main(["models", "info", "mine"]) == 2


def test_colour_images_and_stacks(tmp_path: Path) -> None:
    images, labels = discs()
    for name in ("i", "l", "zi", "zl"):
        (tmp_path / name).mkdir()
    for k, (x, y) in enumerate(zip(images, labels, strict=True)):
        colour = np.stack([x, x // 2, x[::-1]], -1).clip(0, 255).astype(np.uint8)
        tifffile.imwrite(tmp_path / "i" / f"{k}.tif", colour, photometric="rgb")
        tifffile.imwrite(tmp_path / "l" / f"{k}.tif", y.astype(np.uint8))
        tifffile.imwrite(tmp_path / "zi" / f"{k}.tif", np.stack([x] * 8))
        tifffile.imwrite(tmp_path / "zl" / f"{k}.tif", np.stack([y] * 8).astype(np.uint8))
    given = ["--input", str(tmp_path / "i"), "--target", str(tmp_path / "l"), "--out", str(tmp_path / "m"), *TINY]
    assert main(["train", "instances", *given]) == 0
    assert main(["predict", str(tmp_path / "m"), str(tmp_path / "i"), "--out", str(tmp_path / "o")]) == 0
    assert tifffile.imread(tmp_path / "o" / "0.tif").shape == (96, 96)
    tiny = ["--steps", "2", "--batch", "1", "--patch", "32", "--width", "8", "--depth", "2", "--axes", "ZYX"]
    given = ["--input", str(tmp_path / "zi"), "--target", str(tmp_path / "zl"), "--out", str(tmp_path / "z"), *tiny]
    assert main(["train", "instances", *given]) == 0
    stack = [str(tmp_path / "zi" / "0.tif"), "--axes", "ZYX", "--out", str(tmp_path / "zo")]
    assert main(["predict", str(tmp_path / "z"), *stack]) == 0
    assert tifffile.imread(tmp_path / "zo" / "0.tif").shape == (8, 96, 96)


def test_a_full_disk_that_names_no_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_dojo.doctor.report", full)
    assert main(["doctor"]) == 2
    assert sentence(capsys) == "napari-dojo: The disk is full. Free space on it."


@pytest.mark.skipif(sys.platform == "win32", reason="there are no broken pipes")
def test_who_reads_the_output_may_stop() -> None:
    command = [sys.executable, "-m", "napari_dojo", "models", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 1


def test_doctor_says_something_of_torch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asks of a child is in test_doctor.py."""
    torch = {"version": "2.9", "build": None, "cuda": False, "mps": False, "cards": [], "error": None}
    drawn = {"vendor": "Mesa", "renderer": "llvmpipe", "version": "4.5"}
    monkeypatch.setattr("napari_dojo.doctor._ask", lambda code: (torch | drawn, ""))
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out


@pytest.mark.usefixtures("forked_jobs")
def test_command_line_python_and_job_predict_the_same(data: Path) -> None:
    from waiting import never, wait

    from napari_dojo.inference.geometry import Image
    from napari_dojo.inference.predict import predict
    from napari_dojo.io.images import Picture
    from napari_dojo.jobs.image_requests import predict_request
    from napari_dojo.jobs.job import Job
    from napari_dojo.models.bundle import load
    from napari_dojo.models.library import find
    from napari_dojo.simulation.microscope import simulate

    image = simulate("nuclei", (150, 170), 1).image
    tifffile.imwrite(data / "nuclei.tif", image)
    python = predict(load(find("nuclei-fluorescence")), image, "YX")
    assert main(["predict", "nuclei-fluorescence", str(data / "nuclei.tif"), "--out", str(data / "out")]) == 0
    model = find("nuclei-fluorescence")
    job = Job(predict_request(data / "run", model, [Image("a", Picture(image, "YX"))], maps=False))
    job.start()
    wait(job, never)
    job.close()
    assert python.max() > 5
    assert (tifffile.imread(data / "out" / "nuclei.tif") == python).all()
    assert (np.load(data / "run" / "prediction-0.npy") == python).all()


def test_a_recipe_is_checked_run_and_continued(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(data) == 0
    steps = "steps:\n- predict:\n    model: m\n- measure\n"
    (data / "r.yaml").write_text(f"recipe: 1\ninput: images\nout: out\n{steps}")
    (data / "images" / "broken.tif").write_text("no image")
    assert main(["run", str(data / "r.yaml"), "--check"]) == 1
    said = capsys.readouterr().out
    assert "4 images in images" in said
    assert "Would be skipped: broken.tif: " in said
    assert not (data / "out").exists()
    for _ in range(2):
        assert main(["run", str(data / "r.yaml"), "--json"]) == 1
        printed = capsys.readouterr()
        assert "broken.tif holds text" in printed.err
        found = json.loads(printed.out.splitlines()[-1])
        assert (found["results"], found["images"], len(found["skipped"])) == (3, 4, 1)
    assert main(["run", str(data / "r.yaml"), "--exclude", "broken*", "--out", str(data / "other")]) == 0
    assert len(list((data / "other").glob("?.tif"))) == 3
    (data / "r.yaml").write_text(f"recipe: 1\ninput: images\nout: out\n{steps}- exprt\n")
    assert main(["run", str(data / "r.yaml")]) == 2
    assert sentence(capsys) == "napari-dojo: r.yaml, line 8: There is no step 'exprt'. Did you mean export?"


def test_only_images_without_a_result_are_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from same import same

    from napari_dojo.models.bundle import save

    model = save(same(), tmp_path / "m", np.ones((1, 16, 16), np.float32))
    for name in ("a/1.tif", "a/2.tif", "b/1.tif"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(tmp_path / "in" / name, np.arange(400, dtype=np.uint16).reshape(20, 20))
    given = [
        "predict",
        str(model),
        str(tmp_path / "in" / "*" / "*.tif"),
        "--out",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    assert main([*given, "--json"]) == 0
    assert capsys.readouterr().err == ""  # no bar in a log
    (tmp_path / "out" / "a" / "2.tif").unlink()
    before = (tmp_path / "out" / "b" / "1.tif").stat().st_mtime_ns
    capsys.readouterr()
    assert main([*given, "--skip-existing", "--json"]) == 0
    assert last_line(capsys)["written"] == [str(tmp_path / "out" / "a" / "2.tif")]
    assert (tmp_path / "out" / "b" / "1.tif").stat().st_mtime_ns == before
    assert main([*given, "--skip-existing"]) == 0
    assert capsys.readouterr().out.startswith("All 3 results are there already")
    assert main([*given, "--skip-existing", "--json"]) == 0
    assert last_line(capsys) == {"written": [], "skipped": [], "seconds": 0.0}
    assert main(given) == 2  # without the flag, as before
