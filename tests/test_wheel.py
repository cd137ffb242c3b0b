"""The wheel holds everything that the package's folder holds, and npe2 reads and validates it from where it lies."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import napari_dojo

PACKAGE = Path(napari_dojo.__file__).parent
ROOT = PACKAGE.parents[1]
BUILT_FROM_SOURCE = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="the sources are not here")

READ_MANIFEST = """
import json
from pathlib import Path
import napari_dojo
from npe2 import PluginManager, PluginManifest
manifest = PluginManifest.from_distribution("napari-dojo")
manager = PluginManager()
manager.discover(include_npe1=False)
given = manifest.contributions
package = Path(napari_dojo.__file__).parent
functions = {command.id: command.python_name for command in given.commands or []}
print()
print(json.dumps({
    "package": str(package),
    "name": manifest.name,
    "display_name": manifest.display_name,
    "version": manifest.package_version,
    "discovered": "napari-dojo" in manager,
    "functions": functions,
    "modules": sorted({name.partition(":")[0] for name in functions.values()}),
    "widgets": {widget.display_name: functions.get(widget.command) for widget in given.widgets or []},
    "samples": [sample.model_dump(mode="json", exclude_none=True) for sample in given.sample_data or []],
}))
"""
LOAD_FUNCTIONS = """
from npe2 import PluginManifest
PluginManifest.from_distribution("napari-dojo").validate_imports()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources by the builder that pyproject.toml names, which is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    backend = import_module(tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["build-backend"])
    with contextlib.chdir(ROOT):
        return folder / str(backend.build_wheel(str(folder)))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel alone was installed into: unpacked, as pip does it where there is nothing to compile."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(code: str, path: Path | None = None) -> str:
    """What a fresh process says that finds the package in ``path`` before any other."""
    env = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=path or sys.prefix, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@cache
def manifest(path: Path | None = None) -> dict[str, Any]:
    """What npe2 reads of the package in ``path``."""
    said: dict[str, Any] = json.loads(run(READ_MANIFEST, path).splitlines()[-1])
    return said


@BUILT_FROM_SOURCE
def test_the_wheel_holds_the_whole_package(wheel: Path) -> None:
    here = {
        file.relative_to(PACKAGE.parent).as_posix()
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.name != ".DS_Store"
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.partition("/")[0].endswith(".dist-info")}
        licences = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert packed == here
    assert {"napari_dojo/napari.yaml", "napari_dojo/py.typed"} <= packed
    assert len(licences) == 1


@BUILT_FROM_SOURCE
def test_npe2_reads_the_installed_wheel(installed: Path) -> None:
    said = manifest(installed)
    assert Path(said["package"]).parent == installed
    assert (said["name"], said["display_name"], said["version"]) == ("napari-dojo", "Dojo", napari_dojo.__version__)
    assert said["discovered"]
    for module in said["modules"]:
        file = installed.joinpath(*module.split("."))
        assert file.with_suffix(".py").is_file() or (file / "__init__.py").is_file(), f"{module} is not in the wheel"
    assert said["widgets"]["Train"] == "napari_dojo.widgets.train.panel:TrainPanel"
    assert said["widgets"]["Apply"] == "napari_dojo.widgets.apply.panel:ApplyPanel"


@BUILT_FROM_SOURCE
def test_the_installed_sample_data_and_models_are_there(installed: Path) -> None:
    said = manifest(installed)
    for sample in said["samples"]:
        if "uri" in sample:
            assert (installed / "napari_dojo" / sample["uri"]).is_file(), sample
        else:
            assert sample["command"] in said["functions"], sample
    shipped = Path("models", "shipped")
    names = {path.parent.name for path in (PACKAGE / shipped).glob("*/rdf.yaml")}
    assert len(names) >= 3
    assert {path.parent.name for path in (installed / "napari_dojo" / shipped).glob("*/rdf.yaml")} == names


@pytest.mark.gui
@BUILT_FROM_SOURCE
def test_every_function_of_the_manifest_can_be_loaded(installed: Path) -> None:
    run(LOAD_FUNCTIONS, installed)


def test_npe2_finds_the_package_as_it_is_used_here() -> None:
    said = manifest()
    assert Path(said["package"]) == PACKAGE
    assert said["discovered"]
    assert said["display_name"] == "Dojo"


@pytest.mark.skipif(sys.platform == "win32", reason="git on Windows may write links as text")
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the links are for those who look at the repository")
@pytest.mark.parametrize("name", ["napari.yaml", "sample_data"])
def test_the_links_at_the_top_lead_into_the_package(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert os.readlink(link) == f"src/napari_dojo/{name}"
    assert link.exists()


@pytest.mark.skipif(not (ROOT / "CITATION.cff").is_file(), reason="the sources are not here")
def test_the_citation_names_this_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {napari_dojo.__version__}" in lines
