"""The Apply panel: a model on an image; the answer is a new layer that can be decoded anew without the net."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from napari_dojo.axes import Axes
from napari_dojo.card import Card
from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Done, Event, Failed, Said, Tiled
from napari_dojo.pretrained import Model, models
from napari_dojo.settings import Field, fields_of
from napari_dojo.tasks import TASKS, decoding_of, options_of
from napari_dojo.widgets.form import calm, described, form_layout, narrow, sentence
from napari_dojo.widgets.layers import (
    add_quietly,
    array_of,
    axes_choices,
    class_look,
    provenance,
    result_placement,
    source_of,
)
from napari_dojo.widgets.panel import Panel
from napari_dojo.widgets.pick import LayerBox, images_of
from napari_dojo.runs import run_folder

__all__ = ["ApplyPanel", "Kept", "unfit"]


@dataclass(frozen=True, eq=False)
class Kept:
    """What a prediction left behind, enough to decode again: ``maps`` (samples, K, *S), ``axes`` of the labels."""

    card: Card
    maps: NDArray[np.float32]
    axes: Axes
    shape: tuple[int, ...]

    def decoded(self, values: dict[str, Any]) -> NDArray[np.int32]:
        """Labels in the image's axes for these values of the decoding."""
        task = TASKS[self.card.task]
        decoding, options = replace(decoding_of(self.card), **values), options_of(self.card)
        out = np.zeros(self.shape, np.int32)
        for i in range(len(self.maps)):
            self.axes.sample(out, i)[0] = task.decode(np.asarray(self.maps[i]), decoding, options)
        return out


def unfit(card: Card, shape: tuple[int, ...], names: str) -> str:
    """Why a model cannot be applied to such an image; empty where it can."""
    axes = Axes.resolve(shape, names)
    if card.spatial == "ZYX" and "Z" not in names:
        return "This model is for volumes, and this image is flat. Choose a stack or a 2-D model."
    channels = axes.channels(shape)
    if channels != card.channels:
        return f"This model needs {card.channels} channel{'s' if card.channels > 1 else ''}; this image has {channels}. Choose another model or image."
    return ""


