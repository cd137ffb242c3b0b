"""Train a classifier of objects on a few labelled cells, and give the cells of a new image their classes. ``python examples/classify.py [STEPS]``"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

from napari_dojo.events import Control, result_of
from napari_dojo.inference.geometry import Image, resolve
from napari_dojo.inference.predict import Ready, predict_image
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.io.images import Picture, write
from napari_dojo.models.bundle import load
from napari_dojo.settings import PredictSettings, TrainSettings
from napari_dojo.simulation.cell_types import mixed_cells
from napari_dojo.tasks import TASKS
from napari_dojo.tasks.classify import ClassifyOptions
from napari_dojo.training.train import Target, train_steps

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
known, new = mixed_cells((512, 512), 1), mixed_cells((512, 512), 2)
task, options = TASKS["classify"], ClassifyOptions(folds=1)
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    write(folder / "images" / "known.tif", known.image[0], "YX")
    write(folder / "labels" / "known.tif", known.labels, "YX", labels=True)
    with open(folder / "classes.csv", "w", newline="", encoding="utf-8") as file:
        rows = [("known.tif", k, kind) for k, kind in enumerate(known.names(), 1)]
        csv.writer(file).writerows([("file", "label", "class"), *rows])
    files = DatasetFiles(str(folder / "images"), str(folder / "labels"), classes=str(folder / "classes.csv"))
    dataset, _ = read_dataset(files, task.layout(options))
    list(train_steps(dataset, task, Target(folder / "kinds"), TrainSettings(steps=steps), options))
    ready = Ready.of(load(folder / "kinds"))
    asked = Image("new", Picture(new.image[0], None), "YX", labels=new.labels)
    found = result_of(predict_image(ready, resolve(ready.card, asked, PredictSettings()), Control()))
names = np.array(["", *ready.options.classes])
right = names[found.array] == np.array(new.names())
print(f"new image: {right.sum()} of {len(right)} cells have the right class")
