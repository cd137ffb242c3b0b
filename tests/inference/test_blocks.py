"""Block by block, a prediction is that of the whole image; interrupted, it is resumed."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from partition import same_objects
from scipy import ndimage as ndi

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Cleaning, Normalization, Rule, sampled
from napari_dojo.device import Device
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Message, StoppedError, result_of
from napari_dojo.inference.blocks import Work
from napari_dojo.inference.geometry import Image, resolve
from napari_dojo.inference.predict import Ready, predict_image
from napari_dojo.inference.stores import predict_to_store
from napari_dojo.io import images
from napari_dojo.io.images import Picture
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card
from napari_dojo.nets.base import Network
from napari_dojo.settings import PredictSettings

CPU = Device("cpu", "CPU", 10**9, 1)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("napari_dojo.device.cores", lambda: 1)
    yield
    torch.set_num_threads(before)


class Bright(Network):
    """Objects are what is bright, their distance the brightness: smoothed, so that a halo is needed."""

    stride, receptive_radius, scale, out_channels = (4, 4), (3, 3), (1, 1), 2

    def forward(self, x):
        y = torch.nn.functional.avg_pool2d(x[:, :1].double(), 7, 1, 3, count_include_pad=False).float()
        return torch.cat([20 * (y - 0.3), y], 1)


class BrightStack(Network):
    """The same in volumes."""

    stride, receptive_radius, scale, out_channels = (4, 4, 4), (1, 1, 1), (1, 1, 1), 2

    def forward(self, x):
        y = torch.nn.functional.avg_pool3d(x[:, :1].double(), 3, 1, 1, count_include_pad=False).float()
        return torch.cat([20 * (y - 0.3), y], 1)


class Twice(Network):
    """Each pixel as four, and a neighbour's share: super-resolution that needs a halo."""

    stride, receptive_radius, scale, out_channels = (4, 4), (2, 2), (2, 2), 1

    def forward(self, x):
        y = torch.nn.functional.avg_pool2d(x[:, :1].double(), 5, 1, 2, count_include_pad=False).float()
        return torch.repeat_interleave(torch.repeat_interleave(y, 2, -1), 2, -2)


def ready(net=None, tile=96, task="instances", **more):
    dims = 2 if net is None else net.dims
    net = net or Bright()
    values = {
        "name": "m", "task": task, "options": {} if task != "semantic" else {"values": [0, 1], "classes": ["ground", "object"]}, "decoding": {"minimum_area": 4.0} if task == "instances" else {}, "net": "unet",
        "net_options": {"stem": [2] * dims, "pools": [[2] * dims], "width": 8}, "axes": "ZYX"[-dims:], "spatial": "ZYX"[-dims:],
        "channels": 1, "maps": ("inside", "distance") if task == "instances" else ("image",),
    }  # fmt: skip
    return Ready.of(Bundle(Card(**values | more), net.eval()), PredictSettings(tile=tile, device="cpu"))


def image(r, x, axes=None, **more):
    axes = axes or "ZYX"[-x.ndim :]
    return resolve(r.card, Image("big.zarr", Picture(x, axes, **more), axes), r.settings)


def whole(r, x, axes=None):
    """The prediction for the whole image at once."""
    return result_of(predict_image(replace_tile(r), image(r, np.asarray(x), axes), Control())).array


def replace_tile(r):
    return replace(r, predictor=r.predictor.for_blocks(1e9))


def nuclei(size, seed=0):
    """Blobs of several sizes."""
    rng = np.random.default_rng(seed)
    x = sum(ndi.gaussian_filter((rng.random(size) > 0.999).astype(float), s) * s ** len(size) for s in (2, 4))
    return (1000 + 20000 * x / x.max() + rng.normal(0, 20, size)).astype(np.uint16)


def bacteria(size):
    """Long thin curves that cross many blocks."""
    y, x = np.indices(size)
    waves = np.maximum(0, np.sin((y + 30 * np.sin(x / 90)) / 6)) ** 4
    return (500 + 9000 * waves + np.random.default_rng(0).normal(0, 20, size)).astype(np.uint16)


