"""The error for users, and a one-sentence explanation of any other error."""

from __future__ import annotations

__all__ = ["DojoError", "explained"]


class DojoError(Exception):
    """An error with a message for the user: what is needed, what was given, and what to do.

    Raised where data or settings enter. The command line prints it and exits with 2; the window shows it as a
    notification. Any other exception is a bug.
    """


def explained(error: BaseException) -> str:
    """Any error as one sentence for the user."""
    if isinstance(error, DojoError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Not enough memory. Use smaller images or tiles, or close other programs."
    if isinstance(error, OSError):
        name = error.filename or "A file"
        return f"{name} cannot be read or written: {error.strerror or error}. Free disk space or choose another folder."
    return f"Unexpected error ({type(error).__name__}: {error}). Please report it."