class ApplyPanel(Panel):
    """Apply a model to an image layer.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._models: list[Model] = []
        self._kept: Kept | None = None
        self._result: Any = None
        self._asked: dict[str, Any] = {}
        self._generation = 0
        self._decoding = False
        self._why_shown = False
        self._choose()
        self._go()
        self.column.addStretch(1)
        self.align()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(60)
        self._soon.timeout.connect(self._decode)
        self.watch.changed.connect(self._layers_changed)
        self.runner.said.connect(self._heard)
        self.refresh_models()
        self._layers_changed()
        self.lead(self.apply_button)

    # what is shown

    def _choose(self) -> None:
        form = form_layout()
        self.model_box = QComboBox()
        described(self.model_box, "Model", "Shipped models, your own, and those of your lab.")
        narrow(self.model_box)
        self.about = sentence(lines=3)
        self.about.setAccessibleName("About the model")
        self.image_box = LayerBox("Image", "The image to apply the model to.")
        self.third_box = QComboBox()
        described(self.third_box, "Third axis", "What the axes before Y and X are.")
        narrow(self.third_box)
        self.third_label = QLabel("Third axis")
        self.diameter_box = QDoubleSpinBox()
        self.diameter_box.setRange(1, 10_000)
        self.diameter_box.setDecimals(1)
        self.diameter_box.setSuffix(" px")
        self.diameter_box.setMaximumWidth(160)
        described(
            self.diameter_box,
            "Diameter",
            "Typical diameter of the objects in this image. It starts with what model and image say.",
        )
        calm(self.diameter_box)
        self.diameter_label = QLabel("Diameter")
        form.addRow("Model", self.model_box)
        form.addRow(self.about)
        form.addRow("Image", self.image_box)
        form.addRow(self.third_label, self.third_box)
        form.addRow(self.diameter_label, self.diameter_box)
        self.column.addLayout(form)
        self.model_box.currentIndexChanged.connect(self._model_changed)
        self.image_box.currentIndexChanged.connect(self._image_changed)
        self.third_box.activated.connect(self._judge)

    def _go(self) -> None:
        self.apply_button = QPushButton("Apply")
        described(self.apply_button, "Apply", "Find what the model knows in this image. The answer is a new layer.")
        self.stop_button = QPushButton("Stop")
        described(self.stop_button, "Stop", "Stop; nothing is added.")
        self.buttons = QStackedWidget()
        self.buttons.addWidget(self.apply_button)
        self.buttons.addWidget(self.stop_button)
        self.buttons.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.progress = QProgressBar()
        self.progress.setFormat("")
        described(self.progress, "Progress", "How much of the image is done.")
        self.message = sentence(lines=2)
        self.message.setAccessibleName("What happened")
        self.then_label = QLabel("Then, without computing it anew:")
        self.sliders = Sliders()
        self.count = sentence()
        self.count.setAccessibleName("Number of objects")
        for widget in (self.buttons, self.progress, self.message, self.then_label, self.sliders, self.count):
            self.column.addWidget(widget)
        self.apply_button.clicked.connect(self.apply)
        self.stop_button.clicked.connect(self._stop)
        self.sliders.changed.connect(self._slid)

    # what is chosen

    @property
    def model(self) -> Model | None:
        """The chosen model."""
        i = self.model_box.currentIndex()
        return self._models[i] if 0 <= i < len(self._models) else None

    def refresh_models(self) -> None:
        """List the models that there are now."""
        chosen = self.model.path if self.model else None
        self._models = [m for m in models() if m.card.task in TASKS]
        self.model_box.blockSignals(True)
        self.model_box.clear()
        for model in self._models:
            origin = {"shipped": " (shipped)", "lab": " (lab)"}.get(model.origin, "")
            self.model_box.addItem(model.name + origin, str(model.path))
        self.model_box.blockSignals(False)
        if not self.choose_model(chosen):
            self._model_changed()

    def choose_model(self, path_or_name: str | Path | None) -> bool:
        """Choose a model by its folder or name; whether it is there."""
        wanted = str(path_or_name or "")
        for i, model in enumerate(self._models):
            if wanted in (str(model.path), model.name):
                self.model_box.setCurrentIndex(i)
                self._model_changed()
                return True
        return False

    def _layers_changed(self) -> None:
        images = images_of(self.viewer.layers)
        active = self.viewer.layers.selection.active
        self.image_box.fill(images, active if any(active is x for x in images) else None)
        self._image_changed()
        if self._result is not None and self._result not in self.viewer.layers:
            self._result = self._kept = None
            self.sliders.setEnabled(False)
            self.count.setText("")

    def _model_changed(self, *_: Any) -> None:
        model = self.model
        self.about.setText(_words(model) if model else "There is no model yet. Train one in the Train panel.")
        if model and self._kept is None:
            self._fill_sliders(model.card)
        self._image_changed()

    def _image_changed(self, *_: Any) -> None:
        layer, chosen = self.image_box.layer, self.third_box.currentData()
        choices = axes_choices(layer) if layer is not None else ()
        self.third_box.clear()
        for names, words in choices:
            self.third_box.addItem(words, names)
        self.third_box.setCurrentIndex(max(0, self.third_box.findData(chosen)))
        for widget in (self.third_box, self.third_label):
            widget.setVisible(len(choices) > 1)
        self._show_diameter()
        self._judge()

    def _expected_diameter(self) -> float | None:
        """The diameter in this image's pixels that the model takes where nobody says another."""
        model, layer = self.model, self.image_box.layer
        if model is None or not model.card.diameter:
            return None
        ratio = 1.0
        if layer is not None and model.card.pixel_size:
            size = source_of(layer, self.third_box.currentData()).pixel_size
            ratio = size[-1] / model.card.pixel_size[-1] if size else 1.0
            ratio = 1.0 if 0.67 < ratio < 1.5 else ratio  # as `predict.zoom_for` has it
        return round(model.card.diameter / ratio, 1)

    def _show_diameter(self) -> None:
        diameter = self._expected_diameter()
        for widget in (self.diameter_box, self.diameter_label):
            widget.setVisible(diameter is not None)
        if diameter is not None:
            self.diameter_box.setValue(diameter)

    def _judge(self, *_: Any) -> None:
        """Say why Apply cannot be pressed, where it cannot."""
        layer, model = self.image_box.layer, self.model
        why = ""
        if model is None:
            why = "Train a model first."
        elif layer is None:
            why = "Open an image to apply the model to (File > Open, or File > Open Sample)."
        else:
            names = self.third_box.currentData()
            try:
                why = unfit(model.card, tuple(array_of(layer).shape), names)
            except DojoError as error:
                why = str(error)
        if not self.runner.busy:
            self.apply_button.setEnabled(not why)
            self.apply_button.setToolTip(why or "Find what the model knows in this image. The answer is a new layer.")
            if why or self._why_shown:
                self.message.setText(self.marked("error", why) if why else "")
            self._why_shown = bool(why)

    # the job

    def apply(self) -> None:
        """Apply the chosen model to the chosen image."""
        if self.runner.busy:
            return
        try:
            self.runner.start(self._request)
        except Exception as error:
            self._failed(explained(error))
            return
        self.message.setText("")
        self.progress.setRange(0, 0)
        self.progress.setFormat("Starting ...")
        self._turn(True)

    def _request(self) -> Path:
        from napari_dojo.jobs import predict_request

        model, layer = self.model, self.image_box.layer
        if model is None or layer is None:
            raise DojoError("A model and an image are needed. Choose both.")
        names = self.third_box.currentData()
        source = source_of(layer, names, volumes=model.card.spatial == "ZYX")
        diameter = self.diameter_box.value() if model.card.diameter else None
        if diameter == self._expected_diameter():
            diameter = None
        self._asked = {
            "model": model,
            "name": f"{layer.name} {model.name}",
            "image": layer.name,
            "shape": tuple(source.array.shape),
            "axes": source.axes,
            "place": result_placement(layer, source.axes),
            "diameter": diameter,
        }
        return predict_request(
            run_folder("apply"),
            model.path,
            [source.array],
            axes=[names],
            names=[layer.name],
            settings={"diameter": diameter},
            pixel_sizes=[source.pixel_size],
            keep_maps=True,
        )

    def _turn(self, running: bool) -> None:
        self.buttons.setCurrentIndex(int(running))
        self.stop_button.setEnabled(running)
        for widget in (self.model_box, self.image_box, self.third_box, self.diameter_box):
            widget.setEnabled(not running)

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        self.progress.setFormat("Stopping ...")
        self.runner.stop()

    def _heard(self, event: Event) -> None:
        if isinstance(event, Tiled):
            self.progress.setRange(0, event.total)
            self.progress.setValue(event.done)
            self.progress.setFormat("%p %")
        elif isinstance(event, Said) and event.level == "warning":
            self.message.setText(self.marked("warning", event.text))
        elif isinstance(event, Failed):
            self._failed(event.sentence)
        elif isinstance(event, Done):
            try:
                self._done(event)
            except (OSError, ValueError, KeyError) as error:
                self._failed(explained(error))

    def _done(self, event: Done) -> None:
        folder, found = Path(event.result), event.facts["results"][0]
        asked, model = self._asked, self._asked["model"]
        labels = np.load(folder / found["labels"])
        if found.get("maps"):
            maps = np.load(folder / found["maps"], mmap_mode="r")
            self._kept = Kept(model.card, maps, asked["axes"].without_channels(), labels.shape)
        made = provenance(
            "result",
            asked["image"],
            model=model.name,
            path=str(model.path),
            task=model.card.task,
            diameter=asked["diameter"],
            decoding=asdict(decoding_of(model.card)),
        )
        _hide_previews(self.viewer)
        name = _new_name(self.viewer, asked["name"])
        self._generation += 1
        self._result = add_quietly(self.viewer, labels, name, metadata=made, **asked["place"], **_look(model.card))
        self._fill_sliders(model.card)
        self.sliders.setEnabled(self._kept is not None)
        self.progress.setRange(0, 1)
        self.progress.setValue(1)
        self.progress.setFormat(f"Done in {event.facts.get('seconds', 0):.1f} s")
        self._turn(False)
        self._judge()
        self.message.setText(f'Added the layer "{name}".')
        self._show_count(labels)

    def _failed(self, text: str) -> None:
        self._turn(False)
        self._judge()
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self.progress.setFormat("")
        self.message.setText(self.marked("error", text))
        if not text.startswith("Stopped"):
            self.warn(text)

    # decoding anew

    def _fill_sliders(self, card: Card) -> None:
        task = TASKS[card.task]
        self.sliders.show_fields(fields_of(task.decoding), asdict(decoding_of(card)))
        self.sliders.setEnabled(self._kept is not None)
        self.then_label.setVisible(bool(fields_of(task.decoding)))

    def _slid(self) -> None:
        if self._kept is not None:
            self._soon.start()

    def _decode(self) -> None:
        from napari.qt.threading import create_worker

        if self._kept is None or self._result is None:
            return
        if self._decoding:  # one at a time; the latest values are taken when it is done
            self._soon.start()
            return
        self._decoding = True
        generation, values = self._generation, self.sliders.values()
        worker: Any = create_worker(_try_decode, self._kept, values)
        worker.returned.connect(lambda answer: self._decoded(generation, values, answer))
        worker.start()

    def _decoded(self, generation: int, values: dict[str, Any], answer: Any) -> None:
        self._decoding = False
        if (
            self._ended
            or generation != self._generation
            or self._result is None
            or self._result not in self.viewer.layers
        ):
            return
        if isinstance(answer, Exception):
            self.message.setText(self.marked("error", explained(answer)))
            return
        self._result.data = answer
        self._result.metadata["napari_dojo"]["decoding"] = values
        self._show_count(answer)

    def _show_count(self, labels: NDArray[np.int32]) -> None:
        model = self._asked["model"]
        if model.card.task == "instances":
            n = len(np.unique(labels)) - int((labels == 0).any())
            self.count.setText(f"{n} object{'' if n == 1 else 's'}")
            return
        options = options_of(model.card)
        shares = [f"{name} {np.mean(labels == v):.0%}" for v, name in zip(options.values, options.classes, strict=True)]
        self.count.setText(", ".join(shares))

    def end(self) -> None:
        """The panel is closing."""
        self._soon.stop()
        super().end()


