"""Generated images and files through read, check, two steps of training, prediction and writing: see `torture`."""

from __future__ import annotations

import re
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from napari_dojo.device import Device
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Failed
from napari_dojo.inference.apply import apply
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.predict import Ready
from napari_dojo.inference.sources import FileSource
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.io import images
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.io.images import Picture
from napari_dojo.io.pairing import list_inputs
from napari_dojo.jobs.image_requests import predict_request
from napari_dojo.jobs.worker import events_of
from napari_dojo.models.bundle import load
from napari_dojo.settings import PredictSettings, TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training.train import Target, train_steps

TINY = {"steps": 2, "width": 4, "depth": 2, "batch": 1, "patch": 16, "device": "cpu"}
CPU = Device("cpu", "CPU", 2, 4_000_000_000)
AXES = ("YX", "YX", "CYX", "YXC", "ZYX", "TYX")
ODD_AXES = ("TZYX", "TCYX", "ZCYX", "TZCYX", "XY", "YXZ", "QYX", "X", "")
DTYPES = ("uint8", "uint16", "float32")
ODD_DTYPES = [
    "float64",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint32",
    "uint64",
    "float16",
    "complex64",
    ">u2",
    ">f4",
]
FILLS = ("discs", "discs", "noise")
ODD_FILLS = [
    "constant",
    "zeros",
    "sparse",
    "nan",
    "some_nan",
    "inf",
    "huge",
    "tiny",
    "negative",
    "full_range",
    "checkerboard",
    "line",
    "hot",
    "padded",
]
LABELS = ("discs", "discs", "strokes")
ODD_LABELS = [
    "none",
    "one",
    "each_pixel",
    "float",
    "fraction",
    "negative",
    "huge",
    "nan",
    "bool",
    "shape",
    "rgb",
    "background_one",
]
FILES = ("tif", "npy", "png", "bmp")
ODD = [
    "truncated",
    "empty",
    "text",
    "wrong_suffix",
    "rgb",
    "rgba",
    "grey_alpha",
    "missing",
    "folder",
    "garbage_tiff",
    "zero_pages",
    "object_npy",
    "pickled_npy",
    "palette",
    "bit_png",
    "two_sizes",
    "other_dtype",
    "other_axes",
    "upper_case",
    "no_suffix",
]


@dataclass(frozen=True)
class Case:
    """One input as a person might give it."""

    task: str
    axes: str
    size: tuple[int, int, int, int, int]  # of T, Z, C, Y, X
    dtype: str
    fill: str
    labels: str
    file: str
    odd: str
    count: int
    named: bool  # the axes are named by the person
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        of = dict(zip("TZCYX", self.size, strict=True))
        return tuple(of.get(a, 3) for a in self.axes)


@some.composite
def cases(draw: Callable[[Any], Any]) -> Case:
    """Plausible inputs in which each property is odd with a chance of about a third."""

    def either(good: Any, bad: Any) -> Any:
        return draw(bad if draw(some.integers(0, 2)) == 2 else good)

    edge, few = some.integers(16, 48), some.sampled_from([1, 2, 3, 4])
    odd_edge = some.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 200])
    y, x = either(edge, odd_edge), either(edge, odd_edge)
    axes = either(some.sampled_from(AXES), some.sampled_from(ODD_AXES))
    planar = len(axes) == 2 or axes == "YXC"
    return Case(
        task=draw(some.sampled_from(sorted(TASKS))),
        axes=axes,
        size=(draw(few), either(some.integers(8, 12), few), draw(few), y, x),
        dtype=either(some.sampled_from(DTYPES), some.sampled_from(ODD_DTYPES)),
        fill=either(some.sampled_from(FILLS), some.sampled_from(ODD_FILLS)),
        labels=either(some.sampled_from(LABELS), some.sampled_from(ODD_LABELS)),
        file=draw(some.sampled_from(FILES if planar else FILES[:2])),
        odd=draw(some.sampled_from(["", *ODD])) if draw(some.integers(0, 4)) == 4 else "",
        count=either(some.sampled_from([1, 2, 3]), some.sampled_from([1, 11])),
        named=either(some.just(len(axes) > 2), some.booleans()),
        seed=draw(some.integers(0, 9)),
    )


