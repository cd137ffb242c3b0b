"""Strokes: annotate a few per cent of the pixels of fully labelled images, as a person in a hurry does.

Classes become their number + 1, so that 0 can mean "not annotated".
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from _common import DATA
from numpy.typing import NDArray

from napari_dojo.io.images import read, write
from napari_dojo.io.pairing import list_inputs
from napari_dojo.simulation.strokes import strokes


def draw(masks: Path, out: Path, share: float = 0.05, seed: int = 0) -> float:
    """Write strokes for each mask of a folder into another under the same name; the share of annotated pixels."""
    annotated = total = 0
    for i, path in enumerate(list_inputs(masks)):
        classes = read(path, labels=True).data.astype(np.int32) + 1
        drawn = _drawn(classes, share, seed + i)
        write(out / f"{path.stem}.tif", drawn, "YX", labels=True)
        annotated += int(np.count_nonzero(drawn))
        total += drawn.size
    return annotated / total


def _drawn(classes: NDArray[np.int32], share: float, seed: int) -> NDArray[np.uint8]:
    """Strokes on at most ``share`` of the image: a stroke is never cut, so a smaller share is asked for if need be."""
    asked = share
    while True:
        drawn = strokes(classes, asked, seed)
        if np.count_nonzero(drawn) <= 1.02 * share * drawn.size or asked < share / 10:
            return drawn
        asked *= 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--masks", type=Path, default=DATA / "isbi2012_membrane" / "train" / "masks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(json.dumps({"out": str(args.out), "annotated": round(draw(args.masks, args.out, args.share, args.seed), 4)}))


if __name__ == "__main__":
    main()