class Sliders(QWidget):
    """One slider for each number of a decoding; ``changed`` says that one was moved."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._layout = form_layout(self)
        self._sliders: dict[str, tuple[Field, Any]] = {}

    def show_fields(self, fields: tuple[Field, ...], values: dict[str, Any]) -> None:
        """Show these numbers with these values; says nothing."""
        from qtpy.QtCore import Qt
        from superqt import QLabeledDoubleSlider, QLabeledSlider

        if tuple(f.name for f in fields) != tuple(self._sliders):
            while self._layout.rowCount():
                self._layout.removeRow(0)
            self._sliders = {}
            for field in fields:
                whole = field.kind is int or (field.option.high or 0) > 1000
                slider: Any = (QLabeledSlider if whole else QLabeledDoubleSlider)(Qt.Orientation.Horizontal)
                described(slider, field.option.label, field.option.help)
                slider.valueChanged.connect(self._moved)
                unit = f" ({field.option.unit})" if field.option.unit else ""
                self._layout.addRow(field.option.label + unit, slider)
                self._sliders[field.name] = (field, slider)
        for field, slider in self._sliders.values():
            value = values[field.name]
            low, high = field.option.low or 0, field.option.high or 1
            high = high if high <= 1000 else max(200, 4 * value)
            slider.blockSignals(True)
            slider.setRange(*((int(low), int(high)) if isinstance(slider.value(), int) else (low, high)))
            if high <= 1:
                slider.setDecimals(2)
                slider.setSingleStep(0.01)
            slider.setValue(round(value) if isinstance(slider.value(), int) else value)
            slider.blockSignals(False)

    def slider(self, name: str) -> Any:
        """The slider of a number."""
        return self._sliders[name][1]

    def values(self) -> dict[str, Any]:
        """What they show, by name."""
        return {name: field.kind(slider.value()) for name, (field, slider) in self._sliders.items()}

    def _moved(self, *_: Any) -> None:
        self.changed.emit()


def _try_decode(kept: Kept, values: dict[str, Any]) -> Any:
    """Labels, or the error as a value."""
    try:
        return kept.decoded(values)
    except Exception as error:
        return error


def _words(model: Model) -> str:
    """What a model is and how good it is, for people."""
    card = model.card
    return "<br>".join(_lines(card))


def _lines(card: Card) -> Iterator[str]:
    from html import escape

    what = card.description.strip().split("\n")[0] or TASKS[card.task].sentence
    yield escape(what)
    score = card.data.get("test") or card.score
    if isinstance(score, dict) and score.get("sentence"):
        part = "test" if card.data.get("test") else card.score.get("from", "validation")
        yield escape(f"{str(part).capitalize()}: {score['sentence']}")
    if card.baseline.get("sentence"):
        yield escape(f"Without learning: {card.baseline['sentence']}")


def _look(card: Card) -> dict[str, Any]:
    """How labels of a model look: classes have colours and names."""
    options = options_of(card)
    return class_look(options.values, options.classes) if hasattr(options, "classes") else {}


def _new_name(viewer: Any, wanted: str) -> str:
    """The name, with a number where it is taken."""
    taken, name, k = {x.name for x in viewer.layers}, wanted, 2
    while name in taken:
        name, k = f"{wanted} ({k})", k + 1
    return name


def _hide_previews(viewer: Any) -> None:
    for layer in viewer.layers:
        ours = layer.metadata.get("napari_dojo")
        if isinstance(ours, dict) and ours.get("kind") == "preview":
            layer.visible = False
