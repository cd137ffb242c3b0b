from __future__ import annotations

import hashlib
import io
import os
import pickle
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import write_safely
from napari_dojo.models import bundle as bundles
from napari_dojo.models.bundle import Bundle, load, save, verified
from napari_dojo.models.card import Card, Folder, read_card
from napari_dojo.tasks import TASKS


def card(dims=2, channels=1, **more):
    options = TASKS["semantic"].options(values=(1, 2, 5), classes=("a", "b", "cell wall"))
    flat = {2: {"stem": [2, 2], "pools": [[2, 2]]}, 3: {"stem": [1, 2, 2], "pools": [[2, 2, 2]]}}[dims]
    values = {
        "name": "my model", "task": "semantic", "options": {"zero": "unlabelled", "values": [1, 2, 5], "classes": list(options.classes)},
        "decoding": {}, "net": "unet", "net_options": flat | {"width": 8}, "axes": "ZYX"[-dims:], "spatial": "ZYX"[-dims:],
        "channels": channels, "maps": options.classes, "pixel_size": (0.5,) * dims, "unit": "um",
    }  # fmt: skip
    return Card(**values | more)


def made(path, seed=0, dims=2, channels=1, cover=None, **more):
    torch.manual_seed(seed)
    b = Bundle.new(card(dims, channels, **more))
    for m in b.net.modules():
        if hasattr(m, "running_mean"):
            m.running_mean.normal_(0, 0.3)
            m.running_var.uniform_(0.5, 2)
    sample = np.random.default_rng(seed).integers(0, 4000, (channels, *(16,) * dims)).astype(np.uint16)
    save(b, path, sample, cover)
    return b


def edit(path, **changes):
    values = yaml.safe_load((path / "rdf.yaml").read_text())
    for dotted, value in changes.items():
        at = values
        *way, last = dotted.split("__")
        for k in way:
            at = at[k]
        at[last] = value
    (path / "rdf.yaml").write_text(yaml.safe_dump(values))


def put_weights(path, raw):
    (path / "evil.pt").write_bytes(raw)
    edit(
        path,
        weights__pytorch_state_dict__source="evil.pt",
        weights__pytorch_state_dict__sha256=hashlib.sha256(raw).hexdigest(),
    )


@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (2, 3), (3, 1)])
@pytest.mark.parametrize("zipped", [False, True])
def test_load_gives_back_what_was_saved(tmp_path, dims, channels, zipped):
    path = tmp_path / "m"
    first = made(path, dims=dims, channels=channels)
    if zipped:
        with zipfile.ZipFile(tmp_path / "m.zip", "w") as z:
            for f in path.iterdir():
                z.write(f, f.name)
        path = tmp_path / "m.zip"
    second = load(path)
    x = torch.randn(2, channels, *(16,) * dims)
    with torch.no_grad():
        torch.testing.assert_close(second.net(x), first.net(x), rtol=0, atol=1e-6)
    assert not second.net.training
    assert second.card.version
    assert replace(second.card, version="").as_dict() == first.card.as_dict()


def test_the_test_output_of_a_model_is_its_own_prediction(tmp_path):
    first = made(tmp_path / "m", channels=2)
    values = yaml.safe_load((tmp_path / "m" / "rdf.yaml").read_text())
    x = np.load(tmp_path / "m" / values["inputs"][0]["test_tensor"]["source"])
    y = np.load(tmp_path / "m" / values["outputs"][0]["test_tensor"]["source"])
    assert x.dtype == y.dtype == np.float32
    with torch.no_grad():
        wanted = first.net(torch.from_numpy(first.card.rule.measure(x[0]).apply(x[0]))[None]).numpy()
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)


def named(path):
    values = yaml.safe_load((path / "rdf.yaml").read_text())
    state = values["weights"]["pytorch_state_dict"]
    return {
        state["source"],
        *(t["test_tensor"]["source"] for t in values["inputs"] + values["outputs"]),
        *values.get("covers", []),
        values["documentation"],
    }


def test_saving_again_replaces_the_weights_and_keeps_the_cover(tmp_path):
    path = tmp_path / "m"
    made(path, 0, cover=np.zeros((32, 64, 3), np.uint8))
    old = {f.name for f in path.iterdir()}
    (path / "run").mkdir()
    (path / "notes.txt").write_text("mine")
    second = made(path, 1)
    now = {f.name for f in path.iterdir()}
    assert named(path) | {"rdf.yaml", "run", "notes.txt"} == now
    assert len(list(path.glob("weights-*.pt"))) == 1
    assert not {n for n in old if n.startswith("weights")} & now
    assert "cover.png" in now
    torch.testing.assert_close(load(path).net.state_dict(), second.net.state_dict())


