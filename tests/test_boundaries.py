"""Who may import whom: the rules of direction, read from the source and tried in a fresh process."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import napari_dojo
from napari_dojo.data import kinds
from napari_dojo.tasks import TASKS

ROOT = Path(napari_dojo.__file__).parent
# The rooms in the order of imports: a module imports from its own room and from rooms that stand above it.
ROOMS = (
    "paths", "errors", "events", "settings", "device", "boxes",
    "data", "io", "nets", "metrics", "tasks", "models", "inference", "recipes", "training", "evaluation", "objects",
    "simulation", "playground", "jobs", "widgets",
    "doctor", "demo", "commands", "cli", "__main__",
)  # fmt: skip
SMALL = ROOMS[: ROOMS.index("data")]
WINDOW = {"magicgui", "napari", "pyqtgraph", "qtpy", "superqt", "vispy", "PyQt5", "PyQt6", "PySide2", "PySide6"}
HEAVY = {"torch", "bioimageio"}
# Modules that import torch as they are loaded; all others, and all that they load, do without.
WITH_TORCH = {
    "data.augment",
    "data.batches",
    "data.resident",
    "data.streamed",
    "inference.blocks",
    "inference.cluster",
    "inference.inside",
    "inference.predict",
    "inference.predictor",
    "inference.tta",
    "inference.samples",
    "inference.scale",
    "inference.stores",
    "models.bundle",
    "nets.base",
    "nets.classifier",
    "nets.registry",
    "nets.losses",
    "nets.pooled",
    "nets.staged",
    "nets.unet",
    "training.corrections",
    "training.crossed",
    "training.held",
    "training.judge",
    "training.learner",
    "training.optimizer",
    "training.loop",
    "training.pace",
    "training.recorder",
    "training.curve",
    "training.checks",
    "training.feed",
    "training.run",
    "training.train",
}
RECEIVE_A_TASK = {"training.loop", "data.batches", "data.patches", "data.resident", "data.streamed", "inference.tiles"}


@dataclass(frozen=True)
class Import:
    """One import: who, what ("torch.nn", "napari_dojo.data.axes"), in which line, and whether loading the module runs it."""

    module: str
    target: str
    line: int
    at_once: bool

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: {self.target}"


def name_of(path: Path) -> str:
    """ "tasks.semantic" for tasks/semantic.py, "tasks" for tasks/__init__.py, "" for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports_of(module: str, source: str, package: bool) -> Iterator[Import]:
    """Every import in a module, also in functions, under TYPE_CHECKING, and through ``import_module("...")``."""
    here = ["napari_dojo", *module.split(".")] if module else ["napari_dojo"]
    nodes: list[tuple[ast.AST, bool]] = [(ast.parse(source), True)]
    while nodes:
        node, at_once = nodes.pop()
        for target in _targets(node, here if package else here[:-1]):
            yield Import(module, target, node.lineno, at_once)  # type: ignore[attr-defined]
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _type_checking(node)
        nodes += [(inner, at_once and not later) for inner in ast.iter_child_nodes(node)]


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _targets(node: ast.AST, here: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
        base = ".".join(part for part in (start, node.module) if part)
        if base.partition(".")[0] != "napari_dojo":
            return [base]
        # "from napari_dojo.tasks import semantic" means the module, "from napari_dojo.data.axes import Axes" a part of one
        named = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name.removeprefix("napari_dojo.") in MODULES else base for name in named]
    if isinstance(node, ast.Call) and "import_module" in (getattr(node.func, "id", ""), getattr(node.func, "attr", "")):
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return []