def filled(case: Case, k: int = 0) -> np.ndarray:
    """The pixels of image ``k``."""
    rng, shape = np.random.default_rng(100 * case.seed + k), case.shape
    x = rng.normal(100, 10, shape)
    flat = x.reshape(-1)
    if case.fill in ("discs", "padded", "some_nan", "inf", "huge", "tiny", "negative", "hot"):
        x += 300 * (discs(shape, case.seed + k) > 0)
    if case.fill == "constant":
        x[...] = 7
    elif case.fill == "zeros":
        x[...] = 0
    elif case.fill == "sparse":
        x[...] = 0
        flat[rng.integers(0, flat.size, 3)] = 500
    elif case.fill == "nan":
        x[...] = np.nan
    elif case.fill == "some_nan":
        flat[rng.random(flat.size) < 0.2] = np.nan
    elif case.fill == "inf":
        flat[: 1 + flat.size // 50] = np.inf
        flat[-1] = -np.inf
    elif case.fill == "huge":
        x *= 1e36
    elif case.fill == "tiny":
        x *= 1e-40
    elif case.fill == "negative":
        x -= 1000
    elif case.fill == "full_range":
        x = rng.uniform(-1, 1, shape) * 1e308
    elif case.fill == "checkerboard":
        x = 255.0 * (np.indices(shape).sum(0) % 2) if shape else x
    elif case.fill == "line":
        x[..., :1] = 1000
    elif case.fill == "hot":
        flat[0] = 1e30
    elif case.fill == "padded":
        x[..., : x.shape[-1] // 3] = 0
    return cast(x, case.dtype)


def cast(x: np.ndarray, dtype: str) -> np.ndarray:
    """As numbers of a type; what does not fit is clipped, as cameras do it."""
    kind = np.dtype(dtype)
    with np.errstate(all="ignore"):
        if kind.kind in "iu":
            about = np.iinfo(kind)
            return np.clip(np.nan_to_num(x), about.min, float(about.max) * (1 - 2**-20)).astype(kind)
        return (x > 250) if kind.kind == "b" else x.astype(kind)


def discs(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbered discs in the last two axes, the same in all others."""
    if len(shape) < 2:
        return np.zeros(shape, np.int32)
    rng, (h, w) = np.random.default_rng(seed), shape[-2:]
    yy, xx = np.indices((h, w))
    y = np.zeros((h, w), np.int32)
    for k in range(1, 2 + h * w // 150):
        cy, cx = rng.uniform(0, h), rng.uniform(0, w)
        y[(yy - cy) ** 2 + (xx - cx) ** 2 <= rng.uniform(1, 20)] = k
    return np.broadcast_to(y, shape).copy()


def target(case: Case, x: np.ndarray, k: int) -> np.ndarray:
    """The target of an image: labels right or wrong, or an image."""
    if TASKS[case.task].target is None or not TASKS[case.task].target.kind.drawn:
        y = x
        if case.labels in ("discs", "strokes") and case.task == "upscale":
            for axis, name in enumerate(case.axes):
                y = np.repeat(y, 2, axis) if name in "YX" else y
        if case.labels == "shape":
            y = y[..., :-1]
        return y if case.labels != "nan" or y.dtype.kind != "f" else np.full_like(y, np.nan)
    keep = tuple(0 if a == "C" else slice(None) for a in case.axes)
    plain = x[keep] if len(keep) == x.ndim else x
    y = discs(plain.shape, case.seed + k)
    rng = np.random.default_rng(case.seed)
    made: dict[str, Callable[[], np.ndarray]] = {
        "strokes": lambda: np.where(rng.random(y.shape) < 0.05, 1 + (y > 0), 0).astype(np.uint8),
        "none": lambda: np.zeros_like(y),
        "one": lambda: np.ones_like(y),
        "each_pixel": lambda: np.arange(1, y.size + 1, dtype=np.int32).reshape(y.shape),
        "float": lambda: y.astype(np.float32),
        "fraction": lambda: y + 0.5,
        "negative": lambda: y - 1,
        "huge": lambda: y.astype(np.uint64) * 4_000_000_000,
        "nan": lambda: np.where(y > 0, np.nan, 0.0),
        "bool": lambda: y > 0,
        "shape": lambda: y[..., :-1] if y.ndim else y,
        "rgb": lambda: np.stack([y, y, y], -1).astype(np.uint8),
        "background_one": lambda: y + 1,
    }
    return made.get(case.labels, lambda: y)()


def write_raw(path: Path, x: np.ndarray) -> None:
    """As other programs may write it: any type that the format has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".png", ".bmp"):
        from PIL import Image as Pil

        wide = x.dtype == np.uint16 and x.ndim == 2 and path.suffix == ".png"
        plain = np.clip(np.nan_to_num(x.real.astype(float)), 0, 255).astype(np.uint8) if not wide else x
        colours = plain.ndim == 3 and plain.shape[-1] == 3
        Pil.fromarray(plain if colours or plain.ndim == 2 else plain.reshape(1, -1)).save(path)
    elif path.suffix == ".npy":
        np.save(path, x)
    else:
        x = x.astype(np.float32) if x.dtype == np.float16 else x
        x = np.atleast_2d(x.astype(np.uint8) if x.dtype == bool else x)
        tifffile.imwrite(path, x, photometric="minisblack")


def spoiled(path: Path, odd: str) -> None:
    """Make a file odd in one way, or put an odd one beside it."""
    raw = path.read_bytes() if path.is_file() else b""
    beside = path.with_name("odd.tif")
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 255, (40, 40, 4), np.uint8)
    if odd == "truncated":
        path.write_bytes(raw[: max(9, len(raw) // 2)])
    elif odd == "empty":
        path.write_bytes(b"")
    elif odd == "text":
        path.write_text("file,role\nno image at all\n")
    elif odd == "wrong_suffix":
        path.rename(path.with_suffix(".jpg"))
    elif odd == "upper_case":
        path.rename(path.with_suffix(path.suffix.upper()))
    elif odd == "no_suffix":
        path.rename(path.with_suffix(""))
    elif odd == "missing":
        path.unlink()
    elif odd == "folder":
        path.unlink()
        path.mkdir()
    elif odd == "garbage_tiff":
        path.write_bytes(b"II*\0" + rng.bytes(200))
    elif odd == "zero_pages":
        path.write_bytes(b"II*\0\0\0\0\0")
    elif odd in ("object_npy", "pickled_npy"):
        values = np.array([{"masks": 1}, None], object)
        np.save(beside.with_suffix(".npy"), values, allow_pickle=True)
    elif odd in ("rgb", "rgba", "grey_alpha", "palette", "bit_png"):
        from PIL import Image as Pil

        mode = {"rgb": "RGB", "rgba": "RGBA", "grey_alpha": "LA", "palette": "P", "bit_png": "1"}[odd]
        Pil.fromarray(colours).convert("RGB" if mode == "P" else "RGBA").convert(mode).save(path.with_suffix(".png"))
        if path.suffix != ".png":
            path.unlink()
    elif odd == "two_sizes":
        write_raw(beside, rng.integers(0, 255, (17, 23), np.uint8))
    elif odd == "other_dtype":
        write_raw(beside, rng.normal(0, 1, (40, 40)).astype(np.float32))
    elif odd == "other_axes":
        write_raw(beside, rng.integers(0, 255, (3, 20, 20), np.uint8))


def written(case: Case, folder: Path) -> DatasetFiles:
    """The case as files."""
    for k in range(case.count):
        x = filled(case, k)
        path = folder / "images" / f"image_{k}.{case.file}"
        write_raw(path, x)
        if TASKS[case.task].target is not None:
            y = target(case, x, k)
            suffix = "npy" if y.dtype.kind == "f" or y.dtype.itemsize > 2 or y.ndim > 2 else case.file
            write_raw(folder / "targets" / f"image_{k}.{suffix}", y)
    if case.odd:
        spoiled(folder / "images" / f"image_0.{case.file}", case.odd)
    targets = str(folder / "targets") if TASKS[case.task].target is not None else None
    return DatasetFiles(str(folder / "images"), targets, case.axes if case.named else None)


class HangError(Exception):
    """It took too long."""


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise `HangError` after a while, in the main thread."""

    def late(*_: object) -> None:
        raise HangError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(work: Callable[[], str], seconds: int = 40) -> str:
    """What came of it: what ``work`` says, "refused: SENTENCE", or "BROKEN: ..." with a traceback or an odd sentence."""
    try:
        with limit(seconds), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            return work()
    except DojoError as e:
        return judged(str(e))
    except Exception:
        return "BROKEN: " + traceback.format_exc()


def judged(sentence: str) -> str:
    """A refusal, if it is a sentence."""
    odd = re.search(r"Unexpected error|Traceback|object at 0x|\bnan\b px|<class", sentence)
    whole = sentence.strip().endswith((".", "?", "!")) and sentence[:1].strip() and len(sentence) > 15
    return f"refused: {sentence}" if whole and not odd else f"BROKEN: no sentence: {sentence!r}"


def by_library(case: Case, folder: Path) -> str:
    """Files through the library: read, check, two steps, predict, write, read again."""
    task, given = TASKS[case.task], written(case, folder)
    options = task.options()
    dataset, _ = read_dataset(given, task.layout(options))
    if sum(1 for _ in dataset.samples) > 400:
        return "done: too many samples"
    model = folder / "model"
    last = None
    for last in train_steps(dataset, task, Target(model), TrainSettings(**TINY), options):  # noqa: B007
        pass
    if isinstance(last, Failed):
        return judged(last.sentence)
    assert isinstance(last, Done), last
    inputs = tuple(list_inputs(given.input))
    sink = TiffSink(inputs, folder / "out", tables=True)
    ready = Ready.of(load(model), PredictSettings(device="cpu"))
    done = list(apply(ready, [FileSource(p, given.axes) for p in inputs], sink))[-1]
    assert isinstance(done, Done), done
    for result in done.facts["results"]:
        found = images.read(result["prediction"], labels=not task.result.intensities).data
        assert found.size, result
        missing = case.fill in ("nan", "some_nan", "inf", "huge", "hot", "full_range")  # stays as it was
        assert missing or np.isfinite(found).all(), "a prediction holds NaN"
    for sentence in done.facts["skipped"]:
        if (said := judged(sentence)).startswith("BROKEN"):
            return said
    return "done"


def by_panel(case: Case, folder: Path) -> str:
    """Layers through the panel's own code: the check, the request of a job, the job, and a prediction."""
    from napari.layers import Image as ImageLayer
    from napari.layers import Labels as LabelsLayer

    from napari_dojo.training.start import NONE
    from napari_dojo.widgets.common.training_data import Files, Layers
    from napari_dojo.widgets.train.check import Asked, look_at
    from napari_dojo.widgets.train.pair_rows import Row

    task = TASKS[case.task]
    options: dict[str, Any] = {}
    if case.odd:
        material: Any = Files(written(case, folder))
    else:
        rows = []
        for k in range(min(case.count, 3)):
            x = filled(case, k)
            try:
                image = ImageLayer(x, name=f"image {k}", rgb=False)
                target = None
                if task.target is not None:
                    y = target(case, x, k)
                    drawn = task.target.kind.drawn
                    target = LabelsLayer(y, name=f"target {k}") if drawn else ImageLayer(y, name=f"target {k}")
            except Exception:
                return "refused: napari shows no such layer."
            rows.append(Row((image,), target))
        material = Layers(tuple(rows), case.axes, task.layout(task.options()))
    seen = look_at(Asked(task, material, options, TINY, NONE, CPU))
    errors = [f.text for f in seen.findings if f.level == "error"]
    for sentence in [f.text for f in seen.findings if f.level != "ok"]:
        if (said := judged(sentence)).startswith("BROKEN"):
            return said
    if errors:
        return judged(errors[0])
    run, model = folder / "run-1", folder / "model-1"
    material.request(run, task, out=model, settings=TINY, options=options, name="model")
    last = list(events_of(run, Control()))[-1]
    if isinstance(last, Failed):
        return judged(last.sentence)
    assert isinstance(last, Done), last
    if case.odd:
        return "done"
    apart = Image("image 0", Picture(filled(case), None), case.axes)
    where = predict_request(folder / "run-2", model, [apart], PredictSettings(device="cpu"))
    last = list(events_of(where, Control()))[-1]
    assert isinstance(last, Done), last
    found = np.load(where / last.facts["results"][0]["prediction"])
    assert found.size
    return "done"


def run(count: int, folder: Path, seed: int = 0, talk: bool = True) -> dict[str, Any]:
    """Try ``count`` generated inputs in both ways; figures, with each thing that broke."""
    told: Counter[str] = Counter()
    broken: dict[str, list[str]] = {}
    sentences: Counter[str] = Counter()
    cases_of: dict[str, str] = {}
    tried, known = 0, set[tuple[str, ...]]()

    def one(case: Case) -> None:
        nonlocal tried
        kind = (case.task, case.axes, case.dtype, case.fill, case.labels, case.file, case.odd)
        if tried >= count or kind in known:  # hypothesis likes to repeat itself
            return
        known.add(kind)
        tried += 1
        for way, work in (("library", by_library), ("panel", by_panel)):
            place = folder / f"{tried:03d}-{way}"
            place.mkdir()
            said = outcome(lambda work=work, place=place: work(case, place))
            told[f"{way} {said.partition(':')[0]}"] += 1
            if said.startswith("BROKEN"):
                key = said.strip().splitlines()[-1][:120]
                broken.setdefault(key, []).append(f"{way} {case}\n{said}")
                if talk:
                    print(f"{tried} {way} {case}\n{said}", flush=True)
            elif said.startswith("refused"):
                kind_of = re.sub(r"[\d.]+", "#", said)[:90]
                sentences[kind_of] += 1
                cases_of.setdefault(kind_of, f"{said} <- {way} {case}")
        if talk and tried % 25 == 0:
            print(f"{tried} inputs: {dict(told)}", flush=True)

    from hypothesis import seed as seeded

    health = list(HealthCheck)
    plan = settings(
        max_examples=4 * count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=health
    )
    seeded(seed)(plan(given(cases())(one)))()
    return {
        "inputs": tried,
        **{k.lower(): v for k, v in sorted(told.items())},
        "broken": {k: len(v) for k, v in broken.items()},
        "kinds of refusal": len(sentences),
        "examples": {k: v[0] for k, v in broken.items()},
        "sentences": {cases_of[k]: n for k, n in sentences.most_common()},
    }
