"""Files of microscopes. That of Leica is written here; the others are read through stand-ins for their packages."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io import images

STARTS = {
    ".czi": b"ZISRAWFILE",
    ".nd2": b"\xda\xce\xbe\x0a",
    ".oib": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ".lif": b"\x70\0\0\0",
}


def lif(path, arrays):
    """Images (C, Z, Y, X) of uint16 as LAS X lays them out: channels of a plane behind each other, 0.5 um, planes of 2 um."""
    memory, elements = [], []
    for i, x in enumerate(arrays):
        c, z, height, width = x.shape
        plane = 2 * height * width
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" IsLUTInverted="0" BitInc="0" LUTName="{name}" BytesInc="{k * plane}"/>'
            for k, name in enumerate(("Green", "Red")[:c])
        )
        axes = [(1, width, 0.5e-6, 2), (2, height, 0.5e-6, 2 * width), (3, z, 2e-6, c * plane)]
        dimensions = "".join(
            f'<DimensionDescription DimID="{d}" NumberOfElements="{n}" Origin="0" Length="{step * (n - 1)}" Unit="m" BitInc="0" BytesInc="{inc}"/>'
            for d, n, step, inc in axes
        )
        elements.append(
            f'<Element Name="Series{i}" UniqueID="{i}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
            f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{x.nbytes}" MemoryBlockID="MemBlock_{i}"/><Children/></Element>'
        )
        memory.append((f"MemBlock_{i}", np.ascontiguousarray(x.swapaxes(0, 1)).tobytes()))
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="p" UniqueID="p"><Data/><Memory Size="0" MemoryBlockID="MemBlock_p"/>'
        f"<Children>{''.join(elements)}</Children></Element></LMSDataContainerHeader>"
    )
    with path.open("wb") as file:
        text = xml.encode("utf-16-le")
        file.write(struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(xml)) + text)
        for name, data in memory:
            named = name.encode("utf-16-le")
            head = struct.pack("<BQBI", 0x2A, len(data), 0x2A, len(name)) + named
            file.write(struct.pack("<II", 0x70, len(head)) + head + data)


def test_leica(tmp_path):
    pytest.importorskip("liffile")
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 4000, (2, 3, 20, 24)).astype(np.uint16) for _ in range(2)]
    lif(tmp_path / "a.lif", arrays)
    read = list(images.read_all(tmp_path / "a.lif"))
    assert [(p.name, p.images) for p in read] == [("a.lif (image 1)", 2), ("a.lif (image 2)", 2)]
    for picture, x in zip(read, arrays, strict=True):
        assert sorted(picture.axes) == ["C", "X", "Y", "Z"]
        np.testing.assert_array_equal(picture.data.transpose([picture.axes.index(a) for a in "CZYX"]), x)
        assert picture.pixel_size == pytest.approx((2.0, 0.5, 0.5))
        assert (picture.unit, picture.channel_names) == ("um", ("Green", "Red"))


class Opened(SimpleNamespace):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_zeiss(tmp_path, monkeypatch):
    x = np.arange(2 * 3 * 8 * 9, dtype=np.uint16).reshape(2, 1, 3, 8, 9, 1)
    xml = (
        "<ImageDocument><Metadata><Scaling><Items><Distance Id='X'><Value>2.5e-7</Value></Distance>"
        "<Distance Id='Y'><Value>5e-7</Value></Distance></Items></Scaling><Information><Image><Dimensions><Channels>"
        "<Channel Name='DAPI'/><Channel Name='GFP'/><Channel Name='Cy5'/></Channels></Dimensions></Image></Information>"
        "</Metadata></ImageDocument>"
    )
    made = Opened(axes="STCYX0", shape=x.shape, dtype=x.dtype, asarray=lambda out: x, metadata=lambda: xml)
    monkeypatch.setitem(sys.modules, "czifile", SimpleNamespace(CziFile=lambda path: made))
    (tmp_path / "a.czi").write_bytes(STARTS[".czi"])
    one, two = images.read_all(tmp_path / "a.czi")
    np.testing.assert_array_equal(two.data, x[1, 0, ..., 0])
    assert (one.axes, one.pixel_size, one.channel_names, one.images) == ("CYX", (0.5, 0.25), ("DAPI", "GFP", "Cy5"), 2)


@pytest.mark.parametrize("lazy", [False, True])
def test_nikon(tmp_path, monkeypatch, lazy):
    import dask.array as da

    x = np.arange(2 * 3 * 4 * 2 * 8 * 9, dtype=np.uint16).reshape(
        2, 3, 4, 2, 8, 9
    )  # positions, frames, planes, channels
    made = Opened(
        sizes={"P": 2, "T": 3, "Z": 4, "C": 2, "Y": 8, "X": 9},
        nbytes=x.nbytes,
        asarray=lambda position: x[position],
        to_dask=lambda position: da.from_array(x[position]),
        voxel_size=lambda: SimpleNamespace(x=0.25, y=0.25, z=1.5),
        metadata=SimpleNamespace(channels=[SimpleNamespace(channel=SimpleNamespace(name=n)) for n in ("a", "b")]),
    )
    monkeypatch.setitem(sys.modules, "nd2", SimpleNamespace(ND2File=lambda path: made))
    (tmp_path / "a.nd2").write_bytes(STARTS[".nd2"])
    one, two = images.read_all(tmp_path / "a.nd2", lazy_above=0 if lazy else 10**9)
    assert hasattr(two.data, "dask") == lazy
    np.testing.assert_array_equal(np.asarray(two.data), x[1])
    assert (one.axes, one.pixel_size, one.channel_names, one.images) == ("TZCYX", (1.5, 0.25, 0.25), ("a", "b"), 2)


def test_olympus(tmp_path, monkeypatch):
    x = np.arange(2 * 5 * 8 * 9, dtype=np.uint16).reshape(2, 5, 8, 9)
    axis = "Axis {} Parameters Common"
    settings = {
        axis.format(0): {"AxisCode": "X", "MaxSize": 9, "StartPosition": 0.0, "EndPosition": 4.5, "PixUnit": "um"},
        axis.format(1): {"AxisCode": "Y", "MaxSize": 8, "StartPosition": 0.0, "EndPosition": 4.0, "PixUnit": "um"},
        axis.format(3): {"AxisCode": "Z", "MaxSize": 5, "StartPosition": 8000.0, "EndPosition": 0.0, "PixUnit": "nm"},
        "Channel 1 Parameters": {"DyeName": "DAPI"},
        "Channel 2 Parameters": {"DyeName": "GFP"},
    }
    made = Opened(axes="CZYX", asarray=lambda: x, mainfile=settings)
    monkeypatch.setitem(sys.modules, "oiffile", SimpleNamespace(OifFile=lambda path: made))
    for name in ("a.oib", "a.oif"):
        (tmp_path / name).write_bytes(STARTS[".oib"] if name == "a.oib" else b"[Version Info]")
        read = images.read(tmp_path / name)
        np.testing.assert_array_equal(read.data, x)
        assert (read.axes, read.pixel_size, read.channel_names) == ("CZYX", (2.0, 0.5, 0.5), ("DAPI", "GFP"))


def test_zeiss_two_scenes_at_two_places(tmp_path):
    """A file that Zeiss's own library (pylibCZIrw) wrote: scenes are cut out of the area that all of them span."""
    pytest.importorskip("czifile")
    path = tmp_path / "two_scenes.czi"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "two_scenes.czi.gz").read_bytes()))
    x = np.arange(2 * 2 * 3 * 8 * 10, dtype=np.uint16).reshape(2, 2, 3, 8, 10)
    found = list(images.read_all(path))
    assert len(found) == 2
    for picture, scene in zip(found, x, strict=True):
        np.testing.assert_array_equal(picture.data, scene)
        assert (picture.axes, picture.channel_names) == ("CZYX", ("DAPI", "GFP"))
        assert picture.pixel_size == pytest.approx((1.0, 0.2, 0.2))


@pytest.mark.parametrize(
    ("end", "name"), [(".czi", "czifile"), (".nd2", "nd2"), (".lif", "liffile"), (".oib", "oiffile")]
)
def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch, end, name):
    monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / f"a{end}").write_bytes(STARTS[end])
    with pytest.raises(DojoError, match=rf"a\{end} is read by the package {name}.*napari-dojo\[formats\]"):
        images.read(tmp_path / f"a{end}")


@pytest.mark.parametrize("end", [".czi", ".nd2", ".lif", ".oib"])
def test_a_broken_file_is_named(tmp_path, end):
    (tmp_path / f"a{end}").write_bytes(STARTS[end] + b"nothing")
    with pytest.raises(DojoError, match=rf"a\{end}"):
        images.read(tmp_path / f"a{end}")
