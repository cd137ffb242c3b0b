"""A session on images: however it is driven the same numbers, both networks, scores of shifted images, sharing."""

from __future__ import annotations

import contextlib
import io
import re

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground.counts import cnn_sum, dense_sum, shared_words
from napari_dojo.playground.exercise import load
from napari_dojo.playground.goal import figures
from napari_dojo.playground.image_session import ImageSession, by_one
from napari_dojo.playground.image_settings import Architecture, ImageSetup
from napari_dojo.playground.images import shifted
from napari_dojo.playground.kinds import setup_of
from napari_dojo.playground.scripts import keras_script, torch_script
from napari_dojo.playground.share import Shared, from_text, to_text

SMALL = ImageSetup().with_(training=60, validation=20, test=20, kernels=(3,), hidden=(5,), epochs=2, batch_size=16)


def learned(setup: ImageSetup) -> ImageSession:
    session = ImageSession(setup)
    for _ in session.run():
        pass
    return session


@pytest.mark.parametrize("shifts", [0, 2])
def test_however_it_is_driven_the_numbers_are_the_same(shifts: int) -> None:
    whole, steps = learned(SMALL.with_(shifts=shifts)), ImageSession(SMALL.with_(shifts=shifts))
    while steps.epochs < 2:
        steps.step()
        steps.read(np.zeros((12, 12)))
    np.testing.assert_array_equal(whole.net.parameters, steps.net.parameters)
    assert whole.history == steps.history
    assert whole.updates == 8


def test_scores_of_both_networks_and_of_shifted_images() -> None:
    session = learned(SMALL)
    last, where = session.history[-1], session.data.part("validation")
    x, value = session.data.x[where], session.data.value[where]
    moved = by_one(x)
    np.testing.assert_array_equal(moved[1], shifted(x[1:2], np.array([[1, 0]]))[0])
    for score, net, images in (
        (last.validation, session.net.cnn, x),
        (last.dense, session.net.dense, x),
        (last.shifted, session.net.cnn, moved),
        (last.dense_shifted, session.net.dense, moved),
    ):
        assert score is not None
        assert score.accuracy == (net.forward(images).argmax(1) == value).mean()
    assert figures(session)["shifted"] == last.shifted.accuracy  # type: ignore[union-attr]
    assert figures(session)["parameters"] == SMALL.parameters
    assert (session.score("validation"), session.looks) == (last.validation, 0)
    session.test_scores()
    assert session.looks == 1


def test_settings_change_while_training_runs() -> None:
    session = learned(SMALL)
    before = session.net.parameters.copy()
    session.change(SMALL.with_(learning_rate=0.01))
    np.testing.assert_array_equal(session.net.parameters, before)
    assert session.altered
    session.change(SMALL.with_(kernels=(4,)))
    assert session.updates == 0
    assert session.net.shape.kernels == (4,)
    session.change(SMALL.with_(kernels=(4,), seed=1))
    assert session.setup.seed == 1
    session.change(SMALL.with_(content="cells"))
    assert session.next_batch()[0].shape[1:] == (16, 16, 1)
    assert session.read(np.zeros((16, 16)))[0].shape == (4,)


def test_counts_are_written_out() -> None:
    net = Architecture(kernels=(8, 16))
    assert cnn_sum(net) == "9·8+8 + 9·8·16+16 + 144·10+10 = 2698"
    assert dense_sum(net) == "144·17+17 + 17·10+10 = 2645"
    assert "9 weights x 8 kernels + 8 = 80, shared by all 144 places" in shared_words(net)
    assert Architecture(kernels=(8,), pooling="global").parameters == 80 + 90


@pytest.mark.parametrize(
    "values",
    [{"kernels": ()}, {"kernels": (0,)}, {"kernels": (8, 8, 8, 8)}, {"shifts": 3}, {"dropout": 0.2}, {"pooling": "x"}],
)
def test_what_does_not_fit_is_said(values: dict[str, object]) -> None:
    with pytest.raises(DojoError):
        SMALL.with_(**values)


def test_points_and_images_are_two_kinds() -> None:
    assert isinstance(setup_of({"images": {}}), ImageSetup)
    with pytest.raises(DojoError, match="not both"):
        setup_of({"images": {}, "points": {}})
    exercise = load("digits")
    assert exercise.other_points(load("line").start)


def test_a_submission_comes_back_with_both_networks() -> None:
    session = learned(SMALL)
    back = from_text(to_text(Shared.of(load("digits"), session, by="Ada"))).session()
    assert isinstance(back, ImageSession)
    assert back.history[-1].validation == session.history[-1].validation
    assert back.history[-1].dense == session.history[-1].dense


@pytest.mark.parametrize(
    "more", [{}, {"pooling": "global", "shifts": 1, "l2": 0.01, "attempt": 1}, {"content": "cells", "shifts": 2}]
)
def test_the_pytorch_script_comes_to_the_same_numbers(more: dict[str, object]) -> None:
    setup, said = SMALL.with_(**more), io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(torch_script(setup), "script", "exec"), {})
    got = re.findall(r"(\w+): loss (\S+), accuracy (\S+)", said.getvalue())
    session = learned(setup)
    last = session.history[-1]
    for (name, loss, accuracy), score in zip(
        [got[0], got[1], got[4]], [last.training, last.validation, last.dense], strict=True
    ):
        assert score is not None
        assert float(loss) == pytest.approx(score.loss, abs=2e-6), name
        assert float(accuracy) == pytest.approx(score.accuracy, abs=1e-4)


def test_the_keras_script_is_python_and_has_the_layers() -> None:
    script = keras_script(SMALL.with_(shifts=1))
    compile(script, "script", "exec")
    for part in ('Conv2D(3, 3, padding="same", activation="relu")', "MaxPooling2D(2)", "Dense(5", "RandomTranslation"):
        assert part in script
