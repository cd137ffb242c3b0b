"""Hostile models: each must be refused with a sentence, run nothing, write nothing outside, and take little memory and time."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import resource
import shutil
import stat
import struct
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from _torture_inputs import discs, outcome

from napari_dojo import nets
from napari_dojo.data.dataset import Dataset
from napari_dojo.errors import DojoError
from napari_dojo.inference.predict import predict
from napari_dojo.models import library
from napari_dojo.models.bundle import load
from napari_dojo.models.card import Folder
from napari_dojo.paths import models_folder
from napari_dojo.settings import TrainSettings
from napari_dojo.training.train import Target, train_steps

SECONDS, MEMORY = 20, 1_000_000_000  # at most, for one model
IMAGE = np.random.default_rng(0).normal(100, 10, (32, 32)).astype(np.float32)


class Evil:
    """Unpickled, it runs a command that leaves a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def model(folder: Path) -> Path:
    """A good model, of two steps."""
    y = discs((48, 48), 0)
    x = np.random.default_rng(0).normal(100, 10, y.shape) + 300 * (y > 0)
    tiny = TrainSettings(steps=2, width=4, depth=2, batch=1, patch=16, device="cpu")
    list(train_steps(Dataset.of([x], [y]), "instances", Target(folder), tiny))
    shutil.rmtree(folder / "run")
    return folder


