"""Evaluate a model on images with ground truth."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from napari_dojo.commands.flags import flag, flags, json_flag, of_model, refused
from napari_dojo.commands.show import warn, watched
from napari_dojo.errors import DojoError
from napari_dojo.settings import PredictSettings, checked, fields_of, fields_of_data
from napari_dojo.tasks import TASKS

__all__ = ["add_evaluate"]

_ANNOTATION = [field for task in TASKS.values() for field in fields_of_data(task.options)]


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """The flags of ``evaluate``."""
    parser.add_argument("model", metavar="MODEL", help="a folder, a zip, or the name of a model")
    parser.add_argument(
        "--input", required=True, metavar="PATH", help="images: a file, a folder, a pattern or an OME-Zarr"
    )
    parser.add_argument(
        "--target", metavar="PATH", help="the ground truth, paired by file name; not needed for class folders"
    )
    parser.add_argument("--classes", metavar="CSV", help="lines of file,label,class: the classes of objects")
    parser.add_argument("--region", metavar="PATH", help="masks of the parts that are annotated")
    parser.add_argument("--axes", help="axes of the images, for example YX, ZYX, TYX, CYX or YXC")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write a table and figures there")
    parser.add_argument("--overwrite", action="store_true", help="replace the table and figures that are there")
    parser.add_argument(
        "--objects",
        metavar="MODEL",
        help="predicted images only: compare the objects that this model finds in them and in the ground truth",
    )
    flags(
        parser, PredictSettings, without=("uncertainty", "planes")
    )  # nothing is written, and stacks are scored as they are
    group = parser.add_argument_group("the ground truth")
    for field in _ANNOTATION:
        flag(group, field)
    json_flag(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from napari_dojo.evaluation.evaluate import evaluate_steps
    from napari_dojo.evaluation.report import check_new
    from napari_dojo.io.atomic import check_writable
    from napari_dojo.io.datasets import DatasetFiles, read_dataset
    from napari_dojo.models.bundle import load
    from napari_dojo.models.card import options_of, settings_of
    from napari_dojo.models.library import find

    bundle = load(find(args.model))
    task = TASKS[bundle.card.task]
    if args.target is None and task.result.dense:
        raise DojoError("Ground truth is needed to evaluate this model. Name it with --target.")
    if args.classes and task.result.dense:
        raise refused("--classes", bundle.card)
    settings = checked(
        PredictSettings, of_model(args, bundle.card, fields_of(PredictSettings), settings_of(bundle.card))
    )
    objects = load(find(args.objects)) if args.objects else None
    if objects and not task.result.intensities:
        raise DojoError(f"The model {bundle.card.name} predicts no images to find objects in. Leave --objects out.")
    if objects and not TASKS[objects.card.task].result.objects:
        raise DojoError(f"The model {objects.card.name} detects no objects. Name one that does with --objects.")
    options = replace(options_of(bundle.card), **of_model(args, bundle.card, _ANNOTATION, fields_of_data(task.options)))
    if args.out:
        check_writable(args.out)
        if not args.overwrite:
            check_new(args.out)
    pairs, notes = read_dataset(
        DatasetFiles(
            args.input,
            args.target,
            args.axes,
            args.region,
            channel=settings.channel,
            channels=bundle.card.own_channels,
            classes=args.classes,
        ),
        task.layout(options),
    )
    for note in [*notes, *(f"Excluded: {e.reason}" for e in pairs.excluded)]:
        warn(note)
    for sentence in task.target.doubts(pairs, options) if task.target else []:
        warn(sentence)
    report = watched(evaluate_steps(bundle, pairs, settings, objects, options), "Scoring")
    if report.doubt:
        warn(report.doubt)
    print(report.table())
    if args.out:
        report.save(args.out)
    if args.json:
        print(json.dumps(report.as_dict()))
    return 1 if pairs.excluded or report.doubt or len(report.rows) < len(pairs.samples) else 0
