"""TIFF of many makers: thumbnails, pyramids, several images, colour spaces and pixel sizes."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_dojo.errors import DojoError
from napari_dojo.io.formats.tiff import listening
from napari_dojo.io.images import read, read_all

BLOB = (2000 * np.exp(-(((np.mgrid[:64, :48] - 20) / 12.0) ** 2).sum(0))).astype(np.uint16)
NOISE = np.random.default_rng(0).integers(0, 3000, (64, 48)).astype(np.uint16)


def pages(path: Path, *arrays: np.ndarray, **first: Any) -> Path:
    with tifffile.TiffWriter(path) as tif:
        for i, array in enumerate(arrays):
            tif.write(array, photometric="minisblack", metadata=None, contiguous=False, **(first if i == 0 else {}))
    return path


def test_a_thumbnail_first_is_no_image(tmp_path: Path) -> None:
    picture = read(pages(tmp_path / "a.tif", BLOB[::8, ::8], BLOB, subfiletype=1))
    np.testing.assert_array_equal(picture.data, BLOB)
    assert picture.notes == ()


def test_a_pyramid_of_pages_that_does_not_say_so(tmp_path: Path) -> None:
    half = BLOB.reshape(32, 2, 24, 2).mean((1, 3)).astype(np.uint16)
    for arrays in ((BLOB, half, half[::2, ::2]), (half, BLOB)):
        picture = read(pages(tmp_path / "a.tif", *arrays))
        np.testing.assert_array_equal(picture.data, BLOB)
        assert (picture.images, picture.notes) == (1, ())
    assert read(pages(tmp_path / "b.tif", BLOB, NOISE[::2, ::2])).images == 2  # half as large, and another image


def test_images_of_different_sizes(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", BLOB[:40], BLOB[:50], BLOB[:60])
    picture = read(path)
    np.testing.assert_array_equal(picture.data, BLOB[:40])
    assert picture.notes == ("a.tif holds 3 images; the first was read, 2 were left out.",)
    every = list(read_all(path))
    assert [p.data.shape[0] for p in every] == [40, 50, 60]
    assert [p.name for p in every] == ["a.tif (image 1)", "a.tif (image 2)", "a.tif (image 3)"]
    assert [p.notes for p in every] == [(), (), ()]


def test_scenes_keep_their_own_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for i, array in enumerate((BLOB, NOISE)):
            about = {"axes": "YX", "Name": f"scene {i}", "PhysicalSizeX": 0.5 + i, "PhysicalSizeY": 0.5 + i}
            tif.write(array, photometric="minisblack", metadata=about)
    one, two = read_all(path)
    np.testing.assert_array_equal(two.data, NOISE)
    assert (one.pixel_size, two.pixel_size) == ((0.5, 0.5), (1.5, 1.5))


@pytest.mark.parametrize("lazy_above", [10, 10**6])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_white_is_zero(tmp_path: Path, dtype: Any, lazy_above: int) -> None:
    image = (BLOB // 10).astype(dtype)
    white = np.iinfo(dtype).max - image if dtype != np.int16 else -1 - image
    tifffile.imwrite(tmp_path / "a.tif", white, photometric="miniswhite")
    np.testing.assert_array_equal(np.asarray(read(tmp_path / "a.tif", lazy_above=lazy_above).data), image)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", labels=True).data, white)  # numbers are numbers
    tifffile.imwrite(tmp_path / "j.tif", white, photometric="miniswhite", imagej=dtype != np.int16)
    if dtype != np.int16:
        np.testing.assert_array_equal(
            read(tmp_path / "j.tif").data, white
        )  # ImageJ only shows them the other way round


@pytest.mark.parametrize("lazy_above", [10, 10**6])
def test_palettes(tmp_path: Path, lazy_above: int) -> None:
    numbers = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    table = np.zeros((3, 256), np.uint16)
    table[0, 1], table[2, 2] = 65535, 65535
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=table)
    picture = read(tmp_path / "a.tif", lazy_above=lazy_above)
    assert (picture.axes, picture.rgb) == ("YXC", True)
    np.testing.assert_array_equal(np.asarray(picture.data), (table.T >> 8)[numbers])
    np.testing.assert_array_equal(read(tmp_path / "a.tif", labels=True).data, numbers)


def test_ink_becomes_light(tmp_path: Path) -> None:
    ink = np.zeros((3, 4, 4), np.uint8)
    ink[0, :, 1:3] = 255  # magenta and yellow: red
    ink[1, :, 3] = 255  # black
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated", planarconfig="contig")
    picture = read(tmp_path / "a.tif")
    assert picture.rgb
    assert picture.data[:, 0].tolist() == [[255, 0, 0], [0, 0, 0], [255, 255, 255]]


def test_colour_spaces_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4, 3), np.uint8), photometric="cielab", planarconfig="contig")
    with pytest.raises(DojoError, match=r"a\.tif holds colours in a way that cannot be read.*save it as RGB"):
        read(tmp_path / "a.tif")


# ---- pixel sizes


def test_the_voxels_of_lsm(tmp_path: Path) -> None:
    about = bytearray(512)
    struct.pack_into("<Ii", about, 0, 0x0400494C, 512)
    struct.pack_into("<5i", about, 8, 48, 64, 3, 1, 1)
    struct.pack_into("<3i", about, 28, 2, 128, 128)
    struct.pack_into("<3d", about, 40, 0.1e-6, 0.2e-6, 0.5e-6)
    with tifffile.TiffWriter(tmp_path / "a.lsm") as tif:
        for i in range(3):
            tag = [(34412, 1, 512, bytes(about), True)] if i == 0 else []
            tif.write(BLOB + i, photometric="minisblack", extratags=tag, metadata=None, contiguous=False)
            small = np.dstack([BLOB[::2, ::2] // 16] * 3).astype(np.uint8)
            tif.write(small, photometric="rgb", subfiletype=1, metadata=None, contiguous=False)
    picture = read(tmp_path / "a.lsm")
    assert (picture.axes, picture.unit, picture.images) == ("ZYX", "um", 1)
    assert picture.pixel_size == pytest.approx((0.5, 0.2, 0.1))
    np.testing.assert_array_equal(picture.data[2], BLOB + 2)


@pytest.mark.parametrize(("state", "unit", "size"), [("on", "um", 0.325), ("on", "nm", 0.000325), ("off", "um", None)])
def test_the_calibration_of_metamorph(tmp_path: Path, state: str, unit: str, size: float | None) -> None:
    values = {"state": state, "x": 0.325, "y": 0.325, "units": unit}
    props = "".join(f'<prop id="spatial-calibration-{k}" type="float" value="{v}"/>' for k, v in values.items())
    text = f"<MetaData><PlaneInfo>{props}</PlaneInfo></MetaData>"
    tifffile.imwrite(tmp_path / "a.tif", BLOB, metadata=None, description=text)
    assert read(tmp_path / "a.tif").pixel_size == (None if size is None else pytest.approx((size, size)))


def test_a_stack_without_the_distance_of_its_planes_keeps_the_size_of_a_plane(tmp_path: Path) -> None:
    about = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([BLOB] * 3), metadata=about, photometric="minisblack")
    picture = read(tmp_path / "a.ome.tif")
    assert (picture.axes, picture.pixel_size, picture.unit) == ("ZYX", (0.25, 0.5), "um")


@pytest.mark.parametrize(("dpi", "size"), [(300, None), (72, None), (254_000, 0.1)])
def test_what_a_printer_needs_is_no_pixel_size(tmp_path: Path, dpi: float, size: float | None) -> None:
    per_cm = dpi / 2.54
    tifffile.imwrite(tmp_path / "a.tif", BLOB, resolution=(per_cm, per_cm), resolutionunit="centimeter")
    about = {"axes": "YX", "unit": "cm"}
    tifffile.imwrite(tmp_path / "j.tif", BLOB, imagej=True, resolution=(per_cm, per_cm), metadata=about)
    for name in ("a.tif", "j.tif"):
        found = read(tmp_path / name).pixel_size
        assert found == (None if size is None else pytest.approx((size, size), rel=1e-4))


def test_an_impossible_pixel_size_is_said(tmp_path: Path) -> None:
    about = {"axes": "YX", "PhysicalSizeX": 5e5, "PhysicalSizeY": 5e5}
    tifffile.imwrite(tmp_path / "a.ome.tif", BLOB, metadata=about, photometric="minisblack")
    picture = read(tmp_path / "a.ome.tif")
    assert (picture.pixel_size, picture.unit) == (None, None)
    assert picture.notes == ("a.ome.tif gives pixels of 5e+05 x 5e+05 µm, which cannot be right. It was ignored.",)


def test_what_is_said_of_a_file_is_not_taken_for_one_that_another_thread_reads() -> None:
    logger, started, done = logging.getLogger("tifffile"), Event(), Event()
    theirs: list[str] = []

    def other() -> None:
        with listening() as said:
            started.set()
            done.wait(10)
            logger.warning("of theirs")
            theirs.extend(said)

    thread = Thread(target=other)
    with listening() as said:
        thread.start()
        started.wait(10)
        logger.warning("of ours")
        done.set()
        thread.join()
    assert (said, theirs) == (["of ours"], ["of theirs"])
