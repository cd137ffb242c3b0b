"""The command `classroom`: an exercise without a window, and a table of what students hand in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dojo.cli import main
from napari_dojo.playground import Session
from napari_dojo.playground.exercise import as_toml, load
from napari_dojo.playground.share import Shared, to_text


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, list[str], list[str]]:
    """Exit code, and the lines of both outputs."""
    code = main(["classroom", *map(str, args)])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err.splitlines()


def facts(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    """The object on the last line."""
    code, out, _ = run(capsys, *args, "--json")
    assert code == 0
    return json.loads(out[-1])  # type: ignore[no-any-return]


def learned(name: str, **values: Any) -> Session:
    """A session with an exercise's solution."""
    solution = load(name).solution
    assert solution is not None
    session = Session(solution.with_(**values))
    for _ in session.run():
        pass
    return session


def test_start_and_solution(capsys: pytest.CaptureFixture[str]) -> None:
    start, solution = facts(capsys, "line"), facts(capsys, "line", "--solution")
    assert start["parameters"] == solution["parameters"] == 3
    assert (start["updates_per_epoch"], solution["updates_per_epoch"]) == (16, 500)
    assert not start["met"]
    assert solution["met"]
    assert solution["test"]["accuracy"] >= 0.97
    assert set(solution["train"]) == {"loss", "accuracy"}


def test_the_same_numbers_as_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    got = facts(capsys, "parabola", "--solution", "--seed", 4, "--epochs", 3)
    session = learned("parabola", seed=4, epochs=3)
    for key, part in (("train", "training"), ("validation", "validation"), ("test", "test")):
        score = session.score(part)
        assert score is not None
        assert got[key] == {"loss": score.loss, "accuracy": score.accuracy}


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    given = (
        "--hidden 4,3 --activation relu --optimizer adam --lr .01 --batch-size 16 --epochs 2 --points 50,20,30 --skip"
    )
    code, out, _ = run(capsys, "spiral", *given.split(), "--label-noise", ".1", "--json")
    assert code == 0
    assert out[2] == "Parameters: 2·4+4 + 4·3+3 + 5·1+1 = 33"
    assert out[3] == "Updates per epoch: 50 / 16 = 4 (rounded up); 2 epochs"
    assert [line.split()[:2] for line in out[5:8]] == [["training", "50"], ["validation", "20"], ["test", "30"]]
    assert json.loads(out[-1])["parameters"] == 33
    assert facts(capsys, "parabola", "--hidden", 0)["parameters"] == 3
    regression = facts(capsys, "regression", "--solution")
    assert regression["test"]["accuracy"] is None
    assert regression["test"]["r2"] > 0.9


def test_what_runs_away_is_said_and_no_nan_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plane", "--output", "linear", "--loss", "squared_error", "--lr", "1e9", "--json")
    assert code == 0
    assert any("Training diverged in epoch 1" in line for line in out)
    got = json.loads(out[-1], parse_constant=lambda name: pytest.fail(name))
    assert not got["met"]
    assert got["epochs"] == 0
    assert got["train"]["loss"] < 1
    code, out, _ = run(
        capsys, "plane", "--output", "linear", "--loss", "categorical_cross_entropy", "--initializer", "zero", "--json"
    )
    assert json.loads(out[-1], parse_constant=lambda name: pytest.fail(name))["train"]["loss"] is None


def test_notes_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = run(capsys, "line", "--batch-size", 600, "--epochs", 1)
    assert err == ["Note: The batch size 600 exceeds the 500 training points: each update uses all of them."]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["line", "--lr", "0"], "The learning rate must be above 0"),
        (["line", "--points", "5"], "--points needs three whole numbers"),
        (["line", "--points", "1,0,0"], "The only training point is not of class"),
        (["line", "--hidden", "8,x"], "whole numbers from 1 to 32"),
        (["line", "--kind", "formula", "--formula", "y < os"], "other than arithmetic"),
        (["line", "--csv", "nowhere.csv"], "nowhere.csv cannot be read or written: No such file"),
        (["line", "--epochs", "1", "--plot", "nowhere/a.png"], "No such file"),
        (["line", "--epochs", "1", "--plot", "a.nothing"], "cannot be drawn in that format"),
        (["line", "--outputs", "3"], "needs 1 or 2"),
        (["open", "nowhere.toml"], "nowhere.toml cannot be read or written: No such file"),
        (["open", "donut"], "There is no exercise 'donut'"),
        (["open", "dojo1:abc"], "damaged or incomplete"),
        (["open", "dojo9:abc"], "newer napari-dojo"),
        (["check", "nowhere.txt"], "None of the 1 submissions can be read. The first: nowhere.txt: No such file"),
    ],
)
def test_one_sentence_and_exit_code_2(args: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *args)
    assert code == 2
    assert sentence in err[-1]


