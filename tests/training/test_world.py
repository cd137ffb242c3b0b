"""Several processes that train one model, here two on the CPU: the same as one with the batch of both."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import launched
import numpy as np
import psutil
import pytest
import tifffile
import together
import torch
import two_gpus
from forked import python

from napari_dojo.events import Control, Done, Failed, Step, decode
from napari_dojo.jobs.train_requests import train_request
from napari_dojo.models.card import read_card
from napari_dojo.training import world
from napari_dojo.training.world import World, join

pytestmark = [
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes"),
    pytest.mark.skipif(find_spec("lightning_fabric") is None, reason="needs the extra 'distributed'"),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """What the first and the second of two processes found, described to them as by SLURM, and where their model lies."""
    folder = tmp_path_factory.mktemp("pair")
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
    job = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "1", "SLURM_NODELIST": "localhost"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = [
        python(
            together.__file__,
            str(folder),
            errors=folder / f"errors-{k}.txt",
            env={**step, **job, "SLURM_PROCID": k, "SLURM_LOCALID": k, "MASTER_PORT": port},
        )
        for k in "01"
    ]
    for k, process in enumerate(both):
        process.communicate(timeout=200)
        assert process.returncode == 0, (folder / f"errors-{k}.txt").read_text()[-4000:]
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    return first, second, folder / "model"


def test_srun_s_processes_find_each_other(pair: Any) -> None:
    found = [(one["rank"], one["size"], one["shared"], one["all"]) for one in pair[:2]]
    assert found == [(0, 2, 0, False), (1, 2, 0, False)]


@pytest.mark.parametrize("norm", [False, True])
def test_two_learn_as_one_with_the_batch_of_both(pair: Any, norm: bool) -> None:
    """Also where the loss is not a mean over patches, and with batch norm."""
    first, second, _ = pair
    name = "normed" if norm else "plain"
    alone = together.learned(World(), 4, norm=norm)
    assert first[name]["losses"] == pytest.approx(alone["losses"], abs=1e-4)
    assert first[name]["weights"] == pytest.approx(alone["weights"], abs=1e-4)
    assert first[name]["average"] == pytest.approx(alone["average"], abs=1e-3)
    assert first[name]["weights"] == second[name]["weights"]
    for mine, yours, whole in zip(first[name]["seen"], second[name]["seen"], alone["seen"], strict=True):
        assert mine + yours == whole
        assert mine != yours


def test_only_the_first_keeps_something(pair: Any) -> None:
    first, second, _ = pair
    assert len(first["normed"]["kept"]) == 5
    assert second["normed"]["kept"] == []


def test_a_stop_that_reaches_one_ends_both_after_the_same_step(pair: Any) -> None:
    """It is the second process that is told, when it is about to make its third step."""
    first, second, _ = pair
    assert first["stopped"]["steps"] == second["stopped"]["steps"] == 3
    assert first["stopped"]["kept"] == [[3, True]]
    assert first["stopped"]["weights"] == second["stopped"]["weights"]


def test_where_one_runs_out_of_memory_both_take_half_the_batch(pair: Any) -> None:
    first, second, _ = pair
    assert [first["scarce"]["batch"], second["scarce"]["batch"]] == [1, 1]
    assert first["scarce"]["steps"] == second["scarce"]["steps"] == 5
    assert [m.rpartition(" ")[2] for m in first["scarce"]["messages"]] == ["2.", "1."]
    assert first["scarce"]["weights"] == second["scarce"]["weights"]


def test_a_training_and_its_resumed_run_give_the_model_of_one_process(pair: Any, tmp_path: Path) -> None:
    first, second, model = pair
    alone = together.trained(tmp_path / "alone", 4, World())
    assert first["trained"]["losses"] == pytest.approx(alone["losses"], abs=1e-3)
    for name, values in alone["net"].items():
        np.testing.assert_allclose(first["trained"]["net"][name], values, atol=1e-3, err_msg=name)
    assert second["trained"]["said"] == [[], []]
    logged = [json.loads(line)["event"] for line in (model / "run/events.jsonl").read_text().splitlines()]
    assert logged == [name for said in first["trained"]["said"] for name in said if name != "Step"]
    assert read_card(model).training["device"].startswith("2 x CPU")


def test_the_command_says_everything_once(tmp_path: Path) -> None:
    for kind, arrays in zip(("images", "labels"), together.discs(), strict=True):
        (tmp_path / kind).mkdir()
        for k, array in enumerate(arrays):
            tifffile.imwrite(tmp_path / kind / f"{k}.tif", array)
    tiny = [
        "--steps",
        "2",
        "--batch",
        "1",
        "--patch",
        "32",
        "--width",
        "8",
        "--depth",
        "2",
        "--device",
        "cpu",
        "--json",
    ]
    files = ["--input", tmp_path / "images", "--target", tmp_path / "labels", "--out", tmp_path / "model"]
    command = ["train", "instances", *map(str, files), *tiny]
    process = python(launched.__file__, *command, errors=tmp_path / "errors.txt")
    said, _ = process.communicate(timeout=200)
    errors = (tmp_path / "errors.txt").read_text()
    assert process.returncode == 0, errors[-4000:]
    assert said.count("Saved") == 1
    assert errors.count("2 x CPU") == 1
    assert json.loads(said.splitlines()[-1])["steps"] == 2
    assert (tmp_path / "model" / "rdf.yaml").exists()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A job of the window on all of two GPUs, that would train for long."""
    tiny = {"steps": 10**6, "batch": 2, "patch": 32, "width": 8, "depth": 2, "device": "all-gpus"}
    folder = train_request(
        tmp_path / "run", "instances", *together.discs(), axes="YX", out=tmp_path / "model", settings=tiny
    )
    with python(two_gpus.__file__, str(folder), errors=folder / "errors.txt") as process:
        yield process
        process.kill()


