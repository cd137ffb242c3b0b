"""Fill in a sparse localisation image, and see where nothing supports it. ``python examples/palm.py [STEPS]``"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.inference.predict import predict
from napari_dojo.metrics.images import ssim
from napari_dojo.models.bundle import load
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.smlm import DOUBT, film, support
from napari_dojo.tasks.translate import TranslateOptions
from napari_dojo.training.train import Target, train_steps

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
films = [film(seed, (192, 192)) for seed in range(12)]
sparse = [np.stack([f.picture(0.05), f.widefield]) for f in films]  # localisations, and the wide-field image
dense = [f.picture(smooth=1.0) for f in films]
dataset = Dataset.of(sparse[:11], dense[:11], Axes("CYX"), layout=Layout(IMAGE))
options = TranslateOptions(localisations=True, outputs=("dense",))
with tempfile.TemporaryDirectory() as folder:
    model = Path(folder) / "palm"
    list(train_steps(dataset, "translate", Target(model), TrainSettings(steps=steps), options))
    prediction = predict(load(model), sparse[11], "CYX")
doubt = support(sparse[11][0], prediction) < DOUBT
print(f"SSIM {ssim(dense[11], prediction):.2f}; {doubt.mean():.1%} of the image is predicted without support")
