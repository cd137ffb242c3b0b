"""List, show, import, export, remove and test models."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_dojo.commands.flags import json_flag
from napari_dojo.models.card import read_card
from napari_dojo.models.library import classifier_for, export, find, import_model, models, remove

__all__ = ["add_models"]


def add_models(parser: argparse.ArgumentParser) -> None:
    """The commands of ``models``."""
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    listed = what.add_parser("list", help="all models that can be applied by name")
    json_flag(listed)
    listed.set_defaults(run=_list)
    info = what.add_parser("info", help="show the card of a model: task, network, training data, score")
    info.add_argument("model", metavar="MODEL", help="a folder, a zip, or the name of a model")
    json_flag(info)
    info.set_defaults(run=_info)
    take = what.add_parser("import", help="copy a model folder or zip to your own models")
    take.add_argument("model", type=Path, metavar="MODEL", help="a folder or a zip")
    take.add_argument("--name", help="name of the copy (default: that of the folder or zip)")
    take.set_defaults(run=_import)
    give = what.add_parser("export", help="pack a model as a zip to share")
    give.add_argument("model", metavar="MODEL", help="a folder, or the name of a model")
    give.add_argument(
        "--then", metavar="CLASSIFIER", help="pack this classifier of its objects, too, and a recipe for both"
    )
    give.add_argument("--out", type=Path, required=True, metavar="ZIP")
    give.set_defaults(run=_export)
    away = what.add_parser("remove", help="delete one of your own models")
    away.add_argument("model", metavar="MODEL", help="its name")
    away.set_defaults(run=_remove)
    test = what.add_parser("test", help="run a model on its test input, and compare the result with its test output")
    test.add_argument("model", metavar="MODEL", help="a folder, a zip, or the name of a model")
    json_flag(test)
    test.set_defaults(run=_test)


def _list(args: argparse.Namespace) -> None:
    there = models()
    for m in there:
        print(f"{m.name:<28} {m.origin:<8} {m.card.task:<12} {m.card.score.get('sentence', '')}")
    if not there:
        print("There are no models yet.")
    if args.json:
        print(
            json.dumps([{"name": m.name, "path": str(m.path), "origin": m.origin, "task": m.card.task} for m in there])
        )


def _info(args: argparse.Namespace) -> None:
    from napari_dojo.nets.geometry import field_words

    card = read_card(find(args.model)).as_dict()
    for k, v in card.items():
        print(f"{k:<14} {v}")
    if card["net"] == "unet":
        print(f"{'network':<14} {field_words(card['net_options'])}")
    if args.json:
        print(json.dumps(card))


def _import(args: argparse.Namespace) -> None:
    print(f"Imported to {import_model(args.model, args.name)}.")


def _export(args: argparse.Namespace) -> None:
    if args.then is None:
        print(f"Written to {export(args.model, args.out)}.")
        return
    from napari_dojo.recipes.packed import RECIPE, pack_recipe
    from napari_dojo.recipes.recipe import Classify, Export, Measure, Predict, Recipe

    classifier_for(read_card(find(args.model)), args.then)
    pair = Recipe(steps=(Predict(args.model), Classify(args.then), Measure(), Export()))
    print(
        f"Written to {pack_recipe(pair, args.out)}. Unpack it, then: napari-dojo run {RECIPE} --input IMAGES --out RESULTS"
    )


def _remove(args: argparse.Namespace) -> None:
    print(f"Removed {remove(args.model)}.")


def _test(args: argparse.Namespace) -> None:
    from napari_dojo.models.bundle import verified

    path = find(args.model)
    most = verified(path)
    print(f"{path} gives its test output; the largest difference is {most:.2g}.")
    if args.json:
        print(json.dumps({"model": str(path), "difference": most}))
