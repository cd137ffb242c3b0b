"""Classroom: seconds for 10,000 updates at batch 1, and every exercise's solution over 10 seeds."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from _common import table

from napari_dojo.playground import Session, Setup
from napari_dojo.playground.exercise import NAMES, load
from napari_dojo.playground.goal import figures
from napari_dojo.playground.kinds import session_of
from napari_dojo.playground.surface import Grid, neuron_maps, surface

STEPS = 10_000


def parabola(activation: str) -> Setup:
    """The net of 17 parameters, as the course trains it."""
    solution = load("parabola").solution
    assert solution is not None
    return solution.with_(activation=activation, epochs=STEPS // 500)


def speed(repeats: int) -> dict[str, Any]:
    """Best seconds of whole trainings: 20 epochs of 500 points, scores after each epoch included."""
    found: dict[str, Any] = {}
    for activation in ("sigmoid", "tanh", "relu"):
        times = []
        for _ in range(repeats):
            session = Session(parabola(activation))
            times.append(timed(lambda session=session: list(session.run())))
            assert session.updates == STEPS
        found[f"steps_{activation}_s"] = round(min(times), 3)
    found["steps_torch_s"] = round(timed(plain_torch), 2)
    return found


def plain_torch() -> None:
    """The same updates as PyTorch is usually written."""
    import torch

    torch.set_num_threads(1)
    session = Session(parabola("tanh"))
    x, t = (torch.tensor(a[:500], dtype=torch.float32) for a in (session.data.xy, session.data.value[:, None]))
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for at in range(STEPS):
        i = at % 500
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x[i : i + 1]), t[i : i + 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def frame() -> dict[str, Any]:
    """Milliseconds of our own code for a frame: 500 points, three hidden layers of 8, all maps and a surface."""
    session = Session(Setup().with_(kind="spiral", hidden=(8, 8, 8), activation="tanh", batch_size=16))
    small, large = (Grid.of(session.data, session.setup.net.inputs, size) for size in (40, 100))

    def draw() -> None:
        neuron_maps(session.net, small)
        surface(session.net, large, 2)
        session.score("training")
        session.score("validation")

    return {"frame_ms": round(1000 * median(timed(draw) for _ in range(30)), 1)}


def timed(run: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def exercise(name: str, seeds: int, **values: Any) -> dict[str, Any]:
    """Test scores of the solution (in regression shares explained), how often the goal was met, and the time of one."""
    task = load(name)
    assert task.solution is not None
    tests, met, seconds = [], 0, []
    for seed in range(seeds):
        session = session_of(replace(task.solution, seed=seed).with_(**values))
        seconds.append(timed(lambda session=session: list(session.run())))
        score = session.score("test")
        assert score is not None
        tests.append(score.value)
        met += task.goal.met(figures(session))
    return {
        "parameters": session.setup.parameters,
        "median": round(float(np.median(tests)), 4),
        "worst": round(min(tests), 4),
        "met": met,
        "seconds": round(max(seconds), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5, help="of the 10,000 updates")
    args = parser.parse_args()
    found = {name: exercise(name, args.seeds) for name in NAMES}
    for activation in ("relu", "sigmoid"):
        found[f"parabola, {activation}"] = exercise("parabola", args.seeds, activation=activation)
    titles = ["exercise", "parameters", "test: median", "worst", f"goal met of {args.seeds}", "longest, s"]
    print(table([titles, *([name, *map(str, row.values())] for name, row in found.items())]))
    print(json.dumps({**speed(args.repeats), **frame(), "seeds": args.seeds, "exercises": found}))


if __name__ == "__main__":
    main()
