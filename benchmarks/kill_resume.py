"""Kill: a training is killed at random moments and gone on with; the model folder must be valid or absent each time."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import command

from napari_dojo.errors import DojoError
from napari_dojo.io.images import write
from napari_dojo.models import bundle
from napari_dojo.simulation.microscope import simulate


def simulated(folder: Path, count: int) -> list[object]:
    """Images and labels, as arguments of train."""
    for seed in range(count):
        scene = simulate("nuclei", (192, 192), seed)
        write(folder / "images" / f"{seed:02d}.tif", scene.image, "YX")
        write(folder / "masks" / f"{seed:02d}.tif", scene.labels, "YX", labels=True)
    return ["--input", folder / "images", "--target", folder / "masks"]


def started(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The command in a process group of its own; what it says goes to ``log``."""
    with log.open("ab") as said:
        return subprocess.Popen(words, stdout=said, stderr=said, start_new_session=True)


def killed(process: subprocess.Popen[bytes], seconds: float, model: Path | None) -> bool:
    """Kill the group after ``seconds``, or, with ``model``, then as soon as a file is being written there.

    False where the command had ended by itself.
    """
    began = time.monotonic()
    while process.poll() is None:
        gone = time.monotonic() - began
        writing = model is None or any(model.glob(".*.part")) or any(model.glob("run/.*.part")) or gone > seconds + 45
        if gone >= seconds and writing:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.001 if gone > seconds else 0.01)
    return False


def verdict(model: Path) -> str:
    """ "valid", "absent", or what is wrong with the model folder."""
    if not (model / "rdf.yaml").exists():
        return "absent"
    from bioimageio.spec import InvalidDescr, load_description

    try:
        bundle.load(model)
    except DojoError as e:
        return str(e)
    found = load_description(model, perform_io_checks=True)
    if isinstance(found, InvalidDescr) or found.validation_summary.status == "failed":
        return found.validation_summary.display(width=120) or "the description is not valid"
    return "valid"


def said_going_on(model: Path) -> int:
    """How often the run says that it went on from a saved step."""
    log = model / "run" / "events.jsonl"
    return log.read_text(encoding="utf-8").count("Resumed after step") if log.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="at random moments")
    parser.add_argument("--aimed", type=int, default=3, help="further ones, in the middle of writing a file")
    parser.add_argument("--minutes", type=float, default=3.0, help="of the training; it must outlast the kills")
    parser.add_argument("--longest", type=float, default=14.0, help="seconds until a kill, at most")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not hasattr(os, "killpg"):
        raise SystemExit("This benchmark kills process groups, which this system does not have.")
    moments = random.Random(args.seed)
    counts = {"kills": 0, "aimed": 0, "valid": 0, "absent": 0, "invalid": 0, "resumed": 0, "anew": 0, "early": 0}
    with tempfile.TemporaryDirectory(prefix="dojo-kill-") as name:
        folder, model, log = Path(name), Path(name) / "model", Path(name) / "log.txt"
        fixed = ["--minutes", f"{args.minutes:g}", "--device", "cpu", "--test", 0, "--resume", "--out", model]
        words = command("train", "instances", *simulated(folder, args.images), *fixed)
        for i in range(args.kills + args.aimed):
            before, state = said_going_on(model), (model / "run" / "state.pt").exists()
            seconds = moments.uniform(1.0, args.longest)
            process = started(words, log)
            if not killed(process, seconds, model if i >= args.kills else None):
                sys.stderr.write(log.read_text(errors="replace")[-2000:])
                raise SystemExit(f"The training ended by itself (exit code {process.returncode}) before kill {i + 1}.")
            found = verdict(model)
            went_on = said_going_on(model) > before
            counts["kills" if i < args.kills else "aimed"] += 1
            counts[found if found in ("valid", "absent") else "invalid"] += 1
            # a process that was killed while it was still starting has not come so far as to say anything
            counts["resumed" if went_on else "early" if state else "anew"] += 1
            how = "went on" if went_on else "was starting" if state else "began anew"
            print(f"kill {i + 1} after {seconds:.1f} s: {how}; model {found}", flush=True)
        before = said_going_on(model)
        process = started(words, log)
        code = process.wait()
        if code:
            sys.stderr.write(log.read_text(errors="replace")[-2000:])
        found, steps = verdict(model), bundle.load(model).card.training.get("steps") if not code else None
        print(f"the end: exit code {code}, {steps} steps, model {found}")
        last = {
            "finished": code == 0 and found == "valid",
            "last_resumed": said_going_on(model) > before,
            "steps": steps,
        }
    print(json.dumps(counts | last))
    if counts["invalid"] or not last["finished"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
