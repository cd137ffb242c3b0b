"""Images at an address, by a server of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.pairing import is_zarr, list_inputs
from napari_dojo.io.remote import address, full_path, is_remote
from napari_dojo.io.selection import Selection


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize(
    ("path", "remote"),
    [("https://a.org/b.zarr", True), ("https:/a.org/b.zarr", True), ("s3://bucket/b.zarr", True), ("C:/a/b.zarr", False), ("/a/b.zarr", False), ("b.zarr", False)],
)  # fmt: skip
def test_an_address_stays_one_as_a_path(path: str, remote: bool) -> None:
    assert is_remote(path) is is_remote(Path(path)) is remote
    if remote:
        assert address(Path(path)) == path.replace(":/", "://").replace("///", "//")
        assert full_path(path) == Path(path)


def test_an_image_at_an_address_is_read_as_a_file_is(server: str, tmp_path: Path) -> None:
    x = np.arange(2 * 70 * 80, dtype=np.uint16).reshape(2, 70, 80)
    images.write(tmp_path / "a.zarr", x, "CYX", (0.5, 0.25), "um", channel_names=("DAPI", "GFP"))
    where = f"{server}/a.zarr"
    assert is_zarr(Path(where))
    assert list_inputs(where) == [Path(where)]
    (tmp_path / "list.txt").write_text(f"{where}\n")
    assert Selection((where,)).files() == Selection((str(tmp_path / "list.txt"),)).files() == [Path(where)]
    at_once, lazy = images.read(where), images.read(Path(where), lazy_above=0)
    np.testing.assert_array_equal(at_once.data, x)
    np.testing.assert_array_equal(lazy.data[1, 3:9].compute(), x[1, 3:9])
    assert (lazy.name, lazy.axes, lazy.pixel_size, lazy.channel_names) == (
        "a.zarr",
        "CYX",
        (0.5, 0.25),
        ("DAPI", "GFP"),
    )


def test_what_is_not_there_is_said_with_its_address(server: str) -> None:
    with pytest.raises(DojoError, match=rf"{server}/no\.zarr cannot be read .*Check the address"):
        images.read(f"{server}/no.zarr")


@pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_store_that_needs_another_package_names_it() -> None:
    with pytest.raises(DojoError, match=r"s3://bucket/a\.zarr is on another machine.*napari-dojo\[remote\].*s3fs"):
        images.read("s3://bucket/a.zarr")
