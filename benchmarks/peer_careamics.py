"""CAREamics' Noise2Void for some minutes: run by peers_denoise.py in an environment of its own, without napari-dojo."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib.metadata import version
from types import ModuleType

from _peer import arguments


def main() -> None:
    args = arguments(__doc__)
    began = time.monotonic()

    import numpy as np
    import tifffile
    import torchmetrics  # noqa: F401  before the stand-ins, which it would try to use
    from lightning.pytorch.callbacks import Callback

    try:
        import torchvision  # noqa: F401
    except ImportError:  # Noise2Void does not use it, and no build of it fits every torch
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__version__ = "0"  # type: ignore[attr-defined]
        sys.modules["torchvision.transforms"].functional = sys.modules[name]  # type: ignore[attr-defined]
    from careamics import CAREamist
    from careamics.config import create_n2v_config

    class Clock(Callback):
        """Ends the training in time."""

        steps = 0

        def on_train_batch_end(self, trainer, *_: object) -> None:
            self.steps = trainer.global_step
            if time.monotonic() - began > 0.97 * 60 * args.minutes:
                trainer.should_stop = True

    x = np.stack([tifffile.imread(p) for p in sorted(args.train.iterdir())]).astype(np.float32)
    names = sorted(args.test.iterdir())
    with tempfile.TemporaryDirectory() as folder:
        config = create_n2v_config("peer", "array", axes="SYX", patch_size=[64, 64], batch_size=16, num_epochs=1000)
        clock = Clock()
        net = CAREamist(config, work_dir=folder, callbacks=[clock])
        kept = max(1, len(x) // 10)
        net.train(train_data=x[kept:], val_data=x[:kept])
        trained = time.monotonic() - began
        began = time.monotonic()
        args.out.mkdir(parents=True, exist_ok=True)
        y = np.stack([tifffile.imread(p) for p in names]).astype(np.float32)
        found = np.concatenate([np.asarray(a).reshape(-1, *y.shape[1:]) for a in net.predict(y, axes="SYX")[0]])
        for path, image in zip(names, found, strict=True):
            tifffile.imwrite(args.out / f"{path.stem}.tif", image.astype(np.float32))
        predicted = time.monotonic() - began
    facts = {"version": version("careamics"), "steps": clock.steps}
    print(json.dumps({**facts, "train_seconds": trained, "predict_seconds": predicted}))


if __name__ == "__main__":
    main()
