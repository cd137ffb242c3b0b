"""The Annotate panel: correct objects with tools, accept them, and train on what is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dojo.errors import DojoError
from napari_dojo.jobs.autosave import Draft
from napari_dojo.widgets.annotate.editing import Editing, writable
from napari_dojo.widgets.annotate.enough import EnoughSection
from napari_dojo.widgets.annotate.filters import FilterSection
from napari_dojo.widgets.annotate.follow import FollowSection
from napari_dojo.widgets.annotate.gestures import TOOLS
from napari_dojo.widgets.annotate.live import BACKGROUND, Live, Strokes, strokes_in_view
from napari_dojo.widgets.annotate.planes import PlaneSection
from napari_dojo.widgets.annotate.regions import RegionSection
from napari_dojo.widgets.annotate.retrain import RetrainSection
from napari_dojo.widgets.annotate.suggest import SuggestSection
from napari_dojo.widgets.annotate.tools import FLAT, Tools
from napari_dojo.widgets.common.accepted import accepted_layer, accepted_places
from napari_dojo.widgets.common.autosave import Autosave
from napari_dojo.widgets.common.form import Fold, described, form_layout, narrow, sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import fits, new_labels
from napari_dojo.widgets.common.numbering import STROKES
from napari_dojo.widgets.common.panel import Panel, open_panel
from napari_dojo.widgets.common.pick import LayerBox, images_of, labels_of, paired
from napari_dojo.widgets.common.provenance import is_prediction, source_among
from napari_dojo.widgets.common.unfinished import Unfinished

__all__ = ["AnnotatePanel"]

NO_IMAGE = "Open an image first (File > Open, or File > Open Sample > Dojo)."
ALL_STROKES = "All strokes are used for training, also outside of the accepted places. Whole objects use these again."
NO_LABELS = "There are no labels yet. Make new ones and paint, or let a model find the objects (Apply)."
NO_TOOL = "Choose a tool, or paint with napari's brush (key 2). The keys work while the image has the focus."
KINDS = {"whole objects": "", "objects from strokes": "objects", "classes from strokes": "classes"}


@dataclass(frozen=True, eq=False)
class _Pair:
    """The labels and their image, as `Autosave` keeps them."""

    images: tuple[Any, ...]
    target: Any
    region: Any
    role: str = "automatic"


class AnnotatePanel(Panel):
    """Correct and accept the objects of a Labels layer.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.editing: Editing | None = None
        self._enough = False  # strokes to train on
        self._hidden: Any = None  # the layer of accepted places, while the view is 3-D
        self.unfinished = Unfinished(self.viewer, runs=False)
        self.column.addWidget(self.unfinished)
        self._choose()
        self._strokes()
        self._correct()
        self._accept()
        self.suggest = SuggestSection(self.viewer)
        self.suggest.failed.connect(self.warn)
        self.column.addWidget(self.suggest)
        self.planes = PlaneSection(self.viewer)
        self.planes.failed.connect(self.warn)
        self.column.addWidget(self.planes)
        self.regions = RegionSection(self.viewer)
        self.regions.failed.connect(self.warn)
        self.regions.opened.connect(self._region_opened)
        self.column.addWidget(Fold("Large image", self.regions, "annotate/regions"))
        self._retrain()
        self.enough = EnoughSection(self.viewer)
        self.enough.failed.connect(self.warn)
        self.column.addWidget(Fold("Enough?", self.enough, "annotate/enough"))
        self.filters = FilterSection(self.viewer)
        self.filters.said.connect(self._say)
        self.column.addWidget(Fold("Filter", self.filters, "annotate/filter"))
        self.follow = FollowSection(self.viewer)
        self.follow.said.connect(self._say)
        self.follow.failed.connect(self.warn)
        self.column.addWidget(Fold("Table and tracks", self.follow, "annotate/follow"))
        self.column.addStretch(1)
        self.align()
        self.tools = Tools(self.viewer, self)
        self.tools.changed.connect(self._tool_changed)
        self.tools.said.connect(self._say)
        self.autosave = Autosave(self.viewer, self._state, self)
        self.autosave.adopt_left("annotate")
        self.autosave.failed.connect(self.warn)
        self.unfinished.draft_wanted.connect(self._restore)
        self.unfinished.changed.connect(self._lead)
        self.watch.changed.connect(self.refresh)
        self.viewer.layers.events.removed.connect(self._removed)
        for moved in (self.viewer.dims.events.current_step, self.viewer.dims.events.order):
            moved.connect(self._count_strokes)
        self.viewer.dims.events.ndisplay.connect(self._turning, position="first")
        self.viewer.dims.events.ndisplay.connect(self._turned, position="last")
        self.refresh()
        self.unfinished.refresh()

    # what is shown

    def _choose(self) -> None:
        form = form_layout()
        self.labels_box = LayerBox("Labels", "The objects to correct: your labels, or what a model has found.")
        self.image_box = LayerBox("Image", "The image in which Add looks for outlines.")
        self.new_button = QPushButton("+ new")
        described(self.new_button, "New Labels layer", "Make an empty Labels layer over the image, ready to paint.")
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.labels_box, 1)
        row.addWidget(self.new_button)
        self.reach_box = QComboBox()
        described(
            self.reach_box, "Change objects", "Whether a correction changes an object in all planes of its stack."
        )
        narrow(self.reach_box)
        self.reach_box.addItem("in all planes", True)
        self.reach_box.addItem("in this plane", False)
        self.find_box = QComboBox()
        described(self.find_box, "Find", "What the labels are: whole objects, or strokes that a model is trained from.")
        narrow(self.find_box)
        for text, kind in KINDS.items():
            self.find_box.addItem(text, kind)
        form.addRow("Labels", row)
        form.addRow("Image", self.image_box)
        form.addRow("Find", self.find_box)
        form.addRow("Objects", self.reach_box)
        self._form = form
        self.column.addLayout(form)
        self.count_text = sentence(lines=1)
        self.count_text.setAccessibleName("How many objects")
        self.column.addWidget(self.count_text)
        self.labels_box.currentIndexChanged.connect(self._labels_chosen)
        self.labels_box.picked.connect(self._labels_picked)
        self.image_box.currentIndexChanged.connect(self._image_chosen)
        self.reach_box.currentIndexChanged.connect(self._reach_chosen)
        self.find_box.activated.connect(self._kind_chosen)
        self.new_button.clicked.connect(self._make_labels)

    def _strokes(self) -> None:
        self.strokes_part, column = _part()
        brushes = QHBoxLayout()
        brushes.setSpacing(4)
        self.ground_button, self.next_button = QPushButton("Background  B"), QPushButton("Next object  N")
        described(self.ground_button, "Paint background", "Paint background with number 1: close to objects, and far.")
        described(self.next_button, "Paint the next object", "Paint the next object, with a number that none has yet.")
        for button in (self.ground_button, self.next_button):
            button.setCheckable(True)  # the brush in hand is pressed
        brushes.addWidget(self.ground_button)
        brushes.addWidget(self.next_button)
        self.live_check = QCheckBox("Live")
        described(self.live_check, "Live", "Show after each stroke what the strokes make of the image.")
        self.live_text = sentence(lines=1)
        self.live_text.setAccessibleName("Live preview")
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.live_check)
        row.addWidget(self.live_text, 1)
        self.strokes_text = sentence(lines=2)
        self.strokes_text.setAccessibleName("What is painted")
        column.addLayout(brushes)
        column.addLayout(row)
        column.addWidget(self.strokes_text)
        self.column.addWidget(self.strokes_part)
        self.live = Live(self.viewer, self)
        self._counting = Latest(self)
        self._counting.told.connect(self._counted)
        self.live.said.connect(self.live_text.setText)
        self.live.counted.connect(self._strokes_counted)
        self.live.ended.connect(lambda: self.live_check.setChecked(False))
        self.live_check.toggled.connect(self._live_toggled)
        self.ground_button.clicked.connect(self._paint_background)
        self.next_button.clicked.connect(self._paint_next)

    def _correct(self) -> None:
        self.correct_part, column = _part()
        self.correct_heading = _heading("Correct")
        column.addWidget(self.correct_heading)
        self.tool_buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setSpacing(4)
        for k, tool in enumerate(t for t in TOOLS.values() if t.name != "Accept"):
            button = self._tool_button(tool.name, f"{tool.name}  {tool.key}")
            grid.addWidget(button, k // 3, k % 3)
        self.undo_button, self.redo_button = QPushButton("Undo"), QPushButton("Redo")
        described(self.undo_button, "Undo", "Undo the last stroke, correction or acceptance (Ctrl+Z).")
        described(self.redo_button, "Redo", "Do again what was undone (Ctrl+Shift+Z).")
        grid.addWidget(self.undo_button, 2, 1)
        grid.addWidget(self.redo_button, 2, 2)
        column.addLayout(grid)
        self.hint = sentence(lines=3)
        self.hint.setAccessibleName("What the tool does")
        self.result = sentence(lines=2)
        self.result.setAccessibleName("What happened")
        column.addWidget(self.hint)
        column.addWidget(self.result)
        self.column.addWidget(self.correct_part)
        self.undo_button.clicked.connect(self._undo)
        self.redo_button.clicked.connect(self._redo)

    def _accept(self) -> None:
        self.accept_part, column = _part()
        column.addWidget(_heading("Accept"))
        grid = QGridLayout()
        grid.setSpacing(4)
        self.view_button, self.all_button = QPushButton("View"), QPushButton("Image")
        described(self.view_button, "Accept view", "Everything in view is right, its background too.")
        described(self.all_button, "Accept image", "The whole image is right, its background too.")
        grid.addWidget(self._tool_button("Accept", "Object  ↵"), 0, 0)
        grid.addWidget(self.view_button, 0, 1)
        grid.addWidget(self.all_button, 0, 2)
        for k in range(3):
            grid.setColumnStretch(k, 1)
        column.addLayout(grid)
        self.meaning = sentence(lines=3)
        self.meaning.setAccessibleName("What is used for training")
        column.addWidget(self.meaning)
        self.column.addWidget(self.accept_part)
        self.view_button.clicked.connect(lambda: self._accept_part(view=True))
        self.all_button.clicked.connect(lambda: self._accept_part(view=False))

    def _retrain(self) -> None:
        self.retrain = RetrainSection(self.viewer)
        self.retrain.made.connect(self._retrained)
        self.retrain.failed.connect(self.warn_failed)
        self.retrain.changed.connect(self._lead)
        self.retrain.changed.connect(self.settle)
        self.retrain.more_button.clicked.connect(self._train)
        self.retrain.train_button.clicked.connect(lambda: self.tools.put_down())
        self.column.addWidget(self.retrain)

    def _tool_button(self, name: str, text: str) -> QPushButton:
        button = QPushButton(text)
        button.setCheckable(True)
        described(button, name, f"{TOOLS[name].hint} Key: {TOOLS[name].key}")
        button.clicked.connect(lambda _=False, name=name: self.tools.take(name))
        self.tool_buttons[name] = button
        return button

    # layers

    def refresh(self) -> None:
        """Follow the viewer's layers; what was chosen stays, else the selected or the newest labels are."""
        found = labels_of(self.viewer.layers)
        active = self.viewer.layers.selection.active
        default = active if active in found else (found[-1] if found else None)
        self.labels_box.fill(found, default)
        self._labels_chosen()
        self.regions.refresh()

    def _removed(self, event: Any) -> None:
        """Labels are gone: so is what was accepted in them, once all layers are gone that were removed with them."""
        accepted = accepted_layer(self.viewer.layers, event.value) if event.value._type_string == "labels" else None
        if accepted is not None:
            QTimer.singleShot(0, lambda: self._drop(accepted))

    def _drop(self, accepted: Any) -> None:
        layers = self.viewer.layers
        if accepted in layers and not any(accepted_layer(layers, x) is accepted for x in labels_of(layers)):
            layers.remove(accepted)

    def _region_opened(self, image: Any, labels: Any) -> None:
        self.choose(labels)
        self.image_box.choose(image)

    def choose(self, labels: Any) -> None:
        """Work on this Labels layer."""
        self.refresh()
        self.labels_box.choose(labels)

    def _labels_chosen(self, *_: Any) -> None:
        labels = self.labels_box.layer
        if labels is not None and writable(labels):
            labels = None
        if self.editing is None or self.editing.labels is not labels:
            self._edit(labels)
        self._list_images()
        self._show()
        self.autosave.follow()

    def _labels_picked(self) -> None:
        """A person chose labels: napari's brush and the keys of the tools are theirs, too."""
        layer = self.labels_box.layer
        if layer is not None:
            layer.visible = True
            self.viewer.layers.selection.active = layer

    def _edit(self, labels: Any) -> None:
        """Let go of one layer and take up another."""
        self.live.end()
        self._counting.forget()
        self._enough = False
        self.strokes_text.setText("")
        self.tools.attach(None)
        if self.editing is not None:
            self._let_go(self.editing)
            self.editing.deleteLater()
        self.editing = None
        self.image_box.blockSignals(True)
        self.image_box.clear()  # other labels lie over another image
        self.image_box.blockSignals(False)
        if labels is not None:
            self.editing = Editing(self.viewer, labels, self)
            self.editing.changed.connect(self._show_steps)
            self.editing.counted.connect(self._show)
            self.editing.counted.connect(self._count_strokes)
            labels.events.mode.connect(self._show_brush)
            labels.events.selected_label.connect(self._show_brush)
            self.tools.attach(self.editing)
            self._bind_brushes(labels, on=True)
            self._reach_chosen()
        self.result.setText("")

    def _let_go(self, editing: Editing) -> None:
        self._bind_brushes(editing.labels, on=False)
        for changed in (editing.labels.events.mode, editing.labels.events.selected_label):
            changed.disconnect(self._show_brush)
        editing.close()

    def _list_images(self) -> None:
        labels = self.labels_box.layer
        images = [x for x in images_of(self.viewer.layers) if labels is None or fits(x, labels)]
        named = None if labels is None else source_among(labels.metadata, images)
        likely = named
        if labels is None:
            likely = images[-1] if images else None
        elif named is None and images:
            likely = next((a for a, _ in paired(images, [labels], fits)), None)
        self.image_box.fill(images, likely)
        self._image_chosen()

    def _image_chosen(self, *_: Any) -> None:
        if self.editing is not None and self.editing.image is not self.image_box.layer:
            self.editing.image = self.image_box.layer
            self.live.follow()
        for section in (self.suggest, self.planes, self.enough, self.filters, self.follow, self.retrain):
            section.use(self.editing)
        self.autosave.follow()

    def _reach_chosen(self, *_: Any) -> None:
        if self.editing is not None:
            self.editing.whole = bool(self.reach_box.currentData())
        self._show()

    def _turning(self, event: Any = None) -> None:
        """Before a 3-D view is drawn: hide the outlines, which napari would fill, and say so."""
        accepted = None if self.editing is None else self.editing.accepted
        if self.viewer.dims.ndisplay == 3 and accepted is not None and accepted.visible:
            accepted.visible, accepted.contour = False, 0
            self._hidden = accepted

    def _turned(self, event: Any = None) -> None:
        """The view is another one: tools work in 2-D, and outlines are back there."""
        if self.viewer.dims.ndisplay == 3:
            if self.tools.tool is not None:
                self.tools.put_down()
                self._say(FLAT)
        elif self._hidden is not None:
            self._hidden.contour, self._hidden.visible = 1, True
            self._hidden = None

    def _make_labels(self) -> None:
        images = images_of(self.viewer.layers)
        active = self.viewer.layers.selection.active
        image = next((x for x in (self.image_box.layer, active) if x in images), images[-1] if images else None)
        if image is None:
            self.warn(NO_IMAGE)
            return
        kind = str(self.find_box.currentData())
        labels = new_labels(self.viewer, image, classes=kind == "classes")
        labels.metadata[STROKES] = kind
        self.choose(labels)
        if kind:
            self.live_check.setChecked(True)

    # strokes

    @property
    def strokes(self) -> str:
        """What strokes in the labels stand for: "objects", "classes", or nothing, where labels are whole objects."""
        return "" if self.editing is None else self.editing.strokes

    def _kind_chosen(self, *_: Any) -> None:
        """A person says what the labels are."""
        kind = str(self.find_box.currentData())
        if self.editing is None:
            if kind:
                self._make_labels()
            return
        self.tools.put_down()
        limited = accepted_places(self.viewer.layers, self.editing.labels) is not None
        self.editing.labels.metadata[STROKES] = kind
        if kind and limited:
            self._say(ALL_STROKES)
        self.retrain.use(self.editing)
        self._show()
        if kind:
            self._paint(BACKGROUND)
        self.live_check.setChecked(False)  # of the other kind
        self.live_check.setChecked(bool(kind) and self.image_box.layer is not None)
        self.autosave.follow()

    def _live_toggled(self, on: bool) -> None:
        if not on:
            self.live.end()
            self.live_text.setText("")
        elif self.editing is not None and self.strokes and not self.live.on:
            self.live_text.setText("Starting ...")
            self.live.begin(self.editing, self.strokes == "objects")

    def _count_strokes(self, event: Any = None) -> None:
        """Without the live preview, which counts them, too."""
        if self.editing is not None and self.strokes and not self.live.on:
            self._counting.ask(strokes_in_view, self.editing)

    def _counted(self, found: Any) -> None:
        if isinstance(found, Strokes) and self.strokes and not self.live.on:
            self._strokes_counted(found)

    def _strokes_counted(self, counts: Strokes) -> None:
        self.strokes_text.setText(counts.sentence)
        self._enough = counts.trainable
        self.retrain.allow(counts.trainable)

    def _paint(self, number: int) -> None:
        """Take napari's brush, with this number."""
        if self.editing is None:
            return
        layer = self.editing.labels
        layer.visible = True
        self.viewer.layers.selection.active = layer
        layer.selected_label, layer.mode = number, "paint"
        self._show_brush()

    def _show_brush(self, event: Any = None) -> None:
        """Which of the brushes is in hand, and the number of the object that it paints."""
        layer = None if self.editing is None else self.editing.labels
        number = int(layer.selected_label) if layer is not None and str(layer.mode) == "paint" else 0
        objects = self.strokes == "objects"
        ground = objects and number == BACKGROUND
        self.ground_button.setChecked(ground)
        self.next_button.setChecked(bool(number) and not ground)

    def _bind_brushes(self, layer: Any, on: bool) -> None:
        """The keys of the brushes, where the labels are strokes; else nothing happens."""
        for key, act in (("B", self._paint_background), ("N", self._paint_next)):
            layer.bind_key(
                key, (lambda layer, act=act: act() if self.strokes else None) if on else None, overwrite=True
            )

    def _paint_background(self) -> None:
        self._paint(BACKGROUND)

    def _paint_next(self) -> None:
        if self.editing is None:
            return
        number = next(self.editing.free_numbers(BACKGROUND + 1), None)
        if number is None:
            self._say(self.editing.full)
            self._show_brush()
        else:
            self._paint(number)

    # what can be done

    def _show(self) -> None:
        """Counts, what may be pressed, and why not."""
        editing, labels = self.editing, self.labels_box.layer
        on = editing is not None
        kind = self.strokes
        stack = editing is not None and "Z" in editing.names
        for row in (self.reach_box, self._form.labelForField(self.reach_box)):
            if row is not None:
                row.setVisible(stack and not kind)  # strokes are never objects as a whole
        for button in (*self.tool_buttons.values(), self.view_button, self.all_button):
            button.setEnabled(on)
        self.find_box.setCurrentIndex(max(0, self.find_box.findData(kind)))
        self.strokes_part.setVisible(bool(kind))
        tools = [button for name, button in self.tool_buttons.items() if name != "Accept"]
        for part in (self.correct_heading, *tools, self.hint, self.accept_part):  # undo is for strokes, too
            part.setVisible(not kind)
        self.count_text.setVisible(not kind)
        self.ground_button.setVisible(kind == "objects")
        self.next_button.setText("Next object  N" if kind == "objects" else "Next class  N")
        self.all_button.setText(self._whole())
        described(self.all_button, f"Accept {self._whole().lower()}", "All of it is right, the background too.")
        if editing is not None:
            self.count_text.setText(editing.tally.sentence if editing.known else "Counting objects ...")
            self.meaning.setText(self._meaning(editing))
            if not kind:
                own = not is_prediction(editing.labels.metadata) and editing.tally.objects > 0
                self.retrain.allow(own or editing.tally.accepted > 0)
        else:
            image = bool(images_of(self.viewer.layers))
            why = writable(labels) if labels is not None else ""
            self.count_text.setText(self.marked("error", why) if why else NO_LABELS if image else NO_IMAGE)
            self.meaning.setText("")
        self._show_steps()
        self._show_brush()
        self._tool_changed()
        self._lead()
        self.settle()

    def _meaning(self, editing: Editing) -> str:
        """What a training would use."""
        if editing.tally.everywhere:
            return "All of it is accepted and used for training."
        if accepted_places(self.viewer.layers, editing.labels) is not None:
            return "Only accepted places, which are outlined, are used for training. What you correct is accepted."
        if editing.automatic:
            return "These are predictions: only what you accept or correct is used for training."
        if editing.known and not editing.tally.objects:
            return "Label all objects of this image, or accept the parts in which all are labelled."
        return "Nothing is accepted by itself: all of this image is used for training. Accept parts to use only those."

    def _whole(self) -> str:
        """What "all" means here."""
        names = "" if self.editing is None else self.editing.names
        if "Z" in names:
            return "Volume" if self.reach_box.currentData() else "Plane"
        return "Frame" if "T" in names else "Image"

    def _show_steps(self) -> None:
        history = None if self.editing is None else self.editing.history
        self.undo_button.setEnabled(history is not None and history.length > 0)
        self.redo_button.setEnabled(history is not None and history.undone > 0)

    def _tool_changed(self) -> None:
        tool = self.tools.tool
        for name, button in self.tool_buttons.items():
            button.setChecked(tool is not None and tool.name == name)
        self.hint.setText(tool.hint if tool is not None else NO_TOOL if self.editing is not None else "")

    def _lead(self) -> None:
        """The one button that is the natural next step."""
        if self.unfinished.draft is not None:
            self.lead(self.unfinished.draft_line.findChildren(QPushButton)[0])
        elif self.editing is None:
            self.lead(self.new_button if images_of(self.viewer.layers) else None)
        else:
            ready = self._enough if self.strokes else self.editing.tally.accepted > 0
            self.lead(self.retrain.next_button if ready else None)

    def _say(self, text: str) -> None:
        self.result.setText(text)
        if text:
            self.viewer.status = text

    # actions

    def _undo(self) -> None:
        if self.editing is not None:
            self._say(self.editing.undo())

    def _redo(self) -> None:
        if self.editing is not None:
            self._say(self.editing.redo())

    def _accept_part(self, view: bool) -> None:
        if self.editing is None:
            return
        sight = self.editing.sight()
        if sight is None:
            self._say(FLAT)
            return
        self.editing.accept_box(sight.view if view else sight.objects)
        self._say(f"Accepted: {'all that is in view' if view else 'the whole ' + self._whole().lower()}.")

    def _train(self) -> None:
        """Open the Train panel with this pair."""
        from napari_dojo.widgets.train.panel import TrainPanel

        if self.editing is None:
            self.warn(NO_LABELS if images_of(self.viewer.layers) else NO_IMAGE)
            return
        if self.image_box.layer is None:
            self.warn("An image of the same size as the labels is needed. Open it.")
            return
        self.tools.put_down()
        panel = open_panel(self.viewer, TrainPanel, "Train")
        panel.use(self.image_box.layer, self.editing.labels, self.strokes)

    def _retrained(self, layer: Any) -> None:
        """A retrained model has predicted the image: it is corrected next; strokes stay in the hand."""
        outcome = self.retrain.outcome
        if (
            outcome is not None
            and self.editing is not None
            and self.editing.labels is not outcome.annotated.rows[0].target
        ):
            return  # a person works on other labels by now
        if self.strokes:
            if layer.data.any():  # else the live layer says more
                self.live.give_way(layer)
        elif self.editing is not None:
            self.viewer.layers.selection.active = layer
            self.choose(layer)

    # what is kept

    def _state(self) -> tuple[list[_Pair], dict[str, Any]]:
        """What an autosave keeps, so that this panel and Train can bring it back."""
        if self.editing is None:
            return [], {"task": "instances"}
        image = self.image_box.layer
        images = () if image is None else (image,)
        return [_Pair(images, self.editing.labels, self.editing.accepted)], {"task": "instances"}

    def _restore(self, draft: Draft) -> None:
        """Bring back what was painted in an earlier session."""
        try:
            back = self.autosave.restore(draft)
        except DojoError as error:
            self.warn(str(error))
            return
        labels = [target for _, target, _, _ in back.rows if target is not None and target._type_string == "labels"]
        self.refresh()
        if labels:
            self.choose(labels[0])
        if back.sentence:
            self.warn(back.sentence)

    def end(self) -> None:
        """The panel is closing; the layers stay."""
        if not self._ended:
            self.live.end()
            self._counting.forget()
            self.viewer.layers.events.removed.disconnect(self._removed)
            for moved in (self.viewer.dims.events.current_step, self.viewer.dims.events.order):
                moved.disconnect(self._count_strokes)
            for act in (self._turning, self._turned):
                self.viewer.dims.events.ndisplay.disconnect(act)
            self.tools.close()
            for section in (
                self.suggest,
                self.planes,
                self.enough,
                self.regions,
                self.filters,
                self.follow,
                self.retrain,
            ):
                section.end()
            self.unfinished.end()
            self.autosave.leave("annotate")
            if self.editing is not None:
                self._let_go(self.editing)
        super().end()


def _part() -> tuple[QWidget, QVBoxLayout]:
    """A part of the panel that can be hidden, and its column."""
    part = QWidget()
    column = QVBoxLayout(part)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(4)
    return part, column


def _heading(text: str) -> QWidget:
    label = QLabel(text)
    label.setStyleSheet("font-weight: bold;")
    label.setContentsMargins(0, 4, 0, 0)
    return label
