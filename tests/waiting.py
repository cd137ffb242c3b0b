"""Wait for what a job says."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari_dojo.events import Event
from napari_dojo.jobs.job import Job


def wait(job: Job, until: Callable[[list[Event]], bool], seconds: float = 60) -> list[Event]:
    """Events until something holds, or the job has finished."""
    said: list[Event] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        said += job.events()
        if until(said) or job.finished:
            return said
        time.sleep(0.02)
    raise AssertionError(f"nothing came in {seconds} s; so far {said[-3:]}")


def never(said: list[Event]) -> bool:
    """Wait for the end."""
    return False