def test_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("line", "clusters", "curve", "plane"):
        assert run(capsys, name, "--solution", "--epochs", 2, "--plot", tmp_path / f"{name}.png")[0] == 0
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_own_points_and_own_exercise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "cells.csv"
    rng = np.random.default_rng(0)
    table.write_text("x,y,state\n" + "\n".join(f"{x},{y},{'ab'[int(y > x)]}" for x, y in rng.uniform(-1, 1, (90, 2))))
    got = facts(capsys, "line", "--solution", "--csv", table)
    assert got["test"]["accuracy"] > 0.9
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(load("line")), encoding="utf-8")
    assert facts(capsys, "open", path, "--solution")["met"]
    text = to_text(Shared(load("line"), load("line").start))
    assert facts(capsys, "open", text)["train"] == facts(capsys, "line")["train"]
    assert run(capsys, "open", text, "--solution")[0] == 2


def test_code(capsys: pytest.CaptureFixture[str]) -> None:
    for framework, word in (("pytorch", "nn.Sequential"), ("keras", "keras.Sequential")):
        code, out, _ = run(capsys, "line", "--solution", "--code", framework)
        assert code == 0
        compile("\n".join(out), "shown.py", "exec")
        assert any(word in line for line in out)


def test_the_table_of_what_students_hand_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parabola, batch = learned("parabola"), learned("batch-size", learning_rate=0.5, epochs=3)
    parabola.score("test")
    ada = to_text(Shared.of(load("parabola"), parabola))
    (tmp_path / "ada.txt").write_text("> " + "\n> ".join(ada[i : i + 60] for i in range(0, len(ada), 60)))
    bob = to_text(Shared.of(load("batch-size"), batch, by="Bob"))
    again = to_text(Shared.of(load("parabola"), parabola, weights=False))
    (tmp_path / "class.txt").write_text(f"# class 2\n{bob}\nEve\x1b[2J: {again}\nMallory: dojo1:abc\n")
    code, out, err = run(capsys, "check", tmp_path / "ada.txt", tmp_path / "class.txt", "--json")
    assert code == 0
    assert err == ["Skipped: class.txt, text 3: This text is damaged or incomplete. Copy all of it again."]
    rows = json.loads(out[-1])["rows"]
    test, validation = parabola.score("test"), parabola.score("validation")
    assert test is not None
    assert validation is not None
    assert rows[0] == {
        "by": "ada",
        "exercise": "2 Parabola",
        "parameters": 17,
        "epochs": 20,
        "validation": validation.accuracy,
        "test": test.accuracy,
        "looks": 1,
        "met": True,
        "note": "",
    }
    assert (rows[1]["by"], rows[1]["epochs"]) == ("Bob", 3)
    assert rows[1]["note"] == "not allowed, but changed: learning_rate, epochs"
    assert rows[2]["by"] == "Eve [2J"
    assert rows[2]["note"] == "retrained"
    assert rows[2]["test"] == test.accuracy
    assert out[-2] == "Read 3 of 4 submissions."
    assert len({line.find("2 Parabola") for line in out[1:4] if "2 Parabola" in line}) == 1


def test_the_goal_of_the_course_counts_not_that_of_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = load("parabola")
    cheat = to_text(Shared.of(exercise, Session(exercise.start.with_(kind="line"))))
    values = exercise.as_dict(solution=False) | {"goal": "parameters <= 20"}
    easy = type(exercise).of(values, "parabola")
    (tmp_path / "a.txt").write_text(to_text(Shared.of(easy, Session(exercise.start))) + "\n" + cheat)
    rows = facts(capsys, "check", tmp_path / "a.txt")["rows"]
    assert [row["met"] for row in rows] == [False, False]
    assert rows[1]["note"].startswith("other points")


def test_a_text_that_would_take_hours_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup = load("line").start.with_(epochs=100_000, training=10_000, hidden=(32, 32), batch_size=0)
    (tmp_path / "a.txt").write_text(to_text(Shared(load("line"), setup)))
    code, _, err = run(capsys, "check", tmp_path / "a.txt")
    assert code == 2
    assert "training it again takes too long" in err[-1]


def test_it_needs_no_torch_no_window_and_little_time() -> None:
    code = """
import sys, time
began = time.process_time()
class Block:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("torch", "scipy", "skimage", "napari", "qtpy", "pandas", "matplotlib"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
import numpy
between = time.process_time()
import napari_dojo.playground
from napari_dojo.playground import advice, counts, exercise, glossary, representation, scripts, share, slow, surface
took = time.process_time() - between
from napari_dojo.playground import Session
session = Session(exercise.load("parabola").solution)
for _ in session.run(2): pass
print(took, time.process_time() - began)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    took, all_ = map(float, done.stdout.split())
    assert took < 0.3
    assert all_ < 3
