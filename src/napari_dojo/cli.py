"""The command line: thin. Flags come from the settings classes, the work is done by the modules it names."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from napari_dojo import __version__
from napari_dojo.device import keep_memory, patient
from napari_dojo.errors import DojoError
from napari_dojo.events import (
    Control,
    Done,
    Event,
    Failed,
    Message,
    Progress,
    Skipped,
    Started,
    Step,
    Tried,
    Validated,
    changed,
    result_of,
)
from napari_dojo.playground import commands as classroom
from napari_dojo.settings import Field, PredictSettings, TrainSettings, checked, fields_of
from napari_dojo.tasks import TASKS, Task

__all__ = ["main"]

MOST = 3  # warnings of the same kind that are printed


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    0: everything asked for was done; 1: some inputs were skipped, each named with its reason, or it was stopped;
    2 with one sentence: nothing could be done.
    """
    began = time.monotonic()
    if argv is None:
        keep_memory()
        patient()
    args = _parser().parse_args(argv)
    args.began = began
    try:
        return int(args.run(args) or 0)
    except DojoError as e:
        print(f"napari-dojo: {e}", file=sys.stderr)
    except MemoryError:
        print(
            "napari-dojo: The memory was too small for this. Choose smaller images or close other programs.",
            file=sys.stderr,
        )
    except OSError as e:
        if e.filename is None and e.errno is None:
            raise
        print(f"napari-dojo: {e.filename or 'A file'}: {e.strerror}.", file=sys.stderr)
    except KeyboardInterrupt:
        print("napari-dojo: Stopped.", file=sys.stderr)
        return 1
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "napari-dojo", description="Train neural networks on your own images, and apply them."
    )
    parser.add_argument("--version", action="version", version=f"napari-dojo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="the whole story on sample data: train, apply, score, pictures")
    demo.add_argument("--headless", action="store_true", help="do not open the viewer at the end")
    demo.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="where scores and pictures go (default: demo)"
    )
    demo.add_argument("--minutes", type=float, default=1.5, help="how long to train (default: 1.5)")
    demo.set_defaults(run=_demo)
    train = commands.add_parser("train", help="train a model on images and targets")
    tasks = train.add_subparsers(dest="task", required=True, metavar="TASK")
    for task in TASKS.values():
        _add_train(tasks.add_parser(task.name, help=task.sentence, description=task.sentence), task)
    _add_predict(commands.add_parser("predict", help="apply a model to images"))
    _add_run(commands.add_parser("run", help="do the steps of a recipe for all images of a folder"))
    _add_evaluate(commands.add_parser("evaluate", help="evaluate a model on images with ground truth"))
    _add_models(commands.add_parser("models", help="list, show, import, export and remove models"))
    classroom.add_arguments(
        commands.add_parser("classroom", help="train a small network without a window; check submissions"),
        _flags,
    )
    doctor = commands.add_parser("doctor", help="check versions, graphics, torch and folders")
    doctor.set_defaults(run=_doctor)
    return parser


