"""Train on simulated nuclei for a moment, save the model, and apply it. ``python examples/train_and_apply.py [STEPS]``"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from napari_dojo.data.dataset import Dataset
from napari_dojo.events import Validated
from napari_dojo.inference.predict import predict
from napari_dojo.models.bundle import load
from napari_dojo.models.card import options_of
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TASKS
from napari_dojo.training.train import Target, train_steps

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
scenes = [simulate("nuclei", (256, 256), seed) for seed in range(4)]
dataset = Dataset.of([s.image for s in scenes[:3]], [s.labels for s in scenes[:3]])
with tempfile.TemporaryDirectory() as folder:
    model = Path(folder) / "nuclei"
    for event in train_steps(dataset, "instances", Target(model), TrainSettings(steps=steps)):
        if isinstance(event, Validated):
            print(f"step {event.step}: {event.score['sentence']}")
    bundle = load(model)
    labels = predict(bundle, scenes[3].image, "YX")
    score = TASKS["instances"].score(labels, scenes[3].labels, None, options_of(bundle.card))
print(f"new image: {score.sentence}")
