"""Who may import whom: the rules of direction, read from the source and tried in a fresh process."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import napari_dojo

ROOT = Path(napari_dojo.__file__).parent
RANKS = {
    0: {
        "card",
        "errors",
        "axes",
        "normalize",
        "pairs",
        "settings",
        "events",
        "optics",
        "home",
        "files",
        "resize",
        "noise",
        "register",
        "resolution",
        "likeness",
    },
    1: {
        "device",
        "nets",
        "losses",
        "metrics",
        "baselines",
        "augment",
        "fit",
        "patches",
        "tiles",
        "verdicts",
        "compare",
        "honesty",
    },
    2: {"tasks", "plan", "measure", "rois"},
    3: {
        "bundle",
        "train",
        "predict",
        "evaluate",
        "jobs",
        "pretrained",
        "doctor",
        "drafts",
        "runs",
        "copies",
        "images",
        "folders",
        "batch",
    },
    4: {"cli", "classroom", "simulate", "scenes", "palm", "samples", "playground", "widgets", "demo", "__main__"},
}
RANK = {name: rank for rank, names in RANKS.items() for name in names}
RECEIVE_A_TASK = {"fit", "patches", "tiles"}
WINDOW = {"magicgui", "napari", "pyqtgraph", "qtpy", "superqt", "vispy", "PyQt5", "PyQt6", "PySide2", "PySide6"}
HEAVY = {"torch", "bioimageio"}
# What the window's process and the command line's start load: without torch and without bioimageio, also indirectly.
LIGHT = (
    RANKS[0]
    | RANKS[2]
    | {
        "baselines",
        "metrics",
        "verdicts",
        "compare",
        "card",
        "jobs",
        "pretrained",
        "doctor",
        "drafts",
        "images",
        "simulate",
        "scenes",
        "palm",
        "honesty",
        "samples",
        "cli",
    }
    | {"runs", "folders", "batch"}
    | {"classroom", "playground"}
)


@dataclass(frozen=True)
class Import:
    """One import: who, what ("torch.nn", "napari_dojo.axes"), in which line, and whether loading the module runs it."""

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
    tree = ast.parse(source)
    later = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _type_checking(node)
        for inner in ast.walk(node)
    }
    here = ["napari_dojo", *module.split(".")] if module else ["napari_dojo"]
    for node in ast.walk(tree):
        for target in _targets(node, here if package else here[:-1]):
            yield Import(module, target, node.lineno, node not in later)  # type: ignore[attr-defined]


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
        # "from napari_dojo.tasks import semantic" means the module, "from napari_dojo.axes import Axes" a part of one
        named = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name.removeprefix("napari_dojo.") in MODULES else base for name in named]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module"):
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return []


def all_imports() -> list[Import]:
    return [
        found
        for module, path in MODULES.items()
        for found in imports_of(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")
    ]


IMPORTS = all_imports()
INSIDE = [
    (found, found.target.removeprefix("napari_dojo.")) for found in IMPORTS if found.target.startswith("napari_dojo.")
]


def rank(module: str) -> int:
    return RANK.get(module.partition(".")[0], max(RANKS))


def test_every_module_has_a_rank() -> None:
    unknown = {module for module in MODULES if module and module.partition(".")[0] not in RANK}
    assert not unknown, "give these modules a rank here and in CONTRIBUTING"


def test_imports_go_down_or_sideways() -> None:
    wrong = [
        f"{found} (rank {rank(found.module)} -> {rank(to)})" for found, to in INSIDE if rank(found.module) < rank(to)
    ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_no_cycles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found, to in INSIDE:
        graph[found.module].add(to)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " <- ".join(error.args[1]))


def test_the_learning_parts_receive_their_task() -> None:
    wrong = [str(found) for found, to in INSIDE if found.module in RECEIVE_A_TASK and to.partition(".")[0] == "tasks"]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_only_widgets_know_qt_and_napari() -> None:
    wrong = [str(found) for found in IMPORTS if found.top in WINDOW and not found.module.startswith("widgets")]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_the_package_itself_imports_nothing() -> None:
    assert [found.target for found in IMPORTS if found.module == ""] == ["__future__"]


def test_nothing_light_imports_torch_at_once() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.at_once and found.top in HEAVY and found.module.partition(".")[0] in LIGHT | {"widgets", "playground"}
    ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def test_the_classroom_is_numpy_alone() -> None:
    outside = {found.top for found in IMPORTS if found.module.startswith("playground")} - {"napari_dojo"}
    assert outside <= {"numpy", *sys.stdlib_module_names}


def loaded_after(code: str, unwanted: set[str]) -> set[str]:
    """Which of the unwanted packages a fresh process has loaded once the code has run."""
    code = f"import sys, json\n{code}\nprint()\nprint(json.dumps(sorted({unwanted!r} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


COMMAND_LINE = [name for name in ("cli",) if name in MODULES]


@pytest.mark.parametrize("name", COMMAND_LINE)
def test_the_command_line_starts_light(name: str) -> None:
    assert loaded_after(f"import napari_dojo.{name}", WINDOW | HEAVY) == set()


@pytest.mark.parametrize("name", COMMAND_LINE)
@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["train", "instances", "--help"]])
def test_help_needs_no_torch_and_no_window(name: str, arguments: list[str]) -> None:
    code = f"""
from napari_dojo.{name} import main
sys.argv = {["napari-dojo", *arguments]!r}
try:
    code = main()
except SystemExit as end:
    code = end.code
assert not code, code
"""
    assert loaded_after(code, WINDOW | HEAVY) == set()


def test_what_the_window_loads_stays_without_torch() -> None:
    """Module by module in one process, so that the first one that loads it is named."""
    names = [f"napari_dojo.{name}" for name in MODULES if name.partition(".")[0] in LIGHT]
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
        ("from napari_dojo.axes import Axes", False, [("napari_dojo.axes", True)]),
        ("from napari_dojo import axes, __version__", False, [("napari_dojo.axes", True), ("napari_dojo", True)]),
        ("from .axes import Axes", False, [("napari_dojo.tasks.axes", True)]),
        ("from ..axes import Axes", False, [("napari_dojo.axes", True)]),
        ("from .. import axes", False, [("napari_dojo.axes", True)]),
        ("from . import x", True, [("napari_dojo.tasks.y", True)]),
    ],
)
def test_imports_are_read_right(source: str, package: bool, expected: list[tuple[str, bool]]) -> None:
    assert [(found.target, found.at_once) for found in imports_of("tasks.y", source, package)] == expected
