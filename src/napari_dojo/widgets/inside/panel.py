"""The Look inside panel: kernels, feature maps and receptive field of a trained model on the current image."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QPushButton

from napari_dojo.errors import DojoError
from napari_dojo.events import Done, Event, Failed
from napari_dojo.jobs.image_requests import inside_request
from napari_dojo.jobs.runs import run_folder
from napari_dojo.models.card import Card
from napari_dojo.models.kept import WATCHED
from napari_dojo.models.library import Model, models
from napari_dojo.models.watched import Watched
from napari_dojo.playground.convolution import mosaic
from napari_dojo.playground.glossary import explain
from napari_dojo.widgets.common.alone import Alone
from napari_dojo.widgets.common.background import discard
from napari_dojo.widgets.common.form import described, form_layout, narrow, sentence
from napari_dojo.widgets.common.inputs import Asked, seen_box
from napari_dojo.widgets.common.layers import add_quietly, finer_place, likely_axes, provenance
from napari_dojo.widgets.common.model_box import ModelBox
from napari_dojo.widgets.common.panel import Panel
from napari_dojo.widgets.common.pick import LayerBox, images_of
from napari_dojo.widgets.common.run import BRIEFLY, Runner
from napari_dojo.widgets.inside.drawing import Drawing

__all__ = ["InsidePanel"]

LARGEST = {"YX": 512, "ZYX": 96}  # px of the part that is looked at, along each axis
WATCH_TIP = (
    "Show what the model made of a part of a validation image at each check of its training, as layers with a slider."
)
NOT_WATCHED = "Nothing was kept of its training: shipped and imported models have no checks."
NO_IMAGE, NO_MODEL = "Open an image first.", "There is no model. Train one, or import one."
FIELD = "Receptive field"
FIELD_TIP = (
    "Click a pixel of the image: the outer box is all of the image that the prediction there can depend on, "
    "the inner box holds 95 % of the influence (by the gradient at the middle of the image)."
)


class InsidePanel(Panel):
    """Shows what a network computes on the way from an image to its prediction.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.model_box, self.image_box = ModelBox(), LayerBox("Image", "The image that the model is applied to.")
        self.look_button, self.field_button = QPushButton("Look inside"), QPushButton(FIELD)
        self.watch_button = QPushButton("Watch it train again")
        self.level_box = QComboBox()
        self.drawing, self.message = Drawing(self.viewer), sentence()
        self.runner = Runner(self)
        self.layers: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self._levels: list[NDArray[np.float32]] = []  # feature maps of each, (maps, *S), in files of the folder
        self._folder_of_levels: Path | None = None
        self._asked: Asked | None = None
        self._image: Any = None  # the layer that was asked about
        self._seen: tuple[Any, Asked, Card] | None = None  # the layer, its part and the model that the facts are of
        self._card: Card | None = None
        self._folder: Path | None = None
        self._watched: Watched | None = None
        self._alone = Alone(self.viewer.layers)
        self.viewer.dims.events.current_step.connect(self._say_check)
        self._build()
        self._list_models()
        self.runner.said.connect(self._heard)
        self.watch.changed.connect(self.refresh)
        self.look_button.clicked.connect(self.look)
        self.level_box.activated.connect(lambda *_: self.show_level(self.level_box.currentIndex()))
        self.watch_button.clicked.connect(self.watch_again)
        self.drawing.picked.connect(self.show_level)
        self.field_button.toggled.connect(self._listen)
        self.model_box.activated.connect(self.refresh)
        self.image_box.picked.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        tip = "Show the kernels and the feature maps of a level as layers, for the part of the image that is in view."
        described(self.look_button, "Look inside", tip)
        described(self.level_box, "Feature maps", f"The level whose feature maps are shown. {explain('feature map')}")
        described(self.field_button, FIELD, FIELD_TIP)
        described(self.watch_button, "Watch it train again", WATCH_TIP)
        narrow(self.level_box)
        self.field_button.setCheckable(True)
        self.message.setAccessibleName("Message")
        form = form_layout()
        form.addRow("Model", self.model_box)
        form.addRow(self.model_box.note)
        form.addRow("Image", self.image_box)
        self.column.addLayout(form)
        self.column.addWidget(self.look_button)
        self.column.addWidget(self.message)
        self.column.addWidget(self.drawing)
        shown = form_layout()
        shown.addRow("Maps", self.level_box)
        self.column.addLayout(shown)
        self.column.addWidget(self.field_button)
        self.column.addWidget(self.watch_button)
        self.column.addStretch(1)

    # what is chosen

    def choose(self, model: Model | None, image: Any) -> None:
        """Choose a model and an image layer, where they are there."""
        self._list_models()
        if model is not None:
            self.model_box.choose(model.path)
        if image is not None:
            self.image_box.choose(image)
        self.refresh()

    def refresh(self) -> None:
        """Follow the layers and the models."""
        if self._ended:
            return
        active = self.viewer.layers.selection.active
        images = images_of(self.viewer.layers)
        self.image_box.fill(images, active if any(active is x for x in images) else None)
        why = NO_IMAGE if self.image_box.layer is None else "" if self.model_box.chosen else NO_MODEL
        self.look_button.setEnabled(not why and not self.runner.busy)
        self.level_box.setEnabled(bool(self._levels))
        self.field_button.setEnabled(self._seen is not None and self._seen[0] in self.viewer.layers)
        model = self.model_box.chosen
        there = model is not None and (model.path / "run" / WATCHED).is_file()
        self.watch_button.setEnabled(there)
        self.watch_button.setToolTip(WATCH_TIP if there else f"{WATCH_TIP} {NOT_WATCHED}")
        if why or self.message.text() in (NO_IMAGE, NO_MODEL):
            self.message.setText(why)
        self.lead(self.look_button)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """There may be new models."""
        self._list_models()
        super().showEvent(event)
        self.refresh()

    def _list_models(self) -> None:
        self.model_box.fill(models(), lambda card: "")

    # the job

    def look(self) -> None:
        """Apply the model to the part of the image in view, and keep what it computes on the way."""
        model, layer = self.model_box.chosen, self.image_box.layer
        if model is None or layer is None or self.runner.busy:
            return
        self._list_models()
        if not self.model_box.holds(model):
            return
        try:
            asked = in_view(self.viewer, layer, model.card)
        except DojoError as error:
            self.message.setText(self.marked("error", str(error)))
            return
        folder = self._folder = run_folder("inside")
        self._asked, self._card, self._image = asked, model.card, layer
        self.message.setText("Computing feature maps ...")
        self.runner.start(lambda: inside_request(folder, model.path, asked.request(model.card)))
        self.refresh()

    def _heard(self, event: Event) -> None:
        if not isinstance(event, Done | Failed) or self._folder is None:
            return
        folder, self._folder = self._folder, None
        if isinstance(event, Failed):
            self.message.setText(self.marked("error", event.sentence))
            discard(folder)
        else:
            self.facts = event.facts
            self._show(folder)
        self.refresh()

    # layers

    def _show(self, folder: Path) -> None:
        """Replace the layers of the last look; the folder is deleted when they are replaced, too."""
        asked, card = self._asked, self._card
        assert asked is not None
        assert card is not None
        self._remove()
        self._seen, self._folder_of_levels = (self._image, asked, card), folder
        self._levels = [np.load(folder / f"maps-{k}.npy", mmap_mode="r") for k in range(len(self.facts["stages"]))]
        kernels = np.load(folder / "kernels.npy")
        picture, high = kernel_picture(kernels), float(np.abs(kernels).max()) or 1.0
        look = {"colormap": "PiYG", "contrast_limits": (-high, high), **self._left_of(asked, picture)}
        self._add("kernels", picture, f"{len(kernels)} kernels ({card.name})", look)
        self.level_box.addItems([f"{s['name']}: {s['maps']} maps, {s['cell'][-1]:g} px" for s in self.facts["stages"]])
        self.drawing.show_stages(self.facts["stages"])
        self.show_level(0)
        radius, effective = (max(self.facts[k]) for k in ("radius", "effective"))
        zoomed = (
            "" if math.isclose(self.facts["zoom"], 1.0, rel_tol=0.05) else " The image is used at its own pixel size."
        )
        self.message.setText(
            f"{self.facts['parameters']:,} parameters. A pixel depends on the image up to {radius} px away; 95 % of the "
            f'influence comes from up to {effective} px.{zoomed} The slider "map" below the image goes through the maps.'
        )

    def _add(self, key: str, data: NDArray[np.float32], name: str, look: dict[str, Any]) -> None:
        assert self._seen is not None
        about = provenance("preview", self._seen[0])
        self.layers[key] = add_quietly(self.viewer, data, name, "image", metadata=about, **look)

    def _left_of(self, asked: Asked, picture: NDArray[np.float32]) -> dict[str, Any]:
        """The place of the kernels: left of the image part, as high as it."""
        high = asked.image.shape[asked.axes.names.index("Y")]
        factor = high / picture.shape[0]
        place = flat(asked.placement)
        step = np.asarray(place["scale"])
        start = np.asarray(place["translate"]) - np.array([0, (picture.shape[1] + 4) * factor]) * step
        return {**place, "scale": step * factor, "translate": start}

    def show_level(self, number: int) -> None:
        """Show the feature maps of one level in the layer of those of another: each layer costs the window .2 s, and
        the slider ends with the maps.
        """
        if not 0 <= number < len(self._levels) or self._seen is None:
            return
        _, asked, card = self._seen
        stage, maps = self.facts["stages"][number], np.array(self._levels[number])
        between, place = stacked(asked, stage["cell"], card)
        maps = maps.reshape(len(maps), *between, *maps.shape[1:])
        name, limits = f"{stage['name']}: {len(maps)} maps ({card.name})", (0.0, stage["bright"] or 1.0)
        dims, layer = self.viewer.dims, self.layers.get("maps")
        if layer is None or layer not in self.viewer.layers:
            self._add("maps", maps, name, {"colormap": "viridis", "contrast_limits": limits, **place})
        else:
            first = dims.ndim - layer.ndim
            if dims.current_step[first] >= len(maps):
                dims.set_current_step(first, 0)
            layer.data, layer.name, layer.visible = maps, name, True
            layer.scale, layer.translate = place["scale"], place["translate"]
            layer.contrast_limits_range = layer.contrast_limits = limits
        self.level_box.setCurrentIndex(number)
        self.drawing.mark(number)

    def _remove(self) -> None:
        self._watched = None
        self._forget_levels()
        self._alone.put_back()
        for layer in self.layers.values():
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.layers = {}

    def _forget_levels(self, wait: bool = False) -> None:
        """Delete the files of the feature maps; the layer that shows one level stays."""
        folder, self._folder_of_levels = self._folder_of_levels, None
        self._levels = []
        self.level_box.clear()
        self.drawing.show_stages([])
        if folder is not None:
            discard(folder, wait)

    # how it was trained

    def watch_again(self) -> None:
        """Show the results that were kept at the checks of its training as a layer with a slider, beside the image they are of."""
        model = self.model_box.chosen
        watched = None if model is None else Watched.read(model.path)
        if model is None or watched is None:
            self.message.setText(NOT_WATCHED)
            return
        self._remove()
        self._watched = watched
        about = provenance("preview", model.name)
        images, results = watched.stacked()
        finer = np.divide(images.shape, results.shape)
        across = _across(self.viewer, images.ndim - 1)
        images, results = (np.expand_dims(a, tuple(range(1, 1 + len(across)))) for a in (images, results))

        def place(scale: NDArray[Any]) -> dict[str, Any]:
            both = np.insert(scale, 1, across[:, 0]), np.insert((scale - 1) / 2, 1, across[:, 1])
            return {"scale": both[0], "translate": both[1], "metadata": about}

        name = f"validation image ({model.name})"
        image = self.viewer.add_image(images, name=name, **place(np.ones(finer.shape)))
        add = partial(self.viewer.add_labels, opacity=0.5) if watched.labels else self.viewer.add_image
        result = add(results, name=f"checks of {model.name}", **place(finer))
        self.layers |= {"watched image": image, "watched": result}
        self._alone.show((image, result), ())
        self.viewer.dims.set_current_step(self.viewer.dims.ndim - results.ndim, 0)
        self.viewer.reset_view()
        self.refresh()
        self._say_check()

    def _say_check(self, event: Any = None) -> None:
        """Say which check is shown."""
        layer, watched = self.layers.get("watched"), self._watched
        if watched is None or layer is None or layer not in self.viewer.layers:
            return
        at = min(len(watched.steps) - 1, self.viewer.dims.current_step[self.viewer.dims.ndim - layer.ndim])
        text = f"Check {at + 1} of {len(watched.steps)}: step {watched.steps[at]:,}, {watched.figures[at]}."
        self.message.setText(f"{text} The slider below the image goes through the training.")

    # the receptive field

    def _listen(self, on: bool) -> None:
        """Show the receptive field of pixels that are clicked, or no more."""
        calls = self.viewer.mouse_drag_callbacks
        if on and self._clicked not in calls:
            calls.append(self._clicked)
        elif not on and self._clicked in calls:
            calls.remove(self._clicked)

    def _clicked(self, viewer: Any, event: Any) -> None:
        if self._seen is not None:
            self.show_field(self._seen[0].world_to_data(event.position)[-2:])

    def show_field(self, at: Any) -> None:
        """Draw the receptive field of a pixel (y, x) of the image as two boxes."""
        from napari.layers import Shapes

        assert self._seen is not None
        (layer, asked, _), y_x = self._seen, np.round(np.asarray(at, float))
        corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
        boxes = [y_x + corners * (np.asarray(self.facts[k][-2:]) + 0.5) for k in ("radius", "effective")]
        shapes = self.layers.get("field")
        if shapes is not None and shapes in self.viewer.layers:
            self.viewer.layers.remove(shapes)
        place = flat(asked.place)
        name = f"{FIELD}: {2 * self.facts['radius'][-1] + 1} px, 95 % {2 * self.facts['effective'][-1] + 1} px"
        shapes = self.layers["field"] = Shapes(
            boxes,
            shape_type="rectangle",
            edge_color=["#56B4E9", "#E69F00"],
            face_color="transparent",
            edge_width=max(1.0, self.facts["radius"][-1] / 40),
            name=name,
            metadata=provenance("preview", layer),
            **place,
        )
        selected = self.viewer.layers.selection.active
        self.viewer.layers.append(shapes)
        self.viewer.layers.selection.active = selected

    def end(self) -> None:
        """Stop, and leave the layers to the user."""
        if not self._ended:
            folder, self._folder = self._folder, None
            self._forget_levels(wait=True)
            self._listen(False)
            self._alone.put_back()
            self.viewer.dims.events.current_step.disconnect(self._say_check)
            self.runner.close(BRIEFLY)
            self.drawing.end()
            super().end()
            if folder is not None:
                discard(folder, wait=True)


