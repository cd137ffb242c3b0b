"""Peers of denoising: CAREamics' Noise2Void beside ours on real noise (w2s), the same minutes and machine, one run."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from _common import DATA, HERE, image_scores, in_words, keep, table
from denoise import judge, train
from peers import Missing, environment, run


def measure_peer(data: Path, minutes: float, envs: Path, out: Path) -> dict[str, Any]:
    """Train CAREamics and predict the test images; its times and scores, or why not."""
    try:
        python = environment("careamics", envs)
        where = ["--train", data / "train" / "noisy", "--test", data / "test" / "noisy", "--out", out]
        said = run([python, HERE / "peer_careamics.py", *where, "--minutes", f"{minutes:g}"])
        facts = json.loads(said.strip().splitlines()[-1])
    except (Missing, OSError, ValueError) as e:
        return {"missing": f"{e}"}
    times = {k: round(facts[k], 1) for k in ("train_seconds", "predict_seconds")}
    return {
        "version": facts["version"],
        "steps": facts["steps"],
        **times,
        **in_words(image_scores(data / "test" / "clean", out)),
    }


def measure_ours(data: Path, minutes: float, folder: Path) -> dict[str, Any]:
    """The same with our commands, from their start to their end."""
    from napari_dojo import __version__
    from napari_dojo.models.card import read_card

    train("noise2void", data, minutes, folder / "model")
    training = read_card(folder / "model").training
    facts = {"version": __version__, "steps": training["steps"], "train_seconds": training["seconds"]}
    return {**facts, **judge(folder / "model", data, folder / "predictions")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "w2s_denoise")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0], help="one training of each for each figure")
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "napari-dojo-peers")
    parser.add_argument("--no-save", action="store_true", help="leave results/peers_denoise.json as it is")
    args = parser.parse_args()
    found: list[dict[str, Any]] = []
    for minutes in args.minutes:
        for name, measure in (("napari-dojo", measure_ours), ("CAREamics", measure_peer)):
            with tempfile.TemporaryDirectory(prefix="dojo-peers-") as place:
                more = (args.envs,) if name == "CAREamics" else ()
                row = measure(args.data, minutes, *more, Path(place))  # type: ignore[operator]
            found.append({"method": name, "minutes": minutes, **row})
            print(json.dumps(found[-1]), flush=True)
    columns = ("method", "version", "minutes", "steps", "psnr", "ssim", "predict_seconds", "missing")
    print(table([list(columns), *([str(row.get(c, "")) for c in columns] for row in found)]))
    if not args.no_save:
        keep("peers_denoise", {"rows": found})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
