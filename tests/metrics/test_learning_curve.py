from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.metrics.learning_curve import Curve, Gain


def curve(law, sizes=(10, 10, 20, 20, 40), noise=0.0):
    rng = np.random.default_rng(1)
    return Curve(sizes, tuple(float(law(n) + rng.normal(0, noise)) for n in sizes))


@pytest.mark.parametrize("law", [lambda n: 0.9 - 0.8 * n**-0.5, lambda n: 0.8 - 2.0 * n**-1.0])
def test_a_power_law_is_continued(law):
    gain = curve(law).gain(40)
    right = law(80) - law(40)
    assert gain.low - 0.005 <= right <= gain.high + 0.005
    assert abs(gain.likely - right) < 0.02


def test_where_nothing_grows_more_brings_nothing():
    gain = curve(lambda n: 0.8).gain(20)
    assert gain.likely < 0.01
    assert gain.sentence("object", "AP").startswith("20 more objects: about .00 AP")


def test_scattered_scores_are_no_answer():
    gain = curve(lambda n: 0.5 - 1.0 / n, noise=0.15).gain(40)
    assert gain.high - gain.low > curve(lambda n: 0.5 - 1.0 / n).gain(40).high - 0.02


def test_in_words():
    said = Gain(15, 0.012, 0.0, 0.034).sentence("object", "AP")
    assert said == "15 more objects: about +.01 AP (.00 to +.03)."
    wide = Gain(15, 0.1, 0.0, 0.2).sentence("class", "")
    assert wide == "15 more classes: .00 to +.20. That is too wide a range to say; annotate some more first."