def giant(size):
    """One object that is larger than any block, with a dip in it, and a few small ones."""
    y, x = np.indices(size)
    far = np.hypot(y - size[0] / 2, x - size[1] / 2)
    body = np.clip(1.2 - far / (0.45 * min(size)), 0, 0.6) + np.exp(-((far / 20) ** 2))
    small = nuclei(size) - 1000
    return (800 + 8000 * body + small * (far > 0.6 * min(size))).astype(np.uint16)


@pytest.mark.parametrize("kind", [nuclei, bacteria, giant])
def test_objects_are_those_of_the_whole_image(kind, tmp_path):
    x, r = kind((420, 390)), ready()
    store = tmp_path / "out.zarr"
    result_of(predict_to_store(r, image(r, x), store, Control()))
    found, wanted = images.read(store, labels=True).data, whole(r, x)
    assert wanted.max() >= 1
    assert len(Work.of(r, image(r, x)).blocks) > 20
    assert same_objects(found, wanted)
    np.testing.assert_array_equal(np.unique(found), np.unique(wanted))
    assert not (tmp_path / "out.zarr.unfinished").exists()


def test_objects_of_a_stack_and_of_a_series_of_stacks(tmp_path):
    x = np.stack([nuclei((20, 72, 80), seed) for seed in range(2)])
    r = ready(BrightStack(), tile=180)  # 32 px cubes
    work = Work.of(r, image(r, x, "TZYX"))
    assert len(work.blocks) > 16
    result_of(predict_to_store(r, image(r, x, "TZYX"), tmp_path / "out.zarr", Control()))
    found, wanted = images.read(tmp_path / "out.zarr", labels=True).data, whole(r, x, "TZYX")
    for a, b in zip(found, wanted, strict=True):
        assert same_objects(a, b)
        assert a.max() == b.max() > 5


def test_objects_of_a_large_volume_are_found_part_by_part(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_dojo.inference.blocks.FOUND", {3: 24})
    x, r = nuclei((40, 72, 80)), ready(BrightStack(), tile=500)  # blocks of 64 px
    result_of(predict_to_store(r, image(r, x), tmp_path / "out.zarr", Control()))
    found, wanted = images.read(tmp_path / "out.zarr", labels=True).data, whole(r, x)
    assert same_objects(found, wanted)
    assert found.max() == wanted.max() > 5


def test_intensities_on_a_finer_grid_with_channels_named_and_in_the_order_of_ome(tmp_path):
    x = np.stack([nuclei((2, 150, 180), seed) for seed in range(2)], 1)  # Z, T, Y, X
    r = ready(Twice(), 64, "upscale", options={}, upsampling={"Y": 2, "X": 2})
    given = image(r, x, "ZTYX", pixel_size=(2.0, 0.5, 0.5), unit="um")
    axes = result_of(predict_to_store(r, given, tmp_path / "out.zarr", Control()))
    assert axes.names == "TZYX"
    read = images.read(tmp_path / "out.zarr")
    assert (read.axes, read.pixel_size, read.unit) == ("TZYX", (2.0, 0.25, 0.25), "um")
    np.testing.assert_allclose(read.data, whole(r, x, "ZTYX").swapaxes(0, 1), rtol=1e-6)


@pytest.mark.parametrize("zoom", [0.63, 1.7])
@pytest.mark.parametrize("task", ["instances", "semantic"])
def test_scaled_for_the_network_it_is_the_whole_image(tmp_path, zoom, task):
    """Up to the rounding of interpolation."""
    x, r = nuclei((300, 310)), ready(tile=110, task=task)
    given = replace(image(r, x), zoom=zoom)
    assert len(Work.of(r, given).blocks) > 8
    result_of(predict_to_store(r, given, tmp_path / "out.zarr", Control()))
    found = images.read(tmp_path / "out.zarr", labels=True).data
    wanted = result_of(predict_image(replace_tile(r), given, Control())).array
    assert 0 < (wanted > 0).mean() < 1
    assert ((found > 0) == (wanted > 0)).mean() > 0.9999
    assert found.max() == wanted.max()
    if task == "instances":
        assert (score := InstanceCounts.of(wanted, found, None)).as_dict()["pq"] > 0.999, score


def test_flipped_and_rotated_views_are_those_of_the_whole_image(tmp_path):
    """Also where its size is no multiple of the network's stride."""
    torch.manual_seed(0)
    net = Bundle.new(ready(task="denoise").card).net
    r = ready(net, 96, "denoise")
    assert r.orientations == 8
    x = nuclei((231, 222))
    result_of(predict_to_store(r, image(r, x), tmp_path / "out.zarr", Control()))
    found, wanted = images.read(tmp_path / "out.zarr").data, whole(r, x)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.ptp(wanted))


