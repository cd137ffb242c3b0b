from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import torch

from napari_dojo.data.batches import Batches, Patches
from napari_dojo.data.dataset import Sample
from napari_dojo.data.kinds import IMAGE, LABELS
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.resident import Resident, Source
from napari_dojo.data.split import Crop
from napari_dojo.data.streamed import Streamed, needed
from napari_dojo.tasks.instances import INSTANCES, InstancesOptions

PLAIN = Normalization((0.0,), (1.0,))
CPU = torch.device("cpu")


def record(y, region):
    return np.stack([y.astype(np.uint8), np.ones(y.shape, np.uint8)])


def targets(crops, random):
    return crops.x, crops.record[:, :1].float(), crops.record[:, 1:].float()


RECIPE = Patches((16, 16), record, targets)


def source(number, size=(128, 96)):
    """Pixels of 10 * number + 0 to 9, in squares of 4 px."""
    small = np.random.default_rng(number).integers(0, 10, [n // 4 for n in size])
    y = np.kron(small, np.ones((4, 4), int)).astype(np.uint8) + 10 * number
    return Source.of(Sample("a", y[None], y), Crop(0, tuple((0, n) for n in size)), PLAIN, LABELS)


SOURCES = [source(k) for k in range(1, 13)]
LIMIT = needed(SOURCES, LABELS, (1, 1)) // 3


def test_what_fits_is_not_streamed():
    with Batches(SOURCES, RECIPE, 4, 0, memory=3 * LIMIT) as many:
        next(many)
        assert many._stream is None


def test_batches_of_what_does_not_fit_show_all_of_it_in_the_memory_that_there_is():
    seen = set()
    with Batches(SOURCES, RECIPE, 32, 0, memory=LIMIT) as many:
        for _ in range(400):
            batch = next(many)
            np.testing.assert_allclose(batch.x.amax((1, 2, 3)) // 10, batch.target.amax((1, 2, 3)) // 10)
            seen |= set((batch.target[:, 0, 8, 8] // 10).int().tolist())
    assert seen == set(range(1, 13))


def test_the_memory_is_kept_to():
    streamed = Streamed(SOURCES, RECIPE, (1, 1), LIMIT, CPU, 0)
    try:
        assert streamed.resident.nbytes <= LIMIT
        assert len(streamed.shown) > 10
    finally:
        streamed.close()


def test_a_file_is_read_in_parts(tmp_path):
    x = np.memmap(tmp_path / "x", np.uint16, "w+", shape=(1, 400, 300))
    x[:] = np.arange(400)[None, :, None]
    whole = Source(x, x, None, PLAIN, np.zeros((0, 2), np.int32))
    how = Patches((16, 16), lambda y, region: None, lambda crops, random: (crops.x, crops.y, crops.known()), kind=IMAGE)
    with Batches([whole], how, 16, 0, memory=x.nbytes // 2) as many:
        rows = torch.cat([next(many).x.flatten() for _ in range(60)])
    assert rows.min() < 20
    assert rows.max() > 380


def test_an_object_on_the_border_of_two_chunks_is_known_whole():
    y = np.zeros((200, 200), np.int32)
    y[np.hypot(*(np.indices(y.shape) - 100)) < 12] = 1
    options = InstancesOptions(diameter=24.0, dims=2)
    whole = INSTANCES.supervision.record(y, None, options)
    made = Patches(
        (16, 16),
        lambda y, region: INSTANCES.supervision.record(y, region, options),
        lambda crops, random: (crops.x, crops.record.float(), crops.x),
        augment=False,
        aimed=1.0,
    )
    places = np.arange(y.size, dtype=np.float32).reshape(1, *y.shape)
    one = Source.of(Sample("a", places, y), Crop(0, ((0, 200), (0, 200))), PLAIN, LABELS)
    with Batches([one], made, 64, 0, memory=needed([one], LABELS, (1, 1)) // 4) as many:
        batch = next(many)
    at = batch.x[:, 0].long().numpy()
    np.testing.assert_array_equal(batch.target.movedim(1, 0), whole.reshape(len(whole), -1)[:, at])
    assert len({(a.min(), a.max()) for a in at}) > 3


def test_the_same_seed_gives_the_same_first_batch():
    found = []
    for _ in range(2):
        with Batches(SOURCES, RECIPE, 8, 5, memory=LIMIT) as many:
            found.append(next(many).x)
    assert torch.equal(*found)


def test_close_ends_the_threads():
    before = threading.active_count()
    with Batches(SOURCES, RECIPE, 8, 0, memory=LIMIT) as many:
        next(many)
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_images_of_all_types_are_shown_whichever_chunks_come_first():
    """Here the first ones are all of 8 bits."""
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 200, (1, 128, 128)).astype(np.uint8) for _ in range(2)]
    large = rng.integers(1000, 60000, (1, 128, 16)).astype(np.uint16)
    sources = [Source(x, x, None, PLAIN, np.zeros((0, 2), np.int32), PLAIN) for x in (*small, large)]
    sources[-1] = replace(sources[-1], weight=0.1)
    how = Patches((16, 16), lambda y, region: None, lambda crops, random: (crops.x, crops.y, crops.known()), kind=IMAGE)
    seen = []
    with Batches(sources, how, 32, 0, memory=needed(sources, IMAGE, (1, 1)) // 3) as many:
        for _ in range(300):
            batch = next(many)
            np.testing.assert_allclose(batch.x, batch.target)
            seen.append(batch.x.amax((1, 2, 3)))
            if seen[-1].max() > 300:
                break
    assert len(seen) > 1  # no chunk of 16 bits was among the first
    assert 30000 < torch.cat(seen).max() < 60000


def test_a_region_counts_whichever_chunks_come_first():
    x = np.zeros((1, 128, 128), np.uint8)
    few = np.full((1, 128, 16), 9, np.uint8)
    nowhere = np.zeros((128, 16), bool)
    plain = Source(x, x, None, PLAIN, np.zeros((0, 2), np.int32), PLAIN)
    sources = [plain, plain, replace(plain, x=few, y=few, region=nowhere, weight=0.1)]
    how = Patches(
        (16, 16),
        lambda y, region: None if region is None else region[None].astype(np.uint8),
        lambda crops, random: (crops.x, crops.y, crops.known()),
        kind=IMAGE,
    )
    with Batches(sources, how, 32, 0, memory=needed(sources, IMAGE, (1, 1)) // 3) as many:
        batches = [next(many) for _ in range(300)]
    assert batches[0].x.max() == 0
    inputs, weights = (torch.cat([getattr(b, name) for b in batches]) for name in ("x", "weight"))
    assert (inputs == 9).any()
    assert (weights[inputs == 9] == 0).all()
    assert (weights[inputs == 0] == 1).all()


def test_needed_memory_is_what_the_device_holds():
    for dtype in (np.uint8, np.int16, np.uint16, np.dtype(">u2"), np.float64):
        x, y, norm = np.zeros((2, 32, 32), dtype), np.zeros((32, 32), np.int32), Normalization((0.0, 0.0), (1.0, 1.0))
        made = Source(x, y, None, norm, np.zeros((0, 2), np.int32))
        held = Resident.of([made], LABELS, record, (1, 1), CPU)
        assert needed([made], LABELS, (1, 1)) == held.nbytes
