"""One click in the Layers menu."""

from __future__ import annotations

from napari.viewer import Viewer  # napari reads the annotation to hand the viewer in

from napari_dojo.widgets.panel import open_panel, plain_viewer
from napari_dojo.widgets.pick import images_of

__all__ = ["segment_nuclei"]

NUCLEI = "nuclei-fluorescence"


def segment_nuclei(viewer: Viewer) -> None:
    """Find the nuclei in the active image with the shipped model, in the Apply panel: no settings, no training."""
    from napari.utils.notifications import show_warning

    from napari_dojo.widgets.apply import ApplyPanel

    viewer = plain_viewer(viewer)
    active = viewer.layers.selection.active
    images = images_of(viewer.layers)
    image = active if any(active is x for x in images) else (images[-1] if images else None)
    if image is None:
        show_warning("An image with nuclei is needed. Open one, choose it in the layer list, and try again.")
        return
    panel = open_panel(viewer, ApplyPanel, "Apply")
    panel.refresh_models()
    if not panel.choose_model(NUCLEI):
        show_warning(
            f"The model {NUCLEI} is not there. Install napari-dojo anew, or choose another model in the Apply panel."
        )
        return
    panel.image_box.choose(image)
    if panel.apply_button.isEnabled():
        panel.apply()
    else:
        show_warning(panel.apply_button.toolTip())