class Workshop:
    """A copy of a good model, and how it is spoiled."""

    def __init__(self, path: Path, canary: Path) -> None:
        self.path, self.canary = path, canary

    def edit(self, **changes: Any) -> Path:
        """Change values of ``rdf.yaml``, by their path with ``__``."""
        values = self.values()
        for dotted, value in changes.items():
            at, (*way, last) = values, dotted.split("__")
            for k in way:
                at = at[k]
            at[last] = value
        return self.rdf(yaml.safe_dump(values))

    def card(self, **changes: Any) -> Path:
        """Change values of the card."""
        return self.edit(**{f"config__napari_dojo__{k}": v for k, v in changes.items()})

    def net(self, **changes: Any) -> Path:
        """Change arguments of the network."""
        return self.edit(**{f"config__napari_dojo__net_options__{k}": v for k, v in changes.items()})

    def fitting(self, **changes: Any) -> Path:
        """Change arguments of the network, with weights that fit."""
        path = self.net(**changes)
        card = self.values()["config"]["napari_dojo"]
        try:
            net = nets.UNet(**card["net_options"], in_channels=1, out_channels=len(card["maps"]))
        except ValueError:
            return path
        return self.weights(saved(net.state_dict()))

    def rdf(self, text: str | bytes) -> Path:
        """Replace ``rdf.yaml``."""
        (self.path / "rdf.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.path

    def values(self) -> dict[str, Any]:
        """Of ``rdf.yaml``."""
        return yaml.safe_load((self.path / "rdf.yaml").read_text())

    def weights(self, raw: bytes) -> Path:
        """Replace the weights, with the right hash."""
        (self.path / "evil.pt").write_bytes(raw)
        sha = hashlib.sha256(raw).hexdigest()
        place = "weights__pytorch_state_dict__"
        return self.edit(**{place + "source": "evil.pt", place + "sha256": sha})

    def tensors(self, change: Callable[[dict[str, Any]], Any]) -> Path:
        """Change the weights' tensors."""
        found = load(self.path).net.state_dict()
        out = io.BytesIO()
        torch.save(change(dict(found)), out)
        return self.weights(out.getvalue())

    def zipped(self, extra: Callable[[zipfile.ZipFile], None] | None = None) -> Path:
        """As a zip, with something more in it."""
        path = self.path.with_suffix(".zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            for p in self.path.iterdir():
                z.write(p, p.name)
            if extra:
                extra(z)
        return path


def with_link(z: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("README2.md")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    z.writestr(info, "/etc/passwd")


def lying(w: Workshop) -> Path:
    """A zip whose directory says that a large file is small."""
    path = w.zipped(lambda z: z.writestr("more.bin", bytes(80_000_000)))
    raw = bytearray(path.read_bytes())
    size = struct.pack("<I", 80_000_000)
    at = raw.rfind(size)
    raw[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(raw)
    return path


def linked(w: Workshop, name: str, to: str) -> Path:
    """A file of the model is a link."""
    with suppress(OSError):
        (w.path / name).unlink()
    (w.path / name).symlink_to(to)
    return w.path


def weights_linked(w: Workshop, to: str) -> Path:
    """The weights are a link to a file elsewhere."""
    return linked(w, w.values()["weights"]["pytorch_state_dict"]["source"], to)


def fifo(w: Workshop, name: str) -> Path:
    """A file of the model is a pipe that nobody writes to."""
    (w.path / name).unlink()
    os.mkfifo(w.path / name)
    return w.path


def sparse(w: Workshop) -> Path:
    """Weights of 200 GB, which take no room on the disk."""
    with (w.path / w.values()["weights"]["pytorch_state_dict"]["source"]).open("r+b") as file:
        file.truncate(200_000_000_000)
    return w.path


def pickled(w: Workshop) -> bytes:
    return pickle.dumps({"stem": Evil(w.canary)})


def saved(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def script() -> bytes:
    """TorchScript in place of tensors."""
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), out)
    return out.getvalue()


def changed(values: dict[str, Any], value: Any) -> dict[str, Any]:
    """The first tensor replaced."""
    return {**values, next(iter(values)): value}


LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
ATTACKS: dict[str, Callable[[Workshop], Path]] = {
    "pickle in the weights": lambda w: w.weights(pickled(w)),
    "pickle inside of a torch file": lambda w: w.weights(saved({"stem": Evil(w.canary)})),
    "TorchScript as weights": lambda w: w.weights(script()),
    "yaml tag": lambda w: w.rdf(f"!!python/object/apply:os.system ['touch {w.canary}']"),
    "yaml tag inside": lambda w: w.rdf(f"name: x\nconfig: !!python/object/apply:os.system ['touch {w.canary}']"),
    "billion laughs": lambda w: w.rdf(LAUGHS + "config: {napari_dojo: *a11}\n"),
    "billion laughs in the options": lambda w: w.rdf(
        LAUGHS + (w.path / "rdf.yaml").read_text().replace("  net_options:", "  authors: *a11\n    net_options:", 1)
    ),
    "alias that holds itself": lambda w: w.rdf("type: model\nconfig: &a\n  napari_dojo: *a\n"),
    "options that hold themselves": lambda w: w.rdf(
        (w.path / "rdf.yaml").read_text().replace("net_options:", "options: &o {a: *o}\n    net_options:", 1)
    ),
    "nested too deep": lambda w: w.rdf("config: " + "[" * 100_000),
    "a description of 10 MB": lambda w: w.rdf(b"#" * 10_000_000),
    "a description of zeros": lambda w: w.rdf(bytes(100)),
    "a number of a million digits": lambda w: w.rdf(
        "config: {napari_dojo: {format: 1, channels: " + "9" * 1_000_000 + "}}"
    ),
    "description is a pipe": lambda w: fifo(w, "rdf.yaml"),
    "description is a device": lambda w: linked(w, "rdf.yaml", "/dev/zero"),
    "weights are a device": lambda w: weights_linked(w, "/dev/zero"),
    "weights are a pipe": lambda w: fifo(w, w.values()["weights"]["pytorch_state_dict"]["source"]),
    "weights of 200 GB": sparse,
    "readme is a link to a private file": lambda w: linked(w, "README.md", "/etc/passwd"),
    "weights elsewhere": lambda w: w.edit(weights__pytorch_state_dict__source="/etc/passwd"),
    "weights above": lambda w: w.edit(weights__pytorch_state_dict__source="../secret"),
    "zip slip": lambda w: w.zipped(lambda z: z.writestr("../slipped.txt", "x")),
    "zip slip, absolute": lambda w: w.zipped(lambda z: z.writestr("/tmp/slipped.txt", "x")),
    "zip slip, backslash": lambda w: w.zipped(lambda z: z.writestr("..\\slipped.txt", "x")),
    "zip with a link": lambda w: w.zipped(with_link),
    "zip bomb": lambda w: w.zipped(lambda z: z.writestr("more.bin", bytes(400_000_000))),
    "zip that lies on a size": lying,
    "zip of 20,000 files": lambda w: w.zipped(lambda z: [z.writestr(f"{i}.txt", "") for i in range(20_000)]),  # type: ignore[func-returns-value]
    "weights that are NaN": lambda w: w.tensors(
        lambda s: {k: v * np.nan if v.is_floating_point() else v for k, v in s.items()}
    ),
    "weights of another shape": lambda w: w.tensors(lambda s: changed(s, torch.zeros(1, 2, 3))),
    "weights of 10^12 numbers in one": lambda w: w.tensors(
        lambda s: changed(s, torch.zeros(1).expand(10**6, 10**6))
    ),
    "weights that are text": lambda w: w.tensors(lambda s: changed(s, "text")),
    "weights that are a list": lambda w: w.tensors(lambda s: list(s.values())),
    "no weights": lambda w: w.tensors(lambda s: {}),
    "complex weights": lambda w: w.tensors(lambda s: {k: v.to(torch.complex64) for k, v in s.items()}),
    "width of a million": lambda w: w.net(width=10**6),
    "width of 10^400": lambda w: w.net(width=10**400),
    "pools without end": lambda w: w.net(pools=[[2, 2]] * 10_000),
    "a stride of a million million": lambda w: w.fitting(pools=[[16, 16]] * 9, growth=0.01),
    "a stride of 10,000": lambda w: w.fitting(pools=[[10, 10]] * 4, growth=0.01),
    "unknown arguments": lambda w: w.net(**{"forward": "x", "name": "unet"}),
    "arguments that are text": lambda w: w.net(stem="22", width="many"),
    "another network": lambda w: w.card(net="os.system"),
    "10^9 channels": lambda w: w.card(channels=10**9),
    "100,000 maps": lambda w: w.card(maps=["a"] * 10**5),
    "one map": lambda w: w.card(maps=["a"]),
    "no maps": lambda w: w.card(maps=[]),
    "a zoom of 10^9": lambda w: w.card(zoom=1e9),
    "a zoom of 10^-9": lambda w: w.card(zoom=1e-9),
    "upsampling that is not there": lambda w: w.card(upsampling={"Y": 16, "X": 16}),
    "percentiles beyond 100": lambda w: w.card(rule={"low": -5.0, "high": 500.0, "frames": "whole"}),
    "percentiles that are text": lambda w: w.card(rule={"low": "a", "high": "b", "frames": 3}),
    "frames of another kind": lambda w: w.card(rule={"low": 1.0, "high": 99.8, "frames": "often"}),
    "axes without end": lambda w: w.card(axes="YX" * 1000),
    "options of another task": lambda w: w.card(options={"values": 3, "secret": [1]}),
    "options of another kind": lambda w: w.card(options={k: [[]] for k in w.values()["config"]["napari_dojo"]["options"]}),
    "decoding of another kind": lambda w: w.card(decoding={"min_size": "all"}),
    "a task that is a path": lambda w: w.card(task="../../etc"),
    "target numbers of another length": lambda w: w.card(target={"offset": [0, 0, 0], "scale": []}),
    "a million neighbours": lambda w: w.card(context=16),
}  # fmt: skip
NAMES = ("../evil", "a/b", "..", "", "con", "x" * 300, "a\0b", "/tmp/evil")  # of a model


def sees(path: Path) -> str:
    """All that the program does with a model that it is given."""
    library.models()
    bundle = load(path)
    predict(bundle, IMAGE)
    return "accepted"


def attack(spoil: Callable[[Workshop], Path], good: Path, folder: Path) -> tuple[str, bool]:
    """What came of a model, and whether something ran or was written outside."""
    place = folder / "place"
    shutil.copytree(good, place / "model")
    path = spoil(Workshop(place / "model", folder / "ran"))
    before = sorted(p for p in folder.rglob("*") if models_folder() not in p.parents)
    said = outcome(lambda: sees(path), SECONDS)

    def take() -> str:
        taken = library.import_model(path, "taken")
        inside = [p.name for p in taken.iterdir() if p.is_symlink() or "root:" in p.read_text(errors="replace")]
        shutil.rmtree(taken)
        return f"BROKEN: {inside} was imported" if inside else "imported"

    imported = outcome(take, SECONDS)
    if imported.startswith("BROKEN") or (said == "accepted" and imported.startswith("refused")):
        said = imported  # what only an import reads
    after = sorted(p for p in folder.rglob("*") if models_folder() not in p.parents)
    outside = before != after or (folder / "ran").exists() or Path("/tmp/slipped.txt").exists()
    shutil.rmtree(place)
    return said, outside


def run(folder: Path, talk: bool = True, only: str = "") -> dict[str, Any]:
    """Try all attacks; figures, with each that was not refused."""
    good = model(folder / "good")
    facts: dict[str, Any] = {"models": 0, "refused": 0, "names refused": 0, "broken": {}, "slowest s": 0.0}
    bad = facts["broken"]
    worst = 0.0
    for name, spoil in ATTACKS.items():
        if only not in name:
            continue
        place = folder / f"attack-{facts['models']}"
        place.mkdir()
        began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        said, outside = attack(spoil, good, place)
        seconds = time.monotonic() - began
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory)
        facts["models"] += 1
        facts["slowest s"], worst = max(facts["slowest s"], round(seconds, 1)), max(worst, grown)
        fine = said.startswith("refused") and not outside and grown < MEMORY
        facts["refused"] += fine
        if not fine:
            bad[name] = f"{said}{' WROTE OUTSIDE OR RAN' if outside else ''}, {grown / 1e6:.0f} MB"
        if talk:
            print(f"{'' if fine else '!! '}{name}: {said} ({seconds:.1f} s, {grown / 1e6:.0f} MB)", flush=True)
    for name in NAMES:
        try:
            made = library.import_model(good, name)
            bad[f"name {name!r:.20}"] = f"became {made}"
        except DojoError:
            facts["names refused"] += 1
    assert Folder(good).is_model
    facts["largest memory MB"] = round(worst / 1e6)
    return facts
