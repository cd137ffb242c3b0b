"""The processes that train one model together, each on a GPU: started by torchrun, by SLURM or by ourselves.

Each process makes its share of every batch, and all make the same steps. The first one (rank 0) leads: its clock, its
validation, its files and its events count; the others follow.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from napari_dojo.device import ALL, Device
from napari_dojo.errors import DojoError
from napari_dojo.events import Control

if TYPE_CHECKING:
    from torch import Tensor

    from napari_dojo.nets import Network

__all__ = ["World", "follows", "join"]

PATIENCE = timedelta(days=7)  # a training may be paused, and the others then wait for the first one
T = TypeVar("T")


class World:
    """A process that trains alone: nothing here does anything.

    Attributes
    ----------
    rank, size : number of this process, 0 is the first, and of all.
    stopped : one of them wants to stop.
    """

    rank = 0
    size = 1
    stopped = False

    def device(self, found: Device) -> Device:
        """What trains: this device, and those of the others."""
        return found

    def ready(self, net: Network) -> Network:
        """The network for a batch that all share; parameters and their names stay."""
        return net

    def pooled(self) -> AbstractContextManager[None]:
        """In here losses are of the whole batch."""
        return contextlib.nullcontext()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace float tensors by their mean over the processes."""

    def shared(self, value: T) -> T:
        """The first process's value."""
        return value

    def all(self, flag: bool) -> bool:
        """Whether it is true in all processes."""
        return flag

    def tell(self, rate: float | None, stop: bool = False) -> None:
        """Have the others make a step at this learning rate; None: it was the last."""

    def told(self, control: Control) -> Iterator[float]:
        """In a process that follows: the learning rates of the steps to make."""
        return iter(())


class _Several(World):
    """One of several processes."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def device(self, found: Device) -> Device:
        return self.shared(replace(found, together=self.size))

    def ready(self, net: Network) -> Network:
        from napari_dojo.nets.pooled import pool_norms

        return pool_norms(net, next(net.parameters()).is_cuda)

    def pooled(self) -> AbstractContextManager[None]:
        from napari_dojo.nets.pooled import pooled

        return pooled(_added)

    def average(self, tensors: Sequence[Tensor]) -> None:
        import torch

        mean = _added(torch.cat([t.flatten() for t in tensors])) / self.size
        for old, new in zip(tensors, mean.split([t.numel() for t in tensors]), strict=True):
            old.copy_(new.view_as(old))

    def shared(self, value: T) -> T:
        import torch.distributed as dist

        told: list[Any] = [value]
        with self._listening():
            dist.broadcast_object_list(told, 0)
        found: T = told[0]
        return found

    def all(self, flag: bool) -> bool:
        return self._sum(float(flag))[0] == self.size

    def tell(self, rate: float | None, stop: bool = False) -> None:
        if self.rank == 0:
            self.stopped = self._sum(-1.0 if rate is None else rate, float(stop))[1] > 0

    def told(self, control: Control) -> Iterator[float]:
        while (rate := self._sum(0.0, float(control.stop))[0]) >= 0:
            yield rate

    def _sum(self, *values: float) -> list[float]:
        """Over the processes; between processors, so that no GPU is waited for."""
        import torch

        with self._listening():
            found: list[float] = _added(torch.tensor(values, dtype=torch.float64)).tolist()
        return found

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """In a process that follows: the end of the first one is no error of this one's."""
        try:
            yield
        except RuntimeError as e:  # as the connection says it
            if self.rank == 0:
                raise
            raise DojoError("The first process of this training has ended; it said why.") from e


def join(device: str) -> World:
    """Join the processes that torchrun or srun started with this one, or start one for each GPU where ``device`` says so.

    The processes that are started here run the command of this one once more, and find the others when they come to this
    place. Without all that, and in a second call, it costs nothing.

    Raises
    ------
    DojoError : lightning-fabric is not installed, or there is no such device.
    """
    nodes, size = _started()
    own = size == 1 and device == ALL
    if size == 1 and not own:
        return World()
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return _Several()
    on_gpu = device in (ALL, "cuda", "auto") and torch.cuda.is_available()
    if own:
        size = torch.cuda.device_count()
        if size < 2:
            return World()
    _launch("cuda" if on_gpu else "cpu", size // nodes, nodes, own)
    return _Several()


def follows() -> bool:
    """Whether this process was started by `join`, as another one of a training that is led elsewhere."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


def _launch(kind: str, here: int, nodes: int, own: bool) -> None:
    """Bring the processes together, ``here`` of them on this machine; start them where that is our ``own`` business."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy
        from lightning_fabric.utilities.exceptions import MisconfigurationException
    except ImportError as e:
        raise DojoError(
            "Training in several processes needs lightning-fabric. Install it with: pip install 'napari-dojo[distributed]'"
        ) from e
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if own and follows():
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    strategy = DDPStrategy(process_group_backend=backend, timeout=PATIENCE)
    try:
        places: list[LightningEnvironment | SLURMEnvironment] = []
        if own:
            places = [LightningEnvironment()]
        elif "TORCHELASTIC_RUN_ID" not in os.environ:
            places = [SLURMEnvironment()]  # Fabric does not look for srun in an interactive allocation (salloc)
        Fabric(accelerator=kind, devices=here, num_nodes=nodes, strategy=strategy, plugins=places).launch()  # type: ignore[arg-type]
    except (RuntimeError, ValueError, MisconfigurationException) as e:
        raise DojoError(f"The processes of this training did not come together: {e}") from e
    atexit.register(_leave)


def _started() -> tuple[int, int]:
    """Machines and processes that torchrun or srun started; 1 and 1 where neither did."""
    told = os.environ
    if "TORCHELASTIC_RUN_ID" in told:
        size = int(told["WORLD_SIZE"])
        return size // int(told["LOCAL_WORLD_SIZE"]), size
    size = int(told.get("SLURM_STEP_NUM_TASKS", "1"))  # of srun; a batch script by itself is one task
    return (int(told.get("SLURM_STEP_NUM_NODES", "1")) if size > 1 else 1), size


def _added(value: Tensor) -> Tensor:
    import torch
    import torch.distributed as dist

    found = value.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(found)
    return found


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _end_with(parent: int) -> None:
    """End this process when the one that started it has ended, however that happened."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