@pytest.mark.parametrize("at", range(1, 6))
def test_a_kill_at_any_moment_leaves_a_valid_model(tmp_path, monkeypatch, at):
    path = tmp_path / "m"
    first = made(path, 0)
    real, calls = os.replace, []

    def dying(a, b):
        calls.append(b)
        if len(calls) == at:
            raise KeyboardInterrupt
        real(a, b)

    monkeypatch.setattr(os, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        made(path, 1)
    torch.testing.assert_close(load(path).net.state_dict(), first.net.state_dict())
    assert all((path / n).exists() for n in named(path))
    assert not list(path.glob("*.part")) + list(path.glob(".*.part"))


def test_rdf_is_replaced_last_and_the_old_goes_after_that(tmp_path, monkeypatch):
    path = tmp_path / "m"
    made(path, 0)
    old = next(path.glob("weights-*.pt"))
    order = []

    def watching(target, data):
        order.append((target.name, old.exists()))
        write_safely(target, data)

    monkeypatch.setattr(bundles, "write_safely", watching)
    made(path, 1)
    assert order[-1] == ("rdf.yaml", True)
    assert not old.exists()


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DojoError, match="cannot be written"):
        made(tmp_path / "file")


def test_import_from_is_never_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = made(tmp_path / "m")
    evil = {"import_from": "os", "callable": "system", "kwargs": {"command": "touch HIT"}}
    edit(tmp_path / "m", weights__pytorch_state_dict__architecture=evil)
    torch.testing.assert_close(load(tmp_path / "m").net.state_dict(), first.net.state_dict())
    assert not (tmp_path / "HIT").exists()


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["pickle", "torch", "torch, a key", "legacy"])
def test_code_in_the_weights_is_never_run(tmp_path, kind):
    made(tmp_path / "m")
    hit = str(tmp_path / "HIT")
    buffer = io.BytesIO()
    if kind == "pickle":
        buffer.write(pickle.dumps(Evil(hit)))
    else:
        torch.save(
            {"a": Evil(hit)} if "key" in kind else Evil(hit), buffer, _use_new_zipfile_serialization=kind != "legacy"
        )
    put_weights(tmp_path / "m", buffer.getvalue())
    with pytest.raises(DojoError, match=r"weights .* are damaged"):
        load(tmp_path / "m")
    assert not os.path.exists(hit)


def torch_bytes(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"noise" * 99,
        b"PK\x03\x04",
        torch_bytes(torch.zeros(3)),
        torch_bytes({}),
        torch_bytes({"a": 1}),
        torch_bytes([1, 2]),
        torch_bytes(None),
    ],
    ids=["empty", "noise", "half a zip", "a tensor", "no keys", "another key", "a list", "nothing"],
)
def test_weights_that_are_none_are_refused(tmp_path, raw):
    made(tmp_path / "m")
    put_weights(tmp_path / "m", raw)
    with pytest.raises(DojoError, match="damaged"):
        load(tmp_path / "m")


def test_weights_of_another_net_are_refused(tmp_path):
    made(tmp_path / "m")
    edit(tmp_path / "m", config__napari_dojo__net_options__width=16)
    with pytest.raises(DojoError, match="damaged"):
        load(tmp_path / "m")


def test_changed_bytes_are_refused(tmp_path):
    made(tmp_path / "m")
    file = next((tmp_path / "m").glob("weights-*.pt"))
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DojoError, match="damaged"):
        load(tmp_path / "m")


def test_a_path_out_of_the_folder_is_refused(tmp_path):
    made(tmp_path / "m")
    made(tmp_path / "other")
    weights = next((tmp_path / "other").glob("weights-*.pt"))
    edit(tmp_path / "m", weights__pytorch_state_dict__source=f"../other/{weights.name}")
    with pytest.raises(DojoError, match="outside of itself"):
        load(tmp_path / "m")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"config": {}}, "not made by napari-dojo"),
        ({"weights": {}}, "names no weights"),
        ({"weights": "x"}, "names no weights"),
        ({"weights__pytorch_state_dict__source": "gone.pt"}, "is incomplete"),
        ({"config__napari_dojo__net": "os.system"}, "needs a network called 'os.system'"),
        ({"config__napari_dojo__net_options__width": 10**6}, "unreasonable size"),
        ({"config__napari_dojo__net_options__width": "wide"}, "does not fit"),
        ({"config__napari_dojo__net_options": {"name": "x"}}, "unknown arguments"),
        ({"config__napari_dojo__net_options": {5: "x"}}, "unknown arguments"),
        ({"config__napari_dojo__net_options__growth": float("inf")}, "does not fit"),
        ({"config__napari_dojo__net_options__pools": 3}, "does not fit"),
        ({"config__napari_dojo__spatial": "ZYX", "config__napari_dojo__pixel_size": None}, "does not work in ZYX"),
        ({"config__napari_dojo__channels": 10**9}, "the number of channels"),
        ({"config__napari_dojo__format": 99}, "format 99"),
    ],
)
def test_a_folder_that_lies_is_refused(tmp_path, changes, says):
    made(tmp_path / "m")
    edit(tmp_path / "m", **changes)
    with pytest.raises(DojoError, match=says):
        load(tmp_path / "m")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_description_is_refused(tmp_path, share):
    made(tmp_path / "m")
    raw = (tmp_path / "m" / "rdf.yaml").read_bytes()
    (tmp_path / "m" / "rdf.yaml").write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(DojoError):
        load(tmp_path / "m")


