from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import yaml

from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.errors import DojoError
from napari_dojo.models.card import Card, Folder, read_card, settings_of

CARD = Card(
    "nuclei", "instances", {"diameter": 20.0}, {"threshold": 0.5}, "unet", {"stem": (2, 2), "width": 8},
    "TYX", "YX", 1, ("inside", "depth"), rule=Rule(2, 98, "each"), pixel_size=(0.3, 0.3), unit="um", diameter=20.0,
    authors=("A", "B"), score={"ap": np.float32(0.5), "n": np.int64(3)}, training={"steps": (1, 2)},
)  # fmt: skip


def folder(path, **more):
    path.mkdir()
    (path / "rdf.yaml").write_text(yaml.safe_dump({"type": "model", "config": {"napari_dojo": CARD.as_dict() | more}}))
    return path


def test_a_card_survives_yaml():
    back = Card.from_dict(yaml.safe_load(yaml.safe_dump(CARD.as_dict())))
    assert back.as_dict() == CARD.as_dict()
    assert (back.maps, back.authors, back.pixel_size, back.rule) == (
        CARD.maps,
        CARD.authors,
        CARD.pixel_size,
        CARD.rule,
    )
    assert back.score == {"ap": 0.5, "n": 3}


def test_unknown_values_of_a_later_version_are_left_out():
    assert Card.from_dict(CARD.as_dict() | {"mood": "good"}).as_dict() == CARD.as_dict()


@pytest.mark.parametrize("made", [2, None, "1", 0])
def test_another_format_is_refused(made):
    with pytest.raises(DojoError, match=f"has the format {made!r}.* reads format 1. Update"):
        Card.from_dict(CARD.as_dict() | {"format": made})


@pytest.mark.parametrize(
    "values",
    [
        {"maps": 5},
        {"rule": {"lowest": 1}},
        {"rule": 3},
        {"rule": {"low": "a"}},
        {"rule": {"low": 99, "high": 1}},
        {"channels": "three"},
        {"net_options": ["width"]},
        {"options": None},
        {"name": 7},
        {"spatial": "XY"},
        {"zoom": float("nan")},
        {"zoom": 0},
        {"diameter": -3},
        {"diameter": "wide"},
        {"pixel_size": [0.1]},
        {"pixel_size": ["a", "b"]},
    ],
)
def test_a_damaged_card_is_refused(values):
    with pytest.raises(DojoError, match="is damaged"):
        Card.from_dict(CARD.as_dict() | values)


def test_a_card_that_lacks_something_is_refused():
    values = CARD.as_dict()
    del values["task"]
    with pytest.raises(DojoError, match=r"is damaged.*task"):
        Card.from_dict(values)


def test_read_from_a_folder_and_from_a_zip(tmp_path):
    path = folder(tmp_path / "m")
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as z:
        z.write(path / "rdf.yaml", "rdf.yaml")
    assert read_card(path).as_dict() == read_card(tmp_path / "m.zip").as_dict() == CARD.as_dict()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "https://a.b/c", "..\\x"])
def test_no_file_outside_of_the_model_is_read(tmp_path, name):
    (tmp_path / "x").write_text("secret")
    with pytest.raises(DojoError, match="outside of itself"):
        Folder(folder(tmp_path / "m")).read(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "m is damaged:  is a folder"),
        ("missing.pt", "m is incomplete: missing.pt is missing"),
        ("a\0b", "m is damaged: a.b cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, said):
    with pytest.raises(DojoError, match=said):
        Folder(folder(tmp_path / "m")).read(name)


def test_a_file_that_is_there_and_may_not_be_read_is_not_missing(tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    made = Folder(folder(tmp_path / "m"))
    (tmp_path / "m" / "weights.pt").write_bytes(b"w")
    monkeypatch.setattr(type(tmp_path), "read_bytes", denied)
    with pytest.raises(DojoError, match=r"m cannot be read: weights.pt: Permission denied. Check the file"):
        made.read("weights.pt")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no description"),
        ("- a\n- b", "is no description"),
        ("a: [1, 2", "cannot be read"),
        ("a: !!python/object/apply:os.system ['touch HIT']", "cannot be read"),
        ("\x00\x01", "cannot be read"),
        ("[" * 5000, "is damaged"),
        ("type: model\nname: other", "not made by napari-dojo"),
        ("config: 5", "not made by napari-dojo"),
        ("config: {napari_dojo: 5}", "not made by napari-dojo"),
        ("#" * 5_000_000, "too large"),
    ],
)
def test_a_bad_description_is_refused(tmp_path, monkeypatch, text, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "rdf.yaml").write_text(text)
    with pytest.raises(DojoError, match=says):
        read_card(tmp_path / "m")
    assert not (tmp_path / "HIT").exists()


def test_no_model_at_all(tmp_path):
    with pytest.raises(DojoError, match="There is no model at"):
        read_card(tmp_path / "none")
    with pytest.raises(DojoError, match=r"holds no rdf.yaml"):
        read_card(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(DojoError, match="it is no zip"):
        read_card(tmp_path / "a.zip")
    path = folder(tmp_path / "m")
    with zipfile.ZipFile(tmp_path / "cut.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.write(path / "rdf.yaml", "rdf.yaml")
    raw = bytearray((tmp_path / "cut.zip").read_bytes())
    raw[60:120] = bytes(60)
    (tmp_path / "cut.zip").write_bytes(raw)
    with pytest.raises(DojoError, match=r"is damaged: rdf.yaml cannot be read"):
        read_card(tmp_path / "cut.zip")


def test_a_card_needs_no_torch():
    code = "import sys, napari_dojo.models.card as c; assert not {'torch', 'bioimageio', 'napari'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_that_mean_something_for_a_model():
    always = {"channel", "device"}
    of = [  # the settings that mean something besides
        (CARD, {"diameter", "frames", "planes", "tile", "tta"}),
        (replace(CARD, spatial="ZYX"), {"diameter", "frames", "tile", "tta"}),
        (replace(CARD, task="semantic", options={}, decoding={}, diameter=None), {"frames", "tile", "tta"}),
        (replace(CARD, task="denoise", options={}, decoding={}), {"uncertainty", "dtype", "frames", "tile", "tta"}),
        (
            replace(CARD, task="upscale", options={}, decoding={}, upsampling={"Y": 2, "X": 2}),
            {"uncertainty", "dtype", "frames", "tile", "tta", "any_size"},
        ),
        (replace(CARD, task="classify", rule=Rule(shared=Normalization((0.0,), (1.0,)))), set()),
    ]
    for card, meant in of:
        assert {field.name for field in settings_of(card)} == always | meant, card.task
