"""From the Train panel to the Apply panel: the model that was trained, or one to try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_dojo.widgets.common.panel import open_panel
from napari_dojo.widgets.common.pick import images_of
from napari_dojo.widgets.common.rows import Row

__all__ = ["apply_to", "image_in_view", "open_with"]


def image_in_view(viewer: Any) -> Any:
    """The active image, else the first that is no prediction; None without images."""
    images = images_of(viewer.layers, ours=False)
    active = viewer.layers.selection.active
    return next((x for x in images if x is active), next(iter(images), None))


def open_with(viewer: Any, model: Any, rows: Sequence[Row] = ()) -> Any:
    """The Apply panel with a model chosen; with the input of a row where the row's target is the active layer."""
    from napari_dojo.widgets.apply.panel import ApplyPanel

    panel = open_panel(viewer, ApplyPanel, "Apply")
    panel.refresh_models()
    panel.choose_model(model)
    active = viewer.layers.selection.active
    image = next((row.images[0] for row in rows if row.target is not None and row.target is active), None)
    if image is not None:  # the target is what the model predicts, not what it is applied to
        panel.image_box.choose(image)
    return panel


def apply_to(panel: Any, image: Any) -> str | None:
    """Apply the chosen model to a whole image; why that is not possible, or None."""
    panel.image_box.choose(image)
    panel.request.whole_button.setChecked(True)
    if not panel.apply_button.isEnabled():
        return str(panel.apply_button.toolTip())
    panel.apply()
    return None
