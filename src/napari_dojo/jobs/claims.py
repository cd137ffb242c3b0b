"""Who works on the folder of a job: a process that is alive, as its owner or as the job itself."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path

__all__ = ["OWNER", "WORKER", "claim", "claimed", "release"]

OWNER, WORKER = "owner.json", "worker.json"


def claim(folder: Path, name: str = OWNER) -> None:
    """Say that this process works on the folder: as its owner, or as the job itself (``WORKER``)."""
    import psutil

    about = {"pid": os.getpid(), "began": psutil.Process().create_time(), "host": socket.gethostname()}
    (folder / name).write_text(json.dumps(about))


def release(folder: Path, name: str = OWNER) -> None:
    """Work on it no more; when nobody does, the folder may be offered again."""
    with contextlib.suppress(OSError):
        (folder / name).unlink(missing_ok=True)


def claimed(folder: Path) -> bool:
    """Whether a process that is alive works on the folder. One of another machine is taken to be alive."""
    return any(_alive(folder / name) for name in (OWNER, WORKER))


def _alive(path: Path) -> bool:
    import psutil

    try:
        about = json.loads(path.read_text())
        if about["host"] != socket.gethostname():
            return True
        process = psutil.Process(about["pid"])
        same = abs(process.create_time() - about["began"]) < 60  # the system's clock may have been set meanwhile
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
