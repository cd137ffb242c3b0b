"""An exercise or a submission as one line of text."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.exercise import Exercise, printable
from napari_dojo.playground.kinds import AnySession, AnySetup, session_of, setup_of

__all__ = ["Shared", "from_text", "to_text"]

VERSION = 1
PREFIX = re.compile(r"dojo(\d{1,6}):")
LONGEST, LARGEST = 500_000, 4_000_000  # characters of the text, bytes after decompression
MOST = 10**12  # epochs and looks


@dataclass(frozen=True)
class Shared:
    """The content of a shared text.

    Attributes
    ----------
    exercise : the exercise; in submissions without its solution.
    setup : the settings.
    parameters : (parameters,), weights and biases, or None.
    epochs, looks : the epochs trained, and how often the test score was revealed.
    by : the student's name.
    """

    exercise: Exercise
    setup: AnySetup
    parameters: Array | None = None
    epochs: int = 0
    looks: int = 0
    by: str = ""

    @classmethod
    def of(cls, exercise: Exercise, session: AnySession, weights: bool = True, by: str = "") -> Shared:
        """The current state of a session, with or without its weights."""
        parameters = session.net.parameters.copy() if weights else None
        return cls(exercise, session.setup, parameters, session.epochs, session.looks, by)

    def session(self) -> AnySession:
        """A session with these settings and weights; its current state is epoch 0."""
        return session_of(self.setup, self.parameters, self.looks)


def to_text(shared: Shared, solution: bool = False) -> str:
    """One line of text that `from_text` reads; with ``solution``, it includes the exercise's solution."""
    values: dict[str, Any] = {
        "name": shared.exercise.name,
        "exercise": shared.exercise.as_dict(solution),
        "setup": shared.setup.as_dict(),
        "epochs": shared.epochs,
        "looks": shared.looks,
        "by": shared.by,
    }
    if shared.parameters is not None:
        values["parameters"] = shared.parameters.tolist()
    raw = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
    return f"dojo{VERSION}:{base64.urlsafe_b64encode(zlib.compress(raw, 9)).decode()}"


def from_text(text: str) -> Shared:
    """Read such a line; line breaks and blanks in it (from mails) do no harm.

    Nothing in it is run. Raises DojoError where it is no such text, is cut off, too large, from a newer version, or
    holds what an exercise cannot be.
    """
    values = _unpacked(text)
    try:
        name, by = values["name"], values.get("by", "")
        if not isinstance(name, str) or not isinstance(by, str) or len(name) > 100 or len(by) > 100:
            raise _damaged()
        setup = setup_of(_mapping(values["setup"]))
        return Shared(
            exercise=Exercise.of(_mapping(values["exercise"]), printable(name)),
            setup=setup,
            parameters=_parameters(values.get("parameters"), setup.all_parameters),
            epochs=_whole(values.get("epochs", 0)),
            looks=_whole(values.get("looks", 0)),
            by=printable(by),
        )
    except KeyError:
        raise _damaged() from None
    except DojoError as e:
        raise DojoError(str(e) if len(str(e)) < 300 else str(e)[:300] + "...") from None


def _unpacked(text: str) -> dict[str, Any]:
    """The plain values of a text; DojoError where there are none."""
    if not isinstance(text, str) or len(text) > LONGEST:
        raise DojoError(f"This text is longer than {LONGEST} characters, the limit for a classroom text.")
    text = "".join(text.split())
    found = PREFIX.match(text)
    if not found:
        raise DojoError('This is not a classroom text, which starts with "dojo1:". Copy all of it again.')
    if int(found[1]) != VERSION:
        if int(found[1]) < VERSION:
            raise _damaged()
        raise DojoError(f"This text has version {int(found[1])}, from a newer napari-dojo. Update napari-dojo.")
    try:
        packed = base64.b64decode(text[found.end() :], altchars=b"-_", validate=True)
        unpack = zlib.decompressobj()
        raw = unpack.decompress(packed, LARGEST)
        if unpack.unconsumed_tail:
            raise DojoError("This text is too large after decompression. Copy another.")
        if not unpack.eof or unpack.unused_data:
            raise _damaged()
        values = json.loads(raw.decode(), parse_constant=_no_number)
    except (binascii.Error, zlib.error, UnicodeDecodeError, ValueError, RecursionError):
        raise _damaged() from None
    return _mapping(values)


def _no_number(name: str) -> float:
    raise ValueError(name)


def _parameters(given: Any, count: int) -> Array | None:
    if given is None:
        return None
    if not isinstance(given, list) or len(given) != count:
        raise DojoError(f"The weights in this text do not fit its network of {count} parameters. Copy it again.")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(_float(v)) for v in given):
        raise _damaged()
    return np.array([float(v) for v in given])


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise _damaged()
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _damaged()
    return value


def _damaged() -> DojoError:
    return DojoError("This text is damaged or incomplete. Copy all of it again.")
