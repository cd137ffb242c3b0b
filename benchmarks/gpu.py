"""GPU: how near training and prediction come to what the card can do, and what they reach in minutes; JSON in under eight minutes.

It needs torch, numpy, scipy, scikit-image, tifffile, PyYAML and psutil; nothing has to be installed, not even napari-dojo.
A part that fails has its error in the JSON, and the rest goes on. ``--device cpu --quick`` tries the script itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RICH = {  # what the command line shows its progress with, where it is not installed: nothing is shown
    "__init__": "",
    "console": """
import sys
class Console:
    def __init__(self, **more): pass
    def print(self, *words, **more): print(*words, file=sys.stderr)
""",
    "progress": """
class Column:
    def __init__(self, *more): pass
BarColumn = MofNCompleteColumn = TextColumn = TimeRemainingColumn = Column
class Progress:
    def __init__(self, *columns, console=None, **more): self.console = console
    def __enter__(self): return self
    def __exit__(self, *error): pass
    def add_task(self, *words, **more): return 0
    def update(self, *words, **more): pass
""",
}


def make_ready(folder: Path) -> None:
    """Let this process and its commands find napari-dojo, stand-ins for what is not installed, and no models of a user's."""
    paths = [str(ROOT / "src")]
    if importlib.util.find_spec("rich") is None:
        (folder / "stand-ins" / "rich").mkdir(parents=True)
        for name, text in RICH.items():
            (folder / "stand-ins" / "rich" / f"{name}.py").write_text(text, encoding="utf-8")
        paths.append(str(folder / "stand-ins"))
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    os.environ["NAPARI_DOJO_HOME"] = str(folder / "home")


class Busy:
    """The share of time in which the card computes, 0 to 1, asked of nvidia-smi twice a second while this is open."""

    def __enter__(self) -> Busy:
        self.samples: list[tuple[float, float]] = []
        self._began, self._over = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(5)

    def _watch(self) -> None:
        words = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0"]
        while not self._over.wait(0.5):
            try:
                told = subprocess.run(words, capture_output=True, text=True, timeout=5)
                self.samples.append((time.monotonic() - self._began, float(told.stdout.split()[0]) / 100))
            except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
                return

    def facts(self) -> dict[str, Any]:
        """Of the whole command, and of its middle, without its start and its end."""
        if not self.samples:
            return {"busy": None}
        end = self.samples[-1][0]
        inner = [b for t, b in self.samples if 15 < t < end - 10] or [b for _, b in self.samples]
        return {"busy": round(mean(inner), 3), "busy_whole_command": round(mean(b for _, b in self.samples), 3)}


