"""Show the code: the PyTorch script comes to the session's numbers, the Keras script to the same where order plays no part."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import re
import sys
from typing import Any

import pytest
from forked import python

from napari_dojo.errors import DojoError
from napari_dojo.playground import Session, Setup
from napari_dojo.playground.exercise import IMAGES, NAMES, load
from napari_dojo.playground.points import KINDS
from napari_dojo.playground.scripts import keras_script, torch_script

LINE = re.compile(r"^(training|validation|test): loss (\S+), (accuracy|R2) (\S+)$", re.MULTILINE)
ROWS = tuple((i / 20, (i * 7 % 20) / 20, float(i % 3)) for i in range(60))
FIT = {"output": "softmax", "loss": "categorical_cross_entropy"}
SMALL = Setup().with_(
    training=60, validation=30, test=30, hidden=(4, 3), activation="tanh", batch_size=8, epochs=6, learning_rate=0.05
)
CASES: list[dict[str, Any]] = [
    *({"kind": kind} for kind in KINDS if kind not in ("formula", "custom", "plane", "hills", "curve", "clusters")),
    {"kind": "formula", "formula": "y < 0.6 sin(6x)", "noise": 0.1},
    {"kind": "custom", "rows": ROWS, "outputs": 3, "zscore": True, **FIT},
    {"kind": "plane", "output": "linear", "loss": "squared_error", "validation": 0},
    {"kind": "hills", "output": "linear", "loss": "squared_error"},
    {"kind": "curve", "output": "linear", "loss": "squared_error", "inputs": ("x", "x2", "sin_x")},
    {"kind": "clusters", "classes": 3, "outputs": 3, "label_noise": 0.1, **FIT},
    {"kind": "clusters", "classes": 3},
    {"kind": "clusters", "classes": 3, "outputs": 3, "loss": "categorical_cross_entropy"},
    {"kind": "spiral", "zscore": True, "label_noise": 0.1, "optimizer": "adam", "inputs": ("x", "y", "xy", "y2")},
    {"kind": "moons", "dropout": 0.3, "optimizer": "rmsprop", "seed": 5, "attempt": 2},
    {"kind": "moons", "skip": True, "dropout": 0.3, "l1": 0.001, "l2": 0.01, "optimizer": "momentum"},
    {"kind": "circle", "activation": "leaky_relu", "initializer": "he", "batch_size": 0},
    {"kind": "circle", "activation": "relu", "initializer": "random", "loss": "squared_error"},
    {"kind": "circle", "activation": "sigmoid", "initializer": "zero", "output": "linear"},
    {"kind": "circle", "activation": "linear", "hidden": (), "skip": True},
    {"kind": "xor", "outputs": 1, **FIT},
    {"kind": "blobs", "noise": 0.6, "training": 20, "hidden": (16,), "optimizer": "adam", "epochs": 60, "patience": 3},
]


def reached(setup: Setup) -> dict[str, tuple[float, float]]:
    """Loss and accuracy (for regression R²) of the three sets by the session."""
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
    nodes = [n for n in ast.walk(ast.parse(torch_script(setup))) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {name.name if isinstance(n, ast.Import) else str(n.module) for n in nodes for name in n.names}
    assert {name.partition(".")[0] for name in names} <= {
        "numpy",
        "torch",
        *sys.stdlib_module_names,
    }  # it runs by itself


@pytest.mark.parametrize("name", [name for name in NAMES if name not in IMAGES])
def test_so_it_does_for_every_exercise(name: str) -> None:
    """Those on images: test_image_session.py."""
    solution = load(name).solution
    assert isinstance(solution, Setup)
    same(run_torch(solution.with_(epochs=2)), reached(solution.with_(epochs=2)))


@pytest.mark.parametrize("values", CASES, ids=str)
def test_the_keras_script_is_python(values: dict[str, Any]) -> None:
    setup = SMALL.with_(**values)
    text = keras_script(setup)
    names = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    assert {"net.compile", "net.fit", "net.evaluate", "layers.Dense"} <= names
    sequential = not (setup.net.skip and setup.net.hidden)
    assert ("keras.Sequential" in names) == sequential
    assert ("keras.Model" in names) != sequential


# Exercises' solutions, or with "start" their beginnings, and what is other. Of all points at once, which order does not matter.
KERAS: dict[str, dict[str, Any]] = {
    "line": {"learning_rate": 0.2, "activation": "linear", "hidden": (2,)},
    "parabola": {"learning_rate": 0.1, "optimizer": "momentum"},
    "spiral": {"learning_rate": 0.02},
    "clusters": {"hidden": (4,), "skip": True, "activation": "leaky_relu"},
    "overfitting": {"epochs": 20, "l2": 0, "dropout": 0, "patience": 2, "learning_rate": 0.1},
    "overfitting penalized": {"l1": 0.001, "dropout": 0},
    "moons": {"optimizer": "rmsprop", "learning_rate": 0.02},
    "curve": {"learning_rate": 0.05, "optimizer": "adam"},
    "clusters start": {},
    "plane start": {},
    "moons start": {"dropout": 0.1},
}
# One after the other in one Python, which is the slow part of it.
RUN_ALL = """
import contextlib, io, json, runpy, sys
said = []
for path in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(path, run_name="__main__")
    said.append(out.getvalue())
print(json.dumps(said))
"""


def keras_setup(case: str) -> Setup:
    """What is run of a case."""
    name, _, more = case.partition(" ")
    exercise = load(name)
    setup = exercise.start if more == "start" else exercise.solution
    assert isinstance(setup, Setup)
    return setup.with_(**{"batch_size": 0, "epochs": 8, **KERAS[case]})


@pytest.fixture(scope="module")
def keras_said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the Keras scripts print, by case."""
    folder = tmp_path_factory.mktemp("keras")
    paths = [folder / f"{case}.py" for case in KERAS]
    for case, path in zip(KERAS, paths, strict=True):
        path.write_text(keras_script(keras_setup(case)), encoding="utf-8")
    env = {"KERAS_HOME": str(folder), "OMP_NUM_THREADS": "1", "KERAS_BACKEND": None}  # the script names it
    process = python("-c", RUN_ALL, *map(str, paths), errors=folder / "errors.txt", env=env)
    text, _ = process.communicate(timeout=200)
    assert process.returncode == 0, (folder / "errors.txt").read_text()
    return dict(zip(KERAS, json.loads(text.splitlines()[-1]), strict=True))


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="keras is not installed (pip install keras)")
@pytest.mark.parametrize("case", KERAS)
def test_the_keras_script_comes_to_the_same_numbers(case: str, keras_said: dict[str, str]) -> None:
    setup = keras_setup(case)
    got, wanted = said(keras_said[case]), reached(setup)
    assert got.keys() == wanted.keys()
    learning = setup.learning
    near = (
        0.2 if learning.dropout else 0.05 if learning.patience else 1e-3
    )  # other units are left out; Keras stops otherwise
    for name, (loss, value) in wanted.items():
        assert got[name][1] == pytest.approx(value, abs=near), name
        if not learning.l1:  # Keras counts the penalty as loss
            assert got[name][0] == pytest.approx(loss, rel=near), name


def test_nothing_from_a_text_gets_into_the_code() -> None:
    hostile = Setup().with_(kind="formula", formula="y < x\n__import__('os').system('true')")
    for script in (torch_script, keras_script):
        with pytest.raises(DojoError, match="cannot be read"):
            script(hostile)
    assert "hello" not in torch_script(Setup().with_(formula="y < hello"))
