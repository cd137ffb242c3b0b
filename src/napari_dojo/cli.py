"""The command line: thin. Flags come from the settings classes, the work is done by the modules it names.

These are imported when a command is run: Ctrl-C while they load is Ctrl-C like any other.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from napari_dojo import __version__
from napari_dojo.device import keep_memory, patient
from napari_dojo.errors import DojoError, explained

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    0: everything asked for was done; 1: some inputs were skipped, each named with its reason, or it was stopped;
    2 with one sentence: nothing could be done.
    """
    began = time.monotonic()
    try:
        if argv is None:
            keep_memory()
            patient()
        args = _parser().parse_args(argv)
        args.began = began
        code = int(args.run(args) or 0)
        sys.stdout.flush()
        return code
    except DojoError as e:
        print(f"napari-dojo: {e}", file=sys.stderr)
    except BrokenPipeError:  # what reads the output has seen enough, such as ``head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MemoryError, OSError) as e:
        if isinstance(e, OSError) and e.filename is None and e.errno is None:
            raise
        print(f"napari-dojo: {explained(e)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("napari-dojo: Stopped.", file=sys.stderr)
        return 1
    return 2


def _parser() -> argparse.ArgumentParser:
    from napari_dojo.commands.evaluate import add_evaluate
    from napari_dojo.commands.flags import flags
    from napari_dojo.commands.models import add_models
    from napari_dojo.commands.predict import add_predict
    from napari_dojo.commands.recipe import add_run
    from napari_dojo.commands.train import add_train
    from napari_dojo.playground import commands as classroom
    from napari_dojo.tasks import TASKS

    parser = argparse.ArgumentParser(
        "napari-dojo", description="Train neural networks on your own images, and apply them."
    )
    parser.add_argument("--version", action="version", version=f"napari-dojo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="train, apply and evaluate a model on sample images")
    demo.add_argument("--headless", action="store_true", help="do not open the viewer at the end")
    demo.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="output folder for scores and pictures (default: demo)",
    )
    demo.add_argument("--minutes", type=float, default=1.5, help="how long to train (default: 1.5)")
    demo.set_defaults(run=_demo)
    train = commands.add_parser("train", help="train a model on images and targets")
    tasks = train.add_subparsers(dest="task", required=True, metavar="TASK")
    for task in TASKS.values():
        add_train(tasks.add_parser(task.name, help=task.sentence, description=task.sentence), task)
    add_predict(commands.add_parser("predict", help="apply a model to images"))
    add_run(commands.add_parser("run", help="run a recipe: several steps for all images of a folder"))
    add_evaluate(commands.add_parser("evaluate", help="evaluate a model on images with ground truth"))
    add_models(commands.add_parser("models", help="list, show, import, export, remove and test models"))
    classroom.add_arguments(
        commands.add_parser("classroom", help="train a small network without a window; check submissions"),
        flags,
    )
    doctor = commands.add_parser("doctor", help="check versions, graphics, torch and folders")
    doctor.set_defaults(run=_doctor)
    return parser


def _doctor(args: argparse.Namespace) -> int:
    from napari_dojo.doctor import report

    print(report())
    return 0


def _demo(args: argparse.Namespace) -> int:
    from napari_dojo.demo import demo

    return demo(main, args.out, args.minutes, headless=args.headless)
