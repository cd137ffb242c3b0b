"""Files become pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Excluded, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.errors import DojoError
from napari_dojo.io import datasets as folders
from napari_dojo.io import images
from napari_dojo.io.datasets import DatasetFiles, outputs, read_dataset
from napari_dojo.io.images import write
from napari_dojo.io.rois import write_rois
from napari_dojo.tasks.findings import size_findings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images of 40 x 50 px, labels for them, and one image without."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for i in range(4):
        tifffile.imwrite(
            tmp_path / "images" / f"plate{i // 2}_{i}.tif", rng.integers(0, 99, (40, 50)).astype(np.uint16)
        )
    for i in range(3):
        y = np.zeros((40, 50), np.uint8)
        y[5:15, 5:15] = i + 1
        tifffile.imwrite(tmp_path / "labels" / f"plate{i // 2}_{i}_mask.tif", y)
    return tmp_path


def given(data: Path, **more: str) -> DatasetFiles:
    """The folders of the data."""
    return DatasetFiles(str(data / "images"), str(data / "labels"), **more)


def test_pairs_are_matched_by_name_and_the_rest_is_reported(data: Path) -> None:
    pairs, notes = read_dataset(given(data))
    assert [i.name for i in pairs.samples] == ["plate0_0.tif", "plate0_1.tif", "plate1_2.tif"]
    assert [int(i.y.max()) for i in pairs.samples] == [1, 2, 3]
    reason = "plate1_3.tif has no target of the same name."
    assert pairs.excluded == (Excluded("plate1_3.tif", reason),)
    assert notes == []
    assert f"Excluded: {reason}" in [f.text for f in size_findings(pairs)]


def test_of_files_without_a_partner_the_name_most_alike_is_said(data: Path) -> None:
    (data / "labels" / "plate1_2_mask.tif").rename(data / "labels" / "plaet1_2_mask.tif")
    dataset, _ = read_dataset(given(data))
    assert [e.reason for e in dataset.excluded] == [
        "plate1_2.tif has no target of the same name; most alike is plaet1_2_mask.tif.",
        "plate1_3.tif has no target of the same name; most alike is plaet1_2_mask.tif.",
        "plaet1_2_mask.tif has no image of the same name; most alike is plate1_2.tif.",
    ]


def test_files_group_by_an_expression(data: Path) -> None:
    pairs, _ = read_dataset(given(data, group_by=r"(plate\d)"))
    assert [i.group for i in pairs.samples] == ["plate0", "plate0", "plate1"]


def test_images_beyond_the_share_of_memory_stay_in_their_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "IN_MEMORY", 0.0)
    lazy, notes = read_dataset(given(data))
    monkeypatch.undo()
    held, _ = read_dataset(given(data))
    assert type(lazy.samples[0].x) is not np.ndarray
    assert "read from their files" in notes[-1]
    assert all((np.asarray(a.x) == b.x).all() for a, b in zip(lazy.samples, held.samples, strict=True))


def test_targets_of_another_size_are_left_out_and_refused_where_none_is_left(data: Path) -> None:
    tifffile.imwrite(data / "labels" / "plate0_0_mask.tif", np.ones((40, 49), np.uint8))
    pairs, _ = read_dataset(given(data))
    assert len(pairs.samples) == 2
    assert [e.name for e in pairs.excluded] == ["plate1_3.tif", "plate0_0.tif"]
    assert "40 x 50" in pairs.excluded[1].reason
    assert "40 x 49" in pairs.excluded[1].reason
    for i in range(1, 3):
        (data / "labels" / f"plate{i // 2}_{i}_mask.tif").unlink()
    with pytest.raises(DojoError, match="must have the size of the image"):
        read_dataset(given(data))


def movies(folder: Path, frames: tuple[int, ...]) -> DatasetFiles:
    """Movies of these numbers of frames and their labels, 24 x 32 px."""
    rng = np.random.default_rng(1)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for i, n in enumerate(frames):
        x = rng.integers(1, 99, (n, 24, 32)).astype(np.uint16)
        how: dict[str, Any] = {"imagej": True, "metadata": {"axes": "TYX"}}
        tifffile.imwrite(folder / "images" / f"m{i}.tif", x, **how)
        tifffile.imwrite(folder / "labels" / f"m{i}.tif", (x > 50).astype(np.uint16), **how)
    return DatasetFiles(str(folder / "images"), str(folder / "labels"))


def test_a_movie_of_one_frame_is_used_beside_longer_ones(tmp_path: Path) -> None:
    dataset, notes = read_dataset(movies(tmp_path, (1, 3, 5)))
    assert len(dataset.samples) == 9
    assert (dataset.axes, dataset.excluded, notes) == ("TYX", (), [])
    assert [s.group for s in dataset.samples] == ["m0"] + ["m1"] * 3 + ["m2"] * 5
    assert all((s.y == (s.x[0] > 50)).all() for s in dataset.samples)


def test_an_image_of_other_channels_is_excluded_and_the_others_are_used(data: Path) -> None:
    x = np.zeros((2, 40, 50), np.uint16)
    tifffile.imwrite(data / "images" / "plate0_0.tif", x, imagej=True, metadata={"axes": "CYX"})
    dataset, _ = read_dataset(given(data))
    assert [s.name for s in dataset.samples] == ["plate0_1.tif", "plate1_2.tif"]
    assert "plate0_0.tif has the axes CYX and 2 channel" in dataset.excluded[-1].reason


def test_roles_go_to_the_images_that_the_table_names(data: Path) -> None:
    table = data / "roles.csv"
    table.write_text("file;role\nplate0_0;test\nplate1_2;validation\n", encoding="utf-16")
    dataset, _ = read_dataset(given(data, roles=str(table)))
    assert [s.role for s in dataset.samples] == ["test", "automatic", "validation"]
    table.write_text("plate1_3.tif,test\nplate0_0.tif,training\n")  # an image that is excluded is known all the same
    assert [s.role for s in read_dataset(given(data, roles=str(table)))[0].samples] == ["training"] + ["automatic"] * 2


def test_images_of_one_name_keep_their_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for well in ("A1", "A2"):
        (tmp_path / well).mkdir()
        tifffile.imwrite(tmp_path / well / "img.tif", rng.integers(0, 99, (40, 50)).astype(np.uint16))
        tifffile.imwrite(tmp_path / well / "img_mask.tif", np.full((40, 50), int(well[1]), np.uint8))
    files = DatasetFiles(str(tmp_path / "*" / "img.tif"), str(tmp_path / "*" / "img_mask.tif"))
    dataset, _ = read_dataset(files)
    assert [(s.name, s.group, int(s.y.max())) for s in dataset.samples] == [
        ("A1/img.tif", "A1/img", 1),
        ("A2/img.tif", "A2/img", 2),
    ]


def test_regions_are_found_by_name_and_missing_ones_are_said(data: Path) -> None:
    (data / "regions").mkdir()
    inside = np.zeros((40, 50), np.uint8)
    inside[:20] = 1
    for name in ("plate0_0_region.tif", "Mask of plate0_1.tif"):
        tifffile.imwrite(data / "regions" / name, inside)
    dataset, notes = read_dataset(given(data, region=str(data / "regions")))
    assert [s.region is None or int(s.region.sum()) for s in dataset.samples] == [1000, 1000, True]
    assert notes == ["plate1_2.tif has no region: all of the image counts as annotated."]


def test_an_expression_for_groups_that_fits_no_name_is_refused(data: Path) -> None:
    with pytest.raises(DojoError, match=r"fits none of the names, such as plate0_0\."):
        read_dataset(given(data, group_by=r"well(\d)"))


def test_probabilities_are_no_labels(data: Path) -> None:
    image, target = data / "images" / "plate0_0.tif", data / "labels" / "plate0_0_Probabilities.tif"
    (data / "labels" / "plate0_0_mask.tif").rename(target)
    with pytest.raises(DojoError, match="holds probabilities or the like by its name, not labels"):
        read_dataset(DatasetFiles(str(image), str(target)))


def test_predictions_mirror_the_folders_of_their_inputs(tmp_path: Path) -> None:
    inputs = [tmp_path / "wells" / well / "img.tif" for well in ("A1", "A2")]
    out = tmp_path / "out"
    assert outputs(inputs, out) == [out / "A1" / "img.tif", out / "A2" / "img.tif"]
    assert outputs(inputs[:1], out) == [out / "img.tif"]
    assert outputs(inputs[:1], out, " (by ../../evil)") == [out / "img (by .._.._evil).tif"]


def test_two_inputs_of_one_name_are_not_written_to_one_file(tmp_path: Path) -> None:
    with pytest.raises(DojoError, match=r"The predictions of x\.tif and X\.png would both be written to X\.tif"):
        outputs([tmp_path / "a" / "x.tif", tmp_path / "a" / "X.png"], tmp_path / "out")


# ---- outlines, several images, channels


def ramp(seed: int, shape: tuple[int, ...] = (24, 30)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 999, shape).astype(np.uint16)


def squares() -> np.ndarray:
    return np.kron(np.arange(6).reshape(2, 3), np.ones((12, 10), int)).astype(np.uint16)


def test_outlines_are_targets(tmp_path: Path) -> None:
    for i in range(2):
        write(tmp_path / "images" / f"a{i}.tif", np.stack([ramp(i)] * 2), "CYX")
        (tmp_path / "rois").mkdir(exist_ok=True)
        write_rois(tmp_path / "rois" / f"a{i}.zip", squares(), Axes("YX"))
    files = DatasetFiles(str(tmp_path / "images"), str(tmp_path / "rois"))
    dataset, notes = read_dataset(files, Layout())
    assert notes == []
    for sample in dataset.samples:
        np.testing.assert_array_equal(sample.y, squares())
    write_rois(tmp_path / "rois" / "a1.zip", np.pad(squares(), 90), Axes("YX"))
    dataset, _ = read_dataset(files, Layout())
    assert len(dataset.samples) == 1
    assert "None of the 5 outlines in a1.zip" in dataset.excluded[0].reason


def test_several_images_of_a_file_are_several_samples(tmp_path: Path) -> None:
    for name, dtype in (("images", np.uint16), ("masks", np.uint8)):
        (tmp_path / name).mkdir()
        with tifffile.TiffWriter(tmp_path / name / "a.tif") as tif:
            for i in range(3):
                tif.write(np.full((24 + i, 30), i + 1, dtype), photometric="minisblack", metadata=None)
    files = DatasetFiles(str(tmp_path / "images"), str(tmp_path / "masks"))
    dataset, notes = read_dataset(files, Layout())
    assert [s.name for s in dataset.samples] == [f"a.tif (image {i})" for i in (1, 2, 3)]
    assert [(s.x.shape, int(s.x.max()), int(s.y.max())) for s in dataset.samples] == [
        ((1, 24 + i, 30), i + 1, i + 1) for i in range(3)
    ]
    assert {s.group for s in dataset.samples} == {"a"}  # never on two sides of a split
    assert notes == []
    write(tmp_path / "masks" / "a.tif", squares(), "YX")
    with pytest.raises(DojoError, match=r"own target: a\.tif holds 3 and a\.tif holds 1"):
        read_dataset(files, Layout())


def test_one_channel_is_used(tmp_path: Path) -> None:
    two = np.stack([ramp(0), ramp(1)])
    write(tmp_path / "images" / "a.tif", two, "CYX", channel_names=("DAPI", "GFP"))
    write(tmp_path / "masks" / "a.tif", squares(), "YX", labels=True)
    files = DatasetFiles(str(tmp_path / "images"), str(tmp_path / "masks"))
    for channel in ("2", "gfp"):
        dataset, _ = read_dataset(replace(files, channel=channel), Layout())
        np.testing.assert_array_equal(dataset.samples[0].x, two[1:])
        assert dataset.channel_names == ("GFP",)
    with pytest.raises(DojoError, match=r"a\.tif has no channel 'RFP'\. It has 2 channels: DAPI, GFP"):
        read_dataset(replace(files, channel="RFP"), Layout())
    with pytest.raises(
        DojoError, match=r"a\.tif has 2 channels \(DAPI, GFP\), and the model takes one.*Choose one channel"
    ):
        read_dataset(replace(files, channels=1), Layout())
    clean = DatasetFiles(str(tmp_path / "images"), str(tmp_path / "images"), channel="2")
    (tmp_path / "clean").mkdir()
    write(tmp_path / "clean" / "a.tif", two + 1, "CYX")
    dataset, _ = read_dataset(replace(clean, target=str(tmp_path / "clean")), Layout(IMAGE))
    np.testing.assert_array_equal(dataset.samples[0].y, two[1:] + 1)


def test_grey_colours_where_a_model_takes_one_channel(tmp_path: Path) -> None:
    grey = (ramp(0) // 4).astype(np.uint8)
    write(tmp_path / "images" / "a.tif", np.dstack([grey] * 3), "YXC")
    write(tmp_path / "masks" / "a.tif", squares(), "YX", labels=True)
    files = DatasetFiles(str(tmp_path / "images"), str(tmp_path / "masks"))
    assert read_dataset(files, Layout())[0].channels == 3
    dataset, _ = read_dataset(replace(files, channels=1), Layout())
    np.testing.assert_array_equal(dataset.samples[0].x[0], grey)


def test_the_segmentation_of_cellpose_is_a_target(tmp_path: Path) -> None:
    for i in range(2):
        write(tmp_path / f"a{i}.tif", ramp(i), "YX")
        np.save(tmp_path / f"a{i}_seg.npy", np.array({"masks": squares(), "flows": []}), allow_pickle=True)
    dataset, _ = read_dataset(DatasetFiles(str(tmp_path), str(tmp_path)), Layout())
    assert len(dataset.samples) == 2
    np.testing.assert_array_equal(dataset.samples[1].y, squares())


def test_of_a_large_folder_the_first_images_are_looked_at_and_said(tmp_path: Path) -> None:
    for i in range(4):
        images.write(tmp_path / f"{i}.tif", np.full((16, 16), i, np.uint8) + np.eye(16, dtype=np.uint8), "YX")
    some, notes = read_dataset(DatasetFiles(str(tmp_path)), Layout(IMAGE), 2 * 16 * 16)
    assert len(some.samples) == 2
    assert notes == ["The first 2 of 4 images were looked at; the plan for all of them may differ."]
    everything, notes = read_dataset(DatasetFiles(str(tmp_path)), Layout(IMAGE))
    assert (len(everything.samples), notes) == (4, [])


def test_channels_of_all_files_are_in_the_order_of_the_first_by_name(tmp_path: Path) -> None:
    """As those of an image that is predicted are in the order of the model."""
    two = np.stack([ramp(0), ramp(1)])
    for name, order in (("a", [0, 1]), ("b", [1, 0])):
        called = tuple(("DAPI", "GFP")[k] for k in order)
        write(tmp_path / "images" / f"{name}.tif", two[order] + (name == "b"), "CYX", channel_names=called)
        write(tmp_path / "masks" / f"{name}.tif", squares(), "YX", labels=True)
    dataset, _ = read_dataset(DatasetFiles(str(tmp_path / "images"), str(tmp_path / "masks")), Layout())
    assert dataset.channel_names == ("DAPI", "GFP")
    np.testing.assert_array_equal(dataset.samples[1].x, dataset.samples[0].x + 1)


@pytest.mark.parametrize("channels", [2, 1])
def test_targets_of_another_format_lie_as_their_images(tmp_path: Path, channels: int) -> None:
    """OME-Zarr has CZYX, TIFF has ZCYX; with equal sizes nothing else says which axis is which."""
    x = np.random.default_rng(0).integers(0, 900, (2, 2, 20, 24)).astype(np.uint16)
    given = x if channels == 2 else x[0]
    images.write(tmp_path / "i" / "a.zarr", given, "CZYX"[-given.ndim :])
    images.write(tmp_path / "t" / "a.tif", x, "CZYX")
    files = DatasetFiles(str(tmp_path / "i" / "a.zarr"), str(tmp_path / "t" / "a.tif"))
    dataset, _ = read_dataset(files, Layout(IMAGE))
    np.testing.assert_array_equal(dataset.samples[0].y, x)
    np.testing.assert_array_equal(dataset.samples[0].x, given.reshape(-1, 2, 20, 24))


def test_images_of_different_pixel_sizes_are_said_to_be_so(tmp_path: Path) -> None:
    y = np.zeros((40, 50), np.uint8)
    y[5:15, 5:15] = 1
    for name, size in (("a", 0.2), ("b", 0.22), ("c", 0.5)):
        write(
            tmp_path / "images" / f"{name}.tif",
            np.arange(2000, dtype=np.uint16).reshape(40, 50),
            "YX",
            (size, size),
            "um",
        )
        write(tmp_path / "labels" / f"{name}.tif", y, "YX")
    pairs, _ = read_dataset(given(tmp_path))
    assert [s.pixel_size and round(s.pixel_size[0], 3) for s in pairs.samples] == [0.2, 0.22, 0.5]
    assert pairs.one_pixel_size is None
    assert any("(0.2 \u00b5m in a.tif, 0.5 \u00b5m in c.tif)" in f.text for f in size_findings(pairs))
    alike = replace(pairs, samples=pairs.samples[:2])
    assert alike.one_pixel_size == pytest.approx((0.2, 0.2))
    assert not any("pixel sizes" in f.text for f in size_findings(alike))
