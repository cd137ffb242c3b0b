from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import pytest
from bright import bright, squares

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Sample, Series
from napari_dojo.evaluation.evaluate import evaluate_model
from napari_dojo.events import Event
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.predict import predict
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.models.bundle import load
from napari_dojo.models.card import options_of
from napari_dojo.models.library import find
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TASKS


def test_a_model_of_objects_is_scored_beside_its_baseline_in_the_annotated_region() -> None:
    bundle = load(find("nuclei-fluorescence"))
    scenes = [simulate("nuclei", (96, 96), seed) for seed in (3, 4)]
    region = np.ones((96, 96), bool)
    region[48:] = False
    layout = TASKS["instances"].layout(options_of(bundle.card))
    images, labels = [s.image for s in scenes], [s.labels for s in scenes]
    pairs = Dataset.of(images, labels, names=("a", "b"), regions=(region, None), layout=layout)
    report = evaluate_model(bundle, pairs)
    expected = [
        InstanceCounts.of(s.labels, predict(bundle, s.image, "YX"), part)
        for s, part in zip(scenes, (region, None), strict=True)
    ]
    assert [(row.name, row.score) for row in report.rows] == [("a", expected[0]), ("b", expected[1])]
    assert report.pooled == expected[0] + expected[1]
    assert report.baseline_name.startswith("Otsu")
    assert isinstance(report.baseline, InstanceCounts)
    assert report.baseline.n_true == expected[0].n_true + expected[1].n_true


def test_regions_without_a_pixel_are_said() -> None:
    x, y = squares(3), (squares(3) > 500).astype(np.int32)
    for empty in (True, False):
        pairs = Dataset.of([x, x], [y, y], regions=(np.zeros(x.shape, bool), np.full(x.shape, not empty)))
        report = evaluate_model(bright(), pairs)
        assert report.doubt.startswith("The regions hold no pixel") == empty


def test_objects_in_predicted_images_are_scored_against_those_in_the_ground_truth() -> None:
    segmenter = load(find("nuclei-fluorescence"))
    scene = simulate("nuclei", (96, 96), 3, photons=50)
    denoiser = load(find("denoise-fluorescence"))
    layout = TASKS["denoise"].layout(TASKS["denoise"].options())
    pairs = Dataset.of([scene.image], [scene.clean], layout=layout)
    report = evaluate_model(denoiser, pairs, objects=segmenter)
    both = [predict(segmenter, x, "YX") for x in (scene.clean, predict(denoiser, scene.image, "YX"))]
    assert report.objects == InstanceCounts.of(*both)
    assert report.as_dict()["objects"]["detected"] > 0
    assert report.pooled == ImageScores.of(scene.clean[None], predict(denoiser, scene.image, "YX")[None])


def test_the_baseline_gets_the_image_that_the_network_gets() -> None:
    """What is NaN, as after a rotation, has the level of the background for both, and what lies beside it is as good as elsewhere."""
    scene = simulate("nuclei", (96, 96), 3, photons=50)
    image, truth = scene.image.astype(np.float32) + 1000, scene.clean + 1000
    lacking, known = image.copy(), truth.copy()
    lacking[:, ::24] = lacking[:, 1::24] = known[:, ::24] = known[:, 1::24] = np.nan
    layout = TASKS["denoise"].layout(TASKS["denoise"].options())
    denoiser = load(find("denoise-fluorescence"))
    plain, with_nan = (
        evaluate_model(denoiser, Dataset.of([x], [y], layout=layout)).baseline
        for x, y in ((image, truth), (lacking, known))
    )
    assert isinstance(plain, ImageScores)
    assert isinstance(with_nan, ImageScores)
    assert with_nan.psnr == pytest.approx(plain.psnr, abs=2)
    framed = Dataset.of([np.pad(image, 20)], [np.pad(truth, 20)], layout=layout)
    frame = evaluate_model(denoiser, framed).baseline
    assert isinstance(frame, ImageScores)
    assert frame.psnr > plain.psnr + 10  # the frame is exact, and adds to the range


def test_a_stack_with_a_frame_is_scored_plane_by_plane_at_the_size_of_the_prediction() -> None:
    """The padding of the baseline grows along the axes that the model upsamples, not along the first ones."""
    scene = simulate("nuclei", (48, 64), 3, photons=50)
    upscale = load(find("upscale-2x-fluorescence"))
    layout = TASKS["upscale"].layout(options_of(upscale.card))
    image = np.pad(scene.image[::2, ::2], 8).astype(np.float32)
    truth = np.pad(scene.clean, 16)
    plane = evaluate_model(upscale, Dataset.of([image], [truth], layout=layout))
    axes = Axes("ZYX", "ZYX")
    pairs = Dataset.of([np.stack([image] * 3)], [np.stack([truth] * 3)], axes, layout=layout)
    stack = evaluate_model(upscale, pairs)
    assert isinstance(stack.baseline, ImageScores)
    assert isinstance(plane.baseline, ImageScores)
    assert stack.baseline.psnr == pytest.approx(plane.baseline.psnr, abs=0.1)
    assert np.isfinite(stack.baseline.psnr)


@pytest.mark.parametrize("context", [0, 1])
def test_channels_are_those_of_the_model_by_name_as_for_a_prediction(context: int) -> None:
    two = np.stack([squares(2), squares(1) * 3])
    made = bright(
        channels=2 * (1 + 2 * context), context=context, axes="TCYX", channel_names=("red", "green")
    )  # finds what is bright in green
    series = np.stack([two] * 3)
    axes = Axes("TCYX", "YX").with_context(context)
    for names, array, found in ((("red", "green"), series, 1), (("green", "red"), series, 2)):
        samples = tuple(
            Sample(
                f"{k}",
                axes.sample(array, k),
                np.zeros((48, 52), np.int32),
                whole=Series(axes.frames(array), 1 + 2 * context),
            )
            for k in range(3)
        )
        report = evaluate_model(made, Dataset(samples, channel_names=names, context=context))
        assert isinstance(report.pooled, InstanceCounts)
        assert report.pooled.n_predicted == 3 * found


def test_each_image_is_scaled_by_its_own_pixel_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[float, ...] | None] = []

    def predicted(bundle: Any, images: Sequence[Image], settings: Any) -> Generator[Event, None, dict[int, Any]]:
        sizes.extend(image.picture.pixel_size for image in images)
        yield from ()
        return {k: np.zeros((48, 52), np.int32) for k in range(len(images))}

    monkeypatch.setattr("napari_dojo.evaluation.evaluate._predicted", predicted)
    own = [(0.5, 0.5), (0.25, 0.25), None]
    labels = (squares(1) > 500).astype(np.int32)
    pairs = Dataset.of([squares(n) for n in (1, 2, 3)], [labels] * 3, pixel_sizes=own, pixel_size=(0.5, 0.5), unit="um")
    evaluate_model(bright(pixel_size=(0.5, 0.5)), pairs)
    assert sizes == [(0.5, 0.5), (0.25, 0.25), (0.5, 0.5)]
