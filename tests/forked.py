"""Pythons that are forked from one process that has loaded torch already.

A job is ``python -m napari_dojo.jobs FOLDER``: 2.4 s of CPU time until torch and the package are loaded, in each of the
suite's many jobs. Under Linux the fixture `forked_jobs` forks them instead from one process that holds both, and serves
all workers; from there on the same code runs, in a process of its own, with the same pipes, signals and exit codes. Tests
that are marked ``fresh`` start a Python of their own, as the program does. `python` does the same for scripts of tests.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn

import pytest

__all__ = ["forked_jobs", "in_python", "python"]

STATE = struct.Struct("i")
HELD = (
    "scipy.spatial",
    "skimage.measure",
    "skimage.segmentation",
    "napari_dojo.inference.apply",
    "napari_dojo.inference.predict",
    "napari_dojo.jobs.worker",
    "napari_dojo.models.bundle",
    "napari_dojo.training.train",
    "lightning_fabric",  # several processes that train one model
)
NAMED = "DOJO_FORKING"  # where the process that forks is found, told to the Pythons that tests start
SOONEST = 0.4  # s until the first check of a training in a job that is forked: most tests wait for it
LINGERS = 2  # s without a connection until it ends


class Forked:
    """What `Job` uses of ``subprocess.Popen``."""

    def __init__(self, command: list[str], *, stderr: IO[str], env: dict[str, str], **_: Any) -> None:
        assert command[0] == sys.executable
        to_child, given = os.pipe()
        said, from_child = os.pipe()
        self._state, state = os.pipe()
        request = {"argv": command[1:], "env": env, "cwd": os.getcwd()}
        fds = (to_child, from_child, stderr.fileno(), state)
        socket.send_fds(_server(), [json.dumps(request).encode()], fds)
        (self.pid,) = STATE.unpack(os.read(self._state, STATE.size))
        for fd in (to_child, from_child, state):
            os.close(fd)
        self.stdin: IO[str] = os.fdopen(given, "w", encoding="utf-8")
        self.stdout: IO[str] = os.fdopen(said, encoding="utf-8")
        self.returncode: int | None = None
        self._reading = threading.Lock()

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; TimeoutExpired where it does not come."""
        if self.returncode is None and not select.select([self._state], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("job", timeout or 0.0)
        with self._reading:  # the job's own thread waits, too
            if self.returncode is None:
                self.returncode = STATE.unpack(os.read(self._state, STATE.size))[0]
        return self.returncode

    def communicate(self, given: str = "", timeout: float | None = None) -> tuple[str, None]:
        """Hand it a text, and wait for what it says."""
        with contextlib.suppress(BrokenPipeError), self.stdin:
            self.stdin.write(given)
        with self.stdout:
            said = self.stdout.read()
        self.wait(timeout)
        return said, None

    def kill(self) -> None:
        """End it for sure."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.wait()


@pytest.fixture
def forked_jobs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of this test are forked, where the system can do so and the test is not marked ``fresh``."""
    if sys.platform == "linux" and not request.node.get_closest_marker("fresh"):
        monkeypatch.setattr("napari_dojo.jobs.job.subprocess", _forking())


def python(*argv: str, errors: Path, env: dict[str, str | None] | None = None) -> Any:
    """Start ``python ARGV`` (a script, ``-m MODULE`` or ``-c CODE``), forked where the system can do so.

    As `subprocess.Popen` with pipes of text; what it writes to stderr goes to the file ``errors``. In ``env`` None takes a
    variable away.
    """
    start = Forked if sys.platform == "linux" else subprocess.Popen
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    given = {name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None}
    with errors.open("a") as file:
        return start([sys.executable, *argv], stderr=file, env=given, **pipes)


def in_python(code: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own, whose jobs are forked, too, where the system can do so."""
    env = {**os.environ, NAMED: _name()}
    if sys.platform == "linux":
        _server()
        code = f"import sys; sys.path.append({os.path.dirname(__file__)!r}); import forked; forked.take()\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, env=env)


def take() -> None:
    """Let the jobs of this process be forked."""
    importlib.import_module("napari_dojo.jobs.job").subprocess = _forking()  # type: ignore[attr-defined]


def _forking() -> SimpleNamespace:
    return SimpleNamespace(**{**vars(subprocess), "Popen": Forked})


def _name() -> str:
    """One for all workers of a run of pytest."""
    return os.environ.get(NAMED) or f"dojo-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"


@cache
def _server() -> socket.socket:
    """The connection to the process that forks. Who needs it first starts it; it ends when nobody is connected any more."""
    address = f"\0{_name()}"  # goes with the last socket that has it
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end = time.monotonic() + 60
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening, contextlib.suppress(OSError):
            listening.bind(address)  # an OSError: there it is already
            listening.listen()
            listening.set_inheritable(True)
            os.posix_spawn(sys.executable, [sys.executable, __file__, str(listening.fileno())], os.environ)
        try:
            ours.connect(address)
            atexit.register(ours.close)
            return ours
        except ConnectionRefusedError:  # bound by another worker that is about to listen
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _serve(listening: socket.socket) -> None:
    """Fork a process for each request of those that are connected, until they all have ended."""
    for name in HELD:
        if find_spec(name):
            importlib.import_module(name)
    sys.modules["napari_dojo.training.loop"].SOONEST = SOONEST  # type: ignore[attr-defined]
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for the jobs
    there = [listening]
    while ready := select.select(there, [], [], None if len(there) > 1 else LINGERS)[0]:
        for one in ready:
            if one is listening:
                there.append(listening.accept()[0])
                continue
            text, fds, *_ = socket.recv_fds(one, 1 << 16, 4)
            if not text:
                there.remove(one)
                one.close()
            elif os.fork() == 0:
                for other in there:
                    other.close()
                _watch(json.loads(text), fds)
            for fd in fds:
                os.close(fd)


def _watch(request: dict[str, Any], fds: list[int]) -> NoReturn:
    """Fork the job, report its process, wait for it, and report its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *pipes, state = fds
    job = os.fork()
    if job == 0:
        os.close(state)
        _run(request, pipes)
    for fd in pipes:
        os.close(fd)
    os.write(state, STATE.pack(job))
    os.write(state, STATE.pack(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])))
    os._exit(0)


def _run(request: dict[str, Any], pipes: list[int]) -> NoReturn:
    """Be ``python ARGV``."""
    for number, fd in enumerate(pipes):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    atexit._clear()
    code = 0
    try:
        _be(request["argv"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _be(argv: list[str]) -> None:
    kind, *rest = argv
    if kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