def test_padding_and_hot_pixels_are_what_they_are_in_the_whole_image(tmp_path):
    x, r = nuclei((400, 390)), ready()
    x[:, :100], x[300:] = 0, 0
    x[200, 200] = 65000
    result_of(predict_to_store(r, image(r, x), tmp_path / "out.zarr", Control()))
    found = images.read(tmp_path / "out.zarr", labels=True).data
    assert same_objects(found, whole(r, x))
    assert not found[:, :98].any()
    assert not found[200, 200]


def test_a_blank_image_has_no_objects(tmp_path):
    r = ready()
    result_of(predict_to_store(r, image(r, np.full((300, 300), 7, np.uint16)), tmp_path / "out.zarr", Control()))
    assert not images.read(tmp_path / "out.zarr", labels=True).data.any()


@pytest.mark.parametrize("border", [0, 60])
def test_numbers_from_every_nth_pixel_are_those_of_the_image(border, monkeypatch):
    monkeypatch.setattr("napari_dojo.data.normalize.SAMPLED", 10_000)
    x = np.pad(nuclei((500, 520)), border)
    few, step = sampled(Axes("YX"), da.from_array(x, chunks=128), 0)
    assert step > 5
    assert Rule().measure(few) == Rule().measure(x[None])
    cleaning = Cleaning.of(few, step, Rule().measure(few))
    box = ((30, 290), (0, 300))
    clean, where = cleaning.clean(x[None, 30:290, :300], box)
    wanted, mask = Rule().measure(few).clean(x[None])
    if border:
        np.testing.assert_array_equal(where, mask[:, 30:290, :300])
        assert abs(float(clean[where][0]) - float(wanted[mask][0])) < 20
        clean, wanted = np.where(where, 0, clean), np.where(mask, 0, wanted)
    np.testing.assert_array_equal(clean, wanted[:, 30:290, :300])


def test_nan_has_the_background_of_the_whole_image():
    x = nuclei((300, 320)).astype(np.float32)
    x[40, 50] = x[100, 100:103] = np.nan
    norm = Rule().measure(x[None])
    cleaning = Cleaning.of(x[None], 1, norm)
    part, where = cleaning.clean(x[None, 30:140, 40:200], ((30, 140), (40, 200)))
    assert where is None
    np.testing.assert_array_equal(part, norm.clean(x[None])[0][:, 30:140, 40:200])
    assert np.isfinite(part).all()


@pytest.mark.parametrize("nothing", [np.nan, 7.0])
def test_a_channel_that_shows_nothing_is_cleaned_as_in_the_whole_image(nothing):
    x = np.stack([nuclei((300, 320)).astype(np.float32), np.full((300, 320), nothing, np.float32)])
    x[0, :60] = 0  # padding
    x[0, 100, 100] = np.nan
    norm = Normalization((100.0, 50.0), (400.0, 10.0))  # those of a series
    box = ((30, 140), (40, 200))
    key = (slice(None), *(slice(a, b) for a, b in box))
    part, padding = Cleaning.of(x, 1, norm).clean(x[key], box)
    whole, everywhere = norm.clean(x)
    np.testing.assert_array_equal(norm.apply(part), norm.apply(whole)[key])
    np.testing.assert_array_equal(padding, everywhere[key])
    assert np.all(padding, 0).sum() == 30 * 160


# interrupted ------------------------------------------------------------------------------------------------------


def interrupted(r, x, store, after, **more):
    """Predict until so many steps were told, and stop as kill does: nothing is tidied up."""
    steps = predict_to_store(r, image(r, x), store, Control(), **more)
    for _ in range(after):
        next(steps)


def counting(monkeypatch):
    done = []
    compute = Work.compute
    monkeypatch.setattr(Work, "compute", lambda work, i, control: done.append(i) or compute(work, i, control))
    return done


