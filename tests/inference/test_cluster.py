"""Several processes give what one does; what a lost worker was doing is done again."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import dask
import distributed
import numpy as np
import pytest
import tifffile
import torch

from napari_dojo.cli import main
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Skipped, result_of
from napari_dojo.inference import cluster as cluster_module
from napari_dojo.inference.apply import apply
from napari_dojo.inference.blocks import in_threads
from napari_dojo.inference.cluster import Cluster, Order, connected
from napari_dojo.inference.samples import Ready
from napari_dojo.inference.sinks import ZarrSink
from napari_dojo.inference.sources import FileSource
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.io import images
from napari_dojo.models.bundle import Bundle, load, save
from napari_dojo.models.card import Card, decoding_of
from napari_dojo.settings import PredictSettings

SETTINGS = PredictSettings(device="cpu", tile=96)


def model(path):
    torch.manual_seed(1)  # one whose prediction is not empty
    bundle = Bundle.new(Card(
        name="m", task="instances", options={}, decoding={"minimum_area": 4.0}, net="unet", axes="YX", spatial="YX", channels=1,
        net_options={"stem": [2, 2], "pools": [[2, 2]], "width": 8}, maps=("inside", "distance", "boundary", "y", "x", "cy", "cx"),
    ))  # fmt: skip
    with torch.no_grad():
        list(bundle.net.parameters())[-2].mul_(20)
    return save(bundle, path, np.random.default_rng(0).random((1, 64, 64)).astype(np.float32))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two processes with a model, for all tests; where the system can fork, they and what replaces them load torch once."""
    path = model(tmp_path_factory.mktemp("cluster") / "m")
    how = "forkserver" if sys.platform == "linux" else "spawn"
    multiprocessing.set_forkserver_preload(["distributed", "napari_dojo.inference.cluster"])
    with (
        patch("distributed.utils._forkserver_preload_set", True),
        dask.config.set({"distributed.worker.multiprocessing-method": how}),
        connected("local:2", Order(str(path), SETTINGS, decoding_of(load(path).card))) as found,
    ):
        yield found


def _models():
    return cluster_module._ready.cache_info().currsize


def noise(size, seed=0):
    return (np.random.default_rng(seed).random(size) * 1000).astype(np.uint16)


def test_blocks_are_those_of_one_process_though_a_worker_is_killed(cluster, tmp_path):
    images.write(tmp_path / "big.zarr", noise((250, 240)), "YX")
    ready = Ready.of(load(cluster.order.model), SETTINGS)
    killed = []

    def engine(work, room, todo, control):
        for done in cluster.blocks(work, room, todo, control):
            if not killed and sys.platform != "win32":
                killed.extend(list(cluster.client.run(os.getpid).values())[:1])
                os.kill(killed[0], signal.SIGKILL)
            yield done

    for name, using in (("one", in_threads), ("several", engine)):
        sink = ZarrSink(tmp_path / "big.zarr", tmp_path / f"{name}.zarr")
        assert isinstance(list(apply(ready, [FileSource(sink.input)], sink, engine=using))[-1], Done)
    one, several = (images.read(tmp_path / f"{name}.zarr", labels=True).data for name in ("one", "several"))
    assert one.max() > 20
    assert set(cluster.client.run(_models).values()) == {0}, "workers keep the model where nothing is left to do"
    np.testing.assert_array_equal(one, several)
    assert killed


def test_files_are_spread_and_those_that_cannot_be_read_are_named(cluster, tmp_path):
    files = [tmp_path / "in" / f"{i}.tif" for i in range(4)]
    files[0].parent.mkdir()
    for i, file in enumerate(files):
        tifffile.imwrite(file, noise((70, 60), i))
    files[2].write_bytes(b"II*\0broken")
    said = list(cluster.files(TiffSink(tuple(files), tmp_path / "out"), None, Control()))
    assert [s.name for s in said if isinstance(s, Skipped)] == ["2.tif"]
    assert [r["name"] for r in said[-1].facts["results"]] == ["0.tif", "1.tif", "3.tif"]
    assert said[-1].facts["skipped"][0].startswith("2.tif")
    ready = Ready.of(load(cluster.order.model), SETTINGS)
    result_of(apply(ready, [FileSource(files[3])], TiffSink((files[3],), tmp_path / "alone")))
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "out" / "3.tif"), tifffile.imread(tmp_path / "alone" / "3.tif")
    )


@pytest.mark.parametrize(
    ("future", "client"), [("cancelled", "running"), ("cancelled", "connecting"), ("lost", "closed")]
)
def test_without_its_scheduler_it_says_to_start_it_again(future, client):
    """``benchmarks/blocks.py --only scheduler`` kills a real one."""
    spread = Cluster(SimpleNamespace(status=client), None)
    with pytest.raises(DojoError, match=r"scheduler is gone.*Start it again, and give the same command: it resumes"):
        spread._result(SimpleNamespace(status=future), KeyError)


def test_it_says_who_works_and_what_each_needs(cluster):
    said = cluster.sentence(1.1e9)
    assert said.startswith("2 workers, at most ")
    assert "GB of memory each, of which a block takes about 1.4 GB, and all processes together 3.2 GB. " in said
    assert "Dashboard: http" in said


@pytest.mark.parametrize(("free", "block"), [(20e9, 0.45e9), (1.7e9, 0.24e9), (1.0e9, None)])
def test_blocks_of_workers_of_this_machine_fit_in_its_memory(free, block, cluster, monkeypatch):
    """Each takes .25 GB less than a block of one process, and less than that where memory is short; else none is begun."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr("napari_dojo.inference.predictor.BLOCKS", {"cpu": 1e12})
    ready = Ready.of(load(cluster.order.model), PredictSettings(device="cpu"))
    ready.predictor.device = replace(ready.predictor.device, memory=int(20e9))
    if block is None:
        with pytest.raises(DojoError, match=r"2 workers would need about 1\.. GB of memory, and 0\.9 GB can be used"):
            cluster.sized(ready)
        return
    assert cluster.sized(ready).predictor.block_memory == pytest.approx(block, rel=0.01)


def test_as_many_processes_as_are_asked_for_share_the_cores(monkeypatch):
    """Whatever the number of cores is."""
    asked, signature = {}, inspect.signature(distributed.LocalCluster)

    def cluster(*args, **more):
        asked.update(signature.bind(*args, **more).arguments)
        asked["threads"] = dask.config.get("distributed.nanny.pre-spawn-environ")["OMP_NUM_THREADS"]
        return nullcontext()

    monkeypatch.setattr(cluster_module, "cores", lambda: 8)
    monkeypatch.setattr(distributed, "LocalCluster", cluster)
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: nullcontext())
    with connected("local:3", None):
        assert (asked["n_workers"], asked["threads_per_worker"], asked["threads"]) == (3, 1, "2")


@pytest.mark.parametrize("scheduler", ["local:0", "local", "10.0.0.5"])
def test_what_is_no_scheduler(scheduler):
    with (
        pytest.raises(DojoError, match="local:N, N processes of this machine, or an address"),
        connected(scheduler, None),
    ):
        pass


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    images.write(tmp_path / "a.tif", noise((64, 64)), "YX")
    given = [str(model(tmp_path / "m")), str(tmp_path / "a.tif"), "--out", str(tmp_path / "out")]
    assert main(["predict", *given, "--scheduler", "local:2"]) == 2
    assert "pip install 'napari-dojo[cluster]'" in capsys.readouterr().err
