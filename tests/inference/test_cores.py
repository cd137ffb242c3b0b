"""Who shares the cores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from napari_dojo.inference.cores import shares, under_way, waiting


def test_each_thread_counts_once_and_not_while_it_waits_for_others():
    there = Barrier(3, timeout=10)

    def image():
        with under_way(), under_way():
            there.wait()
            seen = shares()
            there.wait()
        return seen

    with ThreadPoolExecutor(3) as pool:
        assert [f.result() for f in [pool.submit(image) for _ in range(3)]] == [3] * 3
        with under_way(), waiting():
            assert [f.result() for f in [pool.submit(image) for _ in range(3)]] == [3] * 3
    with waiting(), under_way():
        assert shares() == 1
    assert shares() == 1
