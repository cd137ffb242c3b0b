from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage import metrics as reference

from napari_dojo.metrics.base import pool
from napari_dojo.metrics.images import ImageScores, pearson, psnr, ssim


def noisy(shape: tuple[int, ...], seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    truth = gaussian_filter(rng.normal(size=shape), 1.5) * 500 + 1000
    return truth, truth + rng.normal(size=shape) * 30


@pytest.mark.parametrize("shape", [(40, 33), (14, 15, 16), (9, 30, 30), (4, 5), (1, 20, 20), (3, 1)])
def test_image_scores_are_those_of_scikit_image_and_numpy(shape: tuple[int, ...]) -> None:
    truth, predicted = noisy(shape)
    span = np.ptp(truth)
    assert psnr(truth, predicted) == pytest.approx(reference.peak_signal_noise_ratio(truth, predicted, data_range=span))
    assert psnr(truth, predicted, 4096) == pytest.approx(
        reference.peak_signal_noise_ratio(truth, predicted, data_range=4096)
    )
    assert pearson(truth, predicted) == pytest.approx(np.corrcoef(truth.ravel(), predicted.ravel())[0, 1])
    flat, other = np.squeeze(truth), np.squeeze(predicted)
    side = min(11, *(n - 1 + n % 2 for n in flat.shape))
    assert ssim(truth, predicted) == pytest.approx(
        reference.structural_similarity(
            flat, other, data_range=span, gaussian_weights=True, use_sample_covariance=False, win_size=side
        )
    )


def test_identical_images() -> None:
    truth, _ = noisy((20, 20))
    assert [f(truth, truth) for f in (psnr, ssim, pearson)] == pytest.approx([100, 1, 1])
    assert pearson(truth, -truth) == pytest.approx(-1.0)


def test_image_scores_of_integers_do_not_wrap() -> None:
    truth, predicted = np.array([[0, 200]], np.uint8), np.array([[10, 190]], np.uint8)
    assert psnr(truth, predicted) == pytest.approx(20 * np.log10(200 / 10))
    assert psnr(truth.astype(np.uint16), predicted.astype(np.float32)) == psnr(truth, predicted)


def test_image_scores_do_not_depend_on_the_unit() -> None:
    truth, predicted = noisy((30, 30))
    for f in (psnr, ssim, pearson):
        assert f(truth * 1e-3, predicted * 1e-3) == pytest.approx(f(truth, predicted))


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (0, 5), (2, 3, 4)])
@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf, 1e200])
def test_odd_images_give_numbers(shape: tuple[int, ...], value: float) -> None:
    odd = np.full(shape, value)
    other = np.arange(odd.size, dtype=float).reshape(shape)
    for f in (psnr, ssim, pearson):
        for a, b in [(odd, odd), (odd, other), (other, odd), (odd, odd + 1)]:
            assert np.isfinite(f(a, b))
    assert pearson(odd, other) == 0.0


def test_a_constant_truth_is_met_or_not() -> None:
    seven = np.full((8, 8), 7.0)
    assert (psnr(seven, seven), ssim(seven, seven)) == (100.0, 1.0)
    assert (psnr(seven, seven + 1), ssim(seven, seven + 1)) == (0.0, 0.0)


def test_pixels_without_truth_do_not_count() -> None:
    truth, predicted = noisy((20, 20))
    holes = truth.copy()
    holes[:3] = np.nan
    assert psnr(holes, predicted) == pytest.approx(psnr(truth[3:], predicted[3:]))
    assert pearson(holes, predicted) == pytest.approx(pearson(truth[3:], predicted[3:]))
    worse = predicted.copy()
    worse[5, 5] = np.nan
    assert psnr(truth, worse) < psnr(truth, predicted)


def test_region_of_an_image() -> None:
    truth, predicted = noisy((40, 40))
    region = np.zeros((40, 40), bool)
    region[:20] = True
    predicted[30:] = 0  # far from the region: does not matter
    assert psnr(truth, predicted, region=region) == pytest.approx(psnr(truth[:20], predicted[:20]))
    assert pearson(truth, predicted, region) == pytest.approx(pearson(truth[:20], predicted[:20]))
    assert ssim(truth, predicted, region=region) == pytest.approx(ssim(*noisy((40, 40)), region=region), abs=0.02)
    assert ssim(truth, predicted, region=region) > ssim(truth, predicted) + 0.1


def test_image_scores_are_means() -> None:
    pairs = [noisy((2, 20, 20), seed) for seed in range(3)]
    each = [ImageScores.of(*pair) for pair in pairs]
    assert each[0].psnr == pytest.approx(np.mean([psnr(t, p) for t, p in zip(*pairs[0], strict=True)]))
    all_of_them = pool(each)
    assert all_of_them.images == 3
    for key in ("psnr", "ssim", "pearson"):
        assert all_of_them.as_dict()[key] == pytest.approx(np.mean([s.as_dict()[key] for s in each]))
    assert (ImageScores() + each[0]).as_dict() == pytest.approx(each[0].as_dict())
    assert ImageScores().as_dict() == {"psnr": 0.0, "ssim": 0.0, "pearson": 0.0}


def test_an_image_needs_its_channel_axis() -> None:
    with pytest.raises(ValueError, match=r"\(C, \*S\)"):
        ImageScores.of(np.zeros((4, 4)), np.zeros((4, 4)))


def test_sentence() -> None:
    assert ImageScores(1, 31.2, 0.861, 0.949).sentence == "PSNR 31.2 dB, SSIM 0.86, Pearson r 0.95"
