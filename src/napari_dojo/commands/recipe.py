"""Do the steps of a recipe for all images of a folder."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from napari_dojo.commands.flags import json_flag, pattern_flags
from napari_dojo.commands.show import shown, warn
from napari_dojo.events import Control

__all__ = ["add_run"]


def add_run(parser: argparse.ArgumentParser) -> None:
    """The flags of ``run``."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file, such as the Batch panel saves")
    parser.add_argument(
        "--input",
        nargs="+",
        metavar="INPUT",
        help="files, folders, patterns or lists (.txt) instead of those in the recipe",
    )
    pattern_flags(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="output folder instead of the one in the recipe")
    parser.add_argument("--axes", help="axes of the images, for example YX, ZYX, TYX, CYX or YXC")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of another recipe in the folder")
    parser.add_argument(
        "--check", action="store_true", help="print what would be done and which images do not fit, without doing it"
    )
    json_flag(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from napari_dojo.recipes.check import explain
    from napari_dojo.recipes.recipe import read_recipe
    from napari_dojo.recipes.run import SKIPPED, in_images, run

    recipe = read_recipe(args.recipe)
    recipe = recipe.chosen(args.input, args.include, args.exclude, args.axes, args.out)
    if args.check:
        found = explain(recipe)
        print(found.text)
        if args.json:
            print(json.dumps(asdict(found)))
        return 2 if found.problems else 1 if found.misfits else 0
    control = Control()
    done = shown(in_images(run(recipe, args.overwrite, control)), control, "Running")
    if done is None:
        return 1
    facts = done.facts
    for sentence in facts["skipped"]:
        warn(f"Skipped: {sentence}")
    results, skipped = len(facts["results"]), len(facts["skipped"])
    print(f"{results} of {facts['images']} images are done, in {done.result}; {facts['seconds']:.1f} s.")
    if facts["table"]:
        print(f"{facts['rows']} rows in {facts['table']}.")
    if skipped:
        print(f"{skipped} images were skipped; {Path(done.result) / SKIPPED} says why.")
    if facts["stopped"]:
        print("Stopped. The same command continues with the images that are left.")
    if args.json:
        print(json.dumps({**facts, "results": results}))
    return 1 if skipped or facts["stopped"] else 0
