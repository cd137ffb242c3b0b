"""Points: the course's own formulas and counts, three sets that never meet, labels, z-score, one's own points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.playground import PointSet
from napari_dojo.playground.points import KINDS, SETS, Data, draw_points, read_csv, split_rows
from napari_dojo.playground.settings import FEATURES

DRAWN = [kind for kind in KINDS if kind not in ("custom", "formula")]


def draw(seed: int = 0, **values: object) -> Data:
    """Points of a kind."""
    return draw_points(PointSet(**values), np.random.default_rng(seed))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("counts", [(500, 200, 200), (37, 0, 5)])
def test_counts_are_exact_and_the_sets_never_meet(kind: str, counts: tuple[int, int, int]) -> None:
    data = draw(kind=kind, training=counts[0], validation=counts[1], test=counts[2], label_noise=0.05)
    assert data.counts == counts
    sets = [{tuple(p) for p in data.xy[data.part(name)]} for name in SETS]
    assert [len(s) for s in sets] == list(counts)
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]


@pytest.mark.parametrize("kind", DRAWN)
def test_the_seed_decides(kind: str) -> None:
    np.testing.assert_array_equal(draw(3, kind=kind).xy, draw(3, kind=kind).xy)
    assert not np.array_equal(draw(3, kind=kind).xy, draw(4, kind=kind).xy)


def test_line_and_parabola_of_the_course() -> None:
    for kind, boundary in (("line", lambda x: 0.5 * x + 0.1), ("parabola", lambda x: 2 * x**2 - 0.4)):
        data = draw(kind=kind, training=4000)
        x, y = data.xy.T
        np.testing.assert_array_equal(data.value, y < boundary(x))
        assert np.abs(data.xy).max() <= 1
        assert np.abs(data.xy).min(0).max() < 0.01
        assert np.abs(data.xy.mean(0)).max() < 0.03


def test_spiral_of_the_course() -> None:
    """Undone by hand: r is found again from where the point lies, and theta is uniform up to 10 pi."""
    data = draw(kind="spiral", training=4000, validation=0, test=0, noise=0.0)
    xy = np.where(data.value[:, None] == 1, -1, 1) * data.xy
    r = np.hypot(*xy.T)
    np.testing.assert_allclose(xy, np.stack([r * np.cos(r), r * np.sin(r)], axis=1), atol=1e-9)
    assert r.max() <= 2.5 * np.pi
    np.testing.assert_allclose(np.histogram(r, 5, (0, 2.5 * np.pi))[0] / 4000, 0.2, atol=0.025)
    assert data.value.mean() == 0.5


def test_spiral_noise_is_uniform_and_of_its_own_for_x_and_y() -> None:
    rng, other = np.random.default_rng(1), np.random.default_rng(1)
    xy, value = KINDS["spiral"].draw(rng, 1000, 0.5)  # type: ignore[misc]
    theta = other.uniform(0, 10 * np.pi, 1000)
    r = 0.25 * theta
    x = (r + other.uniform(-0.5, 0.5, 1000)) * np.cos(r)
    y = (r + other.uniform(-0.5, 0.5, 1000)) * np.sin(r)
    sign = np.where(value == 1, -1, 1)
    np.testing.assert_allclose(xy, np.stack([sign * x, sign * y], axis=1))


def test_classes_and_numbers() -> None:
    clusters = draw(kind="clusters", classes=5, training=500, validation=0, test=0)
    assert np.bincount(clusters.value.astype(int)).tolist() == [100] * 5
    for kind in ("circle", "xor", "moons", "blobs"):
        assert set(draw(kind=kind).value) == {0, 1}
        assert 0.4 < draw(kind=kind, training=3000).value.mean() < 0.6
    x, y = draw(kind="xor").xy.T
    np.testing.assert_array_equal(draw(kind="xor").value, x * y > 0)
    plane = draw(kind="plane", noise=0.0)
    np.testing.assert_allclose(plane.value, plane.xy.mean(1))
    curve = draw(kind="curve")
    assert not curve.xy[:, 1].any()
    assert curve.classes == plane.classes == 0
    assert PointSet(kind="clusters", classes=7).n_classes == 7


def test_exactly_the_share_of_labels_is_wrong() -> None:
    assert draw(kind="spiral", training=500, validation=200, test=2200, label_noise=0.01).wrong.sum() == 29
    data = draw(kind="clusters", noise=0.02, training=500, validation=200, test=200, label_noise=0.1)
    assert data.wrong.sum() == 90
    quarter = np.arctan2(data.xy[:, 1], data.xy[:, 0]) % (2 * np.pi) // (np.pi / 2)
    np.testing.assert_array_equal(quarter != data.value, data.wrong)
    assert set(data.value[data.wrong]) == {0, 1, 2, 3}


def test_regression_has_no_labels_to_flip() -> None:
    assert not draw(kind="plane", label_noise=0.5).wrong.any()


def test_z_score_is_of_the_training_points_alone() -> None:
    data = draw(kind="spiral", zscore=True)
    training = data.xy[data.part("training")]
    np.testing.assert_allclose(data.mean, training.mean(0))
    np.testing.assert_allclose(data.deviation, training.std(0))
    made = data.inputs(data.xy, ("x", "y"))
    np.testing.assert_allclose(made[:500].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(made[:500].std(0), 1)
    assert np.abs(made[500:].mean(0)).max() > 1e-6
    other = PointSet(kind="spiral", zscore=True, test=5)
    assert draw_points(other, np.random.default_rng(0)).counts == (500, 200, 5)
    flat = PointSet(kind="custom", zscore=True, rows=((0, 1, 0), (0, 2, 1), (0, 3, 0), (0, 4, 1)))
    assert draw_points(flat, np.random.default_rng(0)).deviation[0] == 1


def test_inputs_are_what_the_code_says() -> None:
    data = draw(kind="circle")
    x, y = data.xy.T
    wanted = [eval(code, {"np": np, "x": x, "y": y}) for code in FEATURES.values()]
    np.testing.assert_array_equal(data.inputs(data.xy, tuple(FEATURES)), np.stack(wanted, axis=1))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "line", "training": 1}, "The only training point is not of class"),
        ({"kind": "formula", "formula": "y < -5"}, "None of the 500 training points is of class 1"),
        ({"kind": "clusters", "classes": 8, "training": 3}, "is of the classes"),
        ({"kind": "custom"}, "no points yet"),
        ({"kind": "custom", "rows": ((0, 0, 1),)}, "not of class 0"),
        ({"kind": "custom", "rows": ((0, 0, 0), (1, 0, 2))}, "None of the 2 training points is of class 1. Add"),
        ({"kind": "custom", "rows": ((1, 1, 0), (1, 1, 1)) * 4}, "at the same position"),
        ({"kind": "custom", "rows": ((np.nan, 0, 0), (1, 0, 1))}, "finite coordinates"),
        ({"kind": "custom", "rows": ((1, 2), (1, 0, 1))}, "x, y and its class"),
        ({"kind": "custom", "rows": ((0, 0, 0),) * 10_001}, "At most 10000 custom points"),
    ],
)
def test_points_that_teach_nothing(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(DojoError, match=sentence):
        draw(**values)


def test_own_points_keep_their_set_when_others_are_added() -> None:
    rng = np.random.default_rng(0)
    rows = [(float(x), float(y), float(i % 2)) for i, (x, y) in enumerate(rng.uniform(-1, 1, (90, 2)))]
    before: dict[tuple[float, ...], str] = {}
    for n in (10, 33, 90):
        data = draw(kind="custom", rows=tuple(rows[:n]), training=500, validation=200, test=200)
        assert sum(data.counts) == n
        now = {tuple(p): name for name in SETS for p in data.xy[data.part(name)]}
        assert all(now[p] == name for p, name in before.items())
        before = now
        np.testing.assert_array_equal(data.xy, np.array(rows[:n])[data.order, :2])
        np.testing.assert_array_equal(data.value, np.array(rows[:n])[data.order, 2])
    assert data.counts == (50, 20, 20)


def test_own_numbers_are_regression() -> None:
    assert PointSet(kind="custom", rows=((0, 0, 0.5), (1, 1, 2))).n_classes == 0
    assert PointSet(kind="custom", rows=((0, 0, 0), (1, 1, 2))).n_classes == 3
    assert PointSet(kind="custom", rows=((0, 0, 0), (1, 1, 9))).n_classes == 0


def test_table(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("area;mean;state\n10;0.5;dead\n12.5;.25;alive\n\n9;1e-1;dead\n")
    rows, names = read_csv(path)
    assert rows == ((10, 0.5, 1), (12.5, 0.25, 0), (9, 0.1, 1))
    assert names == ("alive", "dead")
    path.write_text("1,2,3\n4,5,10\n")
    assert read_csv(path) == (((1, 2, 0), (4, 5, 1)), ("3", "10"))
    path.write_text("x\ty\tz\n1\t2\t0.5\n3\t4\t1\n")
    assert read_csv(path) == (((1, 2, 0.5), (3, 4, 1)), ())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "1 to 10000 are allowed"),
        (b"x,y,class\n", "1 to 10000 are allowed"),
        (b"1,2\n", "point 1 needs x, y and a class"),
        (b"1,2,a\n1,b,a\n", "point 2 needs x, y and a class"),
        (b"1,2,a\n1,nan,a\n", "point 2 needs x, y and a class"),
        (b"\xff\xfe\x00", "is not a table"),
        (b"\n".join(b"1,2,c%d" % i for i in range(9)), "has 9 classes"),
        (b'1,2,"' + b"a" * 200_000, "is not a table"),
    ],
)
def test_broken_table(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DojoError, match=sentence):
        read_csv(path)


def test_the_first_point_of_each_class_teaches() -> None:
    """Also where the test is by far the largest set, as in the spiral."""
    rows = tuple((k / 10, 0.0, float(k % 2)) for k in range(58))
    for n in (2, 3, 58):
        points = PointSet(kind="custom", training=500, validation=200, test=2200, rows=rows[:n])
        _, value, counts, order = split_rows(points)
        assert {0, 1} == set(value[: counts[0]])
        assert {0, 1} <= set(order[: counts[0]])
    assert counts == (10, 4, 44)


def test_hills_and_hollows_lie_where_they_should() -> None:
    data = draw_points(PointSet(kind="hills", noise=0, training=5000), np.random.default_rng(0))
    x, y = data.xy.T
    near = np.hypot(np.abs(x) - 0.65, np.abs(y) - 0.4) < 0.03
    np.testing.assert_allclose(data.value[near], np.sign(y[near]), atol=0.05)
    middle = np.hypot(x, np.abs(y) - 0.4) < 0.03
    np.testing.assert_allclose(data.value[middle], -np.sign(y[middle]), atol=0.05)
    assert data.classes == 0