@cache
def all_imports() -> list[Import]:
    """Those of the whole package."""
    return [
        found
        for module, path in MODULES.items()
        for found in imports_of(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")
    ]


@cache
def inside() -> list[tuple[Import, str]]:
    """Imports from the package itself, each with the module that it names."""
    start = "napari_dojo."
    return [(found, found.target.removeprefix(start)) for found in all_imports() if found.target.startswith(start)]


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_lies_in_a_room() -> None:
    assert {room(module) for module in MODULES if module} == set(ROOMS)


def test_imports_go_to_rooms_above() -> None:
    wrong = [
        str(found) for found, to in inside() if found.module and ROOMS.index(room(to)) > ROOMS.index(room(found.module))
    ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_the_small_modules_stand_alone() -> None:
    """They may use each other, and nothing of any room."""
    wrong = [str(found) for found, to in inside() if room(found.module) in SMALL and room(to) not in SMALL]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


@pytest.mark.parametrize("name", [module for module in MODULES if MODULES[module].name == "__init__.py" and module])
def test_a_room_has_a_face(name: str) -> None:
    """``__all__`` names what others may use; what it does not name, no other room imports."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    named = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    public = set(ast.literal_eval(named[0].value)) if named else set()
    within = f"{name}."
    used = {
        to.removeprefix(within).partition(".")[0]
        for found, to in inside()
        if to.startswith(within) and not found.module.startswith(within) and found.module != name
    }
    assert used <= public, f"{sorted(used - public)} are used outside of {name}, which does not show them"


def test_panels_share_through_common_alone() -> None:
    """A panel's folder uses another's ``panel`` where it opens that panel, the one queue of trainings, and else nothing; the
    tour leads through all.
    """
    shared = ("train.queue",)

    def folder(module: str) -> str:
        parts = module.split(".")
        return parts[1] if len(parts) > 2 and parts[0] == "widgets" and parts[1] != "common" else ""

    wrong = [
        str(found)
        for found, to in inside()
        if folder(found.module) not in ("", "tour", folder(to))
        and folder(to)
        and to.split(".")[2] != "panel"
        and ".".join(to.split(".")[1:3]) not in shared
    ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_common_knows_no_panel() -> None:
    wrong = [
        str(found)
        for found, to in inside()
        if found.module.startswith("widgets.common") and to.startswith("widgets.") and to.split(".")[1] != "common"
    ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_the_classroom_and_the_simulator_are_leant_on_by_nobody() -> None:
    """Only what shows them uses them: the panels, the command line and the demo."""
    wrong = [
        str(found)
        for found, to in inside()
        if room(to) in ("playground", "simulation")
        and room(found.module) not in (room(to), "widgets", "cli", "demo", "doctor")
    ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_no_cycles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found, to in inside():
        graph[found.module].add(to)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " <- ".join(error.args[1]))


def test_the_learning_parts_receive_their_task() -> None:
    wrong = [str(found) for found, to in inside() if found.module in RECEIVE_A_TASK and room(to) == "tasks"]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_only_widgets_know_qt_and_napari() -> None:
    wrong = [str(found) for found in all_imports() if found.top in WINDOW and not found.module.startswith("widgets")]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_the_package_itself_imports_nothing() -> None:
    assert [found.target for found in all_imports() if found.module == ""] == ["__future__"]


def test_only_these_modules_import_torch_at_once() -> None:
    found = {i.module for i in all_imports() if i.at_once and i.top in HEAVY}
    assert found <= WITH_TORCH, sorted(found - WITH_TORCH)


def test_the_classroom_is_numpy_alone() -> None:
    outside = {i.top for i in all_imports() if i.at_once and room(i.module) == "playground"} - {"napari_dojo"}
    assert outside <= {"numpy", *sys.stdlib_module_names}


def loaded_after(code: str, unwanted: set[str]) -> set[str]:
    """Which of the unwanted packages a fresh process has loaded once the code has run."""
    code = f"import sys, json\n{code}\nprint()\nprint(json.dumps(sorted({unwanted!r} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


COMMAND_LINE = [name for name in ("cli",) if name in MODULES]


@pytest.mark.parametrize("name", COMMAND_LINE)
def test_help_needs_no_torch_and_no_window(name: str) -> None:
    code = f"""
from napari_dojo.{name} import main
for arguments in ([], ["train"], ["train", "instances"]):
    sys.argv = ["napari-dojo", *arguments, "--help"]
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    assert not code, code
"""
    assert loaded_after(code, WINDOW | HEAVY) == set()


def test_ctrl_c_while_a_command_is_loaded_ends_in_a_sentence() -> None:
    """The module of the entry point loads nothing that takes time: all of that happens where Ctrl-C is waited for."""
    assert loaded_after("import napari_dojo.cli", {"numpy", "scipy", "skimage", "yaml"}) == set()
    code = """
import builtins
from napari_dojo.cli import main
load = builtins.__import__
def interrupted(name, *more):
    if name == "numpy":
        raise KeyboardInterrupt
    return load(name, *more)
builtins.__import__ = interrupted
assert main(["models", "list"]) == 1
builtins.__import__ = load
"""
    assert loaded_after(code, set()) == set()


def test_models_are_loaded_and_trained_without_torch_s_compiler() -> None:
    """It costs a second and a half, and nothing of it is needed."""
    code = """
import torch
from napari_dojo.models.bundle import load
from napari_dojo.models.library import find
from napari_dojo.training.optimizer import Optimizer
for name in ("nuclei-fluorescence", "denoise-fluorescence", "upscale-2x-fluorescence"):
    net = load(find(name)).net
optimizer = Optimizer(net, 1e-3, torch.device("cpu"))
net(torch.rand(1, 1, 32, 32)).sum().backward()
optimizer.step(torch.ones(()), torch.tensor(True))
"""
    assert loaded_after(code, {"torch._dynamo", "torch.fx.experimental.symbolic_shapes", "sympy"}) == set()


def test_what_the_window_loads_stays_without_torch() -> None:
    """Module by module in one process, so that the first one that loads it is named."""
    names = [
        f"napari_dojo.{name}"
        for name in MODULES
        if name and name not in WITH_TORCH and room(name) != "widgets" and not name.endswith("__main__")
    ]
    code = f"""
import importlib
for name in {names!r}:
    importlib.import_module(name)
    assert not {HEAVY | WINDOW!r} & set(sys.modules), name
"""
    assert loaded_after(code, HEAVY | WINDOW) == set()


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("import torch.nn as nn", False, [("torch.nn", True)]),
        ("def f():\n    import torch", False, [("torch", False)]),
        ("f = lambda: importlib.import_module('napari.layers')", False, [("napari.layers", False)]),
        ("if TYPE_CHECKING:\n    from torch import Tensor", False, [("torch", False)]),
        ("class A:\n    import torch", False, [("torch", True)]),
        ("from napari_dojo.data.axes import Axes", False, [("napari_dojo.data.axes", True)]),
        ("from napari_dojo.data import axes", False, [("napari_dojo.data.axes", True)]),
        ("from .base import Task", False, [("napari_dojo.tasks.base", True)]),
        ("from ..data.axes import Axes", False, [("napari_dojo.data.axes", True)]),
        ("from ..data import axes", False, [("napari_dojo.data.axes", True)]),
        ("from . import x", True, [("napari_dojo.tasks.y", True)]),
    ],
)
def test_imports_are_read_right(source: str, package: bool, expected: list[tuple[str, bool]]) -> None:
    assert [(found.target, found.at_once) for found in imports_of("tasks.y", source, package)] == expected


# what the source must not ask -----------------------------------------------------------------------------------------

TASK_NAMES = set(TASKS)
KIND_NAMES = {name for name, value in vars(kinds).items() if isinstance(value, kinds.Kind)}
VALUES = {
    "jobs.scripts",
    "models.card",
    "io.formats.plain_pickle",
    "playground.exercise",
    "playground.settings",
}  # convert data


def questions(module: str, source: str) -> Iterator[str]:
    """Comparisons with a task's name or with what its kind is, options that are sniffed, and tuples as protocol."""
    for node in ast.walk(ast.parse(source)):
        where = f"{module}, line {getattr(node, 'lineno', 0)}: "
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                name = isinstance(side, ast.Constant) and side.value in TASK_NAMES
                kind = isinstance(side, ast.Name) and side.id in KIND_NAMES
                if (name or kind) and room(module) != "tasks":
                    yield where + ast.unparse(node)
        if isinstance(node, ast.Call) and node.args:
            call = getattr(node.func, "id", "")
            if call in ("hasattr", "getattr") and "option" in ast.unparse(node.args[0]):
                yield where + ast.unparse(node)
            if call == "isinstance" and "tuple" in ast.unparse(node.args[1]) and module not in VALUES:
                yield where + ast.unparse(node)


def test_nobody_asks_which_task_or_kind_it_is() -> None:
    found = [q for module, path in MODULES.items() for q in questions(module, path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "card.task == 'instances'",
        "task.name == 'semantic'",
        "kind is LABELS",
        "task.result != IMAGE",
        "hasattr(options, 'classes')",
        "getattr(task.options(), 'each', False)",
        "isinstance(said, tuple)",
    ],
)
def test_such_questions_are_seen(source: str) -> None:
    assert list(questions("training.train", source))
