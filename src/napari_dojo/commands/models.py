"""List, show, import, export and remove models."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_dojo.commands.flags import json_flag

__all__ = ["add_models"]


def add_models(parser: argparse.ArgumentParser) -> None:
    """The commands of ``models``."""
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    json_flag(what.add_parser("list", help="all models that can be applied by name"))
    info = what.add_parser("info", help="what a model is and how good it is")
    info.add_argument("model")
    json_flag(info)
    take = what.add_parser("import", help="copy a model folder or zip to your own models")
    take.add_argument("model", type=Path)
    take.add_argument("--name")
    give = what.add_parser("export", help="pack a model as a zip to share")
    give.add_argument("model")
    give.add_argument("--out", type=Path, required=True, metavar="ZIP")
    away = what.add_parser("remove", help="delete one of your own models")
    away.add_argument("model")
    parser.set_defaults(run=_models)


def _models(args: argparse.Namespace) -> int:
    from napari_dojo.models import library as pretrained
    from napari_dojo.models.card import read_card
    from napari_dojo.nets.geometry import field_words

    if args.what == "list":
        there = pretrained.models()
        for m in there:
            print(f"{m.name:<28} {m.origin:<8} {m.card.task:<12} {m.card.score.get('sentence', '')}")
        if not there:
            print("There are no models yet.")
        if args.json:
            print(
                json.dumps(
                    [{"name": m.name, "path": str(m.path), "origin": m.origin, "task": m.card.task} for m in there]
                )
            )
    elif args.what == "info":
        card = read_card(pretrained.find(args.model)).as_dict()
        for k, v in card.items():
            print(f"{k:<14} {v}")
        if card["net"] == "unet":
            print(f"{'network':<14} {field_words(card['net_options'])}")
        if args.json:
            print(json.dumps(card))
    elif args.what == "import":
        print(f"Imported to {pretrained.import_model(args.model, args.name)}.")
    elif args.what == "export":
        print(f"Written to {pretrained.export(args.model, args.out)}.")
    else:
        print(f"Removed {pretrained.remove(args.model)}.")
    return 0
