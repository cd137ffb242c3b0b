"""Images and objects with a class each: folders, tables, and all that is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_dojo.data.dataset import Layout
from napari_dojo.data.kinds import CATEGORY
from napari_dojo.data.normalize import Rule
from napari_dojo.data.objects import crops_of
from napari_dojo.data.resident import Source
from napari_dojo.data.split import Crop
from napari_dojo.errors import DojoError
from napari_dojo.io.categories import images_of
from napari_dojo.io.datasets import DatasetFiles, read_dataset

RNG = np.random.default_rng(0)
PLAIN = Layout(CATEGORY)


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return RNG.integers(0, 250, shape or (16, 20)).astype(dtype)


def folders(root: Path, **classes: list[np.ndarray]) -> Path:
    """A folder of class folders."""
    for name, images in classes.items():
        (root / name).mkdir(parents=True)
        for i, image in enumerate(images):
            iio.imwrite(root / name / f"{i}.png", image)
    return root


def read(path: Path, layout: Layout = PLAIN, **more: Any) -> Any:
    return read_dataset(DatasetFiles(str(path), **more), layout)


def classes_of(dataset: Any) -> list[str]:
    return [dataset.class_names[int(s.y) - 1] for s in dataset.samples]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    root = folders(tmp_path / "d", a10=[noise(), noise()], a2=[noise(24, 16)])
    (root / ".hidden").mkdir()
    dataset, notes = read(root)
    assert dataset.class_names == ("a2", "a10")
    assert [s.name for s in dataset.samples] == ["a2/0.png", "a10/0.png", "a10/1.png"]
    assert classes_of(dataset) == ["a2", "a10", "a10"]
    assert dataset.samples[0].x.shape == (1, 24, 16)
    assert not notes
    assert not dataset.excluded
    assert [p.parent.name for p in images_of(root)] == ["a2", "a10", "a10"]


def test_names_with_commas_umlauts_and_slashes(tmp_path: Path) -> None:
    import unicodedata

    name = "Zellen, groß (ä)"
    root = folders(tmp_path / "d", **{unicodedata.normalize("NFD", name): [noise()], "b": [noise()]})
    assert read(root)[0].class_names == ("b", name)
    table = tmp_path / "t.csv"
    table.write_text(f'file;class\nb/0.png;"rund/oval, {name}"\n0.png;x\n'.replace("\n0.png;x", ""), encoding="utf-8")
    dataset, _ = read(root, target=str(table))
    assert dataset.class_names == (f"rund/oval, {name}",)
    assert next(e.reason for e in dataset.excluded).endswith("has no class in t.csv.")


def test_unreadable_files_are_named_and_the_others_used(tmp_path: Path) -> None:
    root = folders(tmp_path / "d", a=[noise()] * 1, b=[noise()])
    (root / "a" / "broken.png").write_bytes(b"no image")
    (root / "c").mkdir()
    dataset, _ = read(root)
    assert len(dataset.samples) == 2
    reasons = [e.reason for e in dataset.excluded]
    assert any("broken.png" in r for r in reasons)
    assert "The folder c holds no image." in reasons


def test_grey_and_colour_mixed(tmp_path: Path) -> None:
    grey, colour = noise(), noise(16, 20, 3)
    root = folders(tmp_path / "d", a=[grey, colour], b=[colour[::-1]])
    dataset, notes = read(root)
    assert [len(s.x) for s in dataset.samples] == [3, 3, 3]
    np.testing.assert_array_equal(dataset.samples[0].x, np.stack([grey] * 3))
    assert notes == ["1 of 3 images are grey; they are used as colour images whose channels are equal."]
    plain = folders(tmp_path / "e", a=[grey, np.stack([grey.T.reshape(16, 20)] * 3, -1)], b=[noise()])
    dataset, notes = read(plain)
    assert [len(s.x) for s in dataset.samples] == [1, 1, 1]
    assert not notes


def test_the_same_image_in_two_classes_is_not_used_and_copies_stay_together(tmp_path: Path) -> None:
    same, twin = noise(), noise()
    root = folders(tmp_path / "d", a=[same, noise(), twin, twin], b=[same, noise()])
    dataset, _ = read(root)
    assert len(dataset.samples) == 4
    assert len(dataset.excluded) == 2
    assert "a/0.png (a) and b/0.png (b) are the same image in 2 classes" in dataset.excluded[0].reason
    groups = {s.name: s.group for s in dataset.samples}
    assert groups["a/2.png"] == groups["a/3.png"] != groups["a/1.png"]


def test_no_class_folders(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    iio.imwrite(tmp_path / "d" / "a.png", noise())
    with pytest.raises(DojoError, match="a folder for each class was expected"):
        read(tmp_path / "d")
    with pytest.raises(DojoError, match=r"table of file,class \(CSV\)"):
        read(tmp_path / "d", target=str(tmp_path / "d"))


def test_a_table_of_images_and_of_frames(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    tifffile.imwrite(root / "s.tif", noise(4, 16, 16), metadata={"axes": "TYX"}, photometric="minisblack")
    tifffile.imwrite(root / "t.tif", noise(2, 16, 16), metadata={"axes": "TYX"}, photometric="minisblack")
    table = tmp_path / "t.csv"
    table.write_text("File,Frame,Class\ns,0,up\ns,2,down\nt.tif,,up\n")
    dataset, _ = read(root, target=str(table), axes="TYX")
    assert [(s.name, c) for s, c in zip(dataset.samples, classes_of(dataset), strict=True)] == [
        ("s.tif [0]", "up"), ("s.tif [2]", "down"), ("t.tif [0]", "up"), ("t.tif [1]", "up"),
    ]  # fmt: skip
    table.write_text("s,up\ns,down\n")
    with pytest.raises(DojoError, match="two classes: up and down"):
        read(root, target=str(table), axes="TYX")
    table.write_text("q,up\n")
    with pytest.raises(DojoError, match="no image of this name"):
        read(root, target=str(table), axes="TYX")


def test_known_classes_keep_their_numbers_and_others_are_excluded(tmp_path: Path) -> None:
    root = folders(tmp_path / "d", a=[noise()], b=[noise()], c=[noise()])
    dataset, _ = read(root, Layout(CATEGORY, classes=("c", "a")))
    assert [int(s.y) for s in dataset.samples] == [2, 1]
    assert "b/0.png is of the class b, which is none of c, a." in [e.reason for e in dataset.excluded]


def objects(root: Path) -> tuple[Path, Path, Path]:
    """An image with four objects: one of 1 px, one at the border, two that touch; a table with one that is not there."""
    x, y = noise(64, 64, dtype=np.uint16), np.zeros((64, 64), np.uint8)
    y[10, 10], y[0:6, 30:40], y[30:40, 30:40], y[30:40, 40:50] = 1, 2, 3, 4
    for name, array in (("images", x), ("labels", y)):
        (root / name).mkdir()
        tifffile.imwrite(root / name / "f.tif", array)
    (root / "c.csv").write_text("file,label,class\nf.tif,1,dot\nf.tif,2,edge\nf.tif,3,edge\nf.tif,4,dot\nf.tif,9,dot\n")
    return root / "images", root / "labels", root / "c.csv"


def test_objects(tmp_path: Path) -> None:
    images, labels, table = objects(tmp_path)
    dataset, _ = read(images, target=str(labels), classes=str(table))
    assert [s.name for s in dataset.samples] == ["f.tif [1]", "f.tif [2]", "f.tif [3]", "f.tif [4]"]
    assert classes_of(dataset) == ["dot", "edge", "edge", "dot"]
    assert dataset.side == 15
    assert {s.x.shape for s in dataset.samples} == {(1, 16, 16)}
    assert [e.reason for e in dataset.excluded] == ["f.tif: object 9 of the table is not in its labels (9)."]
    again, _ = read(images, Layout(CATEGORY, size=(24, 24), side=20.0), target=str(labels), classes=str(table))
    assert {s.x.shape for s in again.samples} == {(1, 24, 24)}
    table.write_text("f,3,a\nf,3,b\n")
    with pytest.raises(DojoError, match=r"object 3 of f.tif two classes: a and b"):
        read(images, target=str(labels), classes=str(table))
    with pytest.raises(DojoError, match="need their labels"):
        read(images, classes=str(table))


def test_all_images_of_a_file_have_its_role_and_its_group(tmp_path: Path) -> None:
    for name in ("a/1.tif", "b/2.tif"):
        (tmp_path / "d" / name).parent.mkdir(parents=True)
        with tifffile.TiffWriter(tmp_path / "d" / name, ome=True) as tif:
            for _ in range(2):
                tif.write(noise(), photometric="minisblack")
    (tmp_path / "roles.csv").write_text("file,role\n2.tif,validation\n")
    dataset, _ = read(tmp_path / "d", roles=str(tmp_path / "roles.csv"))
    assert [s.name for s in dataset.samples] == [f"{n}.tif (image {k})" for n in (1, 2) for k in (1, 2)]
    assert [s.role for s in dataset.samples] == ["automatic", "automatic", "validation", "validation"]
    assert [s.group for s in dataset.samples] == ["1.tif", "1.tif", "2.tif", "2.tif"]


def test_crops_of_objects_are_cut_from_the_cleaned_image_as_for_a_prediction(tmp_path: Path) -> None:
    """A crop does not tell what padding is, and the level that hides other objects is none."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    labels = np.zeros((64, 80), np.uint8)
    labels[20:30, 34:44], labels[20:30, 44:54] = 1, 2
    image = RNG.normal(500, 20, labels.shape).astype(np.float32) + 300 * (labels > 0)
    image[:, :32] = 0
    image[24, 38] = 60000
    tifffile.imwrite(tmp_path / "images" / "a.tif", image)
    tifffile.imwrite(tmp_path / "labels" / "a.tif", labels)
    (tmp_path / "c.csv").write_text("file,label,class\na.tif,1,x\na.tif,2,y\n")
    data, _ = read(tmp_path / "images", target=str(tmp_path / "labels"), classes=str(tmp_path / "c.csv"))
    norm = Rule().measure(image[None])
    clean = norm.apply(norm.clean(image[None])[0])
    wanted = crops_of(clean, labels, [1, 2], data.samples[0].size[0], side=data.side, alone=True)
    for sample, crop in zip(data.samples, wanted, strict=True):
        source = Source.of(sample, Crop(0, tuple((0, n) for n in sample.size)), sample.normalization(Rule()), CATEGORY)
        np.testing.assert_allclose(source.norm.apply(source.x), crop, atol=1e-4)
