"""Wait for what a job reports, or for its silence."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari_dojo.events import Event
from napari_dojo.jobs.job import Job


def wait(job: Job, until: Callable[[list[Event]], bool], seconds: float = 180) -> list[Event]:
    """Events until something holds, or the job has finished."""
    said: list[Event] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        said += job.events()
        if until(said) or job.finished:
            return said
        time.sleep(0.02)
    raise AssertionError(f"nothing came in {seconds} s; so far {said[-3:]}")


def quiet(job: Job, seconds: float = 180, silence: float = 0.3) -> None:
    """Wait until the job, which still runs, has said nothing for ``silence`` seconds."""
    last = time.monotonic()
    end = last + seconds
    while time.monotonic() - last < silence:
        assert time.monotonic() < end, f"not silent within {seconds} s"
        time.sleep(0.02)
        if job.events():
            last = time.monotonic()
    assert not job.finished


def never(said: list[Event]) -> bool:
    """Wait for the end."""
    return False
