"""Annotate: objects from a click or a box on real images, and how long each tool takes; the functions behind the tools."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import DATA, dojo, dojo_json
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data import pointing
from napari_dojo.io.images import read, write
from napari_dojo.io.pairing import list_inputs, pair_files
from napari_dojo.simulation.strokes import strokes

OBJECTS = 100  # of each gesture


def clicked(image: NDArray[Any], truth: NDArray[Any], number: int, rng: np.random.Generator, known: bool) -> Any:
    """A click at a random place in the inner half of an object, and the mask that it gives, in the whole image."""
    depth = ndimage.distance_transform_edt(truth == number)
    places = np.argwhere(depth >= 0.5 * depth.max())
    place = places[rng.integers(len(places))]
    sizes = np.bincount(truth.ravel())[1:]
    diameter = float(np.median(np.sqrt(4 * sizes[sizes > 0] / np.pi))) if known else None
    window = tuple(
        slice(max(0, s.start), min(n, s.stop))
        for s, n in zip(pointing.window_of(place, diameter), image.shape, strict=True)
    )
    at = tuple(int(p - s.start) for p, s in zip(place, window, strict=True))
    mask = np.zeros(truth.shape, bool)
    found = pointing.around_click(image[window], at, None, diameter)
    if found is not None:
        mask[window] = found
    return mask


def boxed(image: NDArray[Any], truth: NDArray[Any], number: int, rng: np.random.Generator) -> Any:
    """A box around an object, each side up to 2 px off, and the mask that it gives, in the whole image."""
    own = ndimage.find_objects((truth == number).astype(np.uint8))[0]
    off = rng.integers(-1, 3, (2, 2))
    box = tuple(
        slice(max(0, s.start - int(a)), min(n, s.stop + int(b)))
        for s, n, (a, b) in zip(own, truth.shape, off, strict=True)
    )
    window = tuple(slice(max(0, s.start - 8), min(n, s.stop + 8)) for s, n in zip(box, truth.shape, strict=True))
    inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, window, strict=True))
    mask = np.zeros(truth.shape, bool)
    mask[window] = pointing.in_box(image[window], inner)
    return mask


def gestures(data: Path, seed: int) -> dict[str, float]:
    """Mean IoU with the true object, and the median of milliseconds, over random objects of the training images."""
    folder = data / "dsb2018_fluo" / "train"
    pairs, _, _ = pair_files(list_inputs(folder / "images"), list_inputs(folder / "masks", targets=True))
    kinds: dict[str, Callable[..., Any]] = {
        "click": lambda *a: clicked(*a, known=False),
        "click_known_size": lambda *a: clicked(*a, known=True),
        "box": boxed,
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    rng = np.random.default_rng(seed)
    while len(found["box"]) < OBJECTS:
        path, target = pairs[rng.integers(len(pairs))]
        image, truth = np.asarray(read(path).data), np.asarray(read(target, labels=True).data)
        image = image if image.ndim == 2 else image[..., :3].mean(-1)
        numbers = [n for n, size in enumerate(np.bincount(truth.ravel())) if n and size >= 30]
        number = int(rng.choice(numbers))
        for name, gesture in kinds.items():
            began = time.perf_counter()
            mask = gesture(image, truth, number, rng)
            seconds = time.perf_counter() - began
            true = truth == number
            found[name].append(((mask & true).sum() / (mask | true).sum(), seconds))
    result: dict[str, float] = {}
    for name, values in found.items():
        iou, seconds = np.array(values).T
        result |= {
            f"{name}_iou": round(float(iou.mean()), 3),
            f"{name}_above_half": round(float((iou > 0.5).mean()), 2),
        }
        result[f"{name}_ms"] = round(1000 * float(np.median(seconds)), 1)
    return result


def edits_timed(size: int, repeats: int = 5) -> dict[str, float]:
    """Milliseconds of each tool, of undo and of redo on a layer of size x size px with 1,600 objects in a real viewer."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_dojo.widgets.annotate.editing import Editing
    from napari_dojo.widgets.annotate.gestures import TOOLS, Gesture
    from napari_dojo.widgets.common.layers import provenance

    step = size // 40
    rows, columns = np.indices((step, step))
    disc = (rows - step / 2) ** 2 + (columns - step / 2) ** 2 <= (0.3 * step) ** 2
    labels = np.kron(np.arange(1, 1601, dtype=np.int32).reshape(40, 40), np.ones((step, step), np.int32)) * np.tile(
        disc, (40, 40)
    )
    viewer = napari.Viewer(show=True)
    image = viewer.add_image(100.0 * (labels > 0).astype(np.float32), name="image")
    layer = viewer.add_labels(labels, name="labels", metadata=provenance("result", "image"))
    editing = Editing(viewer, layer)
    editing.image = image
    QApplication.processEvents()
    _ = editing.places
    editing.accept(1, (step / 2, step / 2), editing.sight())  # the layer of accepted places is made once
    found: dict[str, list[float]] = {}

    def timed(name: str, act: Callable[[], Any]) -> None:
        began = time.perf_counter()
        act()
        found.setdefault(name, []).append(1000 * (time.perf_counter() - began))
        QApplication.processEvents()

    for k in range(repeats):
        at = np.array([(9 + 2 * k) * step + step / 2] * 2)
        right, beside = np.array([0.0, step / 2]), at + step / 2
        paths = {
            "Smooth": [at],
            "Fill holes": [at],
            "Reshape": [at, at + 0.3 * step],
            "Split": [at - right, at + right],
            "Merge": [at, at + 2 * right],
            "Accept": [at],
            "Delete": [at],
            "Add": [at],
            "Add by hand": [beside, beside + 9 * right / right[1], beside + 9],
        }
        for name, path in paths.items():
            tool, gesture = TOOLS[name.removesuffix(" by hand")], Gesture(np.array(path), editing.sight())
            timed(name, lambda tool=tool, gesture=gesture: tool.act(editing, gesture))
        timed("undo", editing.history.undo)
        timed("redo", editing.history.redo)
    editing.close()
    viewer.close()
    result = {f"{name.lower().replace(' ', '_')}_ms": round(float(np.median(ms)), 1) for name, ms in found.items()}
    return {"size": size, **result, "worst_ms": round(max(max(ms) for ms in found.values()), 1)}


