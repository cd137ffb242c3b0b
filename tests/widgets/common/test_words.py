from __future__ import annotations

from napari_dojo.widgets.common.words import counted, done_of


def test_one_thing_and_many():
    assert [counted(n, "row") for n in (0, 1, 2, 1200)] == ["0 rows", "1 row", "2 rows", "1,200 rows"]
    assert [done_of(*n) for n in ((1, 1), (1, 3), (0, 1), (2, 3))] == [
        "1 of 1 image is done",
        "1 of 3 images is done",
        "0 of 1 image is done",
        "2 of 3 images are done",
    ]
