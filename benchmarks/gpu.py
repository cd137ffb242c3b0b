"""GPU: how near training and prediction come to what the card can do, and what they reach in minutes; JSON in under eight minutes.

It needs torch, numpy, scipy, scikit-image, tifffile, PyYAML and psutil; nothing has to be installed, not even napari-dojo.
Each part is a process with a time limit. One that fails has the reason in the JSON, beside what it had found, and the others run.
``--device cpu --quick`` tries the script itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
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
# Seconds that a part may take. Those of all parts end within `ALL`, in which time is kept for the parts that come after one.
PARTS = {"step": 100, "prediction": 60, "nuclei": 190, "denoise": 150, "shipped": 40, "large": 60}
LEAST = {"step": 60, "prediction": 30, "nuclei": 150, "denoise": 115, "shipped": 20, "large": 30}
ALL = 465
BARS = {  # part, figure: the value, and whether it is the most or the least
    ("step", "step_ratio"): (1.25, "most"),
    ("prediction", "predict_ratio"): (1.3, "most"),
    ("nuclei", "busy"): (0.8, "least"),
    ("nuclei", "ap_0.5"): (0.875, "least"),
    ("nuclei", "ap_0.7"): (0.765, "least"),
    ("denoise", "psnr"): (31.8, "least"),
    ("shipped", "predict_command_seconds"): (8.0, "most"),
    ("large", "command_seconds"): (20.0, "most"),
}
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
        self.facts: dict[str, Any] = {}
        self.device = devices.choose(args.device)
        self.found(device=self.device.sentence)

    def found(self, **facts: Any) -> None:
        """Print what is known by now, as a line of JSON."""
        self.facts |= facts
        print(json.dumps(self.facts), flush=True)

    def step(self) -> None:
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
        self.found(torch=torch.__version__, plan={"batch": plan.batch, "patch": list(plan.patch), "width": plan.width})
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
        if stepper.unrecorded:
            self.found(unrecorded=stepper.unrecorded)
        pairs = []
        for _ in range(blocks):
            pairs.append((timed(whole), timed(bare)))
            self.found(
                step_ratio=round(median(a / b for a, b in pairs), 3),
                step_ms=round(median(a for a, _ in pairs), 3),
                bare_ms=round(median(b for _, b in pairs), 3),
            )
        if where.type == "cuda":
            self.found(memory_gb=round(torch.cuda.max_memory_reserved() / 1e9, 2))

    def prediction(self) -> None:
        """Tiled prediction of 4096 x 4096 over its bare forward passes."""
        from loop_overhead import Setting, prediction

        edge = 512 if self.quick else 4096
        self.found(edge=edge, **prediction(Setting(1, self.device), self.device, edge, 1 if self.quick else 5))

    def nuclei(self) -> None:
        """dsb2018_fluo: two minutes of training, how busy the card is meanwhile, the test images by command, AP."""
        data = self._some(self.args.nuclei, "nuclei")
        self._scored(data, self._trained("instances", data, "images", "masks", 2.0))

    def _scored(self, data: Path, out: Path) -> None:
        from _common import instance_scores, rounded

        self.found(**{f"ap_{k}": v for k, v in rounded(instance_scores(data / "test" / "masks", out).ap).items()})

    def denoise(self) -> None:
        """w2s_denoise: one and a half minutes with pairs, PSNR of the test images."""
        from _common import image_scores, in_words

        data = self._some(self.args.w2s, "w2s")
        out = self._trained("denoise", data, "noisy", "clean", 1.5)
        self.found(**in_words(image_scores(data / "test" / "clean", out)))

    def _trained(self, task: str, data: Path, inputs: str, targets: str, minutes: float) -> Path:
        """Train on the training part, predict the test part; where the predictions lie."""
        from _common import dojo

        model, out = self.folder / f"{task}-model", self.folder / f"{task}-out"
        with Busy() as busy:
            pairs = ("--input", data / "train" / inputs, "--target", data / "train" / targets)
            seconds = self._train(task, *pairs, "--minutes", self._minutes(minutes), "--out", model)
        self.found(train_seconds=round(seconds, 1), **_steps(model), **busy.facts())
        predicting = dojo("predict", model, data / "test" / inputs, "--device", self.device.kind, "--out", out)
        self.found(predict_command_seconds=round(predicting, 1))
        return out

    def shipped(self) -> None:
        """The shipped nuclei model: the 50 test images by command, and their AP."""
        from _common import dojo

        data, out = self._some(self.args.nuclei, "nuclei"), self.folder / "shipped-labels"
        seconds = dojo(
            "predict", "nuclei-fluorescence", data / "test" / "images", "--device", self.device.kind, "--out", out
        )
        self.found(predict_command_seconds=round(seconds, 1))
        self._scored(data, out)

    def large(self) -> None:
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
        self.found(edge=edge, command_seconds=round(dojo("predict", "nuclei-fluorescence", path, *where), 1))

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


def run_part(part: str, words: list[str], limit: float) -> dict[str, Any]:
    """A part as a process with all that it starts, ended after ``limit`` seconds: what it found, and why it found no more."""
    began, reason = time.monotonic(), ""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryDirectory(prefix="dojo-gpu-") as room:
        command = [sys.executable, str(Path(__file__).resolve()), *words, "--part", part]
        child = subprocess.Popen(command, stdout=told, env={**os.environ, "TMPDIR": room}, start_new_session=True)
        try:
            code = child.wait(timeout=limit)
            reason = f"ended with exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            reason = f"not done after {limit:.0f} s"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        told.seek(0)
        lines = [line for line in told.read().splitlines() if line.startswith("{")]
    facts: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if reason:
        facts.setdefault("error", reason)
    return {**facts, "part_seconds": round(time.monotonic() - began, 1)}


def do_part(args: argparse.Namespace) -> int:
    """One part, in this process."""
    with tempfile.TemporaryDirectory(prefix="dojo-gpu-") as name:
        make_ready(Path(name))
        benchmark = None
        try:
            benchmark = Benchmark(args, Path(name))
            getattr(benchmark, args.part)()
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            known = benchmark.facts if benchmark else {}
            print(json.dumps({**known, "error": f"{type(error).__name__}: {error}"}), flush=True)
            return 1
    return 0


def compared(facts: dict[str, Any]) -> dict[str, Any]:
    """Each figure that has a bar, the bar, and whether it is met; None where there is no figure."""
    found = {}
    for (part, name), (bar, side) in BARS.items():
        value = facts.get(part, {}).get(name)
        met = None if value is None else value <= bar if side == "most" else value >= bar
        found[f"{part}_{name}"] = {"value": value, f"at_{side}": bar, "met": met}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    shared = ROOT.parent / "shared" / "data"
    parser.add_argument("--nuclei", type=Path, default=shared / "dsb2018_fluo", metavar="DIR")
    parser.add_argument("--w2s", type=Path, default=shared / "w2s_denoise", metavar="DIR")
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="a few seconds of each part")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, too, after each part")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        return do_part(args)
    began, facts = time.monotonic(), {}
    words = ["--nuclei", str(args.nuclei), "--w2s", str(args.w2s), "--device", args.device, *["--quick"] * args.quick]
    for i, part in enumerate(args.only):
        kept = sum(LEAST[later] for later in args.only[i + 1 :])
        left = ALL - (time.monotonic() - began)
        facts[part] = run_part(part, words, max(min(PARTS[part], left - kept), min(left, 5.0), 1.0))
        facts["device"] = facts[part].pop("device", facts.get("device"))
        facts["seconds"] = round(time.monotonic() - began, 1)
        print(json.dumps({part: facts[part]}), file=sys.stderr, flush=True)
        if args.out:
            args.out.write_text(json.dumps({**facts, "compared": compared(facts)}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({**facts, "compared": compared(facts)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
