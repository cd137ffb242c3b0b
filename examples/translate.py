"""Predict a nuclear stain from phase contrast. ``python examples/translate.py [STEPS]``"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.inference.predict import predict
from napari_dojo.metrics.images import pearson
from napari_dojo.models.bundle import load
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks.translate import TranslateOptions
from napari_dojo.training.train import Target, train_steps

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
phase = [simulate("cells", (192, 192), seed, contrast="phase").image for seed in range(6)]
stain = [simulate("cells", (192, 192), seed).image[1] for seed in range(6)]
dataset = Dataset.of(phase[:5], stain[:5], layout=Layout(IMAGE))
options = TranslateOptions(outputs=("nuclei",))
with tempfile.TemporaryDirectory() as folder:
    model = Path(folder) / "stain"
    list(train_steps(dataset, "translate", Target(model), TrainSettings(steps=steps), options))
    prediction = predict(load(model), phase[5])
print(f"Pearson's r of the predicted and the real stain: {pearson(stain[5], prediction):.2f}")
