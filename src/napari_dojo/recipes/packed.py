"""A recipe with its models as one zip: a folder for each model, which is a BioImage.IO package, and ``recipe.yaml``."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path

from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import replacing
from napari_dojo.io.names import file_names
from napari_dojo.models.card import Folder, read_card
from napari_dojo.models.library import find
from napari_dojo.recipes.recipe import OfModel, Recipe, text_of

__all__ = ["RECIPE", "pack_recipe"]

RECIPE = "recipe.yaml"


def pack_recipe(recipe: Recipe, path: Path) -> Path:
    """Write the steps of a recipe and all of their models as a zip; in it the steps name these models.

    Raises
    ------
    DojoError : a model is not there, or the file is there already or cannot be written.
    """
    if os.path.lexists(path):
        raise DojoError(f"{path} exists already. Choose another name.")
    steps = [s for s in recipe.steps if isinstance(s, OfModel)]
    sources = {s.model: Folder(find(recipe.model(s))) for s in steps}
    stems = file_names([source.path.stem for source in sources.values()])
    named = dict(zip(sources, stems, strict=True))
    for source in sources.values():
        read_card(source.path)
    mine = tuple(replace(s, model=named[s.model]) if isinstance(s, OfModel) else s for s in recipe.steps)
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(RECIPE, text_of(Recipe(steps=mine)))
        for model, source in sources.items():
            for name in source.names():
                z.writestr(f"{named[model]}/{name}", source.read(name))
    return path
