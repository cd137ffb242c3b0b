"""Multi-file OME-TIFF: each file gives what it holds; where that cannot be told, one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_dojo.errors import DojoError
from napari_dojo.io.images import read, read_all

OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def plane(value: int) -> np.ndarray:
    return np.full((6, 5), value, np.uint16)


def where(own: str, name: str = "", page: int = 0, **first: int) -> str:
    at = "".join(f' First{a}="{n}"' for a, n in first.items())
    file = f' FileName="{name}"' if name else ""
    given = f"<UUID{file}>{own}</UUID>" if own else ""
    return f'<TiffData IFD="{page}" PlaneCount="1"{at}>{given}</TiffData>'


def image(number: int, data: str, t: int = 1, z: int = 1, c: int = 1) -> str:
    channels = "".join(f'<Channel ID="Channel:{number}:{i}" Name="ch{i}"/>' for i in range(c))
    return (
        f'<Image ID="Image:{number}" Name="scene {number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYZCT" '
        f'Type="uint16" SizeX="5" SizeY="6" SizeZ="{z}" SizeC="{c}" SizeT="{t}" PhysicalSizeX="0.{number + 1}" '
        f'PhysicalSizeY="0.5">{channels}{data}</Pixels></Image>'
    )


def save(path: Path, planes: list[np.ndarray], images: str, own: str | None) -> Path:
    uuid = f' UUID="{own}"' if own else ""
    xml = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}"{uuid}>{images}</OME>'
    with tifffile.TiffWriter(path) as tif:
        for i, one in enumerate(planes):
            how = {"metadata": None, "contiguous": False, "photometric": "minisblack"}
            tif.write(one, description=xml.encode() if i == 0 else None, **how)
    return path


def test_each_position_gives_its_own_data(tmp_path: Path) -> None:
    every = "".join(image(i, where(f"urn:{i}", f"pos{i}.ome.tif")) for i in range(3))
    for i in range(3):
        save(tmp_path / f"pos{i}.ome.tif", [plane(i)], every, f"urn:{i}")
    for i in range(3):
        picture = read(tmp_path / f"pos{i}.ome.tif")
        assert (picture.data == i).all()
        assert (picture.axes, picture.images, picture.notes) == ("YX", 1, ())
        assert picture.pixel_size == (0.5, (i + 1) / 10)
    (tmp_path / "pos0.ome.tif").unlink()  # the others do not need it
    renamed = (tmp_path / "pos2.ome.tif").rename(tmp_path / "pos1 copy.ome.tif")
    assert (read(renamed).data == 2).all()


def test_each_time_point_gives_its_own_planes(tmp_path: Path) -> None:
    data = "".join(where(f"urn:{t}", f"t{t}.tif", c, T=t, C=c) for t in range(3) for c in range(2))
    for t in range(3):
        save(tmp_path / f"t{t}.tif", [plane(10 * t), plane(10 * t + 1)], image(0, data, t=3, c=2), f"urn:{t}")
    for limit in (1, 10**6):
        picture = read(tmp_path / "t2.tif", lazy_above=limit)
        assert (picture.axes, picture.channel_names) == ("CYX", ("ch0", "ch1"))
        np.testing.assert_array_equal(np.asarray(picture.data), [plane(20), plane(21)])
        assert picture.notes == ()


def test_a_file_is_known_by_its_name_where_it_has_no_id(tmp_path: Path) -> None:
    every = "".join(image(i, where(f"urn:{i}", f"pos{i}.tif")) for i in range(2))
    for i in range(2):
        save(tmp_path / f"pos{i}.tif", [plane(i)], every, None)
        assert (read(tmp_path / f"pos{i}.tif").data == i).all()
    same = "".join(image(i, where("urn:1", f"pos{i}.tif")) for i in range(2))  # the same id in all files
    for i in range(2):
        save(tmp_path / f"pos{i}.tif", [plane(i)], same, "urn:1")
        assert (read(tmp_path / f"pos{i}.tif").data == i).all()
    with pytest.raises(
        DojoError, match=r"other\.tif describes a set of 2 files \(pos0\.tif, pos1\.tif\).*cannot be told"
    ):
        read((tmp_path / "pos1.tif").rename(tmp_path / "other.tif"))


def test_a_single_file_may_be_renamed(tmp_path: Path) -> None:
    data = "".join(where("urn:x", "old.tif", t, T=t) for t in range(2))
    path = save(tmp_path / "new.tif", [plane(0), plane(1)], image(0, data, t=2), None)
    picture = read(path)
    assert picture.axes == "TYX"
    np.testing.assert_array_equal(picture.data, [plane(0), plane(1)])


def test_images_that_claim_the_same_plane(tmp_path: Path) -> None:
    path = save(tmp_path / "pos1.tif", [plane(1)], "".join(image(i, where("")) for i in range(3)), None)
    with pytest.raises(DojoError, match=r"pos1\.tif describes 3 images that lie in the same plane"):
        read(path)


def test_several_images_of_one_file_of_a_set(tmp_path: Path) -> None:
    here = [image(i, where("urn:a", "a.tif", i)) for i in range(2)]
    every = "".join([*here, image(2, where("urn:b", "b.tif"))])
    path = save(tmp_path / "a.tif", [plane(7), plane(8)], every, "urn:a")
    assert [int(p.data[0, 0]) for p in read_all(path)] == [7, 8]
    assert [p.pixel_size for p in read_all(path)] == [(0.5, 0.1), (0.5, 0.2)]
    assert read(path).notes == ("a.tif holds 2 images; the first was read, 1 was left out.",)


def test_lacking_planes_are_said(tmp_path: Path) -> None:
    data = where("urn:a", "a.tif", 0, T=0, Z=0) + where("urn:a", "a.tif", 1, T=0, Z=1) + where("urn:a", "a.tif", 2, T=1)
    data += where("urn:b", "b.tif", 0, T=2)
    path = save(tmp_path / "a.tif", [plane(1), plane(2), plane(3)], image(0, data, t=3, z=2), "urn:a")
    picture = read(path)
    assert picture.axes == "TZYX"
    assert picture.data[..., 0, 0].tolist() == [[1, 2], [3, 0]]
    assert picture.notes == ("a.tif lacks planes; they were filled with 0.",)


def test_a_part_that_leaves_its_description_to_another_file(tmp_path: Path) -> None:
    every = "".join(image(i, where(f"urn:{i}", f"pos{i}.tif")) for i in range(2))
    (tmp_path / "all.companion.ome").write_text(f'<OME xmlns="{OME}" UUID="urn:c">{every}</OME>')
    binary = '<BinaryOnly MetadataFile="all.companion.ome" UUID="urn:c"/>'
    for i in range(2):
        path = save(tmp_path / f"pos{i}.tif", [plane(i)], binary, f"urn:{i}")
        picture = read(path)
        assert (picture.data == i).all()
        assert picture.pixel_size == (0.5, (i + 1) / 10)
    (tmp_path / "all.companion.ome").unlink()
    assert (read(path).data == 1).all()


def test_a_truncated_part_is_refused(tmp_path: Path) -> None:
    data = where("urn:a", "a.tif", 4) + where("urn:b", "b.tif", 0, Z=1)
    with pytest.raises(DojoError, match=r"a\.tif is truncated or damaged .*describes 1 planes and holds 1"):
        read(save(tmp_path / "a.tif", [plane(1)], image(0, data, z=2), "urn:a"))
