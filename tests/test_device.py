"""The device that a training uses, asked for without loading torch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_dojo import device as devices
from napari_dojo.device import KEPT, cores, patient, probe


def test_a_child_says_what_there_is_and_the_cpu_is_always_there() -> None:
    device = probe("no such device")
    assert (device.kind, device.name, device.cores) == ("cpu", "CPU", cores())
    assert 0 < device.memory < 1 << 50
    assert device.sentence.startswith("CPU, ")


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of the C library of Linux")
@pytest.mark.parametrize("how", ["call", "variables"])
def test_memory_that_was_freed_is_kept_and_used_again(how: str) -> None:
    """Else each of these arrays would be new memory, and its 10,000 pages would be faults."""
    code = (
        "import resource, sys; import numpy as np; from napari_dojo.device import keep_memory\n"
        "if sys.argv[1] == 'call': keep_memory()\n"
        "np.ones(5_000_000); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(5): np.ones(5_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    more = KEPT if how == "variables" else {}
    done = subprocess.run([sys.executable, "-c", code, how], env=os.environ | more, capture_output=True, check=True)
    assert int(done.stdout) < 10_000


HOLES = """
import ctypes, random
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
c.posix_memalign.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_size_t]
def pages(): return int(open("/proc/self/statm").read().split()[1])
before, chance, arrays, small = pages(), random.Random(0), [], []
for _ in range(300):
    if len(arrays) == 4: c.free(arrays.pop(chance.randrange(4)))
    arrays.append(ctypes.c_void_p())
    size = chance.choice([3_000_000, 5_000_000, 7_000_000, 11_000_000])
    c.posix_memalign(ctypes.byref(arrays[-1]), 64, size)
    ctypes.memset(arrays[-1], 1, size)
    small.append(c.malloc(chance.choice([24, 40, 56, 100])))
    if len(small) > 20: c.free(small.pop(chance.randrange(20)))
print(pages() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of the C library of Linux")
def test_processes_whose_memory_is_kept_have_few_holes() -> None:
    """Four aligned arrays of 3 to 11 MB, as torch has them, come and go beside small objects."""

    def pages(more: dict[str, str]) -> int:
        return int(subprocess.run([sys.executable, "-c", HOLES], env=os.environ | more, capture_output=True).stdout)

    few = pages(KEPT)
    assert few < 75e6 / 4096
    assert few < 0.7 * pages({k: v for k, v in KEPT.items() if k != "GLIBC_TUNABLES"})


@pytest.mark.skipif(sys.platform != "linux", reason="of the C library of Linux")
def test_memory_that_is_kept_can_be_given_back() -> None:
    code = (
        "import numpy as np; from napari_dojo.device import give_back, keep_memory\n"
        "def pages(): return int(open('/proc/self/statm').read().split()[1])\n"
        "keep_memory(); gone = np.ones(5_000_000); there = np.ones(1_000_000); full = pages()\n"
        "del gone; kept = pages(); give_back(); print(full - kept, full - pages())"
    )
    kept, given = map(int, subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split())
    assert kept < 1000
    assert given > 9000


@pytest.mark.parametrize(
    ("others", "left"), [(0.0, 4), (0.3, 4), (0.6, 3), (1.0, 3), (3.0, 1), (4.0, 1)], ids=lambda n: f"{n}"
)
def test_cores_that_other_programs_use_are_left_to_them(
    others: float, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four cores, looked at after two seconds in which one thread of ours ran and others used so many."""
    now = [100.0]
    monkeypatch.setattr(devices.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(devices._FreeCores, "_look", lambda self: (now[0], now[0] * (4 - others)))
    free = devices._FreeCores()
    assert free.among(4) == 4, "nothing is known yet"
    now[0] += 1.9
    assert free.among(4) == 4
    now[0] += 0.1
    assert free.among(4) == left
    assert free.among(2) == min(2, left)


def test_what_the_system_says_of_idle_cores_is_used() -> None:
    began, idle = devices._FreeCores._look()
    ended, later = devices._FreeCores._look()
    assert 0 <= ended - began < 10
    assert 0 <= later - idle <= 10 * (os.cpu_count() or 1)


def test_threads_wait_for_each_other_as_long_as_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    patient()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    patient()
    assert os.environ["GOMP_SPINCOUNT"] == devices.WAITING


def test_after_a_graph_that_could_not_be_recorded_the_gpu_is_as_before(monkeypatch):
    import torch

    said = []

    class Graph:
        def __init__(self, graph):
            pass

        def __enter__(self):
            said.append("capturing")

        def __exit__(self, *error):
            raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "usual")
    monkeypatch.setattr(torch.cuda, "set_stream", said.append)
    monkeypatch.setattr(torch.cuda, "graph", Graph)
    with pytest.raises(RuntimeError, match="previous error"), devices.recording(None):
        pass
    assert said == ["capturing", "usual"]


def test_a_thread_uses_the_gpu_that_another_one_has_prepared(monkeypatch):
    import torch

    told = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    second = devices.prepare(devices.Device("cuda", "GPU", 10**9, 1, gpus=2))
    assert second == torch.device("cuda", 1)
    devices.enter(second)
    devices.enter(torch.device("cpu"))
    assert told == [second]


def test_a_process_is_only_some_steps_ahead_of_the_gpu(monkeypatch):
    import torch

    waited = []

    class Event:
        def __init__(self, blocking):
            self.number = None

        def record(self):
            self.number = next(numbers)

        def synchronize(self):
            waited.append(self.number)

    numbers = iter(range(9))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    pace = devices.Pace(2)
    for _ in range(4):
        pace.keep()
    assert waited == [0, 1]
    pace.forget()
    pace.keep()
    assert waited == [0, 1]
