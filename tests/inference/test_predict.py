from __future__ import annotations

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import torch
from bright import bright

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.device import Device
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Message, Progress, StoppedError, result_of
from napari_dojo.inference.blocks import Work
from napari_dojo.inference.geometry import Image, box_around, resolve
from napari_dojo.inference.predict import Ready, memory_for, predict, predict_image
from napari_dojo.inference.predictor import Predictor, _normalised, _tensor
from napari_dojo.io.images import Picture
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


NETS = {
    2: {"stem": [2, 2], "pools": [[2, 2]], "width": 8},
    3: {"stem": [1, 2, 2], "pools": [[2, 2, 2]], "width": 8},
}


def card(dims=2, channels=1, **more):
    values = {
        "name": "m", "task": "semantic", "options": {"values": [0, 1], "classes": ["ground", "object"]}, "decoding": {},
        "net": "unet", "net_options": NETS[dims], "axes": "ZYX"[-dims:], "spatial": "ZYX"[-dims:], "channels": channels,
        "maps": ("ground", "object"),
    }  # fmt: skip
    return Card(**values | more)


def bundle(dims=2, channels=1, **more):
    torch.manual_seed(0)
    b = Bundle.new(card(dims, channels, **more))
    for m in b.net.modules():
        if hasattr(m, "running_mean"):
            m.running_mean.normal_(0, 0.3)
            m.running_var.uniform_(0.5, 2)
    return b


class Above(Network):
    """A net that knows its task: object where the normalised image is above a half."""

    stride, receptive_radius, scale, out_channels = (4, 4), (0, 0), (1, 1), 2

    def forward(self, x):
        return torch.cat([0.5 - x[:, :1], x[:, :1] - 0.5], 1)


def above(**more):
    return Bundle(card(**more), Above().eval())


def image(*size, seed=0):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    return (1000 + 30000 * gaussian_filter(rng.random(size), (0,) * (len(size) - 2) + (2, 2))).astype(np.float32)


def steps(b, x, axes=None, tile=0, norm=None, control=None, **settings):
    """The events of a prediction that keeps its maps."""
    ready = Ready.of(b, PredictSettings(device="cpu", tile=tile, **settings))
    image = resolve(b.card, Image("x", Picture(x, None), axes, norm), ready.settings)
    return predict_image(ready, image, control or Control(), keep_maps=True)


def final(b, x, axes=None, **more):
    return result_of(steps(b, x, axes, **more))


# --- the net on an image


