"""The device that computes the network: CPU, CUDA GPU or Apple GPU."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_dojo.errors import DojoError

if TYPE_CHECKING:
    import torch

__all__ = [
    "ALL",
    "KEPT",
    "Device",
    "Pace",
    "bfloat16",
    "choose",
    "computes_bfloat16",
    "constant",
    "cores",
    "enter",
    "free_cores",
    "give_back",
    "is_out_of_memory",
    "keep_memory",
    "patient",
    "prepare",
    "probe",
    "recording",
    "sent",
    "use_free_cores",
]


ALL = "all-gpus"  # the name of all CUDA GPUs of this machine together
# Limits of the C library of Linux, as its variable and its number: one heap, memory above this size taken from the system piece
# by piece (bytes), memory at its end that is kept (bytes).
LIMITS = (("ARENA_MAX", -8, 1), ("MMAP_THRESHOLD_", -3, 2**30), ("TRIM_THRESHOLD_", -1, 2**31 - 1))
# `keep_memory` for a process that is yet to start. There small freed parts of memory are not set aside either: what lies before an
# aligned array is one, and while it is set aside, the place of a freed array is too small for the next one of the same size.
KEPT = {f"MALLOC_{name}": str(value) for name, _, value in LIMITS} | {
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
}

WAITING = "10000"  # turns that a thread of torch waits for the others before it lets go of its core: some 0.1 ms
LOOK = 2.0  # seconds between two looks at what other programs use
SPARE = 0.35  # of a core that others may use where a thread still runs on it


@dataclass(frozen=True)
class Device:
    """A device: ``kind`` cpu, cuda or mps; usable ``memory`` in bytes; whether ``mixed`` precision is faster.

    ``together`` : the number of its kind that train one model; ``gpus`` : the number of CUDA GPUs that could.
    """

    kind: str
    name: str
    memory: int
    cores: int
    mixed: bool = False
    together: int = 1
    gpus: int = 0

    @property
    def sentence(self) -> str:
        """The device for the user, such as "CPU, 2 cores"."""
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        name = f"{self.name}, {cores}" if self.kind == "cpu" else self.name
        return f"{self.together} x {name}" if self.together > 1 else name


def cores() -> int:
    """The number of CPU cores that this process may use, limited by ``OMP_NUM_THREADS``."""
    try:
        there = len(os.sched_getaffinity(0))
    except AttributeError:
        there = os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(there, int(asked)) if asked.isdigit() and int(asked) else there


def choose(wanted: str = "auto") -> Device:
    """The device of this name, or for "auto" the fastest one. DojoError if it is not available."""
    import psutil
    import torch

    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = next(k for k in ("cuda", "mps", "cpu") if has[k]) if wanted == "auto" else wanted
    kind = "cuda" if kind == ALL else kind
    if not has.get(kind):
        there = ", ".join(k for k, v in has.items() if v)
        raise DojoError(
            f"The device {kind!r} is not available. Available: {there}. Run `napari-dojo doctor` for the reason."
        )
    nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
    gpus = torch.cuda.device_count() if nccl else 0
    if kind == "cuda":
        memory = int(torch.cuda.mem_get_info()[0] * 0.9)
        mixed = torch.cuda.get_device_capability() >= (7, 0)
        together = max(1, gpus) if wanted == ALL else 1
        return Device("cuda", torch.cuda.get_device_name(), memory, cores(), mixed, together, gpus)
    memory = int(psutil.virtual_memory().available * 0.6)
    return Device(kind, "Apple GPU" if kind == "mps" else "CPU", memory, cores(), gpus=gpus)


def _said_by_child(*code: str) -> str:
    """What Python prints for this code in a child process, which ends with this one, or after a minute."""
    with subprocess.Popen(
        [sys.executable, "-c", *code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        atexit.register(child.kill)
        try:
            return child.communicate(timeout=60)[0]
        finally:
            child.kill()
            atexit.unregister(child.kill)


def probe(wanted: str = "auto") -> Device:
    """`choose` in a child process, so that this one does not import torch. The CPU if the child fails."""
    import psutil

    code = "import json, sys; from dataclasses import asdict; from napari_dojo.device import choose; "
    code += "print(json.dumps(asdict(choose(sys.argv[1]))))"
    try:
        return Device(**json.loads(_said_by_child(code, wanted).splitlines()[-1]))
    except (OSError, ValueError, IndexError, TypeError, subprocess.TimeoutExpired):
        return Device("cpu", "CPU", int(psutil.virtual_memory().available * 0.6), cores())


def keep_memory() -> None:
    """Let this process keep the memory that it has freed until it ends, on Linux; called before it starts threads.

    Else the maps of each layer of a network are new memory, which the system clears page by page: a third of the time that
    prediction takes on a CPU.
    """
    if sys.platform == "linux" and hasattr(found := ctypes.CDLL(None), "mallopt"):
        for _, number, value in LIMITS:
            found.mallopt(number, value)


def give_back() -> None:
    """Give memory that was freed and kept back to the system, on Linux: before other processes need it."""
    if sys.platform == "linux" and hasattr(found := ctypes.CDLL(None), "malloc_trim"):
        found.malloc_trim(0)


def patient() -> None:
    """Let threads of torch that wait for each other leave their cores soon; called before torch is imported.

    Else they keep them for many milliseconds: beside other programs most of a training's processor time is such waiting.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", WAITING)


