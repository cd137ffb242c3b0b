"""One click in the Layers menu."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer  # napari reads the annotation to hand the viewer in

from napari_dojo.errors import explained
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.measured import Measured
from napari_dojo.widgets.common.measurements import chosen_here
from napari_dojo.widgets.common.panel import open_panel, plain_viewer
from napari_dojo.widgets.common.pick import images_of
from napari_dojo.widgets.common.table import open_table

__all__ = ["denoise_layer", "measure_objects", "segment_nuclei"]

DENOISE_MINUTES = 1.4
NUCLEI, NOISE = "nuclei-fluorescence", "denoise-fluorescence"


def segment_nuclei(viewer: Viewer) -> None:
    """Find the nuclei in the active image with the shipped model, in the Apply panel: no settings, no training."""
    from napari.utils.notifications import show_warning

    from napari_dojo.widgets.apply.panel import ApplyPanel

    viewer = plain_viewer(viewer)
    image = _active_image(viewer)
    if image is None:
        show_warning("An image with nuclei is needed. Open one, choose it in the layer list, and try again.")
        return
    panel = open_panel(viewer, ApplyPanel, "Apply")
    panel.refresh_models()
    if not panel.choose_model(NUCLEI):
        show_warning(
            f"The model {NUCLEI} is not there. Reinstall napari-dojo, or choose another model in the Apply panel."
        )
        return
    panel.image_box.choose(image)
    panel.request.whole_button.setChecked(True)
    if panel.apply_button.isEnabled():
        panel.apply()
    else:
        show_warning(panel.apply_button.toolTip())


def denoise_layer(viewer: Viewer) -> None:
    """Denoise the active image: the included denoiser is fine-tuned on this image alone, and applied to it.

    Where it does not fit (volumes, several channels), a new model is trained.
    """
    from napari.utils.notifications import show_warning

    from napari_dojo.widgets.train.panel import TrainPanel

    viewer = plain_viewer(viewer)
    image = _active_image(viewer)
    if image is None:
        show_warning("A noisy image is needed. Open one, choose it in the layer list, and try again.")
        return
    open_panel(viewer, TrainPanel, "Train").at_once("noise2void", image, DENOISE_MINUTES, NOISE)


def _active_image(viewer: Any) -> Any:
    """The active image, else the last one; None without images."""
    active, images = viewer.layers.selection.active, images_of(viewer.layers)
    return active if any(active is x for x in images) else (images[-1] if images else None)


def measure_objects(viewer: Viewer) -> None:
    """Measure the objects of the active Labels layer, on the first image of its size, and show the table."""
    from napari.utils.notifications import show_info, show_warning

    viewer = plain_viewer(viewer)
    labels = viewer.layers.selection.active
    if labels is None or labels._type_string != "labels":
        show_warning("Labels to measure are needed. Choose a Labels layer in the layer list, and try again.")
        return
    measured = Measured.of(labels, *images_of(viewer.layers))

    def show(found: Any) -> None:
        if isinstance(found, Exception):
            show_warning(explained(found))
        elif labels in viewer.layers:
            labels.features = found
            n = len(found["index"])
            on = f" on {measured.on}" if measured.on else "; no image has their size, so without intensities"
            open_table(viewer, [labels])
            show_info(f"Measured {n:,} object{'' if n == 1 else 's'}{on}.")

    work = Latest(viewer.window._qt_window)
    work.told.connect(show)
    work.told.connect(lambda *_: work.deleteLater())
    work.ask(measured.table, chosen_here())
