"""Show the code: the PyTorch script comes to the session's numbers, the Keras script to the same accuracy."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground import Session, Setup
from napari_dojo.playground.exercise import NAMES, load
from napari_dojo.playground.points import KINDS
from napari_dojo.playground.scripts import keras_script, torch_script

LINE = re.compile(r"^(training|validation|test): loss (\S+), (accuracy|explained) (\S+)$", re.MULTILINE)
ROWS = tuple((i / 20, (i * 7 % 20) / 20, float(i % 3)) for i in range(60))
FIT = {"output": "softmax", "loss": "categorical_cross_entropy"}
SMALL = Setup().with_(
    training=60, validation=30, test=30, hidden=(4, 3), activation="tanh", batch_size=8, epochs=6, learning_rate=0.05
)
CASES: list[dict[str, Any]] = [
    *({"kind": kind} for kind in KINDS if kind not in ("formula", "own", "plane", "curve", "clusters")),
    {"kind": "formula", "formula": "y < 0.6 sin(6x)", "noise": 0.1},
    {"kind": "own", "rows": ROWS, "outputs": 3, "zscore": True, **FIT},
    {"kind": "plane", "output": "linear", "loss": "squared_error", "validation": 0},
    {"kind": "curve", "output": "linear", "loss": "squared_error", "inputs": ("x", "x2", "sin_x")},
    {"kind": "clusters", "classes": 3, "outputs": 3, "label_noise": 0.1, **FIT},
    {"kind": "clusters", "classes": 3},
    {"kind": "clusters", "classes": 3, "outputs": 3, "loss": "categorical_cross_entropy"},
    {"kind": "spiral", "zscore": True, "label_noise": 0.1, "optimizer": "adam", "inputs": ("x", "y", "xy", "y2")},
    {"kind": "moons", "dropout": 0.3, "optimizer": "rmsprop", "seed": 5, "attempt": 2},
    {"kind": "moons", "skip": True, "dropout": 0.3, "l1": 0.001, "l2": 0.01, "optimizer": "momentum"},
    {"kind": "circle", "activation": "leaky_relu", "start": "he", "batch_size": 0},
    {"kind": "circle", "activation": "relu", "start": "random", "loss": "squared_error"},
    {"kind": "circle", "activation": "sigmoid", "start": "zero", "output": "linear"},
    {"kind": "circle", "activation": "linear", "hidden": (), "skip": True},
    {"kind": "xor", "outputs": 1, **FIT},
    {"kind": "blobs", "noise": 0.6, "training": 20, "hidden": (16,), "optimizer": "adam", "epochs": 60, "patience": 3},
]


def reached(setup: Setup) -> dict[str, tuple[float, float]]:
    """Loss and accuracy (in regression the share explained) of the three sets by the session."""
    session = Session(setup)
    for _ in session.run():
        pass
    scores = {name: session.score(name) for name in ("training", "validation", "test")}
    return {name: (s.loss, s.value) for name, s in scores.items() if s}


def said(text: str) -> dict[str, tuple[float, float]]:
    """What a script prints."""
    return {name: (float(loss), float(value)) for name, loss, _, value in LINE.findall(text)}


def run_torch(setup: Setup) -> dict[str, tuple[float, float]]:
    """What the PyTorch script prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(torch_script(setup), "shown.py", "exec"), {"__name__": "__main__"})
    return said(out.getvalue())


def same(got: dict[str, tuple[float, float]], wanted: dict[str, tuple[float, float]]) -> None:
    """To 1e-4."""
    assert got.keys() == wanted.keys()
    for name in wanted:
        assert got[name] == pytest.approx(wanted[name], abs=1e-4)


@pytest.mark.parametrize("values", CASES, ids=str)
def test_the_pytorch_script_comes_to_the_same_numbers(values: dict[str, Any]) -> None:
    setup = SMALL.with_(**values)
    same(run_torch(setup), reached(setup))


@pytest.mark.parametrize("name", NAMES)
def test_so_it_does_for_every_exercise(name: str) -> None:
    solution = load(name).solution
    assert solution is not None
    same(run_torch(solution.with_(epochs=2)), reached(solution.with_(epochs=2)))


def test_it_runs_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "shown.py"
    path.write_text(torch_script(SMALL), encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    same(said(done.stdout), reached(SMALL))


@pytest.mark.parametrize("values", CASES, ids=str)
def test_the_keras_script_is_python(values: dict[str, Any]) -> None:
    setup = SMALL.with_(**values)
    text = keras_script(setup)
    names = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    assert {"net.compile", "net.fit", "net.evaluate", "layers.Dense"} <= names
    sequential = not (setup.net.skip and setup.net.hidden)
    assert ("keras.Sequential" in names) == sequential
    assert ("keras.Model" in names) != sequential


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="keras is not installed (pip install keras)")
@pytest.mark.parametrize("name", ["line", "parabola", "spiral", "clusters", "overfitting", "curve"])
def test_the_keras_script_comes_to_the_same_accuracy(name: str, tmp_path: Path) -> None:
    solution = load(name).solution
    assert solution is not None
    values = {"epochs": min(solution.learning.epochs, 60), "batch_size": max(solution.learning.batch_size, 4)}
    setup = solution.with_(**values, skip=name == "clusters")
    path = tmp_path / "shown.py"
    path.write_text(keras_script(setup), encoding="utf-8")
    env = {**os.environ, "KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=110, env=env)
    assert done.returncode == 0, done.stderr
    got, wanted = said(done.stdout), reached(setup)
    assert got["test"][1] == pytest.approx(wanted["test"][1], abs=0.03)


def test_nothing_from_a_text_gets_into_the_code() -> None:
    hostile = Setup().with_(kind="formula", formula="y < x\n__import__('os').system('true')")
    for script in (torch_script, keras_script):
        with pytest.raises(DojoError, match="cannot be read"):
            script(hostile)
    assert "hello" not in torch_script(Setup().with_(formula="y < hello"))
