"""Upsample images 2 times, and stacks 4 times along Z. ``python examples/upscale.py [STEPS]``"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.data.resample import cubic
from napari_dojo.inference.predict import predict
from napari_dojo.metrics.images import psnr
from napari_dojo.models.bundle import load
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks.upscale import UpscaleOptions
from napari_dojo.training.train import Target, train_steps

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
settings, layout = TrainSettings(steps=steps), Layout(IMAGE)
fine = [simulate("filaments", (192, 192), seed, photons=400).image for seed in range(6)]
stack = simulate("nuclei", (16, 64, 64), 1, anisotropy=4.0).image
with tempfile.TemporaryDirectory() as folder:
    plane, along_z = Path(folder) / "plane", Path(folder) / "z"
    dataset = Dataset.of(fine[:5], layout=layout)  # fine images alone: coarse images are made from them
    list(train_steps(dataset, "upscale", Target(plane), settings, UpscaleOptions(factor=2)))
    coarse = cubic(fine[5][None], (0.5, 0.5))
    prediction, held = predict(load(plane), coarse[0], "YX"), cubic(coarse, (2, 2))[0]
    print(f"PSNR {psnr(fine[5], prediction):.1f} dB, bicubic interpolation {psnr(fine[5], held):.1f} dB")
    dataset = Dataset.of([stack], axes=Axes("ZYX", "ZYX"), layout=layout)
    list(train_steps(dataset, "upscale", Target(along_z), settings, UpscaleOptions(factor=4, along="Z")))
    print(f"{stack.shape} became {predict(load(along_z), stack, 'ZYX').shape}")
