"""Names of files: listing, pairing, grouping, and replacing a file as a whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import replacing
from napari_dojo.io.images import read
from napari_dojo.io.pairing import (
    group_of,
    is_zarr,
    likely_targets,
    list_inputs,
    pair_files,
    shown_names,
    stem_of,
)


def touch(folder: Path, *names: str) -> list[Path]:
    found = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        found.append(path)
    return found


def names(paths: list[Path]) -> list[str]:
    return [p.name for p in paths]


def paths(*names: str) -> list[Path]:
    return [Path("folder") / name for name in names]


def test_a_folder_is_listed_in_natural_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    touch(tmp_path, "a10.tif", "a2.TIF", "a1.png", ".a3.tif", "notes.txt", "Thumbs.db", "deep/a4.tif")
    touch(tmp_path, "b.zarr/zarr.json")
    assert names(list_inputs(tmp_path)) == ["a1.png", "a2.TIF", "a10.tif", "b.zarr"]
    assert list_inputs(str(tmp_path / "a2.TIF")) == [tmp_path / "a2.TIF"]
    assert is_zarr(tmp_path / "b.zarr")
    assert list_inputs(tmp_path / "b.zarr") == [tmp_path / "b.zarr"]


def test_links_to_files_that_are_gone_are_listed_so_that_they_are_named(tmp_path: Path) -> None:
    """A disk that is not connected: fewer results would come without a word."""
    touch(tmp_path, "a.tif")
    for name in ("b.tif", "notes", ".hidden.tif"):
        (tmp_path / name).symlink_to(tmp_path / "gone" / name)
    assert [p.name for p in list_inputs(tmp_path)] == ["a.tif", "b.tif"]
    assert [p.name for p in list_inputs(tmp_path / "*.tif")] == ["a.tif", "b.tif"]
    with pytest.raises(DojoError, match=r"b\.tif does not exist"):
        read(tmp_path / "b.tif")


def test_a_pattern_is_listed_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "f10_mask.tif", "f9_mask.tif", "f9.tif", "deep/f1_mask.tif", ".f2_mask.tif", "x_mask.tif/y")
    assert names(list_inputs(tmp_path / "*_mask.tif")) == ["f9_mask.tif", "f10_mask.tif"]
    assert names(list_inputs(tmp_path / "**" / "f?_mask.tif")) == ["f1_mask.tif", "f9_mask.tif"]
    with pytest.raises(DojoError, match="No file fits the pattern"):
        list_inputs(tmp_path / "*.png")


def test_a_file_with_signs_of_a_pattern_in_its_name_is_that_file(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "cells[1].tif")
    assert list_inputs(path) == [path]


def test_what_is_no_place_of_images_is_said(tmp_path: Path) -> None:
    with pytest.raises(DojoError, match="does not exist"):
        list_inputs(tmp_path / "missing")
    touch(tmp_path, "read.me")
    with pytest.raises(DojoError, match=r"none ending in \.tif"):
        list_inputs(tmp_path)
    touch(tmp_path, "masks/b.tif", "images/a.tif", "images/c.tif", "other/d.txt")
    with pytest.raises(DojoError, match=r"images \(2\).*masks \(1\)\. Name one") as caught:
        list_inputs(tmp_path)
    assert "other" not in str(caught.value)


@pytest.mark.parametrize(
    ("input_name", "target_name"),
    [
        ("a.tif", "a.tif"),
        ("A.TIF", "a.png"),
        ("a.ome.tif", "a.tif"),
        ("a.tif", "a_mask.tif"),
        ("a.tif", "A_Masks.png"),
        ("a.tif", "a-labels.tif"),
        ("a.tif", "a label.tif"),
        ("a.tif", "a_seg.tif"),
        ("a.tif", "a_gt.tif"),
        ("a.tif", "a_cp_masks.png"),
        ("a.tif", "mask_a.tif"),
        ("img_01.tif", "mask_01.tif"),
        ("img01.tif", "mask01.png"),
        ("a_img.tif", "a_mask.tif"),
        ("a_raw.tif", "a.segmentation.tif"),
        ("t000.tif", "man_seg000.tif"),
        ("a_noisy.tif", "a_clean.tif"),
    ],
)
def test_usual_names_go_together(input_name: str, target_name: str) -> None:
    one, two = paths(input_name, "b.tif"), [Path("masks") / "c.tif", Path("masks") / target_name]
    pairs, left_inputs, left_targets = pair_files(one, two)
    assert pairs == [(one[0], two[1])]
    assert (left_inputs, left_targets) == ([one[1]], [two[0]])


HABITS = {  # what an image and its target are called, for the numbers 0, 1 and 12
    "one folder": ("img_{}", "img_{}_masks"),
    "zero padded": ("image_{:03d}", "image_{:03d}_mask"),
    "padded on one side": ("image_{}", "image_{:04d}_mask"),
    "word first": ("raw_{:02d}", "labels_raw_{:02d}"),
    "no sign": ("img{}", "mask_img{}"),
    "no sign between": ("img{}", "img{}mask"),
    "camel case": ("fieldImage{}", "fieldMask{}"),
    "capitals": ("FIELD {}", "field_{}_MASK"),
    "word between": ("exp_image_{}_day2", "exp_label_{}_day2"),
    "Cellpose": ("well{}_img", "well{}_img_cp_masks"),
    "Cellpose data": ("{:03d}_img", "{:03d}_masks"),
    "ilastik simple": ("well{}", "well{}_Simple Segmentation"),
    "ilastik objects": ("well{}", "well{}_Object Predictions"),
    "ilastik identities": ("well{}", "well{}_Object Identities"),
    "ImageJ mask of": ("cells {}", "Mask of cells {}"),
    "ImageJ mask of with ending": ("cells {}", "Mask of cells {}.tif"),
    "ImageJ count masks": ("cells {}", "Count Masks of cells {}"),
    "ImageJ copies": ("cells{}", "cells{}-1"),
    "ImageJ channels": ("C1-cells{}", "C2-cells{}"),
    "ImageJ channel and mask": ("C2-cells{}", "cells{}_mask"),
    "napari": ("cells{}", "cells{} labels"),
    "napari brackets": ("cells{}", "cells{} [labels]"),
    "brackets": ("img ({})", "img ({})_mask"),
    "Cell Tracking Challenge": ("t{:03d}", "man_seg{:03d}"),
    "Cell Tracking Challenge results": ("t{:03d}", "mask{:03d}"),
    "Leica channels": ("pos{}_ch00", "pos{}_ch01"),
    "version": ("pos{}", "pos{}_curated_v2"),
    "unknown addition": ("pos{}", "pos{} by Anna"),
    "unknown start": ("pos{}", "final-pos{}"),
    "glued": ("pos{}_x", "pos{}_xmask"),
    "image has the addition": ("pos{}_dapi", "pos{}"),
}


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("together", [False, True])
def test_habits_of_programs_and_people_are_paired(habit: str, together: bool) -> None:
    image, target = HABITS[habit]
    inputs = paths(*(f"{image.format(i)}.tif" for i in (0, 1, 12)))
    targets = [Path("folder" if together else "masks") / f"{target.format(i)}.png" for i in (12, 1, 0)]
    pairs, left_inputs, left_targets = pair_files(inputs, targets)
    assert pairs == list(zip(inputs, targets[::-1], strict=True))
    assert left_inputs == left_targets == []


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (["a1", "a2", "a3"], ["b1", "b2", "b3"]),
        (["ctrl_1", "ctrl_2"], ["treated_1", "treated_2"]),
        (["1", "2"], ["11", "12"]),
        (["cells", "other"], ["cells-1", "cells-2"]),
        (["a1"], ["a2_mask"]),
        (["t000", "t001"], ["man_seg_000_005", "man_seg_001_005"]),
        (["a_1", "a_01"], ["a_001_mask"]),
        (["segment", "seg_b"], ["ment", "c"]),
        (["c1", "c2"], ["c3_mask", "c4_mask"]),
        (["exp_c1", "exp_c2"], ["exp_c3_mask"]),
        (["a", "b"], ["a_Probabilities", "b_Probabilities"]),
        (["a", "b"], []),
    ],
)
def test_names_that_do_not_say_so_are_never_paired(inputs: list[str], targets: list[str]) -> None:
    with pytest.raises(DojoError):
        pair_files(paths(*(f"{n}.tif" for n in inputs)), [Path("m") / f"{n}.tif" for n in targets])


def test_numbers_go_together_by_value_only_where_that_is_unique() -> None:
    inputs = paths("img_1.tif", "img_01.tif", "img_2.tif")
    targets = [Path("m") / n for n in ("img_1_mask.tif", "img_001_mask.tif", "img_02_mask.tif")]
    pairs, left_inputs, left_targets = pair_files(inputs, targets)
    assert pairs == [(inputs[0], targets[0]), (inputs[2], targets[2])]
    assert (left_inputs, left_targets) == ([inputs[1]], [targets[1]])


def test_files_of_several_folders_need_the_same_folder() -> None:
    inputs = [Path("d") / well / "img.tif" for well in ("A1", "A2", "A3")]
    targets = [Path("d") / well / "masks" / "img_mask.tif" for well in ("A3", "A1", "B2")]
    pairs, left_inputs, left_targets = pair_files(inputs, targets)
    assert pairs == [(inputs[0], targets[1]), (inputs[2], targets[0])]
    assert (left_inputs, left_targets) == ([inputs[1]], [targets[2]])
    inputs = [Path("d") / movie / f"t00{i}.tif" for movie in ("01", "02") for i in range(2)]
    targets = [Path("d") / f"{movie}_GT" / "SEG" / f"man_seg00{i}.tif" for movie in ("01", "02") for i in range(2)]
    assert pair_files(inputs, targets)[0] == list(zip(inputs, targets, strict=True))
    assert shown_names(inputs) == ["01/t000.tif", "01/t001.tif", "02/t000.tif", "02/t001.tif"]
    assert shown_names(inputs[:2]) == ["t000.tif", "t001.tif"]


def test_what_programs_leave_beside_an_image_is_no_image(tmp_path: Path) -> None:
    beside = ["_seg.npy", "_cp_masks.png", "_flows.tif", "_cp_outlines.tif", "_Simple Segmentation.tif"]
    beside += ["_Probabilities.tif", " labels.tif", "_mask.tif", "_overlay.png", "_preview.jpg"]
    touch(
        tmp_path, *(f"B3_0{i}{end}" for i in range(2) for end in [".tif", *beside]), "Mask of B3_00.tif", "x_high.tif"
    )
    images = ["B3_00.tif", "B3_01.tif", "x_high.tif"]
    assert names(list_inputs(tmp_path)) == images
    assert names(list_inputs(tmp_path / "*.*")) == images
    assert len(list_inputs(tmp_path, targets=True)) == 2 * len(beside) + 4
    assert names(list_inputs(tmp_path / "*_mask.tif")) == ["B3_00_mask.tif", "B3_01_mask.tif"]


def test_a_folder_of_cellpose_gives_pairs(tmp_path: Path) -> None:
    touch(tmp_path, *(f"B3_0{i}{end}" for i in range(3) for end in (".tif", "_seg.npy", "_cp_masks.png", "_rois.zip")))
    pairs, left_inputs, left_targets = pair_files(list_inputs(tmp_path), list_inputs(tmp_path, targets=True))
    assert [names(list(pair)) for pair in pairs] == [[f"B3_0{i}.tif", f"B3_0{i}_seg.npy"] for i in range(3)]
    assert left_inputs == left_targets == []
    for path in [*tmp_path.glob("*_seg.npy"), *tmp_path.glob("*_rois.zip")]:
        path.unlink()
    pairs = pair_files(list_inputs(tmp_path), list_inputs(tmp_path, targets=True))[0]
    assert [b.name for _, b in pairs] == [f"B3_0{i}_cp_masks.png" for i in range(3)]


def test_the_targets_of_a_folder_are_looked_for_where_programs_put_them(tmp_path: Path) -> None:
    touch(tmp_path, "01/t000.tif", "01_ST/SEG/man_seg000.tif", "02/t000.tif", "other/images/a.tif", "other/masks/a.tif")
    touch(tmp_path, "both/a.tif", "both/a_cp_masks.png", "alone/a.tif", "alone2/x/b.tif")
    assert likely_targets(tmp_path / "01") == tmp_path / "01_ST" / "SEG"
    touch(tmp_path, "01_GT/SEG/man_seg000.tif", "01_GT/TRA/man_track000.tif")
    assert likely_targets(tmp_path / "01") == tmp_path / "01_GT" / "SEG"
    assert names(list_inputs(tmp_path / "01_GT", targets=True)) == ["man_seg000.tif"]
    assert likely_targets(tmp_path / "other" / "images") == tmp_path / "other" / "masks"
    assert likely_targets(tmp_path / "both") == tmp_path / "both"
    assert likely_targets(tmp_path / "alone2" / "x") is None


def test_brackets_of_folders_are_taken_literally(tmp_path: Path) -> None:
    touch(tmp_path, "Exp [1]/a.tif", "Exp [1]/b [2].tif", "Exp 1/c.tif", "d1.tif", "deep/Exp [1]/a.tif")
    assert names(list_inputs(tmp_path / "Exp [1]" / "*.tif")) == ["a.tif", "b [2].tif"]
    assert names(list_inputs(tmp_path / "Exp [1]" / "b [2].*")) == ["b [2].tif"]
    assert names(list_inputs(tmp_path / "*" / "Exp [1]" / "*.tif")) == ["a.tif"]
    assert names(list_inputs(tmp_path / "d[0-9].tif")) == ["d1.tif"]


def test_images_that_are_to_be_their_own_targets_are_said() -> None:
    with pytest.raises(DojoError, match=r"a\.tif, b\.tif are given as images and as targets"):
        pair_files(paths("a.tif", "b.tif"), paths("a.tif", "b.tif"))


def test_the_error_shows_the_two_names_most_alike() -> None:
    with pytest.raises(DojoError, match=r"Most alike are cells_02\.tif and cels_02\.png\."):
        pair_files(paths("x.tif", "cells_02.tif"), paths("cels_02.png", "blob.png"))


def test_words_inside_of_names_are_part_of_them() -> None:
    pairs, left_inputs, left_targets = pair_files(paths("segment.tif", "b.tif"), [Path("ment.tif"), Path("b.tif")])
    assert names([p for pair in pairs for p in pair]) == ["b.tif", "b.tif"]
    assert names(left_inputs + left_targets) == ["segment.tif", "ment.tif"]


def test_the_same_name_goes_before_a_similar_one() -> None:
    inputs, targets = (
        paths("a.tif", "a_img.tif"),
        [Path("m") / "a_img.tif", Path("m") / "a.tif", Path("m") / "a_mask.tif"],
    )
    pairs, _, left = pair_files(inputs, targets)
    assert pairs == [(inputs[0], targets[1]), (inputs[1], targets[0])]
    assert left == [targets[2]]


def test_images_and_masks_in_one_folder_are_told_apart() -> None:
    both = paths("a.tif", "a_mask.tif", "b.tif", "b_mask.tif", "c.tif")
    pairs, left_inputs, left_targets = pair_files(both, both)
    assert [names(list(pair)) for pair in pairs] == [["a.tif", "a_mask.tif"], ["b.tif", "b_mask.tif"]]
    assert names(left_inputs) == ["c.tif"]
    assert left_targets == []
    pairs, left_inputs, _ = pair_files(both, both[1::2])
    assert names([p for pair in pairs for p in pair]) == ["a.tif", "a_mask.tif", "b.tif", "b_mask.tif"]
    assert names(left_inputs) == ["c.tif"]


def test_one_and_one_belong_together() -> None:
    assert pair_files(paths("cells.tif"), paths("drawn by hand.png"))[0] == [
        tuple(paths("cells.tif", "drawn by hand.png"))
    ]


def test_no_common_name_is_refused_with_examples_from_both_sides() -> None:
    with pytest.raises(DojoError, match=r"a1\.tif, a2\.tif, a3\.tif \.\.\. \(4 in all\).*targets x\.png, y\.png\."):
        pair_files(paths("a1.tif", "a2.tif", "a3.tif", "a4.tif"), paths("x.png", "y.png"))
    with pytest.raises(DojoError, match=r"\(none\)"):
        pair_files(paths("a.tif"), [])


def test_two_targets_for_one_input_are_refused() -> None:
    with pytest.raises(DojoError, match=r"go with a\.tif, but several targets do: a_mask\.tif, a_label\.tif"):
        pair_files(paths("a.tif", "b.tif"), paths("a_mask.tif", "a_label.tif"))
    with pytest.raises(DojoError, match=r"go with a\.npy, but several inputs do: a\.tif, a\.png"):
        pair_files(paths("a.tif", "a.png"), paths("a.npy"))


def test_the_group_of_a_file() -> None:
    assert group_of("plate1_f02.ome.tif", None) == "plate1_f02"
    assert group_of("plate1_f02.tif", r"(.+)_f\d+") == "plate1"
    assert group_of("plate1_f02.tif", r"plate\d") == "plate1"
    assert group_of("A1/img.tif", r"([A-H]\d+)/") == "A1"
    assert group_of("A1/img.tif", None) == "A1/img"
    assert group_of("other.tif", r"plate\d") == "other"
    assert group_of("other.tif", r"(plate)?other") == "other"
    with pytest.raises(DojoError, match="regular expression was needed"):
        group_of("a.tif", "(")


def test_the_stem_keeps_dots_that_are_no_ending() -> None:
    assert [stem_of(name) for name in ("a.tif", "a.ome.tiff", "a.b.tif", "d/a.ome.zarr", "a.OME.TIF")] == [
        "a", "a", "a.b", "a", "a",
    ]  # fmt: skip


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.txt"
    for text in ("one", "two"):
        with replacing(path) as part:
            part.write_text(text)
            assert part.parent == path.parent
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize(
    ("error", "nbytes", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2_000_000, r"^The disk of \S* is full\. Free space there"),
        (
            OSError("800 requested and 4 written"),
            10**18,
            r"is full \(.* free, about 1,000,000,000,000 MB needed\)",
        ),  # numpy's word for a full disk
        (OSError(errno.EROFS, "Read-only file system"), 0, "there is no permission"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), 0, "has 5 bytes, and the disk allows names of about 255"),
        (OSError(errno.EIO, "Input/output error"), 0, r"cannot be written \(Input/output error\)"),
    ],
)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: OSError, nbytes: int, said: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path, nbytes) as part:
            part.write_text("half")
            raise error

    with pytest.raises(DojoError, match=said):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_interruption_leaves_the_old_file_too(tmp_path: Path) -> None:
    def stop() -> None:
        with replacing(tmp_path / "a.txt") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert os.listdir(tmp_path) == []


def test_a_failed_replacement_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(a: object, b: object) -> None:
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr("napari_dojo.io.atomic.os.replace", refuse)
    with pytest.raises(DojoError, match="another program has it open"), replacing(tmp_path / "a.txt") as part:
        part.write_text("all")
    assert os.listdir(tmp_path) == []


def test_a_folder_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif/precious.txt")
    with pytest.raises(DojoError, match="a folder of this name is there"), replacing(tmp_path / "a.tif") as part:
        part.write_text("x")
    assert (tmp_path / "a.tif" / "precious.txt").exists()
    (file,) = touch(tmp_path, "file")
    with pytest.raises(DojoError, match="cannot be written"), replacing(file / "a.tif") as part:
        part.write_text("x")


def test_a_zarr_is_replaced_by_a_zarr_and_stays_where_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zarr"
    for text in ("one", "two"):
        with replacing(path) as part:
            touch(part, "zarr.json")
            (part / "chunk").write_text(text)
    assert (path / "chunk").read_text() == "two"
    assert os.listdir(tmp_path) == ["a.zarr"]

    move = os.replace

    def second_fails(a: Path, b: Path) -> None:
        if a.suffix == ".part":
            raise OSError(errno.EIO, "broken disk")
        move(a, b)

    monkeypatch.setattr("napari_dojo.io.atomic.os.replace", second_fails)
    with pytest.raises(DojoError, match="broken disk"), replacing(path) as part:
        touch(part, "zarr.json")
    assert (path / "chunk").read_text() == "two"
    assert os.listdir(tmp_path) == ["a.zarr"]
