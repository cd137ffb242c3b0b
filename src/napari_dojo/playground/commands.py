"""The classroom on the command line: run an exercise without a window, and check students' submissions."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dojo.errors import DojoError

if TYPE_CHECKING:
    from napari_dojo.playground.exercise import Exercise
    from napari_dojo.playground.image_session import ImageSession
    from napari_dojo.playground.kinds import AnySession, AnySetup
    from napari_dojo.playground.session import Session
    from napari_dojo.playground.share import Shared
    from napari_dojo.playground.trainer import Score

__all__ = ["Row", "add_arguments", "check_file"]

MOST_WORK = 5e9  # multiplications to retrain a submission without weights: about a minute
LARGEST_FILE = 50_000_000  # characters
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")  # Okabe-Ito
MARKERS = {"training": "o", "validation": "s", "test": "D"}


def add_arguments(parser: argparse.ArgumentParser, flags: Callable[[Any, type], None]) -> None:
    """Add the exercises, each with all options; ``flags`` adds one flag for each option of a settings class."""
    from napari_dojo.playground.exercise import ALIASES, NAMES

    what = parser.add_subparsers(dest="exercise", required=True, metavar="EXERCISE")
    others = [*NAMES[1:], *ALIASES]
    usage = f"{parser.prog} EXERCISE"  # else that of the first one for all
    exercise = what.add_parser(NAMES[0], aliases=others, help="run a built-in exercise", prog=usage)
    own = what.add_parser("open", help="run your own exercise: a .toml file, or a text that starts with dojo1:")
    own.add_argument("source", metavar="FILE|TEXT")
    for each in (exercise, own):
        each.add_argument("--solution", action="store_true", help="use the settings of the solution")
        each.add_argument("--points", metavar="N,N,N", help="number of points for training, validation and test")
        each.add_argument("--lr", dest="learning_rate", type=float, metavar="FLOAT", help="short for --learning-rate")
        each.add_argument(
            "--csv", type=Path, metavar="FILE", help="custom points from a table with columns x, y, class"
        )
        each.add_argument("--seed", type=int, help="random seed: the same seed gives the same result")
        for cls in _classes():
            flags(each, cls)
        each.add_argument(
            "--plot", type=Path, metavar="FILE.png", help="save a figure of the decision surface and the loss curves"
        )
        each.add_argument(
            "--code", choices=("pytorch", "keras"), help="print the exercise as a script instead of running it"
        )
        each.add_argument(
            "--text", nargs="?", const="", metavar="NAME", help="print the result as a text to submit, with your name"
        )
        _json(each)
        each.set_defaults(run=_run)
    check = what.add_parser("check", help="check students' submissions and print a table")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="text files with one submission per line")
    _json(check)
    check.set_defaults(run=_check)


def _classes() -> tuple[type, ...]:
    """The classes whose options are flags; --hidden and the numbers of examples mean those of the exercise's kind."""
    from napari_dojo.playground.image_settings import Cnn, ImageLearning, ImageSet
    from napari_dojo.playground.settings import Learning, NetShape, PointSet

    return PointSet, NetShape, Learning, ImageSet, Cnn, ImageLearning


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def _run(args: argparse.Namespace) -> int:
    from napari_dojo.playground.kinds import session_of
    from napari_dojo.playground.scripts import keras_script, torch_script
    from napari_dojo.playground.share import Shared, to_text

    exercise = _exercise(args)
    setup = _setup(exercise, args)
    if args.code:
        print(torch_script(setup) if args.code == "pytorch" else keras_script(setup), end="")
        return 0
    session = session_of(setup)
    print(exercise.title, f"Goal: {exercise.goal.sentence}.", sep="\n")
    for note in session.notes:
        print(f"Note: {note}", file=sys.stderr)
    began = time.perf_counter()
    for _ in session.run():
        pass
    facts = _facts(exercise, session, time.perf_counter() - began)
    print("\n".join(_report(session, facts)))
    if args.plot:
        _plot(session, args.plot)
    if args.text is not None:
        print(to_text(Shared.of(exercise, session, by=args.text)))
    if args.json:
        print(json.dumps(facts))
    return 0