class Benchmark:
    """The parts; ``quick`` makes each a trial of a few seconds."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        from napari_dojo import device as devices

        self.args, self.folder, self.quick = args, folder, args.quick
        self.device = devices.choose(args.device)

    def step(self) -> dict[str, Any]:
        """A whole training step over the bare network's, at the plan's own batch and width."""
        import torch
        from loop_overhead import Setting

        from napari_dojo import device as devices
        from napari_dojo.data.batches import Batches
        from napari_dojo.settings import TrainSettings
        from napari_dojo.training.learner import Learner, Stepper
        from napari_dojo.training.pace import timed_plan
        from napari_dojo.training.prepare import prepare

        setting, where = Setting(4 if self.quick else 24, self.device), devices.prepare(self.device)
        settings = TrainSettings(minutes=2.0, validation=0.0)
        setup = prepare(setting.dataset, setting.task, setting.options, settings, self.device)
        setting.plan = plan = timed_plan(setup, self.device)
        setting.patches = setting.patches_for(plan.patch)
        blocks, count = (1, 3) if self.quick else (6, 100 if self.device.kind == "cuda" else 15)
        batches = Batches(setting.sources, setting.patches, plan.batch, 0, device=where)
        learner = Learner(setting.net(), self.device, plan.learning_rate, plan.steps)
        stepper = Stepper(learner, batches, setting.loss)
        stepper.step(1e-4)  # decides how precise steps are
        bare = _bare(setting, self.device, next(batches), bool(learner.lowered))

        def whole() -> None:
            stepper.step(1e-4)

        from napari_dojo.training.pace import wait

        def timed(run: Callable[[], None]) -> float:
            wait(where)
            began = time.perf_counter()
            for _ in range(count):
                run()
            stepper.read()
            wait(where)
            return 1000 * (time.perf_counter() - began) / count

        timed(whole), timed(bare)  # they warm up
        pairs = [(timed(whole), timed(bare)) for _ in range(blocks)]
        return {
            "step_ratio": round(median(a / b for a, b in pairs), 3),
            "step_ms": round(median(a for a, _ in pairs), 3),
            "bare_graph_ms" if where.type == "cuda" else "bare_ms": round(median(b for _, b in pairs), 3),
            "plan": {"batch": plan.batch, "patch": list(plan.patch), "width": plan.width},
            "torch": torch.__version__,
        }

    def prediction(self) -> dict[str, Any]:
        """Tiled prediction of 4096 x 4096 over its bare forward passes."""
        from loop_overhead import Setting, prediction

        edge = 512 if self.quick else 4096
        return {"edge": edge, **prediction(Setting(1, self.device), self.device, edge, 1 if self.quick else 5)}

    def nuclei(self) -> dict[str, Any]:
        """dsb2018_fluo: two minutes of training, how busy the card is meanwhile, the test images by command, AP."""
        from _common import instance_scores, rounded

        data = self._some(self.args.nuclei, "nuclei")
        facts, out = self._trained("instances", data, "images", "masks", 2.0)
        return {**facts, "ap": rounded(instance_scores(data / "test" / "masks", out).ap)}

    def denoise(self) -> dict[str, Any]:
        """w2s_denoise: one and a half minutes with pairs, PSNR of the test images."""
        from _common import image_scores, in_words

        data = self._some(self.args.w2s, "w2s")
        facts, out = self._trained("denoise", data, "noisy", "clean", 1.5)
        return {**facts, **in_words(image_scores(data / "test" / "clean", out))}

    def _trained(self, task: str, data: Path, inputs: str, targets: str, minutes: float) -> tuple[dict[str, Any], Path]:
        """Train on the training part, predict the test part: times, and where the predictions lie."""
        from _common import dojo

        model, out = self.folder / f"{task}-model", self.folder / f"{task}-out"
        with Busy() as busy:
            pairs = ("--input", data / "train" / inputs, "--target", data / "train" / targets)
            seconds = self._train(task, *pairs, "--minutes", self._minutes(minutes), "--out", model)
        predicting = dojo("predict", model, data / "test" / inputs, "--device", self.device.kind, "--out", out)
        facts = {"train_seconds": round(seconds, 1), **_steps(model), **busy.facts()}
        return {**facts, "predict_command_seconds": round(predicting, 1)}, out

    def shipped(self) -> dict[str, Any]:
        """The shipped nuclei model: the 50 test images by command, and their AP."""
        from _common import dojo, instance_scores, rounded

        data, out = self._some(self.args.nuclei, "nuclei"), self.folder / "shipped-labels"
        seconds = dojo(
            "predict", "nuclei-fluorescence", data / "test" / "images", "--device", self.device.kind, "--out", out
        )
        found = instance_scores(data / "test" / "masks", out).ap
        return {"predict_command_seconds": round(seconds, 1), "ap": rounded(found)}

    def large(self) -> dict[str, Any]:
        """Labels of an image of 8192 x 8192, from file to file, by command with the shipped model."""
        import numpy as np
        from _common import dojo

        from napari_dojo.io import images
        from napari_dojo.simulation.microscope import simulate

        edge = 1024 if self.quick else 8192
        scenes = [simulate("nuclei", (512, 512), seed).image for seed in range(4)]
        block = np.block([[scenes[0], scenes[1]], [scenes[2], scenes[3]]])
        path = self.folder / "large" / "image.tif"
        path.parent.mkdir()
        images.write(path, np.tile(block, (edge // 1024, edge // 1024)), "YX")
        where = ("--device", self.device.kind, "--out", self.folder / "large-out")
        return {"edge": edge, "command_seconds": round(dojo("predict", "nuclei-fluorescence", path, *where), 1)}

    def _minutes(self, whole: float) -> float:
        return 0.1 if self.quick else whole

    def _train(self, task: str, *words: object) -> float:
        from _common import dojo

        return dojo("train", task, *words, "--device", self.device.kind, "--test", 0)

    def _some(self, data: Path, name: str) -> Path:
        """A data folder; for a quick trial a few of its images."""
        if not self.quick:
            return data
        few = self.folder / f"few-{name}"
        for part in ("train", "test") if not few.exists() else ():
            for kind in sorted(p for p in (data / part).iterdir() if p.is_dir()):
                (few / part / kind.name).mkdir(parents=True)
                for file in sorted(kind.iterdir())[: 6 if part == "train" else 2]:
                    shutil.copy(file, few / part / kind.name)
        return few


def _bare(setting: Any, device: Any, batch: Any, lowered: bool) -> Callable[[], None]:
    """Forward, loss, backward and step of the network alone on one batch that lies there; on a GPU recorded as a graph."""
    import torch

    from napari_dojo import device as devices
    from napari_dojo.training.optimizer import Optimizer
    from napari_dojo.training.pace import recorded

    where = devices.prepare(device)
    net = setting.net().to(where, memory_format=torch.channels_last).train()
    optimizer = Optimizer(net, 1e-4, where)
    scale, fine = torch.ones((), device=where), torch.ones((), dtype=torch.bool, device=where)
    x = batch.x.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(where.type, torch.bfloat16, enabled=lowered):
            out = net(x)
        setting.loss(out.float(), batch.target, batch.weight).backward()
        optimizer.step(scale, fine)

    return recorded(step) if where.type == "cuda" else step


def _steps(model: Path) -> dict[str, Any]:
    """What a training was, of its card."""
    from napari_dojo.models.card import read_card

    training = read_card(model).training
    return {k: training.get(k) for k in ("steps", "seconds", "batch", "patch", "device")}


PARTS = ("step", "prediction", "nuclei", "denoise", "shipped", "large")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    shared = ROOT.parent / "shared" / "data"
    parser.add_argument("--nuclei", type=Path, default=shared / "dsb2018_fluo", metavar="DIR")
    parser.add_argument("--w2s", type=Path, default=shared / "w2s_denoise", metavar="DIR")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--quick", action="store_true", help="a few seconds of each part")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, too, after each part")
    args = parser.parse_args()
    began, facts = time.monotonic(), {}
    with tempfile.TemporaryDirectory(prefix="dojo-gpu-") as name:
        make_ready(Path(name))
        benchmark = Benchmark(args, Path(name))
        facts["device"] = benchmark.device.sentence
        for part in args.only:
            at = time.monotonic()
            try:
                facts[part] = getattr(benchmark, part)()
            except (Exception, SystemExit) as error:
                traceback.print_exc()
                facts[part] = {"error": f"{type(error).__name__}: {error}"}
            facts[part]["part_seconds"] = round(time.monotonic() - at, 1)
            print(json.dumps({part: facts[part]}), file=sys.stderr, flush=True)
            if args.out:
                args.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    facts["seconds"] = round(time.monotonic() - began, 1)
    if args.out:
        args.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
