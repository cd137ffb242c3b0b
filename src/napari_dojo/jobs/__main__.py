"""The child's side of a job: ``python -m napari_dojo.jobs RUN_FOLDER``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from napari_dojo.events import Control, Event, encode
from napari_dojo.jobs.claims import WORKER, claim, release
from napari_dojo.jobs.worker import events_of, main
from napari_dojo.training.world import follows

if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):
        os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to errors.txt

    def said(event: Event) -> None:
        """Write one event; a parent that is gone ends the child."""
        try:
            output.write(encode(event) + "\n")
        except BrokenPipeError:
            os._exit(1)

    folder = Path(sys.argv[1])
    if follows():  # this process was started by the job itself, for another GPU: the first one listens and speaks
        for _ in events_of(folder, Control()):
            pass
    else:
        claim(folder, WORKER)
        main(folder, said, sys.stdin)
        release(folder, WORKER)
