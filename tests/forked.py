"""Jobs whose process is forked from one that has loaded torch already.

A job is ``python -m napari_dojo.jobs FOLDER``: 2.4 s of CPU time until torch and the package are loaded, in each of the
suite's many jobs. Under Linux the fixture `forked_jobs` forks them instead from one process that holds both; from there
on the same code runs, in a process of its own, with the same pipes, signals and exit codes. Tests that are marked
``fresh`` start a Python of their own, as the program does.
"""

from __future__ import annotations

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
import traceback
from types import SimpleNamespace
from typing import IO, Any, NoReturn

import pytest

__all__ = ["forked_jobs", "in_python"]

STATE = struct.Struct("i")
HELD = (  # torch._dynamo and torch.onnx are loaded by torch's optimizers
    "torch._dynamo",
    "torch.onnx",
    "scipy.spatial",
    "skimage.measure",
    "skimage.segmentation",
    "napari_dojo.inference.apply",
    "napari_dojo.inference.predict",
    "napari_dojo.jobs.worker",
    "napari_dojo.models.bundle",
    "napari_dojo.training.train",
)


class Forked:
    """What `Job` uses of ``subprocess.Popen``."""

    def __init__(self, command: list[str], *, stderr: IO[str], env: dict[str, str], **_: Any) -> None:
        assert command[:3] == [sys.executable, "-m", "napari_dojo.jobs"]
        to_child, given = os.pipe()
        said, from_child = os.pipe()
        self._state, state = os.pipe()
        request = {"argv": command[2:], "env": env, "cwd": os.getcwd()}
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


def in_python(code: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own, whose jobs are forked, too, where the system can do so."""
    if sys.platform != "linux":
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout)
    fd, here = _server().fileno(), os.path.dirname(__file__)
    begin = f"import sys; sys.path.append({here!r}); import forked; forked.take({fd})\n"
    command = [sys.executable, "-c", begin + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, pass_fds=(fd,))


def take(fd: int) -> None:
    """Let the process that forks for another one do so for this one."""
    _started.append((socket.socket(fileno=fd), None))
    importlib.import_module("napari_dojo.jobs.job").subprocess = _forking()  # type: ignore[attr-defined]


def _forking() -> SimpleNamespace:
    return SimpleNamespace(**{**vars(subprocess), "Popen": Forked})


_started: list[
    tuple[socket.socket, subprocess.Popen[bytes] | None]
] = []  # the process itself where it was started here


def _server() -> socket.socket:
    """The connection to the process that forks; it is started once, and ends with this one."""
    if not _started:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server = subprocess.Popen([sys.executable, __file__, str(theirs.fileno())], pass_fds=(theirs.fileno(),))
        theirs.close()
        _started.append((ours, server))
    return _started[0][0]


def _serve(server: socket.socket) -> None:
    """Fork a job for each request until the tests have ended."""
    for name in HELD:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for the jobs
    while True:
        text, fds, *_ = socket.recv_fds(server, 1 << 16, 4)
        if not text:
            return
        if os.fork() == 0:
            server.close()
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
    """Be ``python -m napari_dojo.jobs FOLDER``."""
    for number, fd in enumerate(pipes):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    code = 0
    try:
        runpy.run_module("napari_dojo.jobs", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