def _across(viewer: Any, dims: int) -> NDArray[np.float64]:
    """How far the axes of the viewer before the last ``dims`` reach, and their middle, (n, 2).

    A layer with one pixel of that size along each is seen whatever plane of a stack is shown, and an axis before them has a slider
    for itself alone.
    """
    low, high = viewer.layers.extent.world[:, : max(0, viewer.dims.ndim - dims)]
    return np.stack([np.maximum(high - low, 1.0), (low + high) / 2], 1)


def in_view(viewer: Any, layer: Any, card: Card) -> Asked:
    """The part of an image that is in view, at most `LARGEST` px along each axis, around the middle of the view.

    Raises
    ------
    DojoError : the model does not fit, or nothing of the image is in view.
    """
    names = likely_axes(layer)
    asked = Asked.of(layer, names, card)
    box = []
    for name, (a, b) in zip(asked.axes.names, seen_box(viewer, layer, asked.axes), strict=True):
        most = LARGEST[card.spatial] if name in card.spatial else b - a
        start = a + max(0, (b - a - most) // 2)
        box.append((start, min(b, start + most)))
    return replace(asked, box=tuple(box), wide=tuple(box))


def flat(place: dict[str, Any]) -> dict[str, Any]:
    """The last two dimensions of a place."""
    n = len(place["scale"])
    keep = [n - 2, n - 1]
    rows = [*keep, n]
    return {
        **{k: np.asarray(place[k])[-2:] for k in ("scale", "translate")},
        **{k: np.asarray(place[k])[np.ix_(keep, keep)] for k in ("rotate", "shear")},
        "affine": np.asarray(place["affine"])[np.ix_(rows, rows)],
        "units": list(place["units"])[-2:],
        **({"axis_labels": list(place["axis_labels"])[-2:]} if "axis_labels" in place else {}),
    }


def stacked(asked: Asked, cell: Any, card: Card) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Where feature maps lie: over the image part, with an axis for the maps before all others.

    Returns the sizes of the axes between the maps and the spatial ones, each 1, and the arguments of the layer.
    """
    place = replace(asked, finer={}).placement
    names = [a for a in asked.axes.names if a != "C"]
    n = len(names)
    coarse = dict(zip(card.spatial, cell, strict=True))
    place = finer_place(place, [1 / coarse.get(name, 1) for name in names])
    grown: dict[str, Any] = {k: np.r_[first, place[k]] for k, first in (("scale", 1.0), ("translate", 0.0))}
    for k in ("rotate", "shear", "affine"):
        size = len(place[k])
        grown[k] = np.eye(size + 1)
        grown[k][1:, 1:] = place[k]
    labels = ["map", *place.get("axis_labels", [str(k - n) for k in range(n)])]
    return (1,) * (n - len(cell)), {**grown, "units": ["pixel", *place["units"]], "axis_labels": labels}


def kernel_picture(kernels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Kernels (maps, C, *K) of the first channel side by side; of volumes their middle planes."""
    first = kernels[:, 0]
    while first.ndim > 3:
        first = first[:, first.shape[1] // 2]
    return mosaic(first.astype(float)).astype(np.float32)
