"""The network that learns, and its steps: how each is computed suits the device, and nothing waits for it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from napari_dojo.data.batches import Batch, Batches
from napari_dojo.device import Device, Pace, bfloat16, is_out_of_memory, prepare, recording
from napari_dojo.errors import DojoError
from napari_dojo.events import Message
from napari_dojo.nets import Network
from napari_dojo.training.optimizer import Optimizer
from napari_dojo.training.world import World

__all__ = ["Learner", "Loss", "Stepper", "layout"]

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (out, target, weight) -> scalar

CLIPPED = 5.0  # largest norm of a gradient
AVERAGED = 200  # steps over which weights are averaged, or a share of all of them
SHARE = 0.05
LITTLE = 3e9  # weights times pixels of a batch; below it another precision is not worth trying
FASTER = 0.8  # a lower precision must take at most this share of the time
LOOK = 0.1  # seconds between two looks at the losses of a GPU
WARM = 3  # steps on a GPU before a whole step is recorded
AHEAD = 8  # steps that a GPU is given before the first of them is done
BROKEN = 20  # steps in a row without a number as loss
HALF_MADE = (
    "The memory was used up in the middle of a step, and the other processes wait for its result. Resume it with "
    "a smaller batch."
)


class Learner:
    """The network, its running average and its optimizer: all that is needed to resume.

    The average of the weights over the last steps is what is judged and saved (Polyak averaging; on
    nuclei it finds 3 to 5 % more objects than the last weights).

    ``steps`` : how many there will be, as far as one can tell; ``world`` : the processes that take part.
    """

    kept = ("step", "seconds", "check_seconds", "best", "rising", "loss", "peak", "lowered")

    def __init__(self, net: Network, device: Device, rate: float, steps: int = 0, world: World | None = None) -> None:
        self.device, self.world = prepare(device), world or World()
        self.net: Network = net.to(self.device)
        self.net.to(memory_format=layout(net, self.device))  # type: ignore[call-overload]
        self.average = deepcopy(self.net).eval().requires_grad_(False)
        self.net = self.world.ready(self.net)
        self._bind()
        self.optimizer = Optimizer(self.net, rate, self.device)
        self.horizon = max(AVERAGED, SHARE * steps)
        self.step = 0
        self.seconds = 0.0  # spent, without pauses
        self.check_seconds = 0.0
        self.best = float("-inf")
        self.rising = True  # the last check was the best so far
        self.loss = float("nan")  # running mean
        self.peak = rate  # largest learning rate
        self.lowered = bfloat16(self.device)  # whether it is computed in bfloat16; None: to be tried

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{k: getattr(self, k) for k in self.kept},
            "lowered": self.lowered if bfloat16(self.device) is None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore a `state`."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for k in self.kept:
            setattr(self, k, state[k])
        known = bfloat16(self.device)
        self.lowered = self.lowered if known is None else known  # it may have been saved on another device

    def move(self, device: torch.device) -> None:
        """To another device."""
        self.device, self.lowered = device, bfloat16(device)
        self.net.to(device)
        self.average.to(device)
        self._bind()
        self.optimizer.move(device)

    def agree(self) -> None:
        """Take over what the first process has."""
        if self.world.size > 1:
            buffer = io.BytesIO()
            torch.save(self.state(), buffer)
            told = io.BytesIO(self.world.shared(buffer.getvalue()))
            self.load(torch.load(told, map_location=self.device, weights_only=True))

    def loss_of(self, batch: Batch, loss: Loss, lowered: bool, net: Network | None = None) -> Tensor:
        """Of the network, or another one, on a batch, a scalar; ``lowered`` : computed in bfloat16 where that is enough."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=lowered):
            out = (net or self.net)(batch.x)
        return loss(out.float(), batch.target, batch.weight)

    def rehearse(self, batch: Batch, loss: Loss) -> None:
        """Take the memory of a step with such a batch, on a copy, in this process alone."""
        net = deepcopy(self.average).train().requires_grad_(True)
        self.loss_of(batch, loss, bool(self.lowered), net).backward()

    def learn(self, batch: Batch, loss: Loss, share: float | Tensor) -> Tensor:
        """One step on a batch: the network, the optimizer and the average. The loss; nothing here waits for the device."""
        found = self.loss_of(batch, loss, bool(self.lowered))
        self.update(found, share)
        return found.detach()

    def share(self, made: int) -> float:
        """How much of the average the weights of the step after ``made`` become."""
        return max(1 / self.horizon, 9 / (made + 11))

    def update(self, loss: Tensor, share: float | Tensor) -> None:
        """One step of the optimizer, and of the average; none of the optimizer where the loss is not a number."""
        loss.backward()
        gradients = [p.grad for p in self.net.parameters() if p.grad is not None]
        self.world.average([*gradients, loss.detach()])
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        fine = norm.isfinite() & loss.detach().isfinite()
        self.optimizer.step((norm / CLIPPED).clamp(min=1.0), fine)
        with torch.no_grad():
            if isinstance(share, float):
                torch._foreach_lerp_(self._averaged, self._latest, share)
                return
            apart = torch._foreach_sub(self._latest, self._averaged)  # of a share that a graph reads
            torch._foreach_mul_(apart, share)
            torch._foreach_add_(self._averaged, apart)

    def _bind(self) -> None:
        """Remember the tensors that are averaged, which no step replaces."""
        nets = (self.average, self.net)
        self._averaged, self._latest = ([t for t in n.state_dict().values() if t.is_floating_point()] for n in nets)


