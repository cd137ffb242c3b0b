"""Denoise one image by itself, without any clean image. ``python examples/noise2void.py [STEPS]``"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.inference.predict import predict
from napari_dojo.metrics.images import psnr
from napari_dojo.models.bundle import load
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TASKS
from napari_dojo.training.train import Target, train_steps

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
scene = simulate("nuclei", (256, 256), 1, photons=15)
dataset = Dataset.of([scene.image], layout=Layout(IMAGE))
task = TASKS["noise2void"]
print(". ".join(f.text for f in task.summarize(dataset, task.options()).findings))
with tempfile.TemporaryDirectory() as folder:
    model = Path(folder) / "alone"
    list(train_steps(dataset, task, Target(model), TrainSettings(steps=steps, validation=0.0)))
    prediction = predict(load(model), scene.image)
print(f"PSNR {psnr(scene.clean, scene.image):.1f} dB before, {psnr(scene.clean, prediction):.1f} dB after")
