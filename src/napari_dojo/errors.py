"""The one kind of error that a person is meant to read."""

from __future__ import annotations

__all__ = ["DojoError"]


class DojoError(Exception):
    """One sentence for the user: what was needed, what came, what to do.

    Raised where data or choices enter. The command line prints it and exits with 2, a window shows it as a
    notification; any other exception is a bug of ours.
    """
