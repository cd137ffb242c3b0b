"""CAREamics' Noise2Void for some minutes: run by peers_denoise.py in an environment of its own, without napari-dojo."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    args = parser.parse_args()
    began = time.monotonic()

    import numpy as np
    import tifffile
    from careamics import CAREamist
    from careamics.config import create_n2v_configuration
    from pytorch_lightning.callbacks import Callback

    class Clock(Callback):
        """Ends the training in time."""

        steps = 0

        def on_train_batch_end(self, trainer, *_: object) -> None:
            self.steps = trainer.global_step
            if time.monotonic() - began > 0.95 * 60 * args.minutes:
                trainer.should_stop = True

    x = np.stack([tifffile.imread(p) for p in sorted(args.train.iterdir())]).astype(np.float32)
    names = sorted(args.test.iterdir())
    with tempfile.TemporaryDirectory() as folder:
        config = create_n2v_configuration(
            "peer", "array", axes="SYX", patch_size=[64, 64], batch_size=16, num_epochs=1000
        )
        clock = Clock()
        net = CAREamist(config, work_dir=folder, callbacks=[clock])
        kept = max(1, len(x) // 10)
        net.train(train_source=x[kept:], val_source=x[:kept])
        trained = time.monotonic() - began
        began = time.monotonic()
        args.out.mkdir(parents=True, exist_ok=True)
        y = np.stack([tifffile.imread(p) for p in names]).astype(np.float32)
        found = np.concatenate([np.asarray(a).reshape(-1, *y.shape[1:]) for a in net.predict(y, axes="SYX")])
        for path, image in zip(names, found, strict=True):
            tifffile.imwrite(args.out / f"{path.stem}.tif", image.astype(np.float32))
        predicted = time.monotonic() - began
    facts = {"version": version("careamics"), "steps": clock.steps}
    print(json.dumps({**facts, "train_seconds": trained, "predict_seconds": predicted}))


if __name__ == "__main__":
    main()
