"""Apply a model to images."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dojo.commands.flags import flags, json_flag, of_model, pattern_flags, refused
from napari_dojo.commands.show import last, watched
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Event, Message
from napari_dojo.settings import PredictSettings, checked, fields_of
from napari_dojo.tasks import TASKS

if TYPE_CHECKING:
    from napari_dojo.inference.predict import Ready
    from napari_dojo.inference.sinks import Sink, ZarrSink
    from napari_dojo.inference.tiff_sink import Some, TiffSink
    from napari_dojo.models.card import Card

__all__ = ["add_predict"]

_DECODING = [field for task in TASKS.values() for field in fields_of(task.decoding)]


def add_predict(parser: argparse.ArgumentParser) -> None:
    """The flags of ``predict``."""
    parser.add_argument("model", metavar="MODEL", help="a folder, a zip, or the name of a model")
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="files, folders, patterns, lists (.txt), plates or addresses"
    )
    parser.add_argument(
        "--subfolders", action="store_true", help="use images in subfolders, too; results mirror the folders"
    )
    pattern_flags(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="output folder, one file for each image; or, for one image of any size, an OME-Zarr (STORE.zarr)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="overwrite existing results")
    existing.add_argument(
        "--skip-existing", action="store_true", help="do only the images whose result is not there yet"
    )
    _add_beside(parser)
    parser.add_argument("--axes", help="axes of the images, for example YX, ZYX, TYX, CYX or YXC")
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
    flags(parser, PredictSettings)
    _add_decoding(parser)
    json_flag(parser)
    parser.set_defaults(run=_predict)


def _add_beside(parser: argparse.ArgumentParser) -> None:
    """What is written beside each result."""
    from napari_dojo.inference.tables import MEASUREMENTS

    parser.add_argument("--tables", action="store_true", help="a table (CSV) of measurements beside each result")
    known = ", ".join(m.name for m in MEASUREMENTS)
    parser.add_argument(
        "--measure", metavar="NAMES", help=f"measurements of objects in the tables, separated by commas: {known}"
    )
    parser.add_argument("--rois", action="store_true", help="the outlines as ImageJ ROIs (zip) beside each result")
    parser.add_argument(
        "--then", metavar="CLASSIFIER", help="a second model, which gives each object found a class (DIR/classes.csv)"
    )


def _add_decoding(parser: argparse.ArgumentParser) -> None:
    """One flag for each decoding value of any task."""
    group = parser.add_argument_group("decoding (default: as the model says)")
    for field in _DECODING:
        if not any(field.flag in a.option_strings for a in group._group_actions):
            group.add_argument(field.flag, type=field.kind, help=field.option.help)


def _predict(args: argparse.Namespace) -> int:
    from napari_dojo.inference.apply import apply
    from napari_dojo.inference.sources import FileSource
    from napari_dojo.io.selection import Selection
    from napari_dojo.models.card import decoding_of, read_card, settings_of
    from napari_dojo.models.library import classifier_for, find

    card = read_card(find(args.model))
    task = TASKS[card.task]
    settings = checked(PredictSettings, of_model(args, card, fields_of(PredictSettings), settings_of(card)))
    if args.target and task.result.dense:
        raise refused("--target", card)
    second = read_card(classifier_for(card, args.then)) if args.then else None
    own, further = (() if c is None else fields_of(TASKS[c.task].decoding) for c in (card, second))
    given = of_model(args, card, _DECODING, (*own, *further))
    decoding = decoding_of(card, {f.name: given[f.name] for f in own if f.name in given})
    classes = second and decoding_of(second, {f.name: given[f.name] for f in further if f.name in given})
    subfolders = args.subfolders or not task.result.dense  # classes have a folder each
    files = Selection(tuple(args.inputs), tuple(args.include or ()), tuple(args.exclude or ()), subfolders)
    inputs = tuple(files.files(without=args.out))
    sink, large = _whole_or_partly(args, _results(args, card, inputs, settings, classes))
    labels = _labels_of(inputs, args.target) if args.target else {}
    todo = tuple(range(len(inputs)))
    if args.skip_existing:
        sink = _left(sink)
        todo = sink.places
        if not todo:
            print(f"All {len(inputs)} results are there already, in {args.out}.")
            if args.json:
                print(json.dumps({"written": [], "skipped": [], "seconds": 0.0}))
            return 0
    sink.check()  # says what is wrong before torch is loaded
    from napari_dojo.inference.predict import Ready
    from napari_dojo.models.bundle import load

    ready = Ready.of(load(find(args.model)), settings, decoding)
    if args.scheduler:
        events = _on_cluster(args, sink, ready)
    else:
        sources = [FileSource(inputs[i], args.axes, labels=labels.get(inputs[i]), lazy_above=large) for i in todo]
        events = apply(ready, sources, sink)
    done = watched(last(events), "Applying")
    return _predicted(args, done)


def _results(
    args: argparse.Namespace, card: Card, inputs: tuple[Path, ...], settings: PredictSettings, classes: Any
) -> TiffSink:
    """Where predictions of whole images go; DojoError where tables or ROIs are wanted of what has none.

    ``classes`` : how the maps of a second model become classes.
    """
    from napari_dojo.inference.tables import TABLES, USUAL, chosen_measurements
    from napari_dojo.inference.tiff_sink import TiffSink, further_files
    from napari_dojo.models.library import find

    result = TASKS[card.task].result
    tables, names = args.tables or args.measure is not None, USUAL
    if args.measure is not None:
        names = chosen_measurements([n.strip() for n in args.measure.split(",") if n.strip()])
    then = str(find(args.then)) if args.then else ""
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
        then_decoding=classes,
        classes=not result.dense,
        also=further_files(card, settings),
        device=settings.device,
    )


def _whole_or_partly(args: argparse.Namespace, sink: TiffSink) -> tuple[Sink, int]:
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
    return sink, LAZY_ABOVE


def _predicted(args: argparse.Namespace, done: Done) -> int:
    """Say what was written; the exit code."""
    results, skipped, seconds = (done.facts[k] for k in ("results", "skipped", "seconds"))
    print(f"{len(results)} of {done.facts['images']} images done in {seconds:.1f} s, written to {args.out}.")
    if args.json:
        written = list(dict.fromkeys(r["prediction"] or r["table"] for r in results))
        print(json.dumps({"written": written, "skipped": skipped, "seconds": seconds}))
    return 1 if skipped or done.facts["stopped"] else 0


def _left(sink: Sink) -> Some:
    """The places of images without a result; DojoError where results are not files of their own."""
    from napari_dojo.inference.tiff_sink import Some, TiffSink

    if not isinstance(sink, TiffSink) or sink.then or sink.classes:
        raise DojoError("--skip-existing is for a folder with a file for each image. Leave it out.")
    return Some(replace(sink, resumed=True), sink.left())


def _on_cluster(args: argparse.Namespace, sink: Sink, ready: Ready) -> Iterator[Event]:
    """The same by several processes or machines: the blocks of one image, or the files of a folder."""
    from napari_dojo.inference.apply import apply
    from napari_dojo.inference.cluster import Order, connected
    from napari_dojo.inference.sinks import ZarrSink
    from napari_dojo.inference.sources import PARTLY, FileSource
    from napari_dojo.inference.tiff_sink import Some, TiffSink
    from napari_dojo.models.library import find

    with connected(args.scheduler, Order(str(find(args.model)), ready.settings, ready.decoding)) as cluster:
        ready = cluster.sized(ready)
        yield Message("info", cluster.sentence(ready.predictor.block_memory))
        if isinstance(sink, ZarrSink):
            yield from apply(ready, [FileSource(sink.input, args.axes, lazy_above=PARTLY)], sink, engine=cluster.blocks)
        elif isinstance(sink, Some):
            yield from cluster.files(sink.sink, args.axes, Control(), sink.places)
        elif isinstance(sink, TiffSink):
            yield from cluster.files(sink, args.axes, Control())


def _zarr_sink(args: argparse.Namespace, inputs: Sequence[Path]) -> ZarrSink:
    """One OME-Zarr for one image; DojoError where more was asked for."""
    from napari_dojo.inference.sinks import ZarrSink

    if len(inputs) > 1:
        raise DojoError(f"{args.out.name} takes the result for one image, and {len(inputs)} were given. Name a folder.")
    if args.tables or args.measure is not None or args.rois:
        raise DojoError(
            "Tables and ROIs are written beside TIFF files. Leave them out, or name a folder instead of a .zarr."
        )
    return ZarrSink(inputs[0], args.out, args.overwrite)


def _labels_of(inputs: Sequence[Path], target: str) -> dict[Path, Path]:
    """The labels of each image, by file name; DojoError where an image has none."""
    from napari_dojo.io.pairing import list_inputs, pair_files

    pairs, alone, _ = pair_files(inputs, list_inputs(target, targets=True))
    if alone:
        raise DojoError(
            f"{alone[0].name} has no labels of the same name in {target}. Add them, or leave the image out."
        )
    return dict(pairs)
