from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from math import prod

import pytest

from napari_dojo.device import Device
from napari_dojo.errors import DojoError
from napari_dojo.nets.unet import UNet
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import Hints
from napari_dojo.training.plan import SET_UP, Data, make_plan, paced

CPU = Device("cpu", "CPU", 8 * 10**9, 2)
GPU = Device("cuda", "GPU", 20 * 10**9, 8, True)
NUCLEI = Data(((256, 256),) * 5, 1, 2, diameter=20, thickness=15)
STACK = Data(((30, 200, 200),), 1, 2, diameter=15, thickness=10, spacing=(4.0, 1.0, 1.0))
CASES = {
    "nuclei": NUCLEI,
    "large": replace(NUCLEI, diameter=120.0),
    "thin": replace(NUCLEI, thickness=3.0),
    "tiny": Data(((20, 33),), 3, 4),
    "strip": Data(((16, 2000),), 1, 2),
    "stack": STACK,
    "thin stack": replace(STACK, sizes=((3, 200, 200),)),
    "cube": Data(((64, 64, 64),) * 2, 2, 3, diameter=12),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("device", [CPU, GPU], ids=["cpu", "gpu"])
def test_a_plan_can_be_built_and_fits(name, device):
    data = CASES[name]
    plan = make_plan(data, device, TrainSettings())
    net = UNet(data.channels, data.outputs, **plan.net)
    assert all(p % s == 0 and p >= s for p, s in zip(plan.patch, net.stride, strict=True)), (plan.patch, net.stride)
    assert all(p <= n * plan.zoom + s for p, n, s in zip(plan.patch, data.sizes[0], net.stride, strict=True))
    assert plan.batch >= 1
    assert plan.steps >= 1
    assert plan.minutes == 5
    assert plan.batch * prod(plan.patch) <= 8 * 8 * 128 * 128
    assert str(plan.batch) in plan.sentence
    with pytest.raises(FrozenInstanceError):
        plan.batch = 3
    assert make_plan(data, device, TrainSettings()) == plan


def test_large_objects_are_made_smaller():
    assert make_plan(NUCLEI, CPU, TrainSettings()).zoom == 1
    large = make_plan(CASES["large"], CPU, TrainSettings())
    assert large.zoom == pytest.approx(48 / 120)
    assert large.sentence.endswith(" px, images scaled by 0.4")


def test_thin_objects_get_a_net_on_the_pixels():
    assert make_plan(NUCLEI, CPU, TrainSettings()).stem == (2, 2)
    assert make_plan(CASES["thin"], CPU, TrainSettings()).stem == (1, 1)


def test_coarse_planes_are_pooled_later():
    plan = make_plan(STACK, CPU, TrainSettings())
    assert plan.stem == (1, 2, 2)
    assert plan.pools[0] == (1, 2, 2)
    assert plan.patch[0] < plan.patch[1]


def test_the_budget():
    assert make_plan(NUCLEI, CPU, TrainSettings(steps=70)).steps == 70
    assert make_plan(NUCLEI, CPU, TrainSettings(steps=70)).minutes is None
    plan = make_plan(NUCLEI, CPU, TrainSettings(epochs=3))
    assert plan.steps == 3 * plan.epoch
    assert plan.epoch == pytest.approx(5 * 256 * 256 / (plan.batch * prod(plan.patch)), abs=0.51)
    two, ten = (make_plan(NUCLEI, CPU, TrainSettings(minutes=m)) for m in (2, 10))
    assert ten.steps == pytest.approx(two.steps * (10 * 60 - SET_UP) / (2 * 60 - SET_UP), rel=0.01)
    assert make_plan(NUCLEI, CPU, TrainSettings(minutes=0.01)).steps >= 1


def test_words_do_not_promise_more_than_is_known():
    ten = replace(make_plan(NUCLEI, CPU, TrainSettings(minutes=10)), steps=11_412)
    assert ten.long == "about 11,000 steps in 10 min"
    assert ten.sentence.startswith(ten.long + ", ")
    assert replace(ten, steps=87, minutes=None).long == "87 steps"
    assert replace(ten, steps=7).long == "about 7 steps in 10 min"


def test_volumes_of_many_small_steps_have_as_many_pixels_in_each():
    cube = Data(((64, 64, 64),) * 2, 1, 1, hints=Hints(patch=64, pixels=8 * 64 * 64))
    flat = replace(cube, sizes=((256, 256),))
    for data in (cube, flat, replace(cube, spacing=(2.0, 1.0, 1.0))):
        plan = make_plan(data, CPU, TrainSettings())
        assert plan.batch * prod(plan.patch) == pytest.approx(8 * 64 * 64, rel=0.25)


def test_what_the_user_sets_rules():
    s = TrainSettings(patch=64, batch=3, depth=2, width=24, learning_rate=0.5)
    plan = make_plan(NUCLEI, CPU, s)
    assert (plan.patch, plan.batch, plan.width, plan.learning_rate) == ((64, 64), 3, 24, 0.5)
    assert 1 + len(plan.pools) == 2


def test_fine_tuning_keeps_the_network_and_lowers_the_learning_rate():
    first = make_plan(CASES["thin"], CPU, TrainSettings(width=24))
    second = make_plan(NUCLEI, GPU, TrainSettings(), first.net)
    assert second.net == first.net
    assert second.learning_rate < first.learning_rate


def test_a_new_network_has_few_images():
    images = {n: make_plan(replace(NUCLEI, images=n), CPU, TrainSettings()).few for n in (0, 1, 9, 10, 400)}
    assert images == {0: False, 1: True, 9: True, 10: False, 400: False}
    start = make_plan(NUCLEI, CPU, TrainSettings()).net
    assert not make_plan(replace(NUCLEI, images=1), CPU, TrainSettings(), start).few


def test_parts_of_a_few_pixels_are_refused():
    with pytest.raises(DojoError, match="What is left to train on has 3 x 3 px at most"):
        make_plan(replace(NUCLEI, sizes=((1, 1), (3, 3))), CPU, TrainSettings())
    small = replace(NUCLEI, sizes=((1, 1), (8, 8)), diameter=None)
    assert make_plan(small, CPU, TrainSettings()).patch
    with pytest.raises(DojoError, match=r"has 8 x 8 px at most, and is scaled by 0\.25 for the network"):
        make_plan(small, CPU, TrainSettings(), zoom=0.25)


def test_little_memory_gives_small_batches():
    assert make_plan(NUCLEI, replace(CPU, memory=1), TrainSettings()).batch == 1
    with pytest.raises(
        DojoError, match=r"Batch size 4096 with patches of .* px needs about [\d,]+ GB of memory; 2.0 GB are"
    ):
        make_plan(NUCLEI, replace(CPU, memory=2 * 10**9), TrainSettings(batch=4096))


@pytest.mark.parametrize(
    ("seconds", "batch", "width"),
    [(0.001, 8.0, 1.5), (0.02, 2.0, 1.0), (0.03, 1.0, 1.0), (0.1, 0.5, 0.75), (10.0, 0.25, 0.5)],
)
def test_the_faster_the_device_the_larger_the_steps(seconds, batch, width):
    plan = make_plan(NUCLEI, replace(CPU, kind="cuda", memory=10**12), TrainSettings(minutes=3.0))
    found = paced(plan, seconds, replace(CPU, kind="cuda", memory=10**12))
    assert (found.batch / plan.batch, found.width / plan.width) == (batch, width)
    assert found.steps >= 3000 or (batch, width) == (0.25, 0.5)


def test_what_does_not_fit_is_not_chosen_for_speed():
    plan = make_plan(NUCLEI, replace(CPU, kind="cuda", memory=10**10), TrainSettings(minutes=3.0))
    found = paced(plan, 1e-4, replace(CPU, kind="cuda", memory=10**10))
    assert found.batch * found.width < 8 * 1.5 * plan.batch * plan.width


def test_an_epoch_of_several_gpus_has_fewer_steps():
    settings = TrainSettings(epochs=8, batch=4, patch=64)
    one, four = (make_plan(Data(((512, 512),) * 16, 1, 1), d, settings) for d in (GPU, replace(GPU, together=4)))
    assert one.steps == 4 * four.steps
    assert one.batch == four.batch
    assert replace(GPU, together=4).sentence == "4 x GPU"
