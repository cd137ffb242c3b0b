"""The device that a training uses, asked for without loading torch."""

from __future__ import annotations

import pytest

from napari_dojo.device import cores, probe


@pytest.mark.parametrize("wanted", ["cpu", "no such device"])
def test_a_child_says_what_there_is_and_the_cpu_is_always_there(wanted: str) -> None:
    device = probe(wanted)
    assert (device.kind, device.name, device.cores) == ("cpu", "CPU", cores())
    assert 0 < device.memory < 1 << 50
    assert device.sentence.startswith("CPU, ")
