from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made import made
from scipy import ndimage

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.data.noise import measure_noise
from napari_dojo.data.normalize import Rule
from napari_dojo.data.resample import cubic
from napari_dojo.errors import DojoError
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import UPSCALE
from napari_dojo.tasks.upscale import coarse

FINE = [simulate("filaments", (96, 108), seed, photons=500).clean for seed in range(3)]


def pairs(x, y=None, axes="YX", factor=2, along="YX", **more):
    layout = UPSCALE.layout(UPSCALE.options(factor=factor, along=along))
    return Dataset.of(
        list(x), None if y is None else list(y), Axes.resolve(np.shape(x[0]), axes), layout=layout, **more
    )


def check(found, **options):
    facts = UPSCALE.summarize(found, UPSCALE.options(**options))
    return facts, " ".join(f.text for f in facts.findings), {x.label: x for f in facts.findings for x in f.fixes}


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_fine_images_alone_are_made_coarse(factor):
    facts, text, fixes = check(pairs(FINE), factor=factor)
    assert f"made {factor} times coarser by bicubic interpolation" in text
    item = UPSCALE.prepare(pairs(FINE), facts.options).samples[0]
    assert item.x.shape == (1, 96 // factor, 108 // factor)
    assert item.y.shape == (1, *(factor * n for n in item.x.shape[1:]))
    np.testing.assert_allclose(item.x, cubic(item.y, (1 / factor,) * 2), rtol=1e-5)
    example = fixes["Show an example"].value(FINE[0][None])
    assert example.shape == item.x.shape


def test_as_a_microscope_would_see_it():
    facts, text, _ = check(pairs(FINE, pixel_size=(0.05, 0.05), unit="um"), degrade="microscope", photons=20.0)
    assert "aperture 0.5, light of 0.52 µm" in text
    assert "20 photons" in text
    item = UPSCALE.prepare(pairs(FINE, pixel_size=(0.05, 0.05), unit="um"), facts.options).samples[0]
    assert np.ptp(item.x) < np.ptp(cubic(item.y, (0.5, 0.5)))  # blurred
    x, y = np.full((1, 64, 64), 0.5, np.float32), np.zeros((1, 128, 128), np.float32)
    noisy, _, _ = made(UPSCALE, x, y, None, facts.options)
    assert noisy.mean() == pytest.approx(0.5, abs=0.02)
    assert noisy.var() == pytest.approx((0.5 * 20 + 1.5**2) / 20**2, rel=0.15)
    alone = coarse(FINE[0][None], facts.options, (0.05, 0.05), noise=False)
    assert (coarse(FINE[0][None], facts.options, (0.05, 0.05)) != alone).any()


def test_sizes_that_do_not_fit_and_swapped_pairs_are_refused():
    low = [cubic(y[None], (0.5, 0.5))[0] for y in FINE]
    with pytest.raises(DojoError, match="must be 3 x 3 times as large as the image"):
        pairs(low, FINE, factor=3)
    with pytest.raises(DojoError, match="Are they swapped"):
        pairs(FINE, low)


def test_pixel_sizes_and_shifts_are_reported():
    low = [cubic(y[None], (0.5, 0.5))[0] for y in FINE]
    sizes = {"pixel_size": (0.2, 0.2), "unit": "um"}
    _, text, _ = check(pairs(low, FINE, **sizes, target_pixel_size=(0.1, 0.1)))
    assert "Pixels of 0.2 become 0.1 µm" in text
    _, text, fixes = check(pairs(low, FINE, **sizes, target_pixel_size=(0.05, 0.05)))
    assert "differ 4-fold, the factor is 2" in text
    assert "The factor" in fixes
    moved = [ndimage.shift(y, (1, 1), mode="nearest") for y in FINE]
    _, text, fixes = check(pairs(low, moved))
    assert "shifted against the images by -1.0, -1.0 px" in text
    assert "Correct the shift" in fixes


def test_flat_images_have_no_z():
    facts, text, fixes = check(pairs(FINE), along="Z")
    assert facts.errors
    assert "needs stacks" in text
    assert fixes["The plane"].value == ("along", "YX")
    facts, text, _ = check(pairs([f[:12, :12] for f in FINE]), factor=4)
    assert "too small (12 px)" in facts.errors[0]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_stack_teaches_itself(factor):
    stack = simulate("nuclei", (8, 48, 52), 1).image
    found = pairs([stack], axes="ZYX", factor=factor, along="Z")
    facts, _, _ = check(found, factor=factor, along="Z")
    made = UPSCALE.prepare(found, facts.options)
    assert made.spatial == "YX"
    assert len(made.samples) == 16
    for item in made.samples:
        assert item.y.shape[1] == factor * item.x.shape[1]
        assert item.y.shape[2] == item.x.shape[2]
    # a slope stays where it is: rows of the coarse planes lie in the middle of those that they stand for
    slope = np.zeros((4, 48, 48), np.float32) + np.arange(48.0)[:, None]
    item = UPSCALE.prepare(pairs([slope], axes="ZYX", along="Z", factor=factor), facts.options).samples[0]
    middle = item.y[0].reshape(48 // factor, factor, 48).mean(1)
    np.testing.assert_allclose(item.x[0][2:-2], middle[2:-2], atol=1e-3)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_noise_is_added_to_thinned_rows_and_not_to_their_targets_nor_to_the_stack(factor):
    rng = np.random.default_rng(0)
    light = ndimage.gaussian_filter(rng.standard_normal((16, 48, 48)), (4, 1, 1)) * 100 + 200
    stack = (light + rng.standard_normal(light.shape)).astype(np.float32)  # planes are more alike than rows
    stack.setflags(write=False)
    before = stack.copy()
    options = UPSCALE.options(along="Z", factor=factor)
    item = UPSCALE.prepare(pairs([stack], axes="ZYX", along="Z", factor=factor), options).samples[0]
    assert not np.shares_memory(item.x, item.y)
    middle = item.y[0, (factor - 1) // 2 :: factor]
    middle = middle if factor % 2 else (middle + item.y[0, factor // 2 :: factor]) / 2
    assert np.std(item.x[0] - middle) == pytest.approx(measure_noise(stack).sigma, rel=0.1)
    np.testing.assert_array_equal(stack, before)


def test_planes_of_a_stack_are_normalised_by_its_numbers_as_for_a_prediction():
    """A plane out of focus is dim, in both."""
    stack = simulate("nuclei", (8, 48, 52), 1).image * np.linspace(0.2, 1, 8)[:, None, None]
    options = UPSCALE.options(along="Z")
    made = UPSCALE.prepare(pairs([stack], axes="ZYX", along="Z"), options)
    (view, *_) = UPSCALE.layout(options).views(Axes("ZYX", "YX"))
    predicted = Rule().measure_series(view.frames(stack))
    for item in made.samples:
        np.testing.assert_allclose(item.normalization(Rule()).scale, predicted.scale, rtol=0.02)


def test_frames_of_a_series_that_are_made_coarse_are_normalised_by_the_whole():
    series = np.stack([0.3 * FINE[0], FINE[0], FINE[1]])
    made = UPSCALE.prepare(pairs([series], axes="TYX"), replace(UPSCALE.options(), alone=True))
    assert len({item.normalization(Rule()) for item in made.samples}) == 1
    assert made.samples[0].normalization(Rule()) == Rule().measure_series([item.x for item in made.samples])


def test_two_views_of_a_stack():
    options = UPSCALE.options(along="Z")
    assert [v.names for v in UPSCALE.layout(options).views(Axes("ZYX"))] == ["YZX", "YXZ"]
    assert [v.names for v in UPSCALE.layout(options).views(Axes("TCZYX"))] == ["TCYZX", "TCYXZ"]
    with pytest.raises(DojoError, match="no axis Z"):
        UPSCALE.layout(options).views(Axes("YX"))
    assert UPSCALE.layout(UPSCALE.options()).views(Axes("YX")) == (Axes("YX"),)


def test_upsampling_by_axis():
    assert UPSCALE.layout(UPSCALE.options(factor=3)).upsampling == {"Y": 3, "X": 3}
    assert UPSCALE.layout(UPSCALE.options(factor=2, along="ZYX")).upsampling == {"Z": 2, "Y": 2, "X": 2}
    assert UPSCALE.layout(UPSCALE.options(factor=4, along="Z")).upsampling == {"Z": 4}
    assert UPSCALE.layout(UPSCALE.options(factor=4, along="Z")) == Layout(IMAGE, upsampling={"Z": 4}, sides=True)


def test_the_baseline_is_bicubic():
    (found,), name = UPSCALE.baseline([FINE[0][None, ::2, ::2]], [FINE[0][None]], UPSCALE.options())
    np.testing.assert_allclose(found, cubic(FINE[0][None, ::2, ::2], (2, 2)))
    assert "bicubic" in name
