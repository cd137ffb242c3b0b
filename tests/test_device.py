"""The device that a training uses, asked for without loading torch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_dojo.device import KEPT, cores, probe


@pytest.mark.parametrize("wanted", ["cpu", "no such device"])
def test_a_child_says_what_there_is_and_the_cpu_is_always_there(wanted: str) -> None:
    device = probe(wanted)
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
