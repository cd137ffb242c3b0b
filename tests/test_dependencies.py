"""What the package imports is what it declares."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from test_boundaries import all_imports

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

pytestmark = pytest.mark.skipif(not PROJECT.is_file(), reason="the sources are not here")


def declared() -> set[str]:
    """Names of the dependencies, as `normal` writes them, without extras and versions; those that one may add, too."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    added = ("cluster", "distributed", "parquet", "tracking")
    listed = project["dependencies"] + [line for name in added for line in extras[name]]
    return {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in listed}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions() -> dict[str, set[str]]:
    """Which distributions each imported top-level package may come from."""
    outside = {found.top for found in all_imports()} - {"napari_dojo", *sys.stdlib_module_names}
    known = packages_distributions()
    return {top: {normal(name) for name in known.get(top, [top])} for top in outside}


def test_every_import_is_a_declared_dependency() -> None:
    missing = {top for top, names in distributions().items() if not names & declared()}
    assert not missing, f"pyproject.toml does not declare {sorted(missing)}"


def test_every_declared_dependency_is_imported() -> None:
    imported = set().union(*distributions().values())
    unused = declared() - imported
    assert not unused, f"no line of the package imports {sorted(unused)}"


def test_the_checks_are_pinned() -> None:
    """Each tool of the extra "dev" has one version in constraints.txt."""
    pinned = {normal(line.partition("==")[0]) for line in (PROJECT.parent / "constraints.txt").read_text().splitlines()}
    tools = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]["dev"]
    assert {normal(re.split(r"[<>=]", tool)[0]) for tool in tools} <= pinned
