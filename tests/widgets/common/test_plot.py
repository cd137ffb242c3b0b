from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from pyqtgraph import AxisItem

from napari_dojo.widgets.common.plot import STARTS, VALIDATION, LossPlot, ScorePlot


@pytest.fixture
def plot(qtbot):
    made = ScorePlot(ViewerModel())
    qtbot.addWidget(made)
    yield made
    made.end()


@pytest.mark.parametrize(
    ("scores", "baseline"),
    [([0.1, 0.6], -0.13), ([0.2, 0.3], 0.7), ([28, 33.5], 36.5), ([30], 20), ([np.nan, 0.4], 0.2), ([0.0], None)],
)
def test_scores_and_the_line_without_learning_are_in_view(plot, scores, baseline):
    for step, score in enumerate(scores):
        plot.add(step, score)
    plot.baseline(baseline)
    plot.redraw()
    low, top = plot.getViewBox().viewRange()[1]
    shown = [v for v in (*scores, baseline) if v is not None and np.isfinite(v)]
    assert low <= min(shown) <= max(shown) < top
    if max(shown) <= 1:
        assert low == pytest.approx(min(0, *shown), abs=0.1 * (max(shown) - min(shown) + 0.1))


def test_a_score_that_is_no_number_is_left_out(plot):
    plot.add(1, float("nan"))
    plot.redraw()
    assert np.isfinite(plot.getViewBox().viewRange()).all()


def test_starts_that_are_compared_have_curves_of_their_own(plot):
    colours = [plot.add_start(*given) for given in (("a", 0, 0.7), ("a", 40, 0.9), ("nothing", 40, 0.2))]
    assert colours == [STARTS[0], STARTS[0], STARTS[1]]
    plot.add(80, 0.95)
    plot.redraw()
    shown = {
        x.opts["pen"].color().name().upper(): x.getData()[1] for x in plot.listDataItems() if x.getData()[0] is not None
    }
    assert {k: [float(v) for v in y] for k, y in shown.items()} == {
        VALIDATION: [0.95],
        STARTS[0]: [0.7, 0.9],
        STARTS[1]: [0.2],
    }
    assert plot.getViewBox().viewRange()[1][1] > 0.95
    plot.reset()
    assert all(x.getData()[0] is None or not len(x.getData()[0]) for x in plot.listDataItems())


def test_the_score_has_a_name(plot):
    plot.name("PSNR, dB")
    assert "PSNR, dB" in plot.plotItem.titleLabel.text
    plot.recolour()
    assert "PSNR, dB" in plot.plotItem.titleLabel.text


@pytest.mark.parametrize(
    ("losses", "steps"),
    [([0.9251], {"0"}), ([0.9251, 0.9258], {"0", "1"}), ([0.004] * 20_000 + [0.0041], {"0", "10k"})],
)
def test_axes_have_figures_whatever_the_losses_are(qtbot, monkeypatch, losses, steps):
    shown = {}
    draw = AxisItem.drawPicture

    def drawn(axis, painter, line, ticks, texts):
        shown[axis.orientation] = [text for _, _, text in texts]
        draw(axis, painter, line, ticks, texts)

    monkeypatch.setattr(AxisItem, "drawPicture", drawn)
    plot = LossPlot(ViewerModel())
    qtbot.addWidget(plot)
    plot.resize(150, 96)
    for k in sorted({0, len(losses) - 1}):
        plot.judge(k, losses[k])
    plot.redraw()
    with qtbot.waitExposed(plot):
        plot.show()
    plot.grab()
    assert len(shown["left"]) >= 2
    assert steps <= set(shown["bottom"]) - {""}
    assert all(text.rstrip("k").isdigit() for text in shown["bottom"] if text)
    plot.end()