@pytest.mark.parametrize("dims", [2, 3])
def test_the_predictor_says_what_the_net_says(dims):
    b = bundle(dims)
    x = np.random.default_rng(0).normal(size=(1, *(16,) * dims)).astype(np.float32)
    with torch.no_grad():
        wanted = b.net(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(Predictor(b.net, CPU)(x), wanted, rtol=1e-4, atol=1e-5)
    assert any("BatchNorm" in type(m).__name__ for m in b.net.modules()), "the model itself stays as it is"


def test_tiled_is_whole():
    b, x = bundle(), image(203, 157)
    whole = final(b, x)
    assert len(Predictor(b.net, CPU, tile=64).tiles((203, 157))) > 4
    parts = final(b, x, tile=64)
    np.testing.assert_allclose(parts.maps, whole.maps, rtol=1e-4, atol=1e-5)
    assert (parts.array == whole.array).mean() > 0.9999


def test_a_volume_in_stages_is_the_whole():
    b, x = bundle(3), image(11, 90, 83)
    whole = final(b, x, "ZYX")
    said = list(Predictor(b.net, CPU, tile=100).maps(x[None], b.card.rule.measure(x[None])))
    assert len(said) > 8
    assert said[-1] == Progress(len(said), len(said))
    np.testing.assert_allclose(final(b, x, "ZYX", tile=100).maps, whole.maps, rtol=1e-4, atol=1e-5)


def test_views_of_a_volume_in_stages_are_those_of_the_whole():
    b, x = bundle(3), image(6, 45, 38)[None]
    n = b.card.rule.measure(x)
    staged, whole = (Predictor(b.net, CPU, tile) for tile in (64, 0))
    assert len(list(staged.maps(x, n, views=3))) > 3 * len(list(whole.maps(x, n)))
    np.testing.assert_allclose(
        result_of(staged.maps(x, n, views=6)), result_of(whole.maps(x, n, views=6)), rtol=1e-4, atol=1e-5
    )
    found, wanted = (result_of(p.averaged(x, n, 1.0, Control(), 6)) for p in (staged, whole))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    box = ((1, 5), (7, 30), (0, 20))
    part = result_of(staged.maps(x, n, part=box, views=6))
    np.testing.assert_allclose(part, result_of(whole.maps(x, n, views=6))[:, 1:5, 7:30, :20], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "box", [((0, 30), (0, 20)), ((61, 90), (33, 71)), ((150, 203), (100, 157)), ((0, 203), (40, 41))]
)
def test_a_crop_says_what_the_whole_says(box):
    b, x = bundle(), image(203, 157)
    whole = final(b, x)
    wide = box_around(b.card, Axes("YX"), x.shape, box)
    key = tuple(slice(*w) for w in wide)
    crop = final(b, x[key], norm=b.card.rule.measure(x[None]))
    inner = tuple(slice(a - w[0], z - w[0]) for (a, z), w in zip(box, wide, strict=True))
    outer = tuple(slice(*r) for r in box)
    np.testing.assert_allclose(
        crop.maps[0][(slice(None), *inner)], whole.maps[0][(slice(None), *outer)], rtol=1e-4, atol=1e-5
    )


def test_gain_and_offset_of_the_camera_do_not_matter():
    b, x = bundle(), image(64, 80)
    np.testing.assert_allclose(final(b, x * 0.25 + 200).maps, final(b, x).maps, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory")],
)
def test_out_of_memory_makes_smaller_tiles(error):
    b, x = above(), image(200, 200)
    predictor = Predictor(b.net, CPU)
    real, sizes = predictor._net, []

    def small(part, wanted):
        sizes.append(part.shape[-1])
        if part.shape[-1] > 130:
            raise error
        return real.part(part, wanted)

    predictor._net = SimpleNamespace(part=small)
    predictor._pixels = 300.0**2
    n = Rule().measure(x[None])
    found, wanted = (result_of(p.maps(x[None], n)) for p in (predictor, Predictor(b.net, CPU)))
    np.testing.assert_array_equal(found, wanted)
    assert sizes[0] == 200
    assert max(sizes[1:]) <= 150
    sizes.clear()
    result_of(predictor.maps(x[None], n))
    assert max(sizes) <= 150, "the next image starts with what fits"


def test_out_of_memory_makes_smaller_batches_first():
    b, x = above(), image(128, 128)
    predictor = Predictor(b.net, CPU, tile=32)
    real, batches = predictor._net, []

    def small(parts, wanted):
        batches.append(tuple(parts.shape))
        if len(parts) > 5:
            raise torch.OutOfMemoryError("out of memory")
        return real.part(parts, wanted)

    predictor._net = SimpleNamespace(part=small)
    n = Rule().measure(x[None])
    found = result_of(predictor.maps(x[None], n))
    np.testing.assert_array_equal(found, result_of(Predictor(b.net, CPU).maps(x[None], n)))
    assert [s[0] for s in batches] == [16, 8, *(4,) * 4]
    assert {s[-1] for s in batches} == {32}


@pytest.mark.parametrize(("memory", "images", "threads"), [(10**12, 1, 4), (10**12, 2, 2), (10**12, 9, 1), (1, 9, 4)])
def test_images_under_way_share_the_cores_as_far_as_there_is_memory(memory, images, threads, monkeypatch):
    predictor, seen = Predictor(above().net, Device("cpu", "CPU", memory, 4)), []
    real = predictor._net
    predictor._net = SimpleNamespace(part=lambda x, box: seen.append(torch.get_num_threads()) or real.part(x, box))
    monkeypatch.setattr("napari_dojo.inference.predictor.shares", lambda: images)
    monkeypatch.setattr("napari_dojo.device.free_cores", lambda most: most)  # whatever else runs here
    result_of(predictor.maps(image(64, 64)[None], Normalization((0.0,), (1.0,))))
    torch.set_num_threads(1)
    assert seen == [threads]


def test_out_of_memory_whatever_the_size_is_said():
    predictor = Predictor(above().net, CPU)

    def never(part, wanted):
        raise torch.OutOfMemoryError("out of memory")

    predictor._net = SimpleNamespace(part=never)
    with pytest.raises(torch.OutOfMemoryError):
        result_of(predictor.maps(image(200, 200)[None], Normalization((0.0,), (1.0,))))


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i2", "u4", "i4", "u8", "f2", "f4", ">f4", "f8"])
def test_arrays_of_all_types_are_normalised_as_they_are_everywhere(dtype):
    x = (100 * np.random.default_rng(0).random((2, 21, 18))).astype(dtype)
    norm = Normalization((20.0, 10.0), (30.0, 7.0))
    found = _normalised(_tensor(x), norm).numpy()
    np.testing.assert_allclose(found, norm.apply(x.astype(x.dtype.newbyteorder("="))), rtol=1e-6, atol=1e-6)
    x.flags.writeable = False
    assert _tensor(x[:, ::-1]).shape == x.shape


@pytest.mark.parametrize("bad", [[np.nan], [np.nan, np.inf], [-np.inf], [np.nan] * 12])
def test_what_is_not_finite_is_normalised_as_everywhere(bad):
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    x.ravel()[: len(bad)] = bad
    norm = Normalization((2.0,), (5.0,))
    np.testing.assert_allclose(_normalised(_tensor(x), norm).numpy(), norm.apply(x), rtol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_maps_that_nothing_uses_are_not_computed(dims):
    b = bundle(dims)
    x = np.random.default_rng(0).normal(size=(1, *(16,) * dims)).astype(np.float32)
    few = Predictor(b.net, CPU, maps=1)
    np.testing.assert_allclose(few(x), Predictor(b.net, CPU)(x)[:1], atol=1e-5)
    assert few.outputs == 1
    assert b.net.out_channels == 2


def test_views_are_averaged_as_one_by_one():
    b, x = bundle(), image(40, 56)[None]
    predictor, n = Predictor(b.net, CPU, tile=32), Rule().measure(x)
    mean, deviation = result_of(predictor.averaged(x, n, 1.0, Control(), 8))
    views = [np.rot90(np.flip(x, -1) if k & 4 else x, k & 3, (-2, -1)) for k in range(8)]
    found = [np.rot90(result_of(predictor.maps(v, n)), -(k & 3), (-2, -1)) for k, v in enumerate(views)]
    found = [np.flip(f, -1) if k & 4 else f for k, f in enumerate(found)]
    np.testing.assert_allclose(mean, np.mean(found, 0), atol=1e-4)
    np.testing.assert_allclose(deviation, np.std(found, 0), atol=1e-4)


class Loud(Network):
    """One value for an image, too large for half precision."""

    dense, dims, out_channels, scale, stride, receptive_radius = False, 2, 1, (1, 1), (1, 1), (0, 0)

    def forward(self, x):
        return x.new_full((len(x), 1), float("inf") if torch.is_autocast_enabled("cpu") else 7.0)


def test_values_that_overflow_in_half_precision_are_computed_again():
    predictor = Predictor(Loud(), Device("cpu", "CPU", 10**9, 1, mixed=True))
    np.testing.assert_array_equal(predictor.values(np.zeros((3, 1, 8, 8), np.float32)), np.full((3, 1), 7.0))


@pytest.mark.parametrize("able", [True, False])
def test_decisions_are_made_in_bfloat16_where_the_cpu_has_it(monkeypatch, able):
    monkeypatch.setattr("napari_dojo.device.computes_bfloat16", lambda: able)
    b, x = bundle(), image(64, 56)[None]
    lowered, exact = Predictor(b.net, CPU, lowered=True), Predictor(b.net, CPU)
    found, wanted = (result_of(p.maps(x, Rule().measure(x))) for p in (lowered, exact))
    assert (lowered.device.mixed, exact.device.mixed) == (able, False)
    assert np.array_equal(found, wanted) is not able
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.ptp(wanted))


def test_views_and_precision_by_default(monkeypatch):
    monkeypatch.setattr("napari_dojo.device.computes_bfloat16", lambda: True)
    image_model = bundle(task="denoise", options={}, maps=("clean",))
    for b, views, lowered in ((bundle(), 2, True), (image_model, 8, False)):
        ready = Ready.of(b, PredictSettings(device="cpu"))
        assert (ready.orientations, ready.predictor.device.mixed) == (views, lowered)
        assert Ready.of(b, PredictSettings(device="cpu", tta=1)).orientations == 1


# --- axes


def test_a_net_that_knows_its_task():
    x = image(50, 61)
    found = predict(above(), x)
    n = Rule().measure(x[None])
    np.testing.assert_array_equal(found, n.apply(x[None])[0] > 0.5)
    assert found.dtype == np.int32


@pytest.mark.parametrize(
    ("axes", "size", "wanted"),
    [
        ("TYX", (3, 20, 24), "TYX"),
        ("TZYX", (2, 3, 20, 24), "TZYX"),
        ("ZYX", (3, 20, 24), "ZYX"),
        ("CYX", (1, 20, 24), "YX"),
        ("XY", (20, 24), "XY"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_the_prediction_lies_as_the_image_does(axes, size, wanted, lazy):
    x = image(*size)
    result = final(above(), da.from_array(x) if lazy else x, axes)
    assert result.axes.names == wanted
    np.testing.assert_array_equal(
        result.array, (Rule().measure(x[None]).apply(x[None])[0] > 0.5).reshape(result.array.shape)
    )
    assert result.maps.shape[:2] == (Axes(axes).count(size), 2)


def test_frames_are_measured_together_or_one_by_one():
    x = image(3, 24, 24) * np.reshape([1, 2, 8], (3, 1, 1))
    each = predict(above(rule=Rule(frames="each")), x, "TYX")
    for k in range(3):
        np.testing.assert_array_equal(each[k], predict(above(), x[k]))
    whole = predict(above(), x, "TYX")
    assert whole[0].sum() == 0
    assert whole[2].sum() > 0


def test_given_numbers_are_used():
    x = image(24, 24)
    assert final(above(), x, norm=Normalization((0.0,), (1.0,))).array.all()


def test_objects_of_another_size_are_scaled_and_the_grid_stays():
    y = np.zeros((120, 130), np.float32)
    y[30:80, 40:100] = 1
    b = above(diameter=10.0)
    found = predict(b, y, settings=PredictSettings(diameter=20.0))
    assert found.shape == y.shape
    assert (found == y).mean() > 0.97


# --- words


def test_progress_counts_the_tiles_of_all_samples():
    said = [e for e in steps(above(), image(3, 64, 64), "TYX", tile=32) if isinstance(e, Progress)]
    assert [e.done for e in said] == sorted({e.done for e in said})
    assert {e.total for e in said} == {said[-1].done} == {3 * 4}


def test_stop_ends_between_tiles():
    control = Control()
    said = steps(above(), image(64, 64), tile=32, control=control)
    assert isinstance(next(said), Progress)
    control.stop = True
    with pytest.raises(StoppedError):
        next(said)


INSIDE = ("inside", "distance", "boundary", "direction y", "direction x", "centre y", "centre x")


@pytest.mark.parametrize("x", [np.zeros((20, 24)), np.full((20, 24), 9, np.uint8), np.full((20, 24), np.nan)])
def test_an_image_without_signal_has_no_objects(x):
    b = bundle(task="instances", options={}, maps=INSIDE)
    assert not predict(b, x).any()


@pytest.mark.parametrize(
    ("x", "axes", "says"),
    [
        (np.zeros((3, 20, 24)), "CYX", "has 3 channels, and the model takes one"),
        (np.zeros((3, 20, 24)), None, "Name the axes"),
        (np.zeros((0, 24)), None, "is empty"),
        (np.zeros((20, 24), complex), None, "image of numbers"),
        (np.zeros((20, 24)), "TYX", "name 3 dimensions"),
    ],
)
def test_what_does_not_fit_is_refused(x, axes, says):
    with pytest.raises(DojoError, match=says):
        predict(above(), x, axes)


def test_a_volume_model_needs_volumes():
    with pytest.raises(DojoError, match="This model is for volumes, and this image is flat"):
        predict(bundle(3), image(20, 24))


def test_a_task_of_a_later_version_is_refused():
    with pytest.raises(DojoError, match="'dream', which this version does not have"):
        predict(above(task="dream"), image(20, 24))


def test_an_image_that_cannot_fit_is_refused():
    huge = da.zeros((10**6, 10**6), dtype=np.uint8, chunks=10**5)
    with pytest.raises(DojoError, match="GB of memory"):
        predict(above(), huge)


# --- what is not image


def noisy(*size, seed=0, height=400.0):
    """A bright square of 20 px on camera noise."""
    x = np.random.default_rng(seed).normal(500, 10, size)
    x[..., 40:60, 40:60] += height
    return x.astype(np.uint16)


@pytest.mark.parametrize("value", [0, 65535])
def test_padding_has_no_objects_and_does_not_disturb_the_others(value):
    x = noisy(96, 96)
    clean = predict(bright(), x, "YX")
    x[:7] = x[:, -20:] = value
    y = predict(bright(), x, "YX")
    np.testing.assert_array_equal(y, np.where(clean > 0, 1, 0))
    assert y.max() == 1


def test_an_object_that_the_padding_cuts_keeps_what_was_imaged():
    x = noisy(96, 96)
    x[:50] = 0
    truth = np.zeros((96, 96), int)
    truth[50:60, 40:60] = 1
    np.testing.assert_array_equal(predict(bright(), x, "YX"), truth)


def test_padding_in_every_frame_and_blank_frames():
    x = np.stack([noisy(96, 96, seed=k) for k in range(5)])
    x[1, :5] = x[2, :, :30] = x[4] = 0
    y = predict(bright(), x, "TYX")
    assert y.max((1, 2)).tolist() == [1, 1, 1, 1, 0]
    assert not y[2, :, :30].any()


def test_hot_pixels_are_no_objects():
    x = noisy(96, 96)
    x[[10, 20, 80], [70, 11, 80]] = 65535
    y = predict(bright(decoding={"minimum_area": 0.0}), x, "YX")
    assert y.max() == 1


class Same(Network):
    """A net that says what it sees."""

    stride, receptive_radius, out_channels = (4, 4), (0, 0), 1

    def __init__(self, finer=1):
        super().__init__()
        self.scale = (finer, finer)

    def forward(self, x):
        return x.repeat_interleave(self.scale[0], -1).repeat_interleave(self.scale[1], -2)


def same(**more):
    about = {"task": "denoise", "options": {}, "maps": ("image 1",)}
    return Bundle(card(**about | more), Same().eval())


@pytest.mark.parametrize("value", [0.0, 65535.0, np.nan])
def test_padding_of_images_keeps_its_value(value):
    x = noisy(96, 96).astype(np.float32)
    x[:, :9] = value
    y = predict(same(), x, "YX")
    np.testing.assert_array_equal(y[:, :9], x[:, :9])
    np.testing.assert_allclose(y[:, 11:], x[:, 11:], rtol=1e-4)


def test_padding_of_images_in_units_of_their_own_is_their_lowest_value():
    x = noisy(96, 96)
    x[:, :9] = 0
    y = predict(same(target=Normalization((7.0,), (1.0,))), x, "YX")
    assert (y[:, :9] == 7).all()


def test_frames_whole_or_each_by_itself():
    x = np.stack([noisy(96, 96, height=h) for h in (4000, 1000, 200)])
    assert predict(bright(), x, "TYX").max((1, 2)).tolist() == [1, 0, 0]
    each = predict(bright(), x, "TYX", settings=PredictSettings(frames="each"))
    assert each.max((1, 2)).tolist() == [1, 1, 1]
    one_by_one = bright(rule=Rule(frames="each"))
    np.testing.assert_array_equal(predict(one_by_one, x, "TYX"), each)
    assert predict(one_by_one, x, "TYX", settings=PredictSettings(frames="whole")).max((1, 2)).tolist() == [1, 0, 0]


def test_frames_that_differ_in_brightness_are_said():
    x = np.stack([noisy(96, 96, height=h) for h in (4000, 1000, 200)])
    events = list(steps(bright(), x, "TYX"))
    (said,) = [e for e in events if isinstance(e, Message)]
    assert "(Frames: each)" in said.text
    events = list(steps(bright(), x, "TYX", frames="each"))
    assert not [e for e in events if isinstance(e, Message)]


def test_dask_is_as_numpy():
    x = np.stack([noisy(96, 96, seed=k) for k in range(3)])
    x[:, :5] = 0
    np.testing.assert_array_equal(
        predict(bright(), da.from_array(x, chunks=(1, 48, 48)), "TYX"), predict(bright(), x, "TYX")
    )


# --- larger than memory


def instances(dims=2):
    """A network with random weights whose maps hold many objects of many shapes."""
    torch.manual_seed(1)
    b = Bundle.new(card(dims, task="instances", options={"diameter": 8.0, "dims": dims}, maps=("inside", "distance")))
    with torch.no_grad():
        b.net.head.bias.zero_()
        b.net.head.weight.mul_(6)
    return b


def in_blocks(b, x, monkeypatch):
    """Labels of the whole image at once, and block by block from an array that lies elsewhere."""
    whole = predict(b, x)
    assert whole.max() > 20
    monkeypatch.setattr("napari_dojo.inference.predict.AT_ONCE", 0.0)
    return whole, predict(b, da.from_array(x, chunks=50), settings=PredictSettings(device="cpu", tile=96))


def test_block_by_block_the_objects_are_those_of_the_whole(monkeypatch):
    whole, found = in_blocks(instances(), image(330, 270), monkeypatch)
    pairs = np.unique(np.stack([whole.ravel(), found.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(whole)) == len(np.unique(found))
    assert found.max() == whole.max()
    assert found.dtype == whole.dtype


def test_block_by_block_padding_stays_empty(monkeypatch):
    whole, found = in_blocks(instances(), np.pad(image(330, 270), 40), monkeypatch)
    padding = np.pad(np.zeros((330, 270), bool), 40, constant_values=True)
    assert not found[padding].any()
    inner = (
        slice(80, -80),
    ) * 2  # where the network does not see the padding, whose level each block measures by itself
    kept = [k for k in np.unique(whole[inner]) if k and (whole == k).sum() == (whole[inner] == k).sum()]
    assert len(kept) > 50
    same = sum(np.array_equal(found == found[whole == k][0], whole == k) for k in kept)
    assert same > 0.9 * len(kept)


def test_block_by_block_progress_is_told_and_stop_is_heard(monkeypatch):
    monkeypatch.setattr("napari_dojo.inference.predict.AT_ONCE", 0.0)
    b, control = instances(), Control()
    ready = Ready.of(b, PredictSettings(device="cpu", tile=96))
    given = resolve(b.card, Image("x", Picture(image(2, 300, 270), "TYX")), ready.settings)
    said = predict_image(ready, given, control)
    told = [next(e for e in said if isinstance(e, Progress)) for _ in range(5)]
    assert [e.done for e in told] == list(range(5))
    assert told[0].total == 2 * len(Work.of(ready, given).blocks) > 8
    control.stop = True
    with pytest.raises(StoppedError):
        list(said)


def test_a_large_image_needs_memory_for_a_block(monkeypatch):
    b = instances()
    ready = Ready.of(b, PredictSettings(device="cpu", tile=64))
    given = resolve(b.card, Image("x", Picture(image(400, 400), "YX")), ready.settings)
    at_once = memory_for(ready, given)
    monkeypatch.setattr("napari_dojo.inference.predict.AT_ONCE", 0.0)
    assert memory_for(ready, given) < 0.3 * at_once


@pytest.mark.parametrize(
    ("dims", "memory", "most"), [(2, 2e10, 0.7e9), (3, 1e10, 1.4e9), (3, 3e10, 3e9), (3, 2e9, 1e9)]
)
def test_blocks_are_held_to_their_memory(dims, memory, most, monkeypatch):
    """On a CPU; where there is little, to half of it, and of volumes to a tenth of much. Networks of volumes need two cores each."""
    monkeypatch.setattr("napari_dojo.inference.predictor.VOLUME", 1e12)
    monkeypatch.setattr("napari_dojo.inference.predictor.BLOCKS", {"cpu": 1e12})
    predictor = Predictor(bundle(dims).net, Device("cpu", "CPU", int(memory), 4))
    assert predictor.block_memory == pytest.approx(most)
    if memory > 2.5e9:
        assert predictor.with_smaller_blocks(0.2e9).block_memory == pytest.approx(
            most - (0.0 if memory > 2e10 else 0.2e9)
        )
    under_way = predictor.for_blocks(predictor.block_pixels).at_once
    assert under_way == (1 if memory < 2.5e9 else 2 if dims == 3 else 4)
