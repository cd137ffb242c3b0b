"""Torture: odd inputs, kills, hostile models, full disks and a long session; prints what broke and the figures."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _common import report

PARTS = ("inputs", "kills", "annotate", "hostile", "disk", "soak")


def main() -> int:
    """Run the parts asked for; 1 where something broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given several times")
    parser.add_argument("--inputs", type=int, default=300, help="generated inputs, each in two ways")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument(
        "--kill", nargs="+", default=[], help="only these of --only kills or annotate: training painting correcting ..."
    )
    parser.add_argument("--minutes", type=float, default=60, help="that the soak may take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json, too")
    asked = parser.parse_args()
    facts: dict[str, Any] = {}
    for part in asked.only or PARTS:
        with tempfile.TemporaryDirectory(prefix=f"dojo-{part}-") as name:
            os.environ["NAPARI_DOJO_HOME"] = str(Path(name) / "home")
            os.environ["NAPARI_CONFIG"] = str(Path(name) / "napari.yaml")
            facts[part] = runner(part, asked)(Path(name))
        print(json.dumps({part: facts[part]}), flush=True)
    report(facts, asked.save)
    return int(any(found.get("broken") for found in facts.values()))


def runner(part: str, asked: argparse.Namespace) -> Callable[[Path], dict[str, Any]]:
    """What does a part; only its own module is loaded."""
    if part == "inputs":
        import _torture_inputs

        return lambda folder: _torture_inputs.run(asked.inputs, folder, asked.seed)
    if part == "hostile":
        import _torture_hostile

        return _torture_hostile.run
    if part == "kills":
        import _torture_kills

        return lambda folder: _torture_kills.run(asked.kills, folder, asked.seed, only=asked.kill)
    if part == "annotate":
        import _torture_annotate

        return lambda folder: _torture_annotate.run(asked.kills, folder, asked.seed, only=asked.kill)
    if part == "disk":
        import _torture_disk

        return _torture_disk.run
    import _torture_soak

    return lambda folder: _torture_soak.run(folder, asked.minutes)


if __name__ == "__main__":
    raise SystemExit(main())