class _Graph:
    """A whole step, batch and targets included, recorded once and started as one: a GPU then waits for no launch.

    It was recorded for one size of batch.
    """

    def __init__(self, learner: Learner, batches: Batches, loss: Loss, where: Tensor) -> None:
        self._learner = learner
        self._where = where.clone()
        self._share = torch.zeros((), device=learner.device)
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(batches.random)
        learner.optimizer.zero_grad()
        with recording(self._graph):
            self._loss = learner.learn(batches.made(self._where), loss, self._share)

    def step(self, where: Tensor, rate: float, share: float) -> Tensor:
        """One step on the batch of these places; the loss."""
        self._where.copy_(where)
        self._share.fill_(share)
        self._learner.optimizer.set_rate(rate)
        self._graph.replay()
        return self._loss.clone()


class Stepper:
    """Makes a learner's steps from batches.

    ``made`` is how many, counting those whose loss was not looked at yet.

    Attributes
    ----------
    unrecorded : why a step could not be recorded as a CUDA graph, empty where it could.
    """

    def __init__(self, learner: Learner, batches: Batches, loss: Loss) -> None:
        self._learner, self._batches, self._loss = learner, batches, loss
        self._waiting: list[Tensor] = []
        self._looked = time.monotonic()
        self._broken = 0
        self._graph: _Graph | None = None
        self._eager = 0  # steps that were made one kernel after the other
        self._fits = 0  # a batch size for which every process has memory
        self._pace = Pace(AHEAD)
        self.unrecorded = ""
        if self._records:
            learner.optimizer.set_rate(torch.full((), float(learner.optimizer.rate), device=learner.device))

    @property
    def made(self) -> int:
        """Steps in all."""
        return self._learner.step + len(self._waiting)

    def step(self, rate: float) -> None:
        """One more, at this learning rate."""
        learner = self._learner
        if learner.world.size > 1:
            self._step_together(rate)
            return
        share, where = learner.share(self.made), None
        if self._records and self._eager >= WARM and not self.unrecorded:
            where, _ = self._batches.drawn()
            self._graph = self._graph or self._recorded(where)
        if self._graph is not None and where is not None:
            self._waiting.append(self._graph.step(where, rate, share))
        else:
            batch = next(self._batches) if where is None else self._batches.made(where)
            if learner.lowered is None:
                learner.lowered = self._pays(batch)
            learner.optimizer.set_rate(rate)
            learner.optimizer.zero_grad()
            # a tensor where steps are recorded, so that those before use the same kernels
            part = torch.full((), share, device=learner.device) if self._records else share
            self._waiting.append(learner.learn(batch, self._loss, part))
            self._eager += 1
        if self._records:
            self._pace.keep()

    @property
    def _records(self) -> bool:
        """Whether a step of this device is a CUDA graph, once it is warm."""
        return self._learner.device.type == "cuda" and self._learner.world.size == 1

    def _recorded(self, where: Tensor) -> _Graph | None:
        """A step as a CUDA graph; None where this GPU, its driver or torch does not record it."""
        try:
            return _Graph(self._learner, self._batches, self._loss, where)
        except RuntimeError as e:
            self._batches.forget_graph()
            if is_out_of_memory(e):
                raise
            self.unrecorded = f"{type(e).__name__}: {e}".partition("\n")[0]
            return None

    def due(self, until: int | None) -> bool:
        """Whether losses should be looked at, which waits for the device; at the latest ``until`` steps after the last look."""
        if self._learner.device.type == "cpu" or (until is not None and len(self._waiting) >= until):
            return True
        return time.monotonic() - self._looked > LOOK

    def read(self) -> float | None:
        """Count the steps since the last look; the last loss, None where none was a number.

        Raises
        ------
        DojoError : many losses in a row were not numbers.
        """
        learner, found = self._learner, None
        values = torch.stack(self._waiting).tolist() if self._waiting else []
        self._waiting.clear()
        self._looked = time.monotonic()
        for value in values:
            self._broken = 0 if isfinite(value) else self._broken + 1
            if self._broken >= BROKEN:
                raise DojoError(f"The loss was not a number {BROKEN} times in a row. Choose a lower learning rate.")
            if isfinite(value):
                found = value
                learner.step += 1
                old = learner.loss
                learner.loss = value if learner.step <= 1 else old + (value - old) * max(0.02, 1 / learner.step)
        return found

    def smaller(self) -> Message:
        """After running out of memory: half the batch, in the end the CPU.

        Raises
        ------
        MemoryError : not even one patch fits.
        """
        learner, batches = self._learner, self._batches
        self._graph, self._eager = None, 0
        self._pace.forget()
        learner.optimizer.zero_grad()
        if learner.device.type == "cuda":
            torch.cuda.empty_cache()
        if batches.batch > 1:
            batches.batch //= 2
            return Message("warning", f"Not enough memory. Continuing with batch size {batches.batch}.")
        if learner.device.type == "cpu" or learner.world.size > 1:
            raise MemoryError("not even batch size 1 fits into memory")
        learner.move(torch.device("cpu"))
        batches.move(learner.device)
        return Message(
            "warning", "Not enough GPU memory even for batch size 1. Continuing on the CPU, which is slower."
        )

    def _step_together(self, rate: float) -> None:
        """One more, of all processes. It is not recorded: they find each other in the middle of it."""
        learner, batch = self._learner, self._tried()
        if learner.lowered is None:
            learner.lowered = learner.world.shared(self._pays(batch))
        learner.optimizer.set_rate(rate)
        learner.optimizer.zero_grad()
        with _no_way_back(), learner.world.pooled():
            self._waiting.append(learner.learn(batch, self._loss, learner.share(self.made)))

    def _tried(self) -> Batch:
        """The next batch; the first of each size is tried by every process before they wait for each other in a step.

        Raises
        ------
        MemoryError : in all of them where one has not enough.
        """
        size, batch = self._batches.batch, None
        if size == self._fits:
            with _no_way_back():
                return next(self._batches)
        try:
            batch = next(self._batches)
            self._learner.rehearse(batch, self._loss)
        except Exception as e:
            if not is_out_of_memory(e):
                raise
            batch = None
        everywhere = self._learner.world.all(batch is not None)
        if batch is None or not everywhere:
            raise MemoryError(f"batch size {size} does not fit into the memory of every process")
        self._fits = size
        return batch

    def _pays(self, batch: Batch) -> bool:
        """Whether bfloat16 makes steps clearly faster on this processor, by trying; never where there is little to compute."""
        weights = sum(p.numel() for p in self._learner.net.parameters())
        if weights * batch.x[:, :1].numel() < LITTLE or torch.backends.cpu.get_cpu_capability() != "AVX512":
            return False
        return self._seconds(batch, True) < FASTER * self._seconds(batch, False)

    def _seconds(self, batch: Batch, lowered: bool) -> float:
        """Of a step that changes nothing; the second one counts."""
        learner, kept = self._learner, deepcopy(self._learner.net.state_dict())
        for _ in range(2):
            began = time.perf_counter()
            learner.loss_of(batch, self._loss, lowered).backward()
            took = time.perf_counter() - began
        learner.optimizer.zero_grad()
        learner.net.load_state_dict(kept)  # the running figures of batch norm
        return took


@contextmanager
def _no_way_back() -> Iterator[None]:
    """Running out of memory in here ends the training: the other processes cannot know of it."""
    try:
        yield
    except Exception as e:
        if is_out_of_memory(e):
            raise DojoError(HALF_MADE) from e
        raise


def layout(net: Network, device: torch.device) -> torch.memory_format:
    """Channels last, which convolutions are faster on; not on an Apple GPU."""
    if device.type == "mps":
        return torch.contiguous_format
    return torch.channels_last_3d if getattr(net, "dims", 2) == 3 else torch.channels_last
