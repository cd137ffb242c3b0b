"""What each tool does with a click or a drawn path: the edit, and a sentence. No mouse, no Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.data import edits, pointing
from napari_dojo.data.edits import Box, Edit
from napari_dojo.widgets.annotate.editing import Editing, Sight

__all__ = ["TOOLS", "Gesture", "Tool", "accept_at"]

SHORT = 3.0  # px on the screen that the mouse must move to draw a path, and not to click


@dataclass(frozen=True, eq=False)
class Gesture:
    """A click, or a path: places (n, ndim) in the layer's pixels, what is shown, whether Shift is held.

    Attributes
    ----------
    first : where was clicked before, of a tool that takes two objects.
    reach : how far the mouse moved on the screen, px; None: as far as in the layer.
    """

    path: NDArray[np.float64]
    sight: Sight
    shift: bool = False
    first: NDArray[np.float64] | None = None
    reach: float | None = None

    @property
    def click(self) -> bool:
        """Whether the mouse stayed where it was."""
        reach = np.linalg.norm(self.flat - self.flat[0], axis=1).max() if self.reach is None else self.reach
        return bool(reach < SHORT)

    @property
    def start(self) -> NDArray[np.float64]:
        """Where it began."""
        return np.asarray(self.path[0])

    @property
    def flat(self) -> NDArray[np.float64]:
        """Along rows and columns of the view (n, 2)."""
        return np.asarray(self.path[:, list(self.sight.axes)])


@dataclass(frozen=True)
class Tool:
    """A tool of the panel.

    Attributes
    ----------
    name, key, hint : as the user sees them.
    act : changes the layer; what happened, in a sentence.
    draws : what is shown while the mouse is dragged: "line", "outline" or nothing; with Shift a box where ``boxes``.
    pairs : a second click completes it.
    """

    name: str
    key: str
    hint: str
    act: Callable[[Editing, Gesture], str]
    draws: str = ""
    boxes: bool = False
    brush: bool = False
    pairs: bool = False


def accept_at(editing: Editing, place: ArrayLike, sight: Sight) -> str:
    """Accept the object at a place, or take that back."""
    number = editing.number_at(place)
    if not number:
        return "There is no object. Point at one."
    return f"Object {number} is {'' if editing.accept(number, place, sight) else 'no longer '}accepted."


def _clicked(change: Callable[[Editing, int, Box, Gesture], Edit | None], done: str, none: str) -> Any:
    """A tool that changes the object that is clicked."""

    def act(editing: Editing, gesture: Gesture) -> str:
        number = editing.number_at(gesture.start)
        if not number:
            return "There is no object. Click one."
        box = editing.box([number], gesture.start, gesture.sight.objects)
        if box is None or not editing.do([change(editing, number, box, gesture)]):
            return none.format(number)
        return done.format(number)

    return act


def _merge(editing: Editing, gesture: Gesture) -> str:
    if gesture.click and gesture.first is not None:
        numbers = [editing.number_at(place) for place in (gesture.first, gesture.start)]
        places = [gesture.first, gesture.start]
        if not all(numbers):
            return "There is no object. Click two objects, one after the other."
    else:
        numbers = edits.line_in(editing.data, gesture.flat, gesture.sight.plane, gesture.sight.axes)
        places = [_touched(editing, gesture, n) for n in numbers]
    numbers = list(dict.fromkeys(numbers))
    if len(numbers) < 2:
        return "Fewer than two objects lie here. Click two, or draw a line across all that belong together."
    boxes = [editing.box([n], place, gesture.sight.objects) for n, place in zip(numbers, places, strict=True)]
    box = edits.around(*(b for b in boxes if b is not None))
    editing.do([edits.merge(editing.data, numbers, box)])
    return f"Merged {len(numbers)} objects into object {numbers[0]}."


def _split(editing: Editing, gesture: Gesture) -> str:
    sight = gesture.sight
    if gesture.click:
        return "Draw a line across the object, from one side to the other."
    numbers = edits.line_in(editing.data, gesture.flat, sight.plane, sight.axes)
    free, found = editing.free_numbers(), []
    for number in numbers:
        box = editing.box([number], _touched(editing, gesture, number), sight.objects)
        try:
            edit = None if box is None else edits.split(editing.data, number, box, gesture.flat, free, sight.axes)
        except OverflowError:
            return editing.full
        if edit is not None:
            found.append(edit)
    if not numbers:
        return "No object lies on this line. Draw it across one."
    if not editing.do(found):
        return "The line does not part an object. Draw it from one side to the other."
    return f"Split {len(found)} object{'s' * (len(found) > 1)}."


def _add(editing: Editing, gesture: Gesture) -> str:
    number, sight = next(editing.free_numbers(), None), gesture.sight
    if number is None:
        return editing.full
    if gesture.click:
        there = editing.number_at(gesture.start)
        if there:
            return f"Object {there} lies here. Click beside it, or change it with Reshape."
        found = _pointed(editing, gesture)
        edit = None if found is None else edits.paint(editing.data, found[1], number, found[0], sight.axes)
        if edit is None:
            return "No outline was found here. Draw around the object instead."
    elif gesture.shift:
        box, mask = _boxed(editing, gesture)
        edit = edits.paint(editing.data, mask, number, box, sight.axes)
    else:
        edit = edits.draw(editing.data, gesture.flat, number, sight.plane, sight.axes)
    if not editing.do([edit]):
        return "Other objects fill this place. Delete or erase them first."
    return f"Added object {number}."


def _reshape(editing: Editing, gesture: Gesture) -> str:
    sight, radius = gesture.sight, editing.labels.brush_size / 2
    number = editing.number_at(gesture.start)
    if number and not gesture.shift:
        edit = edits.extend(editing.data, number, gesture.flat, radius, sight.plane, sight.axes)
        return f"Extended object {number}." if editing.do([edit]) else ""
    met = edits.line_in(editing.data, gesture.flat, sight.plane, sight.axes)
    number = number or (met[0] if met else 0)
    if not number:
        return "No object was touched. Start inside of one to extend it, outside to erase from it."
    edit = edits.erase(editing.data, number, gesture.flat, radius, sight.plane, sight.axes)
    return f"Erased from object {number}." if editing.do([edit]) else ""


def _accept(editing: Editing, gesture: Gesture) -> str:
    return accept_at(editing, gesture.start, gesture.sight)


def _touched(editing: Editing, gesture: Gesture, number: int) -> NDArray[np.float64]:
    """A place of a path where an object lies."""
    steps = np.linspace(0, len(gesture.path) - 1, 20 * len(gesture.path))
    columns = [np.interp(steps, np.arange(len(gesture.path)), c) for c in gesture.path.T]
    dense = np.stack(columns, axis=1)
    return next((p for p in dense if editing.number_at(p) == number), gesture.start)


def _pointed(editing: Editing, gesture: Gesture) -> tuple[Box, NDArray[np.bool_]] | None:
    """The object that a click in the image lies in, and where."""
    sight, diameter = gesture.sight, editing.tally.diameter
    around = pointing.window_of(gesture.flat[0], diameter)
    box = _in_plane(around, sight)
    window = (box[sight.axes[0]], box[sight.axes[1]])
    image = editing.plane_of_image(window, sight)
    at = tuple(round(float(p)) - s.start for p, s in zip(gesture.flat[0], window, strict=True))
    if image is None or not all(0 <= p < n for p, n in zip(at, image.shape, strict=True)):
        return None
    mask = pointing.around_click(image, (at[0], at[1]), _taken(editing, box, sight), diameter)
    return None if mask is None else (box, mask)


def _boxed(editing: Editing, gesture: Gesture) -> tuple[Box, NDArray[np.bool_]]:
    """The object in a box that was drawn from corner to corner; without an image, the ellipse in it."""
    sight = gesture.sight
    low, high = np.rint(gesture.flat[[0, -1]].min(0)), np.rint(gesture.flat[[0, -1]].max(0))
    inner = [slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    margin = 8
    box = _in_plane(
        (
            slice(inner[0].start - margin, inner[0].stop + margin),
            slice(inner[1].start - margin, inner[1].stop + margin),
        ),
        sight,
    )
    window = (box[sight.axes[0]], box[sight.axes[1]])
    size = tuple(s.stop - s.start for s in window)
    image = editing.plane_of_image(window, sight)
    within = tuple(
        slice(max(0, i.start - w.start), max(0, min(n, i.stop - w.start)))
        for i, w, n in zip(inner, window, size, strict=True)
    )
    taken = _taken(editing, box, sight)
    return box, pointing.in_box(np.zeros(size) if image is None else image, (within[0], within[1]), taken)


def _in_plane(window: tuple[slice, slice], sight: Sight) -> Box:
    around = list(sight.plane)
    for a, s in zip(sight.axes, window, strict=True):
        around[a] = s
    return edits.meet(tuple(around), sight.plane)


def _taken(editing: Editing, box: Box, sight: Sight) -> NDArray[np.bool_]:
    """Where objects lie in a box of one plane (rows, columns)."""
    there = np.asarray(editing.data[box]) > 0
    flat = there.reshape([there.shape[a] for a in sorted(sight.axes)])
    return flat if sight.axes[0] < sight.axes[1] else flat.T


def _of(*tools: Tool) -> Mapping[str, Tool]:
    return MappingProxyType({tool.name: tool for tool in tools})


TOOLS = _of(
    Tool(
        "Delete",
        "D",
        "Click an object to delete it.",
        _clicked(lambda e, n, box, g: edits.delete(e.data, n, box), "Deleted object {}.", "Object {} is not here."),
    ),
    Tool(
        "Merge",
        "G",
        "Click two objects that are one, or draw a line across all that belong together.",
        _merge,
        draws="line",
        pairs=True,
    ),
    Tool("Split", "S", "Draw a line across an object to cut it along the line.", _split, draws="line"),
    Tool(
        "Add",
        "A",
        "Click an object to have it outlined, or drag around it. Shift and drag: a box around it.",
        _add,
        draws="outline",
        boxes=True,
    ),
    Tool(
        "Reshape",
        "R",
        "Brush from inside an object to extend it, from outside to erase from it. Only this object changes. [ and ]: size.",
        _reshape,
        draws="line",
        brush=True,
    ),
    Tool(
        "Smooth",
        "U",
        "Click an object to smooth its outline.",
        _clicked(
            lambda e, n, box, g: edits.smooth(e.data, n, box, g.sight.objects, g.sight.axes),
            "Smoothed object {}.",
            "Object {} is smooth already.",
        ),
    ),
    Tool(
        "Fill holes",
        "H",
        "Click an object to fill its holes.",
        _clicked(
            lambda e, n, box, g: edits.fill_holes(e.data, n, box, g.sight.axes),
            "Filled the holes of object {}.",
            "Object {} has no holes.",
        ),
    ),
    Tool(
        "Accept",
        "Enter",
        "Click an object to accept it; click it again to take that back. Enter does the same under the mouse.",
        _accept,
    ),
)
