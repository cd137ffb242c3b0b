"""Files <-> arrays: values, axes, sizes and types go round; what is broken is one sentence."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_dojo.errors import DojoError
from napari_dojo.io.images import Picture, as_labels, read, with_channels, write

SHAPE = {"T": 2, "Z": 3, "C": 4, "Y": 7, "X": 6}


def numbers(axes: str, dtype: Any = np.uint16) -> Any:
    shape = [SHAPE[a] for a in axes]
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


def same(picture: Picture, array: Any) -> None:
    data = np.asarray(picture.data)
    assert data.dtype == array.dtype
    assert data.dtype.isnative
    np.testing.assert_array_equal(data, array)


# ---- what we write, we read


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "CYX", "TZYX", "ZCYX", "TCYX", "TZCYX"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.uint32])
def test_tiff_goes_round(tmp_path: Path, axes: str, dtype: Any) -> None:
    array = numbers(axes, dtype)
    array.flat[0] = 100_000 if dtype == np.uint32 else 0
    size = (2.5, 0.65, 0.5) if "Z" in axes else (0.65, 0.5)
    names = ("DAPI", "GFP", "actin", "µ4") if "C" in axes else ()
    write(tmp_path / "a.tif", array, axes, size, "um", "made by a test: 3 µm", names)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_imagej is (dtype != np.uint32)
        assert tif.is_ome is (dtype == np.uint32)
    picture = read(tmp_path / "a.tif")
    same(picture, array)
    assert picture.axes == axes
    assert picture.pixel_size == pytest.approx(size, rel=1e-6)
    assert (picture.unit, picture.channel_names) == ("um", names)
    assert picture.description == "made by a test: 3 µm"
    assert (picture.rgb, picture.notes, picture.path) == (False, (), tmp_path / "a.tif")
    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize(("axes", "stored"), [("XY", "YX"), ("CZYX", "ZCYX"), ("YXC", "CYX"), ("ZTCYX", "TZCYX")])
def test_axes_are_brought_into_order(tmp_path: Path, suffix: str, axes: str, stored: str) -> None:
    array = numbers(axes, np.float32)
    write(tmp_path / f"a{suffix}", array, axes)
    picture = read(tmp_path / f"a{suffix}")
    if suffix == ".zarr":
        stored = "".join(a for a in "TCZYX" if a in stored)
    assert picture.axes == stored
    same(picture, array.transpose([axes.index(a) for a in stored]))
    assert (picture.pixel_size, picture.unit) == (None, None)


def test_colours_stay_colours(tmp_path: Path) -> None:
    array = numbers("YXC", np.uint8)[..., :3]
    for name in ("a.tif", "a.png"):
        write(tmp_path / name, array, "YXC")
        picture = read(tmp_path / name)
        assert (picture.axes, picture.rgb) == ("YXC", True)
        same(picture, array)
    stack = np.stack([array, array[::-1]])
    write(tmp_path / "stack.tif", stack, "ZYXC", (3, 2, 1), "um")
    picture = read(tmp_path / "stack.tif")
    assert (picture.axes, picture.rgb, picture.pixel_size) == ("ZYXC", True, (3, 2, 1))
    same(picture, stack)


@pytest.mark.parametrize(
    ("given", "labels", "stored"),
    [
        (np.array([[0, 255]], np.uint8), True, np.uint16),
        (np.array([[False, True]]), True, np.uint16),
        (np.array([[0, 65535]], np.int64), True, np.uint16),
        (np.array([[0, 65536]], np.int32), True, np.uint32),
        (np.array([[0, 2**32 - 1]], np.uint64), True, np.uint32),
        (np.array([[0.0, 7.0]]), True, np.uint16),
        (np.array([[0, 300]], np.int64), False, np.uint16),
        (np.array([[False, True]]), False, np.uint8),
        (np.array([[-5, 300]], np.int16), False, np.float32),
        (np.array([[0, 2**40]], np.uint64), False, np.float32),
        (np.array([[0.25, 7.5]]), False, np.float32),
        (np.array([[0.25, 7.5]], np.float16), False, np.float32),
        (np.array([[1, 513]], ">u2"), False, np.uint16),
        (np.array([[1, 2.5]], ">f4"), False, np.float32),
    ],
)
@pytest.mark.parametrize("suffix", [".tif", ".npy", ".zarr"])
def test_types_as_stored(tmp_path: Path, given: Any, labels: bool, stored: Any, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", given, "YX", labels=labels)
    same(read(tmp_path / f"a{suffix}", labels=labels), given.astype(stored))


@pytest.mark.parametrize("axes", ["YX", "TCZYX"])
def test_ome_zarr_goes_round(tmp_path: Path, axes: str) -> None:
    array = numbers(axes, np.uint32) + 70_000
    names = ("a", "b", "c", "d") if "C" in axes else ()
    size = (2.0, 0.5, 0.25)[-2 - ("Z" in axes) :]
    write(tmp_path / "a.ome.zarr", array, axes, [1000 * s for s in size], "nm", channel_names=names)
    picture = read(tmp_path / "a.ome.zarr")
    same(picture, array)
    assert (picture.axes, picture.pixel_size, picture.unit) == (axes, size, "um")
    assert picture.channel_names == names
    write(tmp_path / "a.ome.zarr", array[..., :2], axes)  # again: replaced as a whole
    same(read(tmp_path / "a.ome.zarr"), array[..., :2])
    assert os.listdir(tmp_path) == ["a.ome.zarr"]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_a_distance_of_planes_that_is_not_known_is_not_made_up(tmp_path: Path, suffix: str, dtype: Any) -> None:
    array = numbers("ZYX", dtype) + (dtype == np.uint32) * 70_000
    write(tmp_path / f"a{suffix}", array, "ZYX", (0.5, 0.25), "um")
    picture = read(tmp_path / f"a{suffix}")
    assert (picture.axes, picture.pixel_size, picture.unit) == ("ZYX", (0.5, 0.25), "um")


def test_an_ome_zarr_is_called_as_its_file(tmp_path: Path) -> None:
    write(tmp_path / "cells.ome.zarr", numbers("YX"), "YX")
    about = json.loads((tmp_path / "cells.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    assert about["multiscales"][0]["name"] == "cells"


def test_png_and_numpy_go_round(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        array = numbers("YX", dtype) * (250 if dtype == np.uint16 else 1)
        write(tmp_path / "a.png", array, "YX")
        same(read(tmp_path / "a.png"), array)
    write(tmp_path / "a.png", array.T, "XY")
    same(read(tmp_path / "a.png"), array)
    write(tmp_path / "a.npy", numbers("ZYX", np.float32), "ZYX")
    picture = read(tmp_path / "a.npy")
    same(picture, numbers("ZYX", np.float32))
    assert picture.axes is None
    for array, axes in ((numbers("YX", np.float32), "YX"), (numbers("ZYX"), "ZYX")):
        with pytest.raises(DojoError, match=r"Choose \.tif"):
            write(tmp_path / "a.png", array, axes)
    assert read(tmp_path / "a.png").axes == "YX"  # the old one is still there


def test_one_pixel_and_single_planes(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.array([[5]], np.uint8), "YX")
    same(read(tmp_path / "a.tif"), np.array([[5]], np.uint8))
    write(tmp_path / "a.tif", np.full((1, 1, 1, 4), 5, np.uint8), "TZYX", (2, 1, 1), "um")
    picture = read(tmp_path / "a.tif")
    assert (picture.axes, picture.pixel_size) == ("YX", (1, 1))
    same(picture, np.full((1, 4), 5, np.uint8))
    tifffile.imwrite(tmp_path / "b.tif", np.full((1, 3, 4), 5, np.uint8), photometric="minisblack")
    assert (read(tmp_path / "b.tif").axes, read(tmp_path / "b.tif").data.shape) == ("YX", (3, 4))


def test_imagej_shows_what_is_there(tmp_path: Path) -> None:
    array = np.linspace(0, 1, 2000, dtype=np.float32).reshape(2, 40, 25)
    array[0, 0, 0] = np.nan
    write(tmp_path / "a.tif", array, "CYX")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        said = tif.imagej_metadata
    assert said["mode"] == "composite"
    np.testing.assert_allclose(said["Ranges"], (0.0015, 0.4987, 0.5007, 0.9995), atol=1e-3)
    labels = np.zeros((50, 50), np.uint16)
    labels[3, 4] = 9
    write(tmp_path / "a.tif", labels, "YX", labels=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert (tif.imagej_metadata["min"], tif.imagej_metadata["max"]) == (0, 9)
    for constant in (np.full((5, 5), 3, np.float32), np.full((5, 5), np.nan, np.float32)):
        write(tmp_path / "a.tif", constant, "YX")
        same(read(tmp_path / "a.tif"), constant)


@pytest.mark.parametrize("big", [True, False])
def test_what_does_not_fit_in_memory_is_written_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, big: bool
) -> None:
    import dask.array as da
    import zarr

    monkeypatch.setattr("napari_dojo.io.formats.picture.TILE", 16)
    monkeypatch.setattr("napari_dojo.io.images.PLANE", 100 if big else 1e9)
    monkeypatch.setattr("napari_dojo.io.formats.picture.PLANE", 100 if big else 1e9)
    monkeypatch.setattr("napari_dojo.io.formats.tiff_writer.BIG", 1000 if big else 1e9)
    array = np.arange(2 * 37 * 50, dtype=np.float32).reshape(2, 37, 50)
    np.save(tmp_path / "on disk.npy", array.astype(np.float64))
    mapped = np.load(tmp_path / "on disk.npy", mmap_mode="r")
    stored = zarr.array(array, chunks=(1, 10, 50))
    for lazy in (da.from_array(array, chunks=(1, 10, 50)), mapped, stored):
        for name in ("a.tif", "a.zarr", "a.npy"):
            write(tmp_path / name, lazy, "ZYX", (2, 1, 1), "um")
            same(read(tmp_path / name), array)
    write(tmp_path / "b.tif", da.from_array(array[0].astype(int), chunks=10), "YX", labels=True)
    same(read(tmp_path / "b.tif", labels=True), array[0].astype(np.uint16))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert (tif.is_bigtiff, tif.is_ome, bool(tif.pages.first.is_tiled)) == (big, big, big)


# ---- what others write


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("lazy", [False, True])
def test_plain_tiff(tmp_path: Path, compression: str | None, byteorder: Any, lazy: bool) -> None:
    path = tmp_path / "a.tif"
    for axes in ("YX", "ZYX"):
        array = numbers(axes, np.float32)
        tifffile.imwrite(path, array, byteorder=byteorder, compression=compression, photometric="minisblack")
        picture = read(path, lazy_above=10 if lazy else 10**6)
        assert picture.axes == ("YX" if axes == "YX" else None)
        mapped = lazy and compression is None and byteorder == ("<" if sys.byteorder == "little" else ">")
        assert isinstance(picture.data, np.memmap) is mapped
        assert hasattr(picture.data, "dask") is (lazy and not mapped)
        same(picture, array)
        del picture


def test_a_large_pyramid_is_read_at_full_resolution(tmp_path: Path) -> None:
    array = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        options = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"}
        about = {"axes": "YX", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5}
        tif.write(array, subifds=1, metadata=about, **options)
        tif.write(array[::2, ::2], subfiletype=1, **options)
        tif.write(array[:5], metadata={"axes": "YX"}, **options)
    for limit in (10, 10**6):
        picture = read(path, lazy_above=limit)
        same(picture, array)
        assert (picture.axes, picture.pixel_size, picture.unit) == ("YX", (0.5, 0.25), "um")
        assert picture.notes == ("a.ome.tif holds 2 images; the first was read, 1 was left out.",)


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("micron", (2, 0.5, 0.25)),
        ("\\u00B5m", (2, 0.5, 0.25)),
        ("microns", (2, 0.5, 0.25)),
        ("nm", (0.002, 0.0005, 0.00025)),
        ("mm", (2000, 500, 250)),
    ],
)
def test_units_of_imagej(tmp_path: Path, unit: str, size: tuple[float, ...]) -> None:
    about = {"axes": "ZYX", "unit": unit, "spacing": 2.0}
    tifffile.imwrite(tmp_path / "a.tif", numbers("ZYX"), imagej=True, resolution=(4.0, 2.0), metadata=about)
    picture = read(tmp_path / "a.tif")
    assert picture.unit == "um"
    assert picture.pixel_size == pytest.approx(size)


@pytest.mark.parametrize("about", [{"unit": "pixel"}, {"unit": "inch"}, {}])
def test_what_is_no_size_in_imagej(tmp_path: Path, about: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers("YX"), imagej=True, metadata={"axes": "YX", **about})
    picture = read(tmp_path / "a.tif")
    assert (picture.axes, picture.pixel_size, picture.unit) == ("YX", None, None)


def test_sizes_in_other_units(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", numbers("YX"), "YX", (3, 2))
    assert (read(tmp_path / "a.tif").pixel_size, read(tmp_path / "a.tif").unit) == ((3, 2), None)
    write(tmp_path / "a.tif", numbers("YX", np.uint32) + 70_000, "YX", (3, 2), "furlong")
    assert (read(tmp_path / "a.tif").pixel_size, read(tmp_path / "a.tif").unit) == ((3, 2), None)
    write(tmp_path / "a.tif", numbers("ZYX"), "ZYX", (3, 2), "um")  # the step in Z is not known
    assert read(tmp_path / "a.tif").pixel_size == pytest.approx((3, 2))


@pytest.mark.parametrize(
    ("unit", "resolution", "size"),
    [("CENTIMETER", 20_000, (0.5, 0.5)), ("CENTIMETER", 28, None), ("INCH", 50_000, None), ("NONE", 2, None)],
)
def test_sizes_of_plain_tiff(tmp_path: Path, unit: str, resolution: float, size: Any) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers("YX"), resolution=(resolution, resolution), resolutionunit=unit)
    assert read(path).pixel_size == (pytest.approx(size) if size else None)


def test_colours_in_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    array = numbers("YXC", np.uint8)
    planar = np.moveaxis(array[..., :3], -1, 0)
    tifffile.imwrite(path, planar, photometric="rgb", planarconfig="separate")
    picture = read(path)
    assert (picture.axes, picture.rgb) == ("YXC", True)
    same(picture, array[..., :3])
    for stack in (
        planar.astype(np.uint16),
        numbers("CYX", np.float32),
    ):  # tifffile takes three or four frames for colours
        tifffile.imwrite(path, stack, photometric="rgb", planarconfig="separate")
        picture = read(path)
        assert (picture.axes, picture.rgb) == (None, False)
        same(picture, stack)
    for limit in (1, 10**6):
        tifffile.imwrite(path, array, photometric="rgb", extrasamples=["unassalpha"])
        picture = read(path, lazy_above=limit)
        assert (picture.axes, picture.rgb) == ("YXC", True)
        assert picture.notes == ("The transparency (alpha) of a.tif was left out.",)
        same(picture, array[..., :3])
    array[..., 3] = 255
    tifffile.imwrite(path, array, photometric="rgb", extrasamples=["unassalpha"])
    assert read(path).notes == ()
    tifffile.imwrite(path, array[..., :2], photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    same(read(path), array[..., 0])
    tifffile.imwrite(path, array[..., :2], photometric="minisblack", planarconfig="contig")
    assert (read(path).axes, read(path).rgb) == ("YXC", False)


@pytest.mark.parametrize("dtype", [bool, np.float16, np.float64, np.int64, np.int16])
def test_uncommon_types(tmp_path: Path, dtype: Any) -> None:
    array = numbers("YX").astype(dtype)
    expected = array.astype({bool: np.uint8, np.float16: np.float32}.get(dtype, dtype))
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    np.save(tmp_path / "a.npy", array)
    for name in ("a.tif", "a.npy"):
        for limit in (10, 10**6):
            same(read(tmp_path / name, lazy_above=limit), expected)


def test_palettes(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    image = Image.fromarray(indices, mode=None).convert("L")
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "a.png")
    same(read(tmp_path / "a.png", labels=True), indices)
    picture = read(tmp_path / "a.png")
    same(picture, palette[indices])
    assert (picture.axes, picture.rgb) == ("YXC", True)
    image.putpalette(np.repeat([0, 50, 90], 3).astype(np.uint8).tobytes())
    image.save(tmp_path / "a.png")
    same(read(tmp_path / "a.png"), np.array([0, 50, 90], np.uint8)[indices])
    table = np.zeros((3, 256), np.uint16)
    table[1] = np.arange(256) * 257  # as ImageJ saves a plane with a green look-up table
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=table)
    same(read(tmp_path / "a.tif"), indices)


def test_png_of_all_kinds(tmp_path: Path) -> None:
    import imagecodecs

    path = tmp_path / "a.png"
    Image.fromarray(np.array([[True, False]])).save(path)
    same(read(path), np.array([[1, 0]], np.uint8))
    deep = np.arange(7 * 6 * 4, dtype=np.uint16).reshape(7, 6, 4) * 300
    for channels, expected in ((3, deep[..., :3]), (4, deep[..., :3]), (2, deep[..., 0])):
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(deep[..., :channels])))
        same(read(path), expected)
    shallow = (deep // 300).astype(np.uint8)
    for mode, expected in (("RGBA", shallow[..., :3]), ("LA", shallow[..., 0])):
        Image.fromarray(shallow[..., : len(mode)]).save(path)
        picture = read(path)
        same(picture, expected)
        assert picture.notes == ("The transparency (alpha) of a.png was left out.",)
    Image.new("CMYK", (4, 3), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read(tmp_path / "a.jpg").data.astype(int) - (255, 0, 0)).max() <= 3
    Image.new("L", (4, 3), 77).save(tmp_path / "a.bmp")
    same(read(tmp_path / "a.bmp"), np.full((3, 4), 77, np.uint8))


def test_the_content_counts_not_the_ending(tmp_path: Path) -> None:
    Image.new("L", (4, 3), 77).save(tmp_path / "a.tif", format="PNG")
    same(read(tmp_path / "a.tif"), np.full((3, 4), 77, np.uint8))


@pytest.mark.parametrize("version", ["0.1", "0.4", "0.5"])
def test_ome_zarr_of_others(tmp_path: Path, version: str) -> None:
    import zarr

    array = numbers("TCZYX")[:1]
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=3 if version == "0.5" else 2)
    group.create_array("full", data=array)
    group.create_array("half", data=array[..., ::2, ::2])
    image: dict[str, Any] = {"version": version, "datasets": [{"path": "full"}, {"path": "half"}]}
    if version != "0.1":
        kinds = ["time", "channel", "space", "space", "space"]
        image["axes"] = [{"name": a, "type": k} for a, k in zip("tczyx", kinds, strict=True)]
        for axis in image["axes"][2:]:
            axis["unit"] = "micrometer"
        image["datasets"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1, 2, 0.5, 0.25]}]
        image["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1, 2, 2, 2]}]
    about = {"multiscales": [image], "omero": {"channels": [{"label": x} for x in "abcd"]}}
    group.attrs.update({"ome": {"version": "0.5", **about}} if version == "0.5" else about)
    picture = read(tmp_path / "a.zarr")
    same(picture, array[0])
    assert (picture.axes, picture.channel_names) == ("CZYX", ("a", "b", "c", "d"))
    if version == "0.1":
        assert (picture.pixel_size, picture.unit) == (None, None)
    else:
        assert (picture.pixel_size, picture.unit) == ((4, 1, 0.5), "um")
    lazy = read(tmp_path / "a.zarr", lazy_above=10)
    assert hasattr(lazy.data, "dask")
    same(lazy, array[0])


def test_an_ome_zarr_of_one_plane_keeps_its_pixel_size(tmp_path: Path) -> None:
    """bioformats2raw writes five axes, and no unit for the Z of an image without a distance of planes."""
    import zarr

    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("0", data=numbers("YX")[None, None, None])
    axes: list[dict[str, str]] = [{"name": a, "type": "space"} for a in "tczyx"]
    for axis in axes[3:]:
        axis["unit"] = "micrometer"
    scale = [{"type": "scale", "scale": [1, 1, 1, 0.5, 0.25]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    picture = read(tmp_path / "a.zarr")
    assert (picture.axes, picture.pixel_size, picture.unit) == ("YX", (0.5, 0.25), "um")


def test_zarr_without_ome(tmp_path: Path) -> None:
    import zarr

    zarr.create_array(str(tmp_path / "a.zarr"), data=numbers("ZYX"))
    picture = read(tmp_path / "a.zarr")
    same(picture, numbers("ZYX"))
    assert picture.axes is None


def test_zarr_that_is_no_image(tmp_path: Path) -> None:
    import zarr

    plate = zarr.open_group(str(tmp_path / "plate.zarr"), mode="w", zarr_format=2)
    plate.create_group("A")
    plate.attrs["plate"] = {"wells": []}
    with pytest.raises(DojoError, match=r"group of others \(A\)"):
        read(tmp_path / "plate.zarr")
    write(tmp_path / "several.zarr" / "0.zarr", numbers("YX"), "YX")
    os.rename(tmp_path / "several.zarr" / "0.zarr", tmp_path / "several.zarr" / "0")
    zarr.open_group(str(tmp_path / "several.zarr"), mode="a", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    same(read(tmp_path / "several.zarr"), numbers("YX"))
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / ".zattrs").write_text("{")
    with pytest.raises(DojoError, match=r"broken\.zarr is truncated or damaged"):
        read(tmp_path / "broken.zarr")


# ---- bad input


@pytest.mark.parametrize("kind", ["plain", "pages", "imagej", "ome", "zlib", "ours"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_tiff_is_refused_without_noise(
    tmp_path: Path, kind: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path, array = tmp_path / "cells.tif", np.random.default_rng(0).integers(0, 999, (4, 32, 32)).astype(np.uint16)
    options: dict[str, Any] = {
        "plain": {"photometric": "minisblack"},
        "pages": {"photometric": "minisblack", "metadata": None},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}, "photometric": "minisblack"},
        "zlib": {"photometric": "minisblack", "compression": "zlib"},
    }
    if kind == "ours":
        write(path, array, "ZYX", (1, 1, 1), "um")
    else:
        tifffile.imwrite(path, array, **options[kind])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DojoError, match=r"cells\.tif is truncated or damaged and cannot be read \(.*Copy it again"):
        read(path)
    assert capfd.readouterr() == ("", "")


def test_a_truncated_large_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers("ZYX"), photometric="minisblack")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DojoError, match="truncated"):
        read(path, lazy_above=10)


def test_a_tiff_that_claims_too_much_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers("YX"), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags["ImageLength"].overwrite(2**31)
    with pytest.raises(DojoError, match=r"25\.8 GB of pixels in 0\.\d+ kB"):
        read(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.npy", "a.bmp"])
def test_other_truncated_files_are_refused(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    if name == "a.npy":
        np.save(tmp_path / name, noise)
    else:
        Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for share in (0.02, 0.5):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DojoError, match=r"truncated or damaged|holds another format"):
            read(tmp_path / name)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("I am a table\n1;2;3\n")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "film.mov").write_bytes(b"\0\0\0\x14ftypqt  \0\0\x01\x02")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "number.npy", np.float32(3))
    np.save(tmp_path / "line.npy", np.arange(3))
    np.save(tmp_path / "nothing.npy", np.zeros((0, 5)))
    np.save(tmp_path / "complex.npy", np.zeros((3, 5), complex))
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    tifffile.imwrite(tmp_path / "complex.tif", np.zeros((3, 5), np.complex64))
    for name, said in {
        "missing.tif": "does not exist",
        "text.tif": r"text\.tif holds text\. Open it in Fiji",
        "empty.tif": r"empty\.tif is empty \(0 bytes\)",
        "film.mov": r"film\.mov holds another format",
        "folder": "is a folder, and no OME-Zarr",
        "number.npy": r"number\.npy is a single number",
        "line.npy": r"line\.npy is 3",
        "nothing.npy": r"nothing\.npy is 0 x 5",
        "complex.npy": "complex numbers; save their magnitude",
        "complex.tif": "complex numbers; save their magnitude",
        "words.npy": "holds <U1; save it as TIFF",
        "objects.npy": r"objects\.npy holds Python objects",
    }.items():
        with pytest.raises(DojoError, match=said) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    write(path, numbers("YX"), "YX")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(tifffile, "TiffFile", refuse)
    with pytest.raises(DojoError, match="may not be read"):
        read(path)


@pytest.mark.parametrize(("name", "writer"), [("a.tif", "tifffile.imwrite"), ("a.npy", "numpy.save")])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, writer: str
) -> None:
    old = numbers("YX")
    write(tmp_path / name, old, "YX")

    def fill(file: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(file, Path):
            file.write_bytes(b"half")
        else:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, fill)
        with pytest.raises(DojoError, match=r"^The disk of .* is full.* What was written before is kept\.$"):
            write(tmp_path / name, old + 1, "YX")
        with pytest.raises(DojoError, match="is full"):
            write(tmp_path / f"new{name}", old, "YX")
    assert os.listdir(tmp_path) == [name]
    same(read(tmp_path / name), old)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DojoError, match="cannot be written"):
        write(tmp_path / "file" / "a.tif", numbers("YX"), "YX")

    def refuse(*args: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("napari_dojo.io.atomic.os.replace", refuse)
    with pytest.raises(DojoError, match="there is no permission"):
        write(tmp_path / "a.tif", numbers("YX"), "YX")
    assert os.listdir(tmp_path) == ["file"]


def test_what_cannot_be_written_is_said_before(tmp_path: Path) -> None:
    image = numbers("YX")
    for array, axes, name, said in (
        (image, "YX", "a.czi", r"written as \.tif, .*a\.czi ends otherwise"),
        (image, "ZYX", "a.tif", "name 3 dimensions"),
        (image.astype(complex), "YX", "a.tif", "real numbers were expected, but 7 x 6 of complex128"),
        (image[:0], "YX", "a.tif", "0 x 6"),
    ):
        with pytest.raises(DojoError, match=said):
            write(tmp_path / name, array, axes)
    huge = image.astype(np.int64) + 2**40
    for array, said in ((image - 5.0, "0 or larger"), (image + 0.5, "fractions"), (huge, "below 4294967296")):
        with pytest.raises(DojoError, match=said):
            write(tmp_path / "a.tif", array, "YX", labels=True)
    assert os.listdir(tmp_path) == []


def test_labels_in_colours() -> None:
    grey = np.repeat(numbers("YX", np.uint8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(as_labels(grey, "a.png"), grey[..., 0])
    coloured = grey.copy()
    coloured[0, 0, 1] += 1
    with pytest.raises(DojoError, match=r"a\.png holds colours"):
        as_labels(coloured, "a.png")
    with pytest.raises(DojoError, match="holds colours"):
        as_labels(coloured.astype(np.uint16), "a.png", rgb=True)
    assert as_labels(coloured.astype(np.uint16), "a.tif").shape == (7, 6, 3)  # T, Z or C: not ours to judge
    assert as_labels(np.array([[1.0, 2.0]]), "a").tolist() == [[1, 2]]


def test_the_channels_that_a_model_takes() -> None:
    plane = numbers("YX", np.uint8)
    grey = Picture(np.dstack([plane] * 3), "YXC", rgb=True, path=Path("grey.png"))
    picture, axes = with_channels(grey, "YXC", 1)
    same(picture, plane)
    assert (axes, picture.axes, picture.rgb) == ("YX", "YX", False)
    assert with_channels(grey, "YXC", 3) == (grey, "YXC")
    assert with_channels(grey, "YXC", None) == (grey, "YXC")
    stack = Picture(np.stack([plane] * 2), "CYX", channel_names=("DAPI", "GFP"), path=Path("two.tif"))
    with pytest.raises(
        DojoError, match=r"two\.tif has 2 channels \(DAPI, GFP\), and the model takes one\. Choose one channel"
    ):
        with_channels(stack, "CYX", 1)  # two equal channels are no grey picture
    picture, axes = with_channels(stack, "CYX", 1, "gfp")
    same(picture, plane)
    assert (axes, picture.channel_names) == ("YX", ("GFP",))
    coloured = Picture(np.dstack([plane, plane, plane.T[:7, :6].repeat(2, 0)[:7]]), "YXC", rgb=True, path=Path("c.png"))
    with pytest.raises(DojoError, match=r"c\.png has 3 channels \(red, green, blue\)"):
        with_channels(coloured, "YXC", 1)


def test_loading_the_module_is_light() -> None:
    code = "import napari_dojo.io.images, sys, json; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(answer.stdout))
    assert not loaded & {"tifffile", "zarr", "dask", "PIL", "imagecodecs", "skimage", "torch", "napari"}


@pytest.mark.needs_shared_data
def test_real_images(shared_data: Path) -> None:
    folder = shared_data / "dsb2018_fluo" / "test"
    image = sorted((folder / "images").glob("*.tif"))[0]
    assert (read(image).axes, read(image).data.dtype) == ("YX", np.uint8)
    labels = as_labels(read(folder / "masks" / image.name, labels=True).data, image.name)
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert read(shared_data / "isl_phase_to_fluo" / "test" / "phase_z13" / "r0c3.tif").axes is None
    assert read(shared_data / "sr_set5_set14" / "set14" / "high" / "baboon.tif").rgb
