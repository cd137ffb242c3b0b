"""Shipped denoiser: train denoise-fluorescence on the project's simulator alone, and judge it on real noise (w2s).

It replaces the model in the package only where --write is given.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from _common import DATA, ROOT, in_words

from napari_dojo.bundle import load, save
from napari_dojo.evaluate import beside, evaluate_model
from napari_dojo.events import Checked, Said, Started
from napari_dojo.folders import Given, read_pairs
from napari_dojo.pairs import Layout, Pairs
from napari_dojo.predict import predict
from napari_dojo.scenes import random_scene
from napari_dojo.settings import TrainSettings
from napari_dojo.simulate import simulate
from napari_dojo.train import Target, train_steps

NAME = "denoise-fluorescence"
SHIPPED = ROOT / "src" / "napari_dojo" / "models" / NAME
DESCRIPTION = (
    "Removes the noise of 2-D fluorescence images without any training: camera noise of 1 to 1,000 photons in bright "
    "pixels, independent from pixel to pixel. Trained on napari-dojo's own simulator alone (nuclei, cells, bacteria, "
    "filaments, spots, networks, clouds; any gain, offset and read noise). It was shown no real image, no line noise, no "
    "compression and no volumes; look at the residual before you trust it, or fine-tune it on your own images."
)


def scenes(count: int, edge: int) -> Pairs:
    """Pictures and what they would be without noise."""
    made = [random_scene(seed, (edge, edge)) for seed in range(count)]
    kept = [s for s in made if np.ptp(s.image) > 0]
    names = [f"scene {k}" for k in range(len(kept))]
    return Pairs.of([s.image for s in kept], [s.clean for s in kept], layout=Layout(labels=False), names=names)


def finished(model: Path, data: Path) -> dict[str, float]:
    """Give the model its test image and cover from the simulator, and its score from real noise that it never saw."""
    bundle, shown = load(model), simulate("filaments", (256, 256), 11, photons=15).image
    given = Given(str(data / "test" / "noisy"), str(data / "test" / "clean"))
    report = evaluate_model(bundle, read_pairs(given, Layout(labels=False))[0])
    score, held = report.pooled, report.baseline
    test = {"sentence": score.sentence, **score.as_dict(), "from": "test"}
    baseline = {"sentence": held.sentence, **held.as_dict(), "method": report.baseline_name} if held else {}
    card = replace(bundle.card, score=test, baseline=baseline, data={**bundle.card.data, "test": test})
    cover = beside(shown[None], predict(bundle, shown, "YX")[None])
    save(replace(bundle, card=card), model, shown[None, :128, :128], cover)
    return in_words(score)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA / "w2s_denoise")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--scenes", type=int, default=4000)
    parser.add_argument("--edge", type=int, default=144, help="of the scenes, px")
    parser.add_argument("--out", type=Path, help="keep the model, with its run, here (may be gone on with --resume)")
    parser.add_argument("--resume", action="store_true", help="go on with the training that lies in --out")
    parser.add_argument("--write", action="store_true", help=f"put it into {SHIPPED.relative_to(ROOT)}")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dojo-denoiser-") as name:
        model = args.out or Path(name) / NAME
        pairs = scenes(args.scenes, args.edge)
        about = {"name": NAME, "description": DESCRIPTION, "license": "CC0-1.0"}
        target = Target(model, resume=args.resume, began=time.monotonic(), **about)
        settings = TrainSettings(minutes=args.minutes, test=0.0, validation=0.04, device="cpu")
        for event in train_steps(pairs, "denoise", target, settings):
            if isinstance(event, (Started, Said, Checked)):
                print(getattr(event, "text", None) or getattr(event, "score", {}).get("sentence", event), flush=True)
        fresh = Path(name) / "fresh"
        shutil.copytree(model, fresh, ignore=shutil.ignore_patterns("run", ".*"))
        facts = finished(fresh, args.data)
        size = sum(p.stat().st_size for p in fresh.iterdir()) / 1e6
        if args.write:
            shutil.rmtree(SHIPPED, ignore_errors=True)
            shutil.copytree(fresh, SHIPPED)
    print(json.dumps({"megabytes": round(size, 2), "w2s": facts, "written": args.write}))


if __name__ == "__main__":
    main()
