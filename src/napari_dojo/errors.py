"""The one kind of error that a person is meant to read, and any other in one sentence."""

from __future__ import annotations

__all__ = ["DojoError", "explained"]


class DojoError(Exception):
    """One sentence for the user: what was needed, what came, what to do.

    Raised where data or choices enter. The command line prints it and exits with 2, a window shows it as a
    notification; any other exception is a bug of ours.
    """


def explained(error: BaseException) -> str:
    """Any error in one sentence: ours, the system's, or one that should not be."""
    if isinstance(error, DojoError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The memory was too small for this. Choose smaller images or pieces, or close other programs."
    if isinstance(error, OSError):
        name = error.filename or "A file"
        return f"{name} cannot be read or written: {error.strerror or error}. Make room or choose another folder."
    return f"Something went wrong that should not ({type(error).__name__}: {error})."
