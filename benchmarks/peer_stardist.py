"""StarDist, trained from scratch for some minutes: run by peers.py in an environment of its own, without napari-dojo."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from _peer import arguments


def main() -> None:
    args = arguments(__doc__)
    began = time.monotonic()

    import keras
    import numpy as np
    import stardist
    import tifffile
    from csbdeep.utils import normalize
    from stardist.models import Config2D, StarDist2D

    class Clock(keras.callbacks.Callback):
        """Ends the training in time for the thresholds."""

        steps = 0

        def on_train_batch_end(self, batch, logs=None) -> None:
            self.steps += 1
            if time.monotonic() - began > 0.9 * 60 * args.minutes:
                self.model.stop_training = True

    def augment(x, y):
        """As in StarDist's example: flips, quarter turns, intensity."""
        turns = np.random.randint(4)
        x, y = np.rot90(x, turns), np.rot90(y, turns)
        if np.random.rand() < 0.5:
            x, y = x[::-1], y[::-1]
        x = x * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)
        return x + 0.02 * np.random.uniform() * np.random.normal(size=x.shape), y

    np.random.seed(0)
    paths = sorted((args.train / "images").iterdir())
    x = [normalize(tifffile.imread(p), 1, 99.8) for p in paths]
    y = [tifffile.imread(args.train / "masks" / p.name).astype(np.int32) for p in paths]
    order = np.random.permutation(len(x))
    kept = order[: max(1, len(x) // 10)]
    rest = order[len(kept) :]
    with tempfile.TemporaryDirectory() as folder:
        home, clock = str(args.keep or folder), Clock()
        if (Path(home) / "stardist" / "thresholds.json").exists():
            model = StarDist2D(None, name="stardist", basedir=home)
        else:
            config = Config2D(n_rays=32, grid=(2, 2), n_channel_in=1, train_tensorboard=False)
            model = StarDist2D(config, name="stardist", basedir=home)
            model.prepare_for_training()
            model.callbacks.append(clock)
            kept_x, kept_y = [x[i] for i in kept], [y[i] for i in kept]
            parts = ([x[i] for i in rest], [y[i] for i in rest])
            # short epochs, so that the best weights of a short training are near its end
            model.train(*parts, validation_data=(kept_x, kept_y), augmenter=augment, epochs=10_000, steps_per_epoch=50)
            model.optimize_thresholds(kept_x[:10], kept_y[:10])
        trained = time.monotonic() - began
        args.out.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        for path in sorted((args.test / "images").iterdir()):
            labels, _ = model.predict_instances(normalize(tifffile.imread(path), 1, 99.8))
            tifffile.imwrite(args.out / f"{path.stem}.tif", labels.astype(np.uint16))
        predicted = time.monotonic() - began
        masks = sorted((args.test / "masks").iterdir()) if (args.test / "masks").exists() else []
        made = sum(seconds_for(model, path) for path in masks)
    facts = {
        "version": stardist.__version__,
        "steps": clock.steps,
        "train_seconds": trained,
        "predict_seconds": predicted,
        "masks_seconds": made,
    }
    print(json.dumps(facts))


def seconds_for(model: Any, path: Path) -> float:
    """What StarDist takes to make labels of its maps, with those of the true objects of an image, as after a long training."""
    import numpy as np
    import tifffile
    from stardist.geometry import star_dist
    from stardist.utils import edt_prob

    labels, step = tifffile.imread(path).astype(np.int32), model.config.grid
    at = tuple(slice(None, None, s) for s in step)
    prob, dist = edt_prob(labels)[at], np.maximum(1e-3, star_dist(labels, model.config.n_rays)[at])
    began = time.monotonic()
    model._instances_from_prediction(labels.shape, prob, dist, prob_thresh=0.5, nms_thresh=0.4)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