def _exercise(args: argparse.Namespace) -> Exercise:
    from napari_dojo.playground.exercise import load
    from napari_dojo.playground.share import PREFIX, from_text

    if args.exercise != "open":
        return load(args.exercise)
    if PREFIX.match(args.source.strip()):
        shared = from_text(args.source)
        return replace(shared.exercise, start=shared.setup)
    return load(args.source)


def _setup(exercise: Exercise, args: argparse.Namespace) -> AnySetup:
    """The settings of the exercise, with the options of the command line."""
    from napari_dojo.playground.points import read_csv
    from napari_dojo.settings import fields_of

    if args.solution and not exercise.solution:
        raise DojoError(f"The exercise {exercise.title} has no solution. Run it without --solution.")
    setup = exercise.solution if args.solution and exercise.solution else exercise.start
    names = dict.fromkeys(f.name for cls in _classes() for f in fields_of(cls))
    given = {name: getattr(args, name) for name in (*names, "seed") if getattr(args, name) is not None}
    if args.points:
        counts = args.points.split(",")
        if len(counts) != 3 or not all(c.strip().isdecimal() for c in counts):
            raise DojoError(f"--points needs three whole numbers, such as 500,200,200; got {args.points!r}.")
        given |= dict(zip(("training", "validation", "test"), map(int, counts), strict=True))
    if args.csv:
        given |= {"kind": "custom", "rows": read_csv(args.csv)[0]}
    other = sorted(set(given) - {*setup.flat(), "seed"})
    if other:
        flag = other[0].replace("_", "-")
        raise DojoError(f"The exercise {exercise.title} has no option --{flag}. Remove it.")
    return setup.with_(**given)


def _facts(exercise: Exercise, session: AnySession, seconds: float) -> dict[str, Any]:
    """The results of a trained session as plain values for JSON. This reveals the test score."""
    from napari_dojo.playground.counts import updates_per_epoch

    n, batch = session.data.counts[0], session.setup.learning.batch_size
    return {
        "exercise": exercise.name,
        "parameters": session.setup.parameters,
        "epochs": session.epochs,
        "updates_per_epoch": updates_per_epoch(n, min(batch, n)),
        "train": _plain(session.score("training")),
        "validation": _plain(session.score("validation")),
        "test": _plain(session.score("test")),
        "goal": exercise.goal.text,
        "met": exercise.met(session),
        "ended": session.ended,
        "seconds": round(seconds, 3),
        **_image_facts(session),
    }


def _image_facts(session: AnySession) -> dict[str, Any]:
    """Of a session on images: the dense network, and the accuracies on test images that are shifted by 1 px."""
    from napari_dojo.playground.image_session import ImageSession

    if not isinstance(session, ImageSession):
        return {}
    scores = session.test_scores()
    return {
        "dense": {
            "parameters": session.setup.architecture.dense_parameters,
            "validation": _plain(session.history[-1].dense),
            "test": _plain(scores["dense"]),
        },
        "shifted": {
            name: score.accuracy if (score := scores[f"{name}_shifted"]) else None for name in ("cnn", "dense")
        },
    }


def _plain(score: Score | None) -> dict[str, Any] | None:
    """Loss and accuracy; for regression, accuracy is null and r2 is added. NaN becomes null."""
    if score is None:
        return None
    values = {"loss": score.loss, "accuracy": score.accuracy}
    if score.accuracy is None:
        values["r2"] = score.r2
    return {k: v if v is not None and math.isfinite(v) else None for k, v in values.items()}


