"""Train classes from strokes on simulated cells. ``python examples/semantic.py [STEPS]``"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset
from napari_dojo.inference.predict import predict
from napari_dojo.models.bundle import load
from napari_dojo.models.card import options_of
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.strokes import strokes
from napari_dojo.tasks import TASKS
from napari_dojo.tasks.semantic import SemanticOptions
from napari_dojo.training.train import Target, train_steps

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
scenes = [simulate("cells", (256, 256), seed) for seed in range(3)]
axes = Axes("CYX")
painted = [strokes(s.classes, 0.05, seed) for seed, s in enumerate(scenes[:2])]
dataset = Dataset.of([s.image for s in scenes[:2]], painted, axes)
options = SemanticOptions(classes=("background", "cytoplasm", "nucleus"))
with tempfile.TemporaryDirectory() as folder:
    model = Path(folder) / "cells"
    list(train_steps(dataset, "semantic", Target(model), TrainSettings(steps=steps), options))
    bundle = load(model)
    prediction = predict(bundle, scenes[2].image, axes.names)
    score = TASKS["semantic"].score(prediction, scenes[2].classes, None, options_of(bundle.card))
print(f"new image: {score.sentence}")