def test_bad_zips_are_refused(tmp_path):
    for name, raw in {"a.zip": b"", "b.zip": b"PK\x03\x04rubbish"}.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DojoError):
            load(tmp_path / name)


def test_the_readme_says_what_it_is(tmp_path):
    made(tmp_path / "m", data={"images": 7}, score={"sentence": "AP .8"}, diameter=12.0)
    text = (tmp_path / "m" / "README.md").read_text()
    assert all(part in text for part in ("# my model", "7 images", "AP .8", "12 px", "a, b, cell wall"))


@pytest.mark.parametrize("name", ["a", "M10", "../x", "Zellen µm 2%", "n" * 200])
def test_any_name_gives_a_valid_title(tmp_path, name):
    made(tmp_path / "m", name=name)
    assert read_card(tmp_path / "m").name == name
    title = Folder(tmp_path / "m").description()["name"]
    assert 5 <= len(title) <= 64  # the model format wants five characters
    assert title.isascii()


@pytest.mark.parametrize("dims", [2, 3])
def test_bioimageio_accepts_and_runs_the_model(tmp_path, dims):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import bioimageio.core
        from bioimageio.spec import load_description
        from bioimageio.spec.model.v0_5 import ModelDescr

        made(
            tmp_path / "m",
            dims=dims,
            cover=np.zeros((64, 64, 3), np.uint8),
            name="Zellen (µm) 2%",
            authors=("A. Person",),
            license="MIT",
        )
        model = load_description(tmp_path / "m" / "rdf.yaml")
        assert isinstance(model, ModelDescr), model.validation_summary.display()
        assert model.validation_summary.status in ("passed", "valid-format")
        if dims == 2:
            summary = bioimageio.core.test_model(model, devices=["cpu"])
            assert summary.status == "passed", summary.display()


@pytest.mark.parametrize("maps", [("a", "b"), ("1 cell", "Zellwände", "class", "1-cell", "細胞", "")])
def test_a_model_without_authors_and_with_any_class_names_is_valid(tmp_path, maps):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bioimageio.spec import load_description
        from bioimageio.spec.model.v0_5 import ModelDescr

        made(tmp_path / "m", channels=2, maps=maps)
        assert isinstance(load_description(tmp_path / "m" / "rdf.yaml"), ModelDescr)


def test_the_test_images_are_normalised_as_the_description_says(tmp_path):
    """Other programs know percentiles only, also for a sample with few objects and padding."""
    sample = np.random.default_rng(0).normal(500, 10, (1, 64, 64)).astype(np.uint16)
    sample[0, 30:34, 30:34], sample[0, :4] = 9000, 0
    built = Bundle.new(card())
    save(built, tmp_path / "m", sample)
    (stored,) = (np.load(p) for p in (tmp_path / "m").glob("test_output-*.npy"))
    low, high = np.percentile(sample, [built.card.rule.low, built.card.rule.high])
    with torch.no_grad():
        wanted = built.net(torch.from_numpy(((sample - low) / (high - low)).astype(np.float32))[None]).numpy()
    np.testing.assert_allclose(stored, wanted, atol=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_model_is_run_on_its_test_input(tmp_path, dims):
    made(tmp_path / "m", dims=dims, channels=2)
    assert verified(tmp_path / "m") < 1e-5
    (out,) = (tmp_path / "m").glob("test_output-*.npy")
    expected = np.load(out)
    np.save(out, expected + np.float32(0.5))
    with pytest.raises(DojoError, match=r"does not give its test output: it differs by up to 0\.5"):
        verified(tmp_path / "m")
    np.save(out, expected[..., :8])
    with pytest.raises(DojoError):
        verified(tmp_path / "m")
    out.unlink()
    with pytest.raises(DojoError, match="incomplete: test_output"):
        verified(tmp_path / "m")


@pytest.mark.parametrize("test_input", [np.zeros(3, np.float32), np.zeros((1, 5, 16, 16), np.float32), np.array(["a"])])
def test_a_test_input_that_does_not_fit_is_refused(tmp_path, test_input):
    made(tmp_path / "m")
    (given,) = (tmp_path / "m").glob("test_input-*.npy")
    np.save(given, test_input)
    with pytest.raises(DojoError, match=r"its test input|no test that can be read"):
        verified(tmp_path / "m")
