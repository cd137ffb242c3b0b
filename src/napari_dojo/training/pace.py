"""How fast the device is: a few steps of the bare network, timed before the plan is settled. Needs torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch

from napari_dojo import nets
from napari_dojo.device import Device, bfloat16, is_out_of_memory, prepare, recording
from napari_dojo.training.learner import layout
from napari_dojo.training.optimizer import Optimizer
from napari_dojo.training.plan import Plan, paced
from napari_dojo.training.prepare import Setup

__all__ = ["recorded", "timed_plan", "wait"]

TIMED = 8  # steps


def timed_plan(setup: Setup, device: Device) -> Plan:
    """The setup's plan, with the batch and the width that suit a GPU; as it is where a person or a start chose them.

    What is chosen is timed in turn where it is more work: of a small step most is the start of its parts, so that a larger one
    takes less time than in proportion. A CPU keeps its plan: what its cores do in a step is known well enough.
    """
    plan, settings = setup.plan, setup.settings
    assert plan is not None
    if device.kind == "cpu" or settings.batch or settings.width or setup.start or not plan.minutes:
        return plan
    found, timed, seconds, most = plan, plan, float("inf"), 0.0
    while (work := found.batch * found.width**1.8 / (plan.batch * plan.width**1.8)) > most:
        try:
            seconds, most, timed = _seconds_per_step(setup, found, device) / work, work, found
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return timed if most else paced(plan, seconds, device)
        found = paced(plan, seconds, device)
    return found


def _seconds_per_step(setup: Setup, plan: Plan, device: Device) -> float:
    """Of the bare network on one batch, recorded as a graph where the device can."""
    where = prepare(device)
    summary = setup.summary
    arguments = {**plan.net, **summary.hints.arguments}
    net = nets.build(
        summary.hints.network, **arguments, in_channels=setup.dataset.channels, out_channels=len(summary.maps)
    )
    net = net.to(where).to(memory_format=layout(net, where))  # type: ignore[call-overload]
    x = torch.rand(plan.batch, setup.dataset.channels, *plan.patch, device=where)
    optimizer = Optimizer(net, 1e-6, where)
    scale, fine = torch.ones((), device=where), torch.ones((), dtype=torch.bool, device=where)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(where.type, torch.bfloat16, enabled=bool(bfloat16(where))):
            out = net(x)
        out.float().square().mean().backward()
        optimizer.step(scale, fine)

    run = _recorded_if_possible(step) if where.type == "cuda" else step
    run()
    wait(where)
    began = time.perf_counter()
    for _ in range(TIMED):
        run()
    wait(where)
    return (time.perf_counter() - began) / TIMED


def _recorded_if_possible(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph, or as it is where this GPU, its driver or torch does not record it."""
    try:
        return recorded(step)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return step


def recorded(step: Callable[[], None]) -> Callable[[], None]:
    """A step of a network on a GPU as a CUDA graph, after some that warm up."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with recording(graph):
        step()
    return partial(_replay, graph, step)


def _replay(graph: torch.cuda.CUDAGraph, step: Callable[[], None]) -> None:
    """Start a recorded step; ``step`` holds the tensors that the graph reads and writes, which must live as long."""
    graph.replay()


def wait(where: torch.device) -> None:
    """Until the device has done all that it was given."""
    if where.type == "cuda":
        torch.cuda.synchronize()
    if where.type == "mps":
        torch.mps.synchronize()
