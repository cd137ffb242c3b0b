"""The last hidden layer's picture of the points, and the straight boundary in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground import Session, Setup
from napari_dojo.playground.representation import represent

SETUP = Setup().with_(kind="parabola", hidden=(6,), activation="tanh", learning_rate=0.1, batch_size=8, epochs=10)


def learned(**values: object) -> Session:
    """A session after its epochs."""
    session = Session(SETUP.with_(**values))
    for _ in session.run():
        pass
    return session


def test_two_units_of_two_show_everything() -> None:
    session = learned(hidden=(4, 2))
    picture = represent(session)
    session.predict(session.data.xy)
    np.testing.assert_allclose(picture.points, session.net.layers[1].outputs)
    assert picture.boundary is not None
    a, b, c = picture.boundary
    side = picture.points @ [a, b] + c
    np.testing.assert_array_equal(side > 0, session.decide(session.data.xy) == 1)
    assert picture.titles == ("component 1", "component 2")


@pytest.mark.parametrize("units", [None, (1, 3), (5, 0)])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_border_is_where_the_surface_changes(units: tuple[int, int] | None, skip: bool, outputs: int) -> None:
    fit = {"output": "softmax", "loss": "categorical_cross_entropy"} if outputs == 2 else {}
    picture = represent(learned(skip=skip, outputs=outputs, **fit), units, size=60)
    assert picture.boundary is not None
    a, b, c = picture.boundary
    left, right, bottom, top = picture.extent
    middles = (np.arange(60) + 0.5) / 60
    u, v = np.meshgrid(left + (right - left) * middles, bottom + (top - bottom) * middles)
    np.testing.assert_array_equal(picture.surface == 1, a * u + b * v + c > 0)
    assert left < picture.points[:, 0].min() < picture.points[:, 0].max() < right


def test_components_are_those_of_the_training_points() -> None:
    session = learned()
    picture = represent(session)
    session.predict(session.data.xy)
    hidden = session.net.layers[0].outputs
    part = session.data.part("training")
    centred = hidden[part] - hidden[part].mean(0)
    spread = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(picture.points[part], axis=0), spread[:2])
    np.testing.assert_allclose(picture.directions @ picture.directions.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(picture.centre, hidden[part].mean(0))


def test_nothing_flips_while_it_moves() -> None:
    session = learned()
    picture = represent(session)
    mirrored = replace(picture, directions=-picture.directions)
    np.testing.assert_allclose(represent(session, before=mirrored).points, -picture.points)
    np.testing.assert_allclose(represent(session, before=picture).points, picture.points)
    other = replace(picture, directions=np.eye(2))
    np.testing.assert_allclose(represent(session, before=other).points, picture.points)


def test_one_unit_and_other_nets() -> None:
    picture = represent(learned(hidden=(1,)))
    assert not picture.points[:, 1].any()
    several = {"kind": "clusters", "outputs": 4, "output": "softmax", "loss": "categorical_cross_entropy"}
    picture = represent(learned(**several))
    assert picture.boundary is None
    assert set(np.unique(picture.surface)) <= {0, 1, 2, 3}
    assert represent(learned(kind="plane", output="linear", loss="squared_error")).boundary is None
    linear = represent(learned(hidden=(2,), output="linear", loss="squared_error"))
    assert linear.boundary is not None
    side = linear.points @ linear.boundary[:2] + linear.boundary[2]
    assert (side > 0).mean() == pytest.approx((linear.surface == 1).mean(), abs=0.5)


def test_what_there_is_not() -> None:
    with pytest.raises(DojoError, match="no hidden layer"):
        represent(Session(SETUP.with_(hidden=())))
    with pytest.raises(DojoError, match="has units 1 to 6"):
        represent(Session(SETUP), (0, 6))
