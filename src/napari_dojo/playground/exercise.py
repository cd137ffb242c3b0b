"""Exercises: TOML files that a teacher can write. They hold values only; no code in them is run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from napari_dojo.errors import DojoError
from napari_dojo.playground.goal import Goal, figures
from napari_dojo.playground.image_settings import ImageSetup
from napari_dojo.playground.kinds import AnySession, AnySetup, setup_of
from napari_dojo.playground.settings import Setup

__all__ = ["ALIASES", "CONTROLS", "FORMAT", "IMAGES", "NAMES", "Exercise", "as_toml", "load", "overview", "printable"]

FORMAT = 1
# In teaching order.
NAMES = (
    "line",
    "parabola",
    "spiral",
    "clusters",
    "underfitting",
    "overfitting",
    "learning-rate",
    "batch-size",
    "deep",
    "xor",
    "curve",
    "plane",
    "circle",
    "moons",
    "blobs",
    "digits",
    "shift",
    "cells",
)
IMAGES = ("digits", "shift", "cells")  # those on images; all others are on points
ALIASES = {"regression": "curve"}
# The controls that an exercise can hide or allow: every option, the seed, and editing weights by hand.
CONTROLS = (
    *(name for name in dict.fromkeys([*Setup().flat(), *ImageSetup().flat()]) if name != "rows"),
    "seed",
    "weights",
)
LARGEST_FILE = 1_000_000  # bytes
LONGEST_TEXT, MOST_TEXTS = 600, 12


@dataclass(frozen=True)
class Exercise:
    """An exercise with a goal.

    Attributes
    ----------
    name, title, text : the name, and a few sentences that do not reveal the solution.
    goal : compared with `napari_dojo.playground.goal.figures` of a session.
    start : the initial setup.
    hints : shown one by one on request.
    solution : a setup that reaches the goal, or None; ``why`` explains it.
    hidden : controls that are not shown.
    allowed : the only controls that can be changed; empty: all visible ones.
    """

    name: str
    title: str
    text: tuple[str, ...]
    goal: Goal
    start: AnySetup
    hints: tuple[str, ...] = ()
    solution: AnySetup | None = None
    why: str = ""
    hidden: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any], name: str) -> Exercise:
        """From the plain values of a file or a shared string. DojoError if a value is invalid."""
        _check_format(values)
        setups = {*Setup.PARTS, *ImageSetup.PARTS, "seed", "attempt"}
        known = {"format", "title", "text", "goal", "hints", "solution", "controls", *setups}
        unknown = sorted(str(k)[:40] for k in set(values) - known)
        if unknown:
            raise DojoError(f"An exercise has no {', '.join(unknown[:5])}. Choose among {', '.join(sorted(known))}.")
        start = setup_of({name: values[name] for name in setups if name in values})
        solution = dict(_table(values, "solution"))
        why = _sentence(solution.pop("why", ""), "why")
        controls = _table(values, "controls")
        return cls(
            name=name,
            title=_sentence(values.get("title", name), "title"),
            text=_sentences(values, "text"),
            goal=Goal.of(values.get("goal", "")),
            start=start,
            hints=_sentences(values, "hints"),
            solution=start.changed(solution) if solution else None,
            why=why,
            hidden=_controls(controls, "hidden"),
            allowed=_controls(controls, "allowed"),
        )

    def as_dict(self, solution: bool = True) -> dict[str, Any]:
        """Plain values, the inverse of `of`; for students without the solution."""
        values: dict[str, Any] = {
            "format": FORMAT,
            "title": self.title,
            "text": list(self.text),
            "goal": self.goal.text,
            "hints": list(self.hints),
            **self.start.as_dict(),
            "controls": {"hidden": list(self.hidden), "allowed": list(self.allowed)},
        }
        if solution and self.solution:
            values["solution"] = {"why": self.why, **self.solution.as_dict()}
        return values

    def met(self, session: AnySession, **done: float) -> bool:
        """Whether a session meets the goal with the exercise's points; ``done`` replaces quantities of the session."""
        return not self.other_points(session.setup) and self.goal.met({**figures(session), **done})

    def other_points(self, setup: AnySetup) -> bool:
        """Whether the points or images differ from those of the exercise in an option that it does not allow explicitly."""
        if type(setup) is not type(self.start):
            return True
        if self.solution and setup.data == self.solution.data:
            return False
        changed = [f.name for f in fields(setup.data) if _differ(f.name, setup.data, self.start.data)]
        return not set(changed) <= set(self.allowed)

    def changed_though_not_allowed(self, setup: AnySetup) -> list[str]:
        """The options that were changed although they are hidden or not allowed."""
        before, now = ({**s.flat(), "seed": s.seed} for s in (self.start, setup))
        changed = [name for name in now if before[name] != now[name]]
        return [name for name in changed if name in self.hidden or (self.allowed and name not in self.allowed)]


