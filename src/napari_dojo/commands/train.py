"""Train a model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dojo.commands.flags import flags, json_flag, values
from napari_dojo.commands.show import shown, silent, warn
from napari_dojo.events import Control, Done
from napari_dojo.settings import TrainSettings, checked
from napari_dojo.tasks import TASKS, Task

if TYPE_CHECKING:
    from napari_dojo.io.datasets import DatasetFiles

__all__ = ["add_train"]

SCORED = {"validation": "validation, which chose the model", "training": "training images"}  # what a score is from


def add_train(parser: argparse.ArgumentParser, task: Task) -> None:
    """The flags of one task."""
    _add_data(parser, task)
    parser.add_argument("--out", required=True, type=Path, metavar="MODEL", help="folder of the new model")
    parser.add_argument(
        "--start",
        metavar="MODEL",
        default="auto",
        help="fine-tune this trained model; none: train a new one; auto (default): compare the models that fit with a new "
        "one by short trials, and continue with the best",
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="resume the unfinished run in MODEL")
    again.add_argument("--overwrite", action="store_true", help="replace the model that is there")
    parser.add_argument("--name", default="", help="name of the model (default: the folder's name)")
    parser.add_argument("--description", default="", help="one line for the model card")
    parser.add_argument("--license", help="license of the model, an SPDX name such as CC0-1.0")
    parser.add_argument("--author", action="append", default=[], help="author of the model; may be given several times")
    flags(parser, TrainSettings)
    flags(parser.add_argument_group(f"options of {task.name}"), task.options)
    json_flag(parser)
    parser.set_defaults(run=_train)


def _add_data(parser: argparse.ArgumentParser, task: Task) -> None:
    parser.add_argument(
        "--input", required=True, metavar="PATH", help="images: a file, a folder, a pattern or an OME-Zarr"
    )
    if task.target is not None:
        alone = task.target.optional
        helped = "their targets, paired by file name" + ("; without them, from the images alone" if alone else "")
        if not task.target.kind.dense:
            helped = "lines of file,class (CSV); without it, --input is a folder with a folder for each class"
        parser.add_argument("--target", required=not alone, metavar="PATH", help=helped)
    if task.target is not None and not task.target.kind.dense:
        parser.add_argument(
            "--classes",
            dest="class_table",
            metavar="CSV",
            help="lines of file,label,class: objects are classified; --target names their labels",
        )
    parser.add_argument("--axes", help="axes of the images, for example YX, ZYX, TYX, CYX or YXC")
    parser.add_argument(
        "--channel", help="of images with several channels: the one to use, by number (1 is the first) or name"
    )
    parser.add_argument("--region", metavar="PATH", help="masks of the parts that are annotated")
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="files with the same first group (or match) stay together when the data are split",
    )
    parser.add_argument(
        "--roles", metavar="CSV", help="lines of file name,role: training, validation, test or automatic"
    )


def _train(args: argparse.Namespace) -> int:
    task = TASKS[args.task]
    settings = checked(TrainSettings, values(args, TrainSettings))
    options: Any = checked(task.options, values(args, task.options))
    from napari_dojo.io.datasets import read_dataset
    from napari_dojo.training.world import join

    world = join(settings.device)
    pairs, notes = read_dataset(_files(args), task.layout(options))
    for note in notes if world.rank == 0 else ():
        warn(note)
    from napari_dojo.training.train import Target, train_steps

    about = {"name": args.name, "description": args.description, "license": args.license, "authors": tuple(args.author)}
    target = Target(args.out, args.resume, args.overwrite, began=args.began, **about)
    control = Control()
    events = train_steps(pairs, task, target, settings, options, args.start, control)
    if world.rank:
        return silent(events, control)
    done = shown(events, control, "Training")
    return 1 if done is None else _trained(done, args.json)


def _files(args: argparse.Namespace) -> DatasetFiles:
    """Which files a training learns from."""
    from napari_dojo.io.datasets import DatasetFiles

    return DatasetFiles(
        args.input,
        getattr(args, "target", None),
        args.axes,
        args.region,
        args.group_by,
        args.roles,
        args.channel,
        classes=getattr(args, "class_table", None),
    )


def _trained(done: Done, as_json: bool) -> int:
    """Say what came of a training; the exit code."""
    facts = done.facts
    print(f"Saved {done.result} after {facts['steps']} step{'s' * (facts['steps'] != 1)}, {facts['seconds']:.0f} s.")
    scored = SCORED.get(facts["score_from"], facts["score_from"])
    print(f"{facts['sentence']} ({scored}); baseline: {facts['baseline'].get('sentence', '-')}")
    if facts["test"]:
        print(f"{facts['test']['sentence']} (test, never seen)")
    if facts["warning"]:
        print(facts["warning"])
    if facts["rising"]:
        print("It was still improving: more time will help.")
    for left in facts["excluded"]:
        warn(f"Excluded: {left['reason']}")
    if as_json:
        print(json.dumps({"model": done.result, **facts}))
    return 1 if facts["excluded"] else 0
