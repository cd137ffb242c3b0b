"""What tasks share whose results are images: each line of the check has data that trigger it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import ndimage

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.metrics.image_baselines import best_filter, best_linear
from napari_dojo.metrics.images import psnr
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import DENOISE, NOISE2VOID
from napari_dojo.tasks.alignment import as_bright, moved, without_saturated

IMAGES = Layout(IMAGE)
SCENES = [simulate("nuclei", (128, 144), seed, photons=30) for seed in range(3)]
NOISY = [s.image.astype(np.float32) for s in SCENES]
CLEAN = [s.clean for s in SCENES]


def pairs(x=NOISY, y=CLEAN, axes="YX", **more):
    return Dataset.of(
        list(x), None if y is None else list(y), Axes.resolve(np.shape(x[0]), axes), layout=IMAGES, **more
    )


def said(found, task=DENOISE, **options):
    """The findings as level and text, and their remedies by label."""
    facts = task.summarize(found, task.options(**options))
    return facts.findings, {fix.label: fix for f in facts.findings for fix in f.fixes}


def text(findings, level):
    return " ".join(f.text for f in findings if f.level == level)


def told(words):
    """The shift that a sentence tells, px."""
    return [float(part) for part in re.search(r"by (\S+, \S+) px", words)[1].split(", ")]


def test_good_pairs_have_nothing_to_ask():
    findings, fixes = said(pairs())
    assert text(findings, "error") == text(findings, "warning") == ""
    assert "Noise about" in text(findings, "ok")
    assert not fixes


def test_a_shift_is_told_and_corrected():
    shifted = [ndimage.shift(y, (3, -2), mode="nearest") for y in CLEAN]
    findings, fixes = said(pairs(y=shifted))
    np.testing.assert_allclose(told(text(findings, "warning")), (-3, 2), atol=0.15)
    assert fixes["Correct the shift"].value == ("register", True)
    findings, _ = said(pairs(y=shifted), register=True)
    np.testing.assert_allclose(told(text(findings, "ok")), (-3, 2), atol=0.15)
    item = moved(pairs(y=shifted)).samples[0]
    inner = (slice(8, -8), slice(8, -8))
    assert psnr(CLEAN[0][inner], item.y[0][inner]) > 30
    assert not item.region[-3:].any()
    assert item.region[inner].all()


def test_other_places_are_refused_with_the_figure():
    findings, _ = said(pairs(y=[CLEAN[1], CLEAN[2], CLEAN[0]]))
    assert "show different places" in text(findings, "error")
    assert "correlate with -0.0" in text(findings, "error") or "correlate with 0.0" in text(findings, "error")


def test_one_odd_pair_may_be_left_out():
    findings, fixes = said(pairs(NOISY, [CLEAN[0], CLEAN[1], CLEAN[0]], names=["a", "b", "c"]))
    assert "The target of c shows another place" in text(findings, "warning")
    assert fixes["Exclude"].samples == ("c",)


def test_swapped_and_noisy_targets():
    findings, fixes = said(pairs(CLEAN, NOISY))
    assert "Targets are noisier than the images" in text(findings, "warning")
    assert fixes["Swap them"].kind == "swap"
    again = [simulate("nuclei", (128, 144), seed, photons=30.001).image for seed in range(3)]
    findings, _ = said(pairs(NOISY, again))
    assert "training on pairs of noisy images" in text(findings, "ok")
    assert DENOISE.summarize(pairs(NOISY, again), DENOISE.options()).options.loss == "squared"
    assert DENOISE.summarize(pairs(), DENOISE.options()).options.loss == "absolute"


def test_saturated_pixels_that_touch_are_kept_out():
    cut = [np.minimum(y, np.percentile(y, 90)) for y in CLEAN]
    findings, _ = said(pairs(y=cut))
    assert "saturated" in text(findings, "warning")
    item = without_saturated(pairs(y=cut), lambda i: i.y).samples[0]
    top = cut[0] == cut[0].max()
    assert not item.region[ndimage.binary_erosion(top)].any()
    assert item.region[~ndimage.binary_dilation(top)].all()
    assert without_saturated(pairs(), lambda i: i.y).samples[0].region is None


def test_brightness_is_not_learned():
    for gain, offset in ((5.0, 0.0), (0.2, 300.0)):
        item = as_bright(pairs(y=[gain * y + offset for y in CLEAN])).samples[0]
        assert psnr(CLEAN[0], item.y[0]) > 30
    np.testing.assert_array_equal(as_bright(pairs()).samples[0].y[0], CLEAN[0])  # what is right already stays as it is


def test_noise_alone_and_little_noise():
    rng = np.random.default_rng(0)
    findings, _ = said(pairs([rng.normal(100, 2, (128, 128))], None), NOISE2VOID)
    assert "noise alone" in text(findings, "warning")
    findings, _ = said(pairs(CLEAN, None), NOISE2VOID)
    assert "little noise: expect little" in text(findings, "warning")


def test_constant_channels_hot_pixels_and_compression():
    two = [np.stack([x, np.full_like(x, 7)]) for x in NOISY]
    findings, _ = said(pairs(two, None, "CYX"), NOISE2VOID)
    assert "Channel 2 is constant" in text(findings, "warning")
    hot = [x.copy() for x in NOISY]
    for x in hot:
        x[50, 60] = 60_000
    assert "Hot pixels" in text(said(pairs(hot))[0], "ok")
    rng = np.random.default_rng(0)
    blocks = [x + np.kron(rng.normal(0, 30, (16, 18)), np.ones((8, 8))) for x in NOISY]
    findings, fixes = said(pairs(blocks, None), NOISE2VOID)
    assert "compressed (JPEG)" in text(findings, "warning")
    assert "Use them" in fixes


def test_frames_of_very_different_brightness():
    series = np.stack([NOISY[0], (NOISY[0] - 100) / 100])
    findings, fixes = said(pairs([series], None, "TYX"), NOISE2VOID)
    assert "differ 100-fold in brightness" in text(findings, "warning")
    assert fixes["Scale each frame by itself"].value == ("frames", "each")
    assert "fold in brightness" not in text(said(pairs([series], None, "TYX"), NOISE2VOID, frames="each")[0], "warning")
    findings, fixes = said(pairs([np.stack([series[0], series[1]] * 4)], None, "ZYX"), NOISE2VOID)
    assert "Planes differ" in text(findings, "warning")
    assert "Scale each frame by itself" not in fixes


def test_the_best_filter_is_the_one_that_is_nearest():
    blurred = [ndimage.gaussian_filter(x, 2) for x in NOISY]
    found, name = best_filter([x[None] for x in NOISY], [b[None] for b in blurred], None)
    assert name == "Gaussian filter of 2 px"
    np.testing.assert_allclose(found[0][0], blurred[0], rtol=1e-4)
    assert best_filter([x[None] for x in NOISY], [x[None] for x in NOISY], None)[1] == "the input"


@pytest.mark.parametrize("size", [(40, 50), (5, 24, 30)])
def test_the_best_linear_prediction_finds_a_linear_rule(size):
    rng = np.random.default_rng(0)
    x = rng.random((2, *size))
    y = (3 * ndimage.uniform_filter(x[0], [1] * (len(size) - 2) + [5, 5], mode="nearest") - 2 * x[1] + 7)[None]
    (found,), name = best_linear([x], [y], None)
    np.testing.assert_allclose(found, y, atol=1e-3)
    assert "linear" in name


def test_the_best_linear_prediction_of_no_number_at_all() -> None:
    """It was a singular matrix."""
    (found,), _ = best_linear([np.zeros((1, 8, 8))], [np.full((1, 8, 8), np.nan)], None)
    np.testing.assert_array_equal(found, 0)