def _report(session: AnySession, facts: dict[str, Any]) -> Iterator[str]:
    """The results as text."""
    from napari_dojo.playground.counts import cnn_sum, dense_sum, parameter_sum, shared_words, update_sum
    from napari_dojo.playground.session import Session

    learning = session.setup.learning
    if isinstance(session, Session):
        yield f"Parameters: {parameter_sum(session.setup.net)}"
    else:
        yield f"Parameters, convolutional: {cnn_sum(session.setup.architecture)}"
        yield f"Parameters, dense: {dense_sum(session.setup.architecture)}"
        yield shared_words(session.setup.architecture)
    yield f"Updates per epoch: {update_sum(session.data.counts[0], learning.batch_size)}; {session.epochs} epochs"
    yield f"{'':<12}{session.word:>8}{'loss':>10}{'accuracy' if session.data.classes else 'R²':>11}"
    counts = session.data.counts
    for name, key, count in zip(
        ("training", "validation", "test"), ("train", "validation", "test"), counts, strict=True
    ):
        score = facts[key]
        if score:
            value = score["r2"] if score["accuracy"] is None else score["accuracy"]
            yield f"{name:<12}{count:>8}{_shown(score['loss'], 4):>10}{_shown(value, 3):>11}"
    if "shifted" in facts:
        dense = facts["dense"]["test"]
        yield f"Test, dense network: {_shown(dense and dense['accuracy'], 3)}"
        moved = (_shown(facts["shifted"][name], 3) for name in ("cnn", "dense"))
        yield "Test, images shifted by 1 px: convolutional {}, dense {}".format(*moved)
    if session.ended:
        yield session.ended
    yield "The goal is met." if facts["met"] else "The goal is not met."


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _plot(session: AnySession, path: Path) -> None:
    """Save a figure of the decision surface with the points, or of the kernels, and of the loss curves."""
    from matplotlib.figure import Figure

    from napari_dojo.playground.session import Session

    figure = Figure(figsize=(9, 4), layout="constrained")
    plane, curves = figure.subplots(1, 2)
    if not isinstance(session, Session):
        _draw_kernels(session, plane)
    else:
        (_draw_curve if session.setup.points.kind == "curve" else _draw_plane)(session, plane)
    for name, colour in zip(("training", "validation"), COLOURS, strict=False):
        losses = [(r.epoch, s.loss) for r in session.history if (s := getattr(r, name))]
        if losses:
            curves.plot(*zip(*losses, strict=True), color=colour, label=name)
    curves.set(xlabel="epoch", ylabel="loss")
    curves.legend(frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except ValueError:
        raise DojoError(f"{path.name} cannot be drawn in that format. Name it .png.") from None


def _draw_plane(session: Session, plane: Any) -> None:
    """The points on the decision surface: probabilities of two classes, else classes or values."""
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    from napari_dojo.playground.surface import Grid, surface

    data, colours = session.data, COLOURS[: session.data.classes]
    smooth = data.classes == 2 and session.setup.net.outputs == 1
    if smooth:
        shades = LinearSegmentedColormap.from_list("classes", [colours[0], "white", colours[1]])
        look = {"cmap": shades, "vmin": 0, "vmax": 1}
    elif data.classes:
        look = {"cmap": ListedColormap(colours), "vmin": 0, "vmax": data.classes - 1}
    else:
        look = {"cmap": "viridis", "vmin": data.value.min(), "vmax": data.value.max()}
    grid = Grid.of(data, session.setup.net.inputs, 200)
    shown = surface(session.net, grid, data.classes, hard=not smooth).reshape(200, 200)
    plane.imshow(shown, origin="lower", extent=grid.extent, alpha=0.6, **look)
    for name, marker in MARKERS.items():
        part = data.part(name)
        edge = {"s": 10, "marker": marker, "edgecolors": "white", "linewidths": 0.3}
        plane.scatter(*data.xy[part].T, c=data.value[part], **look, **edge)


def _draw_curve(session: Session, plane: Any) -> None:
    """One-dimensional regression: the points, and the prediction as a line."""
    import numpy as np

    data = session.data
    for name, marker in MARKERS.items():
        part = data.part(name)
        plane.scatter(data.xy[part, 0], data.value[part], s=10, marker=marker, color=COLOURS[0])
    x = np.linspace(data.xy[:, 0].min(), data.xy[:, 0].max(), 200)
    plane.plot(x, session.predict(np.stack([x, 0 * x], axis=1))[:, 0], color=COLOURS[1])


def _draw_kernels(session: ImageSession, plane: Any) -> None:
    """The kernels of the first layer, one beside the other; 0 is white."""
    from napari_dojo.playground.convolution import mosaic

    shown = mosaic(session.net.cnn.convolutions[0].kernels[:, 0])
    most = float(abs(session.net.cnn.convolutions[0].kernels).max())
    plane.imshow(shown, cmap="PuOr", vmin=-most, vmax=most)
    plane.set(title="Kernels of the first layer", xticks=[], yticks=[])


@dataclass(frozen=True)
class Row:
    """One submission, with recomputed scores: accuracy, or R² for regression."""

    by: str
    exercise: str
    parameters: int
    epochs: int
    validation: float | None
    test: float | None
    looks: int
    met: bool
    note: str


def check_file(path: Path) -> Iterator[Row | DojoError]:
    """Each submission of a file as a row, or the error that prevents it.

    A line may start with a name. Lines that a mail program wrapped are joined.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        content = file.read(LARGEST_FILE)
    from napari_dojo.playground.exercise import printable
    from napari_dojo.playground.share import from_text

    texts: list[tuple[str, str]] = []
    for line in content.splitlines():
        found = re.search(r"dojo\d+:", line)
        if found:
            texts.append((line[: found.start()].strip(" \t:;,\"'>"), line[found.start() :].strip(" \t\"',;")))
        elif texts and re.fullmatch(r"[\w=-]+", line.strip(" \t>"), re.ASCII):
            texts[-1] = (texts[-1][0], texts[-1][1] + line.strip(" \t>"))
    if not texts:
        yield DojoError(f'{path.name} has no line that contains "dojo1:".')
    for number, (name, text) in enumerate(texts, 1):
        try:
            shared = from_text(text)
            row = _row(shared)
        except DojoError as e:
            yield DojoError(f"{path.name}, text {number}: {e}")
            continue
        plain = path.stem if len(texts) == 1 else f"{path.stem} {number}"
        yield replace(row, by=printable(name) or shared.by or plain)


def _row(shared: Shared) -> Row:
    """Score a submission; a built-in exercise is checked against its built-in goal."""
    from napari_dojo.playground.counts import updates_per_epoch
    from napari_dojo.playground.exercise import NAMES, load

    exercise = load(shared.exercise.name) if shared.exercise.name in NAMES else shared.exercise
    session, learning, notes = shared.session(), shared.setup.learning, []
    each = updates_per_epoch(session.data.counts[0], min(learning.batch_size, session.data.counts[0]))
    epochs = shared.epochs
    if shared.parameters is None:
        # An update costs at least as much as about 2000 multiplications.
        links = session.data.counts[0] * shared.setup.work + 2000 * each
        if learning.epochs * links > MOST_WORK:
            raise DojoError(
                "The submission has no weights, and training it again takes too long. Ask for one with weights."
            )
        for _ in session.run():
            pass
        epochs = session.epochs
        notes.append("retrained")
    if exercise.other_points(shared.setup):
        notes.append(f"other {session.word}")
    changed = exercise.changed_though_not_allowed(shared.setup)
    if changed:
        notes.append(f"not allowed, but changed: {', '.join(changed)}")
    validation, test = session.score("validation"), session.score("test")
    met = exercise.met(session, epochs=epochs, updates=epochs * each)
    return Row(
        by="",
        exercise=exercise.title,
        parameters=shared.setup.parameters,
        epochs=epochs,
        validation=validation.value if validation else None,
        test=test.value if test else None,
        looks=shared.looks,
        met=met,
        note="; ".join(notes),
    )


def _check(args: argparse.Namespace) -> int:
    found = [row for path in args.files for row in _checked(path)]
    rows = [row for row in found if isinstance(row, Row)]
    bad = [str(row) for row in found if isinstance(row, DojoError)]
    for sentence in bad:
        print(f"Skipped: {sentence}", file=sys.stderr)
    if not rows:
        raise DojoError(f"None of the {len(bad)} submissions can be read. The first: {bad[0]}")
    titles = ("by", "exercise", "parameters", "epochs", "validation", "test", "looks", "goal", "note")
    cells = [titles, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(titles))]
    for line in cells:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())
    print(f"Read {len(rows)} of {len(found)} submissions.")
    if args.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "skipped": bad}))
    return 0


def _checked(path: Path) -> Iterator[Row | DojoError]:
    """The rows of a file; an unreadable file gives one error."""
    try:
        yield from check_file(path)
    except OSError as e:
        yield DojoError(f"{path}: {e.strerror}.")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.by[:40],
        row.exercise[:40],
        str(row.parameters),
        str(row.epochs),
        _shown(row.validation, 3),
        _shown(row.test, 3),
        str(row.looks),
        "met" if row.met else "not met",
        row.note,
    )