class _FreeCores:
    """How many cores other programs leave to this process."""

    def __init__(self) -> None:
        self._seen = self._look()
        self._free = float("inf")

    def among(self, most: int) -> int:
        """As many of ``most`` cores, one at least."""
        if most > 1 and time.monotonic() - self._seen[0] >= LOOK:
            now, before = self._look(), self._seen
            self._seen, self._free = now, (now[1] - before[1]) / (now[0] - before[0])
        return max(1, int(min(most, self._free + SPARE)))

    @staticmethod
    def _look() -> tuple[float, float]:
        """The time, and the seconds that the cores of this process spent on it or on nothing."""
        import psutil

        each = psutil.cpu_times(percpu=True)
        mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(each))
        return time.monotonic(), time.process_time() + sum(each[k].idle for k in mine if k < len(each))


_free_cores: list[_FreeCores] = []


def free_cores(most: int) -> int:
    """How many of ``most`` cores no other program uses, looked at every other second.

    A step of a network has hundreds of parts, each of which ends with its slowest thread. A thread whose core another program
    uses, too, holds up all others: two threads beside one busy program take several times as long as one.
    """
    if not _free_cores:
        _free_cores.append(_FreeCores())
    return _free_cores[0].among(most)


def use_free_cores(device: torch.device) -> None:
    """Compute with as many threads as other programs leave cores, where the device is the CPU."""
    import torch

    if device.type == "cpu" and torch.get_num_threads() != (threads := free_cores(cores())):
        torch.set_num_threads(threads)


def prepare(device: Device) -> torch.device:
    """Set up torch for the device in this process."""
    import torch

    if device.kind == "cpu":
        torch.set_num_threads(device.cores)
    if device.kind == "cuda":
        torch.backends.cudnn.benchmark = False
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(device.kind)


def enter(where: torch.device) -> None:
    """Let this thread use the GPU that was prepared in another one: each thread begins with the first GPU of the machine."""
    import torch

    if where.type == "cuda":
        torch.cuda.set_device(where)


def bfloat16(device: torch.device) -> bool | None:
    """Whether training is faster in bfloat16 there; None where only trying tells."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return None if device.type == "cpu" else False


def computes_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; others emulate it slowly. Always the same on a machine, as predictions are."""
    import torch

    # not there before torch 2.10: then as if it had none
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def sent(x: torch.Tensor, where: torch.device) -> torch.Tensor:
    """A tensor of main memory on a device; a GPU gets it without being waited for."""
    return x.pin_memory().to(where, non_blocking=True) if where.type == "cuda" else x.to(where)


@cache
def constant(values: tuple[Any, ...], kind: torch.dtype, where: torch.device) -> torch.Tensor:
    """Numbers, or rows of them, on a device. They are sent once: a step that a CUDA graph records must not send anything."""
    import torch

    with torch.inference_mode(False):
        return torch.tensor(values, dtype=kind, device=where)


@contextmanager
def recording(graph: torch.cuda.CUDAGraph) -> Iterator[None]:
    """What is done in here becomes a CUDA graph; where that fails, the GPU can still be used after it."""
    import torch

    stream = torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph):
            yield
    except Exception:
        torch.cuda.set_stream(stream)  # torch stays on the one of the graph
        with suppress(RuntimeError):  # and its own random numbers on those of the graph
            fresh = torch.Generator("cuda").manual_seed(torch.initial_seed())
            torch.cuda.default_generators[torch.cuda.current_device()].graphsafe_set_state(fresh.graphsafe_get_state())
        raise


class Pace:
    """Lets this process be only some steps ahead of a CUDA GPU, so that Stop and the clock are minded in time."""

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._begun: deque[Any] = deque()

    def keep(self) -> None:
        """After a step was given to the GPU: wait until it has done all but the last ones."""
        import torch

        done = torch.cuda.Event(blocking=True)
        done.record()
        self._begun.append(done)
        if len(self._begun) > self._ahead:
            self._begun.popleft().synchronize()

    def forget(self) -> None:
        """Begin again, after an error."""
        self._begun.clear()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the device ran out of memory."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        s in str(error)
        for s in (
            "out of memory",
            "can't allocate memory",
            "not enough memory",
            "alloc_cpu",
            "STATUS_ALLOC_FAILED",  # of cuBLAS and cuDNN
            "unable to find an engine",  # of cuDNN, which has no memory for any
        )
    )