def stroked(truth: NDArray[Any], number: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Pixels of one stroke, 3 px wide, in an object, as ``benchmarks/strokes.py`` draws them."""
    drawn = strokes((truth == number).astype(np.int32), 0.0, int(rng.integers(2**31)))
    return np.nonzero(drawn)


def live(repeats: int, size: int = 1024) -> dict[str, float]:
    """Strokes on objects of a size x size image in a real viewer: seconds until a preview, and the longest blocks."""
    import napari
    from gui_heartbeat import Heartbeat
    from qtpy.QtWidgets import QApplication

    from napari_dojo.simulation.microscope import simulate
    from napari_dojo.widgets.annotate.panel import AnnotatePanel
    from napari_dojo.widgets.common.panel import open_panel

    image, truth = _simulated(simulate, size)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    viewer.add_image(image, name="nuclei")
    panel = open_panel(viewer, AnnotatePanel, "Annotate")

    def wait(until: Callable[[], bool], most: float = 60.0) -> bool:
        end = time.monotonic() + most
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.001)
        return until()

    panel.find_box.setCurrentIndex(panel.find_box.findData("objects"))
    panel.find_box.activated.emit(panel.find_box.currentIndex())
    layer, rng = panel.editing.labels, np.random.default_rng(0)
    numbers = rng.permutation(np.unique(truth)[1:])
    heart = Heartbeat(viewer.window._qt_window)
    views, wholes = [], []
    drawn = [stroked(truth, int(numbers[k]) if k % 2 else 0, rng) for k in range(repeats + 2)]
    for k, at in enumerate(drawn):  # background and objects in turn
        panel.live.shown = (None, None)
        layer.data_setitem(at, 1 if k % 2 == 0 else k + 2)  # as napari's brush does
        if k == 0:
            continue
        wait(lambda: panel.live.shown[1] is not None)
        if k > 1:  # the first one computes the features
            views.append(panel.live.shown[0])
            wholes.append(panel.live.shown[1])
            heart.on = True
    heart.on = False
    heart.show(1)
    viewer.close()
    found = {"stroke_to_view_s": float(np.median(views)), "stroke_to_image_s": float(np.median(wholes))}
    return {**{k: round(v, 3) for k, v in found.items()}, **heart.facts()}


def _simulated(simulate: Any, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """An image of nuclei and its labels."""
    made = simulate("nuclei", (size, size), 0, diameter=24)
    return np.asarray(made.image), np.asarray(made.labels)


def trained_on_few(data: Path, how: str, long: tuple[str, float], draws: int, start: str) -> dict[str, Any]:
    """Train at the defaults on a little; AP of the official test images, median of draws.

    ``how`` : "strokes" on 20 objects and on background in 3 images, or "complete" annotation of 5 images.
    """
    found = []
    for seed in range(draws):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make = draw_objects if how == "strokes" else draw_images
            make(data / "dsb2018_fluo" / "train", folder, seed)
            dojo("train", "instances", "--input", folder / "images", "--target", folder / how, "--annotation", how,
                 "--out", folder / "model", "--start", start, *long)  # fmt: skip
            test = data / "dsb2018_fluo" / "test"
            told = dojo_json("evaluate", folder / "model", "--input", test / "images", "--target", test / "masks")
            found.append(told["ap"])
            print(json.dumps(found[-1]))
    ap = {k: round(float(np.median([f[k] for f in found])), 4) for k in found[0]}
    return {"ap": ap, "draws": [round(f["0.5"], 4) for f in found], "start": start}


def draw_images(source: Path, out: Path, seed: int, images: int = 5) -> None:
    """Random images with all their objects."""
    pairs, _, _ = pair_files(list_inputs(source / "images"), list_inputs(source / "masks", targets=True))
    for i in np.random.default_rng([seed, 5]).choice(len(pairs), images, replace=False):
        for path, kind in zip(pairs[i], ("images", "complete"), strict=True):
            found = read(path, labels=kind == "complete")
            write(out / kind / f"{pairs[i][0].stem}.tif", found.data, found.axes or "YX", labels=kind == "complete")


def draw_objects(source: Path, out: Path, seed: int, images: int = 3, objects: int = 20) -> None:
    """Images, and strokes on as many random objects and as often on background."""
    pairs, _, _ = pair_files(list_inputs(source / "images"), list_inputs(source / "masks", targets=True))
    rng = np.random.default_rng([seed, 17])
    while True:
        chosen = [pairs[i] for i in rng.choice(len(pairs), images, replace=False)]
        truths = [np.asarray(read(target, labels=True).data).astype(np.int32) for _, target in chosen]
        there = [(k, n) for k, y in enumerate(truths) for n, a in enumerate(np.bincount(y.ravel())) if n and a >= 20]
        if len(there) >= objects and {k for k, _ in there} == set(range(images)):
            break
    drawn = [np.zeros(y.shape, np.uint16) for y in truths]
    for i in rng.permutation(len(there))[:objects]:
        k, number = there[i]
        drawn[k][stroked(truths[k], number, rng)] = max(1, drawn[k].max()) + 1
    for i in range(objects):
        drawn[i % images][stroked(truths[i % images], 0, rng)] = 1
    for (path, _), strokes_ in zip(chosen, drawn, strict=True):
        found = read(path)
        write(out / "images" / f"{path.stem}.tif", found.data, found.axes or "YX")
        write(out / "strokes" / f"{path.stem}.tif", strokes_, "YX", labels=True)


def main() -> None:
    """Print the figures as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        choices=[
            "gestures",
            "edits",
            "live",
            "strokes",
            "complete",
            "next",
            "planes",
            "rounds",
            "completion",
            "pixels",
        ],
        default="gestures",
    )
    parser.add_argument("--strokes", type=int, default=20, help="of --only live")
    parser.add_argument(
        "--steps",
        type=int,
        default=0,
        help="of each training of --only strokes and planes, instead of minutes, and of --only next (150)",
    )
    parser.add_argument("--minutes", type=float, help="of each training: 5; of planes 15, of rounds as in the panel")
    parser.add_argument("--ways", nargs="+", default=["full", "each", "xy"], help="how --only planes annotates")
    parser.add_argument("--kind", default="nuclei", help="of the simulator, for --only planes")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--start", default="none", help="of --only strokes and complete")
    parser.add_argument("--width", type=int, default=0, help="of the networks of --only planes")
    parser.add_argument(
        "--seeds", type=int, help="how often next, rounds, completion (3) and pixels (10) are repeated, from --seed on"
    )
    parser.add_argument("--size", type=int, default=4096, help="edge of the layer of --only edits, px")
    parser.add_argument(
        "--kinds", nargs="*", help="of --only rounds: bacteria, bright_field, nuclei3d_small, cells ..."
    )
    parser.add_argument(
        "--kept", type=Path, help="of --only rounds: a file of results that are not computed again, and are added to"
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.seeds = args.seeds or (10 if args.only == "pixels" else 3)

    def places() -> Any:
        from _annotate_next import Effort, simulate_places

        seeds = range(args.seed, args.seed + args.seeds)
        return simulate_places(args.data, Effort(steps=args.steps or 150), ("dsb2018", "simulated"), seeds)

    def planes() -> Any:
        from _annotate_planes import Effort, simulate_planes

        effort = Effort(args.steps, args.minutes or 15.0, args.width, kind=args.kind)
        return simulate_planes(effort, args.ways, args.seed)

    def corrected() -> Any:
        from _annotate_rounds import KINDS, Effort, simulate_rounds

        from napari_dojo.widgets.annotate import annotated

        seeds = range(args.seed, args.seed + args.seeds)
        effort = Effort(steps=args.steps, minutes=min(args.minutes or annotated.KINDS[""].minutes, 1.0))
        return simulate_rounds(args.data, effort, args.kinds or KINDS, seeds, args.kept)

    def kinds() -> Any:
        """Strokes on kinds that no shipped model saw, before any network is trained."""
        from _annotate_kinds import CLASSES, KINDS, complete, membranes, real_nuclei, ten_strokes

        seeds = range(args.seed + 1, args.seed + 1 + args.seeds)
        if args.only == "completion":
            return {n: complete(k, seeds) for n, k in {**KINDS, "dsb2018": real_nuclei(args.data)}.items()}
        return {n: ten_strokes(k, seeds) for n, k in {"isbi2012": membranes(args.data), **CLASSES}.items()}

    def few() -> Any:
        long = ("--steps", args.steps) if args.steps else ("--minutes", args.minutes or 5.0)
        return trained_on_few(args.data, args.only, long, args.draws, args.start)

    work: dict[str, Callable[[], Any]] = {
        "strokes": few,
        "complete": few,
        "rounds": corrected,
        "planes": planes,
        "edits": lambda: edits_timed(args.size),
        "next": places,
        "completion": kinds,
        "pixels": kinds,
        "gestures": lambda: gestures(args.data, args.seed),
        "live": lambda: live(args.strokes),
    }
    print(json.dumps(work[args.only]()))


if __name__ == "__main__":
    main()