def until_a_step(job: subprocess.Popen[str]) -> psutil.Process:
    """Wait until the job has made one; the process that it started."""
    assert job.stdout is not None
    for line in job.stdout:
        event = decode(line)
        assert not isinstance(event, Failed), event
        if isinstance(event, Step):
            break
    (other,) = psutil.Process(job.pid).children()
    return other


def test_a_job_starts_the_others_and_a_stop_ends_them(job: subprocess.Popen[str], tmp_path: Path) -> None:
    other = until_a_step(job)
    said, _ = job.communicate(json.dumps({"stop": True}) + "\n")
    assert isinstance(decode(said.splitlines()[-1]), Done)
    assert "2 x CPU" in read_card(tmp_path / "model").training["device"]
    assert psutil.wait_procs([other], timeout=90)[1] == []


def test_the_others_end_with_a_job_that_is_killed(job: subprocess.Popen[str]) -> None:
    other = until_a_step(job)
    job.kill()
    assert psutil.wait_procs([other], timeout=90)[1] == []


@pytest.mark.parametrize("name", ["dojo", "interactive"])
def test_srun_starts_the_processes_also_in_an_interactive_allocation(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """`salloc` calls its job so, and Fabric would then start the others again."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    job = {"STEP_NUM_TASKS": "4", "STEP_NUM_NODES": "2", "NTASKS": "4", "NTASKS_PER_NODE": "2", "JOB_NAME": name}
    for variable, value in job.items():
        monkeypatch.setenv(f"SLURM_{variable}", value)
    given: dict[str, Any] = {}

    class Recorded:
        def __init__(self, **arguments: Any) -> None:
            given.update(arguments)

        def launch(self) -> None:
            given["launched"] = True

    monkeypatch.setattr("lightning_fabric.Fabric", Recorded)
    monkeypatch.setattr(world.atexit, "register", lambda function: None)
    monkeypatch.setattr(world, "_Several", World)
    assert type(join("cpu")) is World
    (place,) = given["plugins"]
    assert (given["devices"], given["num_nodes"], given["launched"]) == (2, 2, True)
    assert place.creates_processes_externally
    assert place.world_size() == 4


def test_one_process_alone_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    alone = join("auto")
    assert (type(alone), alone.rank, alone.size) == (World, 0, 1)
    assert alone.shared("a") == "a"
    assert list(alone.told(Control())) == []
    code = "import sys; from napari_dojo.training.world import join; join('auto'); print({'torch', 'lightning_fabric'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.stdout.strip() == "set()"
