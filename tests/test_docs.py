"""The pages: their links lead somewhere, what they name is there, and the script of their pictures loads."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_dojo
from napari_dojo.cli import _parser

PACKAGE = Path(napari_dojo.__file__).parent
ROOT = PACKAGE.parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_NAPARI = {"File", "Layers", "Measure", "Open Sample", "Plugins"}  # its menus
KEYS = {  # what docs/shortcuts.md says of napari's keys
    "activate_labels_erase_mode": ("1", "E"),
    "activate_labels_paint_mode": ("2", "P"),
    "activate_labels_polygon_mode": ("3",),
    "activate_labels_fill_mode": ("4", "F"),
    "activate_labels_picker_mode": ("5", "L"),
    "activate_labels_pan_zoom_mode": ("6", "Z"),
    "hold_for_pan_zoom": ("Space",),
    "new_label": ("M",),
    "decrease_label_id": ("-",),
    "increase_label_id": ("=",),
    "swap_selected_and_background_labels": ("X",),
    "decrease_brush_size": ("[",),
    "increase_brush_size": ("]",),
    "toggle_preserve_labels": ("B",),
    "complete_polygon": ("Enter",),
    "reset_polygon": ("Esc",),
    "increment_dims_left": ("←",),
    "increment_dims_right": ("→",),
    "focus_axes_up": ("Alt+↑",),
    "focus_axes_down": ("Alt+↓",),
    "toggle_selected_visibility": ("V",),
    "toggle_unselected_visibility": ("Shift+V",),
    "select_layer_above": ("Ctrl+↑",),
    "select_layer_below": ("Ctrl+↓",),
    "auto_contrast_once": ("C",),
    "reset_view": ("Ctrl+R",),
    "toggle_grid": ("Ctrl+G",),
    "toggle_ndisplay": ("Ctrl+Y",),
    "delete_selected_layers": ("Ctrl+Delete",),
    "show_shortcuts": ("Ctrl+Alt+/",),
    "activate_add_rectangle_mode": ("R",),
    "activate_add_ellipse_mode": ("E",),
    "activate_add_polygon_mode": ("P",),
    "activate_add_polygon_lasso_mode": ("Shift+P",),
    "activate_select_mode": ("S",),
    "activate_direct_mode": ("D",),
    "finish_drawing_shape": ("Enter", "Esc"),
    "delete_selected_shapes": ("Delete",),
}
ARROWS = {"Left": "←", "Right": "→", "Up": "↑", "Down": "↓", "Escape": "Esc"}

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the sources are not here")


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_are_there(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_page_is_in_the_list(page):
    assert page.name in ("README.md", "index.md") or page.name in (ROOT / "docs" / "index.md").read_text()


def test_what_the_page_of_train_names_is_in_the_program():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (*PACKAGE.rglob("*.py"), PACKAGE / "napari.yaml"))
    named = re.findall(r"\*\*(.+?)\*\*", (ROOT / "docs" / "train.md").read_text(encoding="utf-8"))
    parts = {part for name in named for part in name.removeprefix("⋯ ").split(" > ")} - OF_NAPARI
    assert len(parts) > 60
    assert sorted(part for part in parts if part not in source) == []


def blocks(page: Path, *languages: str) -> list[str]:
    """The examples of a page in these languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of the commands that a page shows."""
    for block in blocks(page, "sh", ""):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?<![\w\"-])(?:napari-dojo|-m napari_dojo) (.+)", line.partition(" # ")[0])
            if found and not line.startswith("#"):
                yield shlex.split(found[1])


def test_the_command_line_takes_the_commands_of_the_pages(capsys):
    parser = _parser()
    shown = [arguments for page in PAGES for arguments in commands(page)]
    assert len(shown) > 40
    for arguments in shown:
        try:
            parser.parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{' '.join(arguments)}: {capsys.readouterr().err}")


def test_what_the_examples_of_the_pages_import_is_there():
    examples = [ast.parse(block) for page in PAGES for block in blocks(page, "python")]
    nodes = [node for tree in examples for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [(node.module, alias.name) for node in nodes for alias in node.names if "napari_dojo" in str(node.module)]
    assert len(ours) > 7
    for module, name in ours:
        assert hasattr(importlib.import_module(module), name), (module, name)


def texts(module: Path) -> Iterator[str]:
    """The texts of a module, "…" for what is filled in."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_what_the_page_of_troubles_quotes_is_said_by_the_program():
    page = (ROOT / "docs" / "when-something-is-wrong.md").read_text(encoding="utf-8")
    quoted = re.findall("“(.+?)”", page)
    assert len(quoted) > 50
    said = "\n".join(text for path in PACKAGE.rglob("*.py") for text in texts(path))
    parts = {part.strip(" .") for sentence in quoted for part in sentence.split("…")}
    assert sorted(part for part in parts if len(part) > 6 and part not in said) == []


def test_the_keys_are_those_of_napari():
    from napari.utils.shortcuts import default_shortcuts

    page = (ROOT / "docs" / "shortcuts.md").read_text(encoding="utf-8")
    for action, wanted in KEYS.items():
        given = [
            re.sub("|".join(ARROWS), lambda m: ARROWS[m[0]], str(key)) for key in default_shortcuts[f"napari:{action}"]
        ]
        assert set(wanted) <= set(given), action
        assert all(f"**{key}**" in page for key in wanted), action


def test_the_script_of_the_pictures():
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "docs" / "screenshots.py")
    assert spec is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert {name.rpartition("-")[0] for name in script.CHOSEN} <= set(script.STATES)
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in script.CHOSEN if f"pictures/{name}.png" not in shown] == []
