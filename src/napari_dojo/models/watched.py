"""What a network made of one part of a validation image at each check, kept beside its model: how it learned can be watched again."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import middle
from napari_dojo.io.atomic import write_safely
from napari_dojo.models.kept import WATCHED

__all__ = ["Watched"]

MOST = 24  # results that are kept
EDGE = {2: (256, 256), 3: (16, 128, 128)}  # px of the part, at most


@dataclass(frozen=True, eq=False)
class Watched:
    """Results for one part of an image, in the order of the steps.

    Attributes
    ----------
    image : (C, *S) as it was read.
    steps, figures : of each result, the step and what the score was in words.
    results : (n, *S) numbers of objects or classes, or (n, C, *S) intensities.
    labels : the results are numbers of objects or classes.
    """

    image: NDArray[Any]
    labels: bool
    steps: tuple[int, ...] = ()
    figures: tuple[str, ...] = ()
    results: tuple[NDArray[Any], ...] = ()

    @staticmethod
    def box(size: tuple[int, ...], scale: tuple[int, ...] = ()) -> tuple[slice, ...]:
        """The middle part of an image of this size that is kept; with ``scale`` of its result, which is finer by that."""
        finer = scale or (1,) * len(size)
        return tuple(slice(f * s.start, f * s.stop) for s, f in zip(middle(size, EDGE[len(size)]), finer, strict=True))

    def after(self, step: int, figure: str, result: NDArray[Any]) -> Watched:
        """With one more result, (*S) or (C, *S); of too many every second one is left out, but never the last."""
        kept = result.astype(np.int32 if self.labels else np.float32)
        steps, figures, results = (*self.steps, step), (*self.figures, figure), (*self.results, kept)
        if len(steps) > MOST:
            steps, figures, results = steps[::-2][::-1], figures[::-2][::-1], results[::-2][::-1]
        return Watched(self.image, self.labels, steps, figures, results)

    def stacked(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The image's first channel and the results (n, *S), each with all steps along the first axis."""
        results = np.stack(self.results)
        if not self.labels:
            results = results[:, 0].astype(np.float32)  # older ones are float16
        return np.broadcast_to(self.image[0], (len(results), *self.image.shape[1:])), results

    def write(self, run: Path) -> None:
        """Write it into the folder of a run; nothing where there is nothing to watch. DojoError: the disk is full."""
        if not self.results:
            return
        buffer = io.BytesIO()
        figures = np.array(self.figures, np.str_)
        np.savez_compressed(
            buffer,
            image=self.image,
            labels=self.labels,
            steps=self.steps,
            figures=figures,
            results=np.stack(self.results),
        )
        write_safely(run / WATCHED, buffer.getvalue())

    @staticmethod
    def read(model: Path) -> Watched | None:
        """What was kept beside a model; None where there is nothing, or it cannot be read."""
        try:
            with np.load(model / "run" / WATCHED, allow_pickle=False) as file:
                found = {name: file[name] for name in ("image", "labels", "steps", "figures", "results")}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None
        steps, figures = tuple(map(int, found["steps"])), tuple(map(str, found["figures"]))
        return Watched(found["image"], bool(found["labels"]), steps, figures, tuple(found["results"]))