def load(name: str | Path) -> Exercise:
    """Load a built-in exercise by name, or any exercise from a ``.toml`` file.

    Raises
    ------
    DojoError : if the exercise does not exist, or the file is damaged or from a newer version.
    """
    known = ALIASES.get(str(name), str(name))
    if known in NAMES:
        return Exercise.of(_toml(Path(__file__).parent / "exercises" / f"{known}.toml"), known)
    path = Path(name)
    if path.suffix != ".toml":
        raise DojoError(f"There is no exercise {str(name)[:60]!r}. Choose one of {', '.join(NAMES)}, or a .toml file.")
    return Exercise.of(_toml(path), path.stem)


def as_toml(exercise: Exercise) -> str:
    """An exercise as the text of a TOML file."""
    lines = []
    values = exercise.as_dict()
    tables = {k: values.pop(k) for k in list(values) if isinstance(values[k], dict)}
    solution = tables.pop("solution", {})
    tables |= {f"solution.{k}" if isinstance(v, dict) else "solution": v for k, v in solution.items()}
    if solution:
        tables["solution"] = {k: v for k, v in solution.items() if not isinstance(v, dict)}
    lines += [f"{k} = {_toml_value(v)}" for k, v in values.items()]
    for name, table in sorted(tables.items()):
        lines += ["", f"[{name}]", *(f"{k} = {_toml_value(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def overview() -> str:
    """All exercises as a Markdown page, without their solutions."""
    lines = ["# Classroom exercises", ""]
    for name in NAMES:
        exercise = load(name)
        lines += [f"## {exercise.title}", "", f"`napari-dojo classroom {name}`", "", *(f"{s}" for s in exercise.text)]
        lines += ["", f"**Goal**: {exercise.goal.sentence}.", ""]
    return "\n".join(lines)


def printable(text: str) -> str:
    """Text without control characters."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _toml(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        raw = file.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise DojoError(f"{path.name} is larger than {LARGEST_FILE // 1000} kB, the limit for an exercise file.")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, ValueError) as e:
        raise DojoError(
            f"{path.name} is not a valid exercise file: {str(e)[:120]}. Fix it or choose another."
        ) from None


def _check_format(values: Mapping[str, Any]) -> None:
    number = values.get("format", FORMAT)
    if type(number) is not int or number < 1:
        raise DojoError(f"The format of an exercise must be {FORMAT}; got {str(number)[:20]!r}.")
    if number > FORMAT:
        raise DojoError(f"This exercise has format {number}, from a newer version. Update napari-dojo.")


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name, {})
    if not isinstance(table, Mapping):
        raise DojoError(f"[{name}] of an exercise must be a table; got {str(table)[:40]!r}.")
    return table


def _sentence(text: Any, name: str) -> str:
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise DojoError(f"The {name} of an exercise must be text of at most {LONGEST_TEXT} characters.")
    return printable(text)


def _sentences(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = values.get(name, [])
    if not isinstance(texts, list) or len(texts) > MOST_TEXTS:
        raise DojoError(f"The {name} of an exercise must be a list of at most {MOST_TEXTS} sentences.")
    return tuple(_sentence(text, name) for text in texts)


def _controls(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given = table.get(name, [])
    unknown = [str(c)[:40] for c in given if c not in CONTROLS] if isinstance(given, list) else [str(given)[:40]]
    if unknown:
        raise DojoError(f"Unknown control {unknown[0]!r} in '{name}'. Choose among {', '.join(CONTROLS)}.")
    return tuple(given)


def _differ(name: str, one: Any, other: Any) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
