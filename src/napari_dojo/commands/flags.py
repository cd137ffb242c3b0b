"""Flags of the command line, which come from the settings classes."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from napari_dojo.errors import DojoError
from napari_dojo.settings import Field, fields_of

if TYPE_CHECKING:
    from napari_dojo.models.card import Card

__all__ = ["flag", "flags", "json_flag", "of_model", "pattern_flags", "refused", "values"]


def flags(parser: Any, cls: type, without: Collection[str] = ()) -> None:
    """One flag for each option of a settings class; one that is there already, by the same name, stays as it is."""
    for field in fields_of(cls):
        if field.name not in without:
            flag(parser, field)


def flag(parser: Any, field: Field) -> None:
    """The flag of one option, unless it is there already."""
    o = field.option
    shown = f"{o.help}{f' [{o.unit}]' if o.unit else ''}"
    if any(field.flag in action.option_strings for action in parser._actions):
        return
    if field.kind is bool:
        parser.add_argument(field.flag, action=argparse.BooleanOptionalAction, default=None, help=shown)
    elif field.choices:
        parser.add_argument(field.flag, choices=field.choices, type=field.kind, help=shown)
    elif field.kind is tuple:
        parser.add_argument(field.flag, help=shown + " (separated by commas)")
    else:
        parser.add_argument(field.flag, type=field.kind, metavar=field.kind.__name__.upper(), help=shown)


def json_flag(parser: argparse.ArgumentParser) -> None:
    """What a command says for programs."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def pattern_flags(parser: argparse.ArgumentParser) -> None:
    """Which of the files that were found are meant."""
    for flag, meaning in (("--include", "only these files"), ("--exclude", "without these")):
        parser.add_argument(flag, action="append", metavar="PATTERN", help=f"{meaning}; may be given several times")


def values(args: argparse.Namespace, cls: type) -> dict[str, Any]:
    """What was given for a settings class."""
    given = {f.name: getattr(args, f.name, None) for f in fields_of(cls)}
    return {k: _split(f, v) for f in fields_of(cls) if (v := given[f.name]) is not None for k in [f.name]}


def of_model(args: argparse.Namespace, card: Card, known: Iterable[Field], own: Iterable[Field]) -> dict[str, Any]:
    """What was given for a model, of the flags of ``known``; DojoError where one is not its ``own`` and so means nothing."""
    given = {f.name: (f, v) for f in known if (v := getattr(args, f.name, None)) is not None}
    mine = {f.name for f in own}
    for name, (field, _) in given.items():
        if name not in mine:
            raise refused(field.flag, card)
    return {name: _split(field, value) for name, (field, value) in given.items()}


def refused(flag: str, card: Card) -> DojoError:
    """What is said of a flag that means nothing for a model."""
    works_in = "planes" if card.spatial == "YX" else "volumes"
    return DojoError(f"{flag} is not for {card.name}, a model of the task {card.task} for {works_in}. Leave it out.")


def _split(field: Field, value: Any) -> Any:
    return tuple(v.strip() for v in value.split(",")) if field.kind is tuple else value