@pytest.mark.parametrize("after", [1, 7, 30, 50])
def test_interrupted_it_is_resumed_and_nothing_is_done_twice(after, tmp_path, monkeypatch):
    x, r, store = giant((300, 290)), ready(), tmp_path / "out.zarr"
    done = counting(monkeypatch)
    interrupted(r, x, store, after)
    log = tmp_path / "out.zarr.unfinished" / "blocks.log"
    lines = log.read_text().splitlines() if log.exists() else []  # after the first step nothing is done
    noted = {int(line.split()[1]) for line in lines if line.startswith("predicted")}
    before, blocks = len(done), len(Work.of(r, image(r, x)).blocks)
    said = list(predict_to_store(r, image(r, x), store, Control()))
    assert sorted(done[before:]) == sorted(set(range(blocks)) - noted)
    assert len(set(done[:before])) == before
    if after > 5:
        assert any(isinstance(e, Message) and e.text.startswith("big.zarr: resumed, ") for e in said)
    assert before >= min(after - 1, blocks)
    assert same_objects(images.read(store, labels=True).data, whole(r, x))


def test_a_line_of_the_journal_that_was_cut_off_does_not_count(tmp_path, monkeypatch):
    x, r, store = nuclei((300, 290)), ready(), tmp_path / "out.zarr"
    interrupted(r, x, store, 9)
    log = tmp_path / "out.zarr.unfinished" / "blocks.log"
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines)[:-1])
    done = counting(monkeypatch)
    result_of(predict_to_store(r, image(r, x), store, Control()))
    assert int(lines[-1].split()[1]) in done
    assert int(lines[0].split()[1]) not in done
    assert same_objects(images.read(store, labels=True).data, whole(r, x))


def test_what_another_model_or_image_or_setting_began_is_refused(tmp_path):
    x, r, store = nuclei((300, 290)), ready(), tmp_path / "out.zarr"
    interrupted(r, x, store, 9)
    others = [
        (ready(decoding={"minimum_area": 9.0}), x, "settings"),
        (r, x[:290], "image"),
        (ready(name="n"), x, "model"),
    ]
    for other, given, word in others:
        with pytest.raises(DojoError, match=f"unfinished prediction with another {word}.*overwrite it"):
            result_of(predict_to_store(other, image(other, given), store, Control()))
    result_of(predict_to_store(r, image(r, x[:290]), store, Control(), overwrite=True))
    assert images.read(store, labels=True).data.shape == (290, 290)


def test_a_result_that_is_there_is_not_replaced_unasked(tmp_path):
    x, r, store = nuclei((200, 190)), ready(), tmp_path / "out.zarr"
    result_of(predict_to_store(r, image(r, x), store, Control()))
    with pytest.raises(DojoError, match="holds labels called 'm' already"):
        result_of(predict_to_store(r, image(r, x), store, Control()))
    result_of(predict_to_store(r, image(r, x), store, Control(), overwrite=True))


def test_stop_keeps_what_is_done(tmp_path):
    x, r, control = nuclei((300, 290)), ready(), Control()
    steps = predict_to_store(r, image(r, x), tmp_path / "out.zarr", control)
    for _ in range(5):
        next(steps)
    control.stop = True
    with pytest.raises(StoppedError):
        result_of(steps)
    assert (tmp_path / "out.zarr.unfinished" / "blocks.log").read_text().count("predicted") >= 4


def test_labels_lie_beside_their_image_in_its_own_store(tmp_path):
    x, r, store = nuclei((200, 1100)), ready(tile=256), tmp_path / "big.zarr"
    images.write(store, x, "YX", pixel_size=(0.5, 0.25), unit="um", channel_names=["DAPI"])
    read = images.read(store)
    given = resolve(r.card, Image("big.zarr", read), r.settings)
    result_of(predict_to_store(r, given, store, Control()))
    np.testing.assert_array_equal(images.read(store).data, x)
    group = zarr.open_group(str(store), mode="r")
    assert group["labels"].attrs["ome"]["labels"] == ["m"]
    about = group["labels/m"].attrs["ome"]
    assert about["image-label"]["source"] == {"image": "../../"}
    levels = about["multiscales"][0]["datasets"]
    assert [group[f"labels/m/{d['path']}"].shape for d in levels] == [(200, 1100), (100, 550), (50, 275)]
    assert levels[1]["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 0.5]}]
    full, half = (np.asarray(group[f"labels/m/{k}"]) for k in (0, 1))
    np.testing.assert_array_equal(half, full[::2, ::2])
    assert same_objects(full, whole(r, x))