def _add_train(parser: argparse.ArgumentParser, task: Task) -> None:
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
    parser.add_argument("--out", required=True, type=Path, metavar="MODEL", help="the folder of the new model")
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
    parser.add_argument("--axes", help="what the dimensions of the images are, for example YX, ZYX, TYX, CYX or YXC")
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
    parser.add_argument("--name", default="", help="what the model is called (default: the folder's name)")
    parser.add_argument("--description", default="", help="one line for the model card")
    parser.add_argument("--license", help="of the model, an SPDX name such as CC0-1.0")
    parser.add_argument("--author", action="append", default=[], help="may be given several times")
    _flags(parser, TrainSettings)
    _flags(parser.add_argument_group(f"options of {task.name}"), task.options)
    _json(parser)
    parser.set_defaults(run=_train)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    from napari_dojo.inference.tables import MEASUREMENTS

    parser.add_argument("model", metavar="MODEL", help="a folder, a zip, or the name of a model")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders or patterns")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="output folder, one file for each image; or, for one image of any size, STORE.zarr",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="overwrite existing results")
    existing.add_argument(
        "--skip-existing", action="store_true", help="do only the images whose result is not there yet"
    )
    parser.add_argument("--tables", action="store_true", help="a table (CSV) of measurements beside each result")
    known = ", ".join(m.name for m in MEASUREMENTS)
    parser.add_argument(
        "--measure", metavar="NAMES", help=f"what the tables hold of objects, separated by commas: {known}"
    )
    parser.add_argument("--rois", action="store_true", help="the outlines as ImageJ ROIs (zip) beside each result")
    parser.add_argument("--axes", help="what the dimensions of the images are")
    parser.add_argument(
        "--scheduler",
        metavar="local:N|ADDRESS",
        help="spread the blocks of one image (--out STORE.zarr) or the files of a folder over N processes, or the workers of a "
        "dask.distributed scheduler",
    )
    parser.add_argument(
        "--target",
        metavar="PATH",
        help="labels of the objects, paired by file name, for a model that gives them classes",
    )
    parser.add_argument(
        "--then", metavar="CLASSIFIER", help="a second model, which gives each object found a class (DIR/classes.csv)"
    )
    _flags(parser, PredictSettings)
    group = parser.add_argument_group("decoding (default: as the model says)")
    for task in TASKS.values():
        for field in fields_of(task.decoding):
            if not any(field.flag in a.option_strings for a in group._group_actions):
                group.add_argument(field.flag, type=field.kind, help=field.option.help)
    _json(parser)
    parser.set_defaults(run=_predict)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file, which the Batch panel writes, too")
    parser.add_argument(
        "--input", nargs="+", metavar="INPUT", help="files, folders, patterns or lists (.txt) instead of those it names"
    )
    parser.add_argument(
        "--include", action="append", metavar="PATTERN", help="only these files; may be given several times"
    )
    parser.add_argument(
        "--exclude", action="append", metavar="PATTERN", help="without these; may be given several times"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder of the results instead of the one it names")
    parser.add_argument("--axes", help="what the dimensions of the images are")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of another recipe in the folder")
    parser.add_argument("--check", action="store_true", help="say what would be done and what does not fit; do nothing")
    _json(parser)
    parser.set_defaults(run=_run)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a folder, a zip, or the name of a model")
    parser.add_argument("--input", required=True, metavar="PATH")
    parser.add_argument(
        "--target", metavar="PATH", help="the ground truth, paired by file name; of class folders it is not needed"
    )
    parser.add_argument("--classes", metavar="CSV", help="lines of file,label,class: the classes of objects")
    parser.add_argument("--region", metavar="PATH", help="masks of the parts that are annotated")
    parser.add_argument("--axes", help="what the dimensions of the images are")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write a table and figures there")
    parser.add_argument(
        "--objects",
        metavar="MODEL",
        help="of predicted images: find objects in them and in the true ones with this model",
    )
    _flags(parser, PredictSettings)
    _json(parser)
    parser.set_defaults(run=_evaluate)


def _add_models(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    _json(what.add_parser("list", help="all models that can be applied by name"))
    info = what.add_parser("info", help="what a model is and how good it is")
    info.add_argument("model")
    _json(info)
    take = what.add_parser("import", help="copy a model folder or zip to your own models")
    take.add_argument("model", type=Path)
    take.add_argument("--name")
    give = what.add_parser("export", help="pack a model as a zip to share")
    give.add_argument("model")
    give.add_argument("--out", type=Path, required=True, metavar="ZIP")
    away = what.add_parser("remove", help="delete one of your own models")
    away.add_argument("model")
    parser.set_defaults(run=_models)


def _flags(parser: Any, cls: type) -> None:
    """One flag for each option of a settings class; one that is there already, by the same name, stays as it is."""
    known = {flag for action in parser._actions for flag in action.option_strings}
    for field in (f for f in fields_of(cls) if f.flag not in known):
        o = field.option
        shown = f"{o.help}{f' [{o.unit}]' if o.unit else ''}"
        if field.kind is bool:
            parser.add_argument(field.flag, action=argparse.BooleanOptionalAction, default=None, help=shown)
        elif field.choices:
            parser.add_argument(field.flag, choices=field.choices, type=field.kind, help=shown)
        elif field.kind is tuple:
            parser.add_argument(field.flag, help=shown + " (separated by commas)")
        else:
            parser.add_argument(field.flag, type=field.kind, metavar=field.kind.__name__.upper(), help=shown)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def _values(args: argparse.Namespace, cls: type) -> dict[str, Any]:
    """What was given for a settings class."""
    given = {f.name: getattr(args, f.name, None) for f in fields_of(cls)}
    return {k: _split(f, v) for f in fields_of(cls) if (v := given[f.name]) is not None for k in [f.name]}


def _split(field: Field, value: Any) -> Any:
    return tuple(v.strip() for v in value.split(",")) if field.kind is tuple else value


def _train(args: argparse.Namespace) -> int:
    task = TASKS[args.task]
    settings = checked(TrainSettings, _values(args, TrainSettings))
    options: Any = checked(task.options, _values(args, task.options))
    from napari_dojo.io.datasets import DatasetFiles, read_dataset
    from napari_dojo.training.world import join

    world = join(settings.device)
    target, roles, classes = getattr(args, "target", None), args.roles, getattr(args, "class_table", None)
    given = DatasetFiles(
        args.input, target, args.axes, args.region, args.group_by, roles, args.channel, classes=classes
    )
    pairs, notes = read_dataset(given, task.layout(options))
    for note in notes if world.rank == 0 else ():
        _warn(note)
    from napari_dojo.training.train import Target, train_steps

    about = {"name": args.name, "description": args.description, "license": args.license, "authors": tuple(args.author)}
    target = Target(args.out, args.resume, args.overwrite, began=args.began, **about)
    control = Control()
    events = train_steps(pairs, task, target, settings, options, args.start, control)
    if world.rank:
        return _silent(events, control)
    done = _shown(events, control, "Training")
    if done is None:
        return 1
    facts = done.facts
    kinds = {"validation": "validation, which chose the model", "training": "training images"}
    kind = kinds.get(facts["score_from"], facts["score_from"])
    print(f"Saved {done.result} after {facts['steps']} steps, {facts['seconds']:.0f} s.")
    print(f"{facts['sentence']} ({kind}); baseline: {facts['baseline'].get('sentence', '-')}")
    if facts["test"]:
        print(f"{facts['test']['sentence']} (test, never seen)")
    if facts["warning"]:
        print(facts["warning"])
    if facts["rising"]:
        print("It was still improving: more time will help.")
    for left in facts["excluded"]:
        _warn(f"Excluded: {left['reason']}")
    if args.json:
        print(json.dumps({"model": done.result, **facts}))
    return 1 if facts["excluded"] else 0


def _predict(args: argparse.Namespace) -> int:
    from napari_dojo.inference.apply import apply
    from napari_dojo.inference.sinks import Some
    from napari_dojo.inference.sources import FileSource
    from napari_dojo.io.categories import images_of
    from napari_dojo.io.pairing import list_inputs
    from napari_dojo.models.card import read_card
    from napari_dojo.models.library import find

    settings = checked(PredictSettings, _values(args, PredictSettings))
    card = read_card(find(args.model))
    task = TASKS[card.task]
    listed = list_inputs if task.result.dense else images_of
    inputs = tuple(dict.fromkeys(p for given in args.inputs for p in listed(given)))
    sink, large = _whole_or_partly(args, _results(args, card, inputs))
    labels = _labels_of(inputs, args.target) if args.target else {}
    todo = tuple(range(len(inputs)))
    if args.skip_existing:
        todo = _left(sink)
        if not todo:
            print(f"All {len(inputs)} results are there already, in {args.out}.")
            return 0
        sink = Some(sink, todo)
    sink.check()  # says what is wrong before torch is loaded
    from napari_dojo.inference.predict import Ready
    from napari_dojo.models.bundle import load
    from napari_dojo.models.card import decoding_of

    bundle = load(find(args.model))
    decoding: Any = checked(task.decoding, {**asdict(decoding_of(bundle.card)), **_values(args, task.decoding)})
    sources = [FileSource(inputs[i], args.axes, labels=labels.get(inputs[i]), lazy_above=large) for i in todo]
    if args.scheduler:
        events = _on_cluster(args, sink, settings, decoding)
    else:
        events = apply(Ready.of(bundle, settings, decoding), sources, sink)
    done = _watched(_last(events), "Applying")
    return _predicted(args, done)


def _results(args: argparse.Namespace, card: Any, inputs: tuple[Path, ...]) -> Any:
    """Where predictions of whole images go; DojoError where tables or ROIs are wanted of what has none."""
    from napari_dojo.inference.sinks import TiffSink
    from napari_dojo.inference.tables import TABLES, USUAL, chosen_measurements

    result = TASKS[card.task].result
    tables, names = args.tables or args.measure is not None, USUAL
    if args.measure is not None:
        names = chosen_measurements([n.strip() for n in args.measure.split(",") if n.strip()])
    then = _classifier_for(card, args.then) if args.then else ""
    if (tables or args.rois) and result not in TABLES:
        raise DojoError(
            f"The model {card.name} predicts no labels; tables and ROIs are of objects and classes. "
            "Leave --tables and --rois out."
        )
    return TiffSink(
        inputs,
        args.out,
        args.overwrite,
        tables=tables,
        rois=args.rois,
        measurements=names,
        then=then,
        classes=not result.dense,
    )


def _whole_or_partly(args: argparse.Namespace, sink: Any) -> tuple[Any, int]:
    """Where predictions go, and the bytes from which on an image is read in parts; DojoError where both do not fit together."""
    from napari_dojo.inference.sources import PARTLY
    from napari_dojo.io.images import LAZY_ABOVE

    zarr = args.out.suffix == ".zarr"
    if not (sink.then or sink.classes):
        return (_zarr_sink(args, sink.inputs), PARTLY) if zarr else (sink, LAZY_ABOVE)
    if args.scheduler or zarr:
        raise DojoError(
            "Classes of objects and of images are written to a folder, by one process. Name a folder as --out."
        )
    _check_classes(args)
    return sink, LAZY_ABOVE


def _predicted(args: argparse.Namespace, done: Any) -> int:
    """Say what was written; the exit code."""
    results, skipped, seconds = (done.facts[k] for k in ("results", "skipped", "seconds"))
    print(f"{len(results)} of {done.facts['images']} images done in {seconds:.1f} s, written to {args.out}.")
    if args.json:
        written = list(dict.fromkeys(r["prediction"] or r["table"] for r in results))
        print(json.dumps({"written": written, "skipped": skipped, "seconds": seconds}))
    return 1 if skipped or done.facts["stopped"] else 0


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
    done = _shown(in_images(run(recipe, args.overwrite, control)), control, "Running")
    if done is None:
        return 1
    facts = done.facts
    for sentence in facts["skipped"]:
        _warn(f"Skipped: {sentence}")
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


def _left(sink: Any) -> tuple[int, ...]:
    """The images without a result; DojoError where results are not files of their own."""
    from napari_dojo.inference.sinks import TiffSink

    if not isinstance(sink, TiffSink) or sink.then or sink.classes:
        raise DojoError("--skip-existing is for a folder with a file for each image. Leave it out.")
    return sink.left()


def _on_cluster(args: argparse.Namespace, sink: Any, settings: PredictSettings, decoding: Any) -> Iterator[Event]:
    """The same by several processes or machines: the blocks of one image, or the files of a folder."""
    from napari_dojo.inference.apply import apply
    from napari_dojo.inference.cluster import Order, connected
    from napari_dojo.inference.predict import Ready
    from napari_dojo.inference.sinks import Some, ZarrSink
    from napari_dojo.inference.sources import PARTLY, FileSource
    from napari_dojo.models.bundle import load
    from napari_dojo.models.library import find

    model = find(args.model)
    with connected(args.scheduler, Order(str(model), settings, decoding)) as cluster:
        ready = Ready.of(load(model), settings, decoding)
        yield Message("info", cluster.sentence(ready.predictor.block_memory))
        if isinstance(sink, ZarrSink):
            yield from apply(ready, [FileSource(sink.input, args.axes, lazy_above=PARTLY)], sink, engine=cluster.blocks)
        elif isinstance(sink, Some):
            yield from cluster.files(sink.sink, args.axes, Control(), sink.places)
        else:
            yield from cluster.files(sink, args.axes, Control())


def _zarr_sink(args: argparse.Namespace, inputs: Sequence[Path]) -> Any:
    """One OME-Zarr for one image; DojoError where more was asked for."""
    from napari_dojo.inference.sinks import ZarrSink

    if len(inputs) > 1:
        raise DojoError(f"{args.out.name} takes the result for one image, and {len(inputs)} were given. Name a folder.")
    if args.tables or args.measure is not None or args.rois:
        raise DojoError(
            "Tables and ROIs are written beside TIFF files. Leave them out, or name a folder instead of a .zarr."
        )
    return ZarrSink(inputs[0], args.out, args.overwrite)


def _check_classes(args: argparse.Namespace) -> None:
    """Classes go into a table in a folder, written by one process; DojoError where something else was asked for."""
    if args.out.suffix == ".zarr" or args.scheduler:
        raise DojoError(
            "Classes are written to classes.csv in a folder, by one process. Leave --scheduler out, and name a folder."
        )


def _classifier_for(card: Any, named: str) -> str:
    """The folder of the model that classifies what another one detects; DojoError where they do not fit together."""
    from napari_dojo.models.card import read_card
    from napari_dojo.models.library import find

    path = find(named)
    second = read_card(path)
    if not TASKS[card.task].result.objects:
        raise DojoError(
            f"The model {card.name} detects no objects, so --then has nothing to classify. Leave --then out."
        )
    if TASKS[second.task].result.dense:
        raise DojoError(
            f"The model {second.name} gives no classes to objects. Name a model of the task classify with --then."
        )
    return str(path)


def _labels_of(inputs: Sequence[Path], target: str) -> dict[Path, Path]:
    """The labels of each image, by file name; DojoError where an image has none."""
    from napari_dojo.io.pairing import list_inputs, pair_files

    pairs, alone, _ = pair_files(inputs, list_inputs(target, targets=True))
    if alone:
        raise DojoError(
            f"{alone[0].name} has no labels of the same name in {target}. Add them, or leave the image out."
        )
    return dict(pairs)


def _evaluate(args: argparse.Namespace) -> int:
    from napari_dojo.evaluation.evaluate import evaluate_steps
    from napari_dojo.io.datasets import DatasetFiles, read_dataset
    from napari_dojo.models.bundle import load
    from napari_dojo.models.card import options_of
    from napari_dojo.models.library import find

    bundle = load(find(args.model))
    if args.target is None and TASKS[bundle.card.task].result.dense:
        raise DojoError("Ground truth is needed to evaluate this model. Name it with --target.")
    settings = checked(PredictSettings, _values(args, PredictSettings))
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
        TASKS[bundle.card.task].layout(options_of(bundle.card)),
    )
    for note in [*notes, *(f"Excluded: {e.reason}" for e in pairs.excluded)]:
        _warn(note)
    objects = load(find(args.objects)) if args.objects else None
    report = _watched(evaluate_steps(bundle, pairs, settings, objects), "Scoring")
    print(report.table())
    if args.out:
        report.save(args.out)
    if args.json:
        print(json.dumps(report.as_dict()))
    return 1 if pairs.excluded or len(report.rows) < len(pairs.samples) else 0


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


def _doctor(args: argparse.Namespace) -> int:
    from napari_dojo.doctor import report

    print(report())
    return 0


def _demo(args: argparse.Namespace) -> int:
    from napari_dojo.demo import demo

    return demo(main, args.out, args.minutes, headless=args.headless)


def _last(events: Iterator[Event]) -> Generator[Event, None, Done]:
    """The same events, and the last of them, which is Done, as the result."""
    for event in events:
        yield event
    if not isinstance(event, Done):
        raise DojoError(getattr(event, "sentence", "Stopped before there was a result."))
    return event


T = TypeVar("T")


def _watched(steps: Generator[Event, None, T], title: str) -> T:
    """Draw a bar for work on several images; print why images were skipped, and the first of other warnings."""
    skipped: list[str] = []
    warnings: list[str] = []

    def seen(event: Event) -> Event:
        if isinstance(event, Progress):
            bar.update(row, completed=event.done, total=event.total)
        elif isinstance(event, Message) and event.level == "info":
            bar.console.print(event.text, highlight=False, markup=False, soft_wrap=True)
        elif isinstance(event, Message):
            warnings.append(event.text)
        elif isinstance(event, Skipped):
            skipped.append(f"Skipped: {event.sentence}")
        return event

    with _bar() as bar:
        row = bar.add_task(title, total=None)
        result = result_of(changed(steps, seen))
    more = [f"{len(warnings)} images in all have warnings."] if len(warnings) > MOST else []
    for sentence in [*warnings[:MOST], *more, *skipped]:
        _warn(sentence)
    return result


def _shown(events: Iterator[Event], control: Control, title: str) -> Done | None:
    """Draw a bar while a job is running; Ctrl-C keeps what is there. None where it was stopped before there was anything."""
    done: Done | None = None
    plain: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}  # names may hold brackets
    with _stopped_by_signals(control), _bar() as bar:
        row = bar.add_task(title, total=None)
        for event in events:
            if isinstance(event, Step):
                bar.update(row, completed=event.step, total=event.steps, description=f"{title}, loss {event.loss:.3f}")
            elif isinstance(event, Progress):
                bar.update(row, completed=event.done, total=event.total)
            elif isinstance(event, Started):
                bar.console.print(event.plan["sentence"] + ". " + event.plan["split"] + ".", **plain)
            elif isinstance(event, Message):
                bar.console.print(event.text, **plain)
            elif isinstance(event, Tried):
                bar.console.print(f"from {event.start}, step {event.step}: {event.figure}", **plain)
            elif isinstance(event, Validated):
                bar.console.print(f"step {event.step}: {event.score.get('sentence', '')}", **plain)
            elif isinstance(event, Done):
                done = event
            elif isinstance(event, Failed):
                _warn(f"napari-dojo: {event.sentence}")
    return done


def _silent(events: Iterator[Event], control: Control) -> int:
    """The part of a process that follows another one, which says everything."""
    with _stopped_by_signals(control):
        for _ in events:
            pass
    return 0


@contextlib.contextmanager
def _stopped_by_signals(control: Control) -> Iterator[None]:
    """Ctrl-C, and the end of a cluster's time, stop the work so that its result is kept."""
    import signal

    def stop(*_: object) -> None:
        control.stop = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True), transient=True)


def _warn(text: str) -> None:
    print(text, file=sys.stderr)
