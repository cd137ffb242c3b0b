"""Train denoising on pairs, and look at the residual. ``python examples/denoise.py [STEPS]``"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.inference.predict import predict
from napari_dojo.metrics.images import psnr
from napari_dojo.metrics.reliability import Residual
from napari_dojo.models.bundle import load
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.training.train import Target, train_steps

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
scenes = [simulate("filaments", (192, 192), seed, photons=12) for seed in range(6)]
dataset = Dataset.of([s.image for s in scenes[:5]], [s.clean for s in scenes[:5]], layout=Layout(IMAGE))
with tempfile.TemporaryDirectory() as folder:
    model = Path(folder) / "denoise"
    list(train_steps(dataset, "denoise", Target(model), TrainSettings(steps=steps)))
    prediction = predict(load(model), scenes[5].image)
print(f"PSNR {psnr(scenes[5].clean, scenes[5].image):.1f} dB before, {psnr(scenes[5].clean, prediction):.1f} dB after")
print(Residual.of(scenes[5].image, prediction).sentence)
