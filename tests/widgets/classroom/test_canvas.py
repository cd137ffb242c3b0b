"""The canvas: where points lie, what their colours say, what a person draws, and that all is put back."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from napari_dojo.playground.surface import Grid, surface
from napari_dojo.widgets.classroom import ClassroomPanel
from napari_dojo.widgets.classroom.borrowed import axes_of, camera_of, grid_of
from napari_dojo.widgets.classroom.colours import CLASSES, of_classes
from napari_dojo.widgets.classroom.picture import neuron_pictures, surface_picture

pytestmark = pytest.mark.gui


def look_of(viewer):
    """All that is to be put back."""
    camera, dims = camera_of(viewer), viewer.dims
    return {
        "layers": [(x.name, x.visible) for x in viewer.layers],
        "selected": {x.name for x in viewer.layers.selection},
        "active": getattr(viewer.layers.selection.active, "name", None),
        "camera": (camera.orientation, tuple(camera.center), camera.zoom, camera.angles, camera.perspective),
        "dims": (dims.ndisplay, dims.order, dims.point, tuple(dims.axis_labels)),
        "axes": (axes_of(viewer).visible, axes_of(viewer).labels),
        "grid": grid_of(viewer).enabled,
    }


def on_canvas(viewer, y, x):
    """Column and row of the canvas at which a place of the world is painted, by vispy itself."""
    canvas = viewer.window._qt_viewer.canvas
    mapped = canvas.view.scene.transform.map([x, y, 0, 1])
    return mapped[:2] / mapped[3]


@pytest.mark.window
def test_one_one_is_at_the_top_right(viewer, classroom):
    layer = classroom.canvas.points
    np.testing.assert_array_equal(layer.data_to_world((1, 1)), (1, 1))
    middle, corner = on_canvas(viewer, 0, 0), on_canvas(viewer, 1, 1)
    assert corner[0] > middle[0]  # to the right
    assert corner[1] < middle[1]  # rows count from the top
    first = classroom.lesson.session.data.xy[0]
    np.testing.assert_array_equal(layer.data[0], first[::-1])


def test_the_surface_says_at_each_place_what_the_net_says_there(classroom):
    lesson, layer = classroom.lesson, classroom.canvas.surface
    for row, column in ((3, 70), (40, 12)):
        y, x = layer.data_to_world((row, column))
        p = lesson.session.predict([[x, y]])[0, 0]
        blue, orange = (np.array(of_classes([k])[0, :3]) * 255 for k in (0, 1))
        full = orange if p > 0.5 else blue
        expected = 255 - 0.55 * abs(2 * p - 1) * (255 - full)
        np.testing.assert_allclose(layer.data[row, column], expected, atol=3)
    lesson.session.epoch()
    before = layer.data
    lesson.learned()
    assert layer.data is before  # in place
    grid = Grid.of(lesson.session.data, ("x", "y"), 80)
    np.testing.assert_array_equal(layer.data, surface_picture(lesson.session, grid))
    classroom.canvas.set_look(hard=True)
    chosen = surface(lesson.session.net, grid, 2, hard=True)
    tints = np.unique(layer.data[chosen == 1], axis=0)
    assert len(tints) == 1
    np.testing.assert_allclose(tints[0], (241, 203, 115), atol=1)  # a tint of class 1 alone


def test_points_have_colours_of_classes_symbols_of_sets_and_the_test_is_not_there(qtbot, classroom):
    lesson, layer = classroom.lesson, classroom.canvas.points
    value = lesson.session.data.value
    assert len(layer.data) == 700
    np.testing.assert_allclose(layer.face_color, of_classes(value[:700]))
    assert [str(s) for s in layer.symbol[[0, 499, 500, 699]]] == ["disc", "disc", "square", "square"]
    lesson.reveal()
    assert len(layer.data) == 900
    assert str(layer.symbol[800]) == "diamond"
    lesson.step()
    assert len(layer.data) == 700


def test_wrong_points_get_a_ring(classroom):
    lesson, layer = classroom.lesson, classroom.canvas.points
    classroom.canvas.set_look(ringed=True)
    data = lesson.session.data
    wrong = (lesson.session.decide(data.xy) != data.value)[:700]
    assert 0 < wrong.sum() < 700
    np.testing.assert_array_equal(layer.border_width > 0.1, wrong)
    classroom.canvas.set_look(ringed=False)
    assert (layer.border_width < 0.1).all()


@pytest.mark.window
def test_all_is_put_back(qtbot, filled, panel):
    filled.add_image(np.zeros((3, 40, 50)), name="stack", contrast_limits=(0, 1), visible=False)
    filled.layers.selection = {filled.layers[1], filled.layers[2]}
    filled.dims.set_point(0, 1)
    camera_of(filled).zoom, camera_of(filled).center = 3.5, (0, 11, 22)
    grid_of(filled).enabled = True
    qtbot.wait(20)
    before = look_of(filled)
    made = panel(ClassroomPanel)
    qtbot.waitUntil(lambda: made.canvas.there)
    qtbot.wait(50)
    assert [x.name for x in filled.layers if x.visible] == ["Decision surface", "Points"]
    assert camera_of(filled).orientation2d == ("up", "right")
    assert tuple(filled.dims.axis_labels)[-2:] == ("y", "x")
    assert axes_of(filled).visible
    assert not grid_of(filled).enabled
    made.play.step()
    made.data.draw_button.click()
    camera_of(filled).zoom = 700
    made.end()
    assert look_of(filled) == before


def test_a_view_in_3d_and_turned_axes_are_put_back(qtbot, viewer, panel):
    viewer.add_image(np.zeros((5, 40, 50)), name="stack", contrast_limits=(0, 1))
    viewer.dims.order = (1, 0, 2)
    viewer.dims.ndisplay = 3
    camera_of(viewer).angles = (10, 20, 30)
    qtbot.wait(20)
    before = look_of(viewer)
    made = panel(ClassroomPanel)
    qtbot.waitUntil(lambda: made.canvas.there)
    assert viewer.dims.ndisplay == 2
    assert viewer.dims.order == (0, 1, 2)
    made.end()
    after = look_of(viewer)
    np.testing.assert_allclose(after["camera"][3], before["camera"][3])
    assert {**after, "camera": 0} == {**before, "camera": 0}
    assert after["camera"][:3] == before["camera"][:3]


def test_two_classrooms_share_a_viewer(qtbot, filled, panel):
    qtbot.wait(20)
    before = look_of(filled)
    first = panel(ClassroomPanel)
    qtbot.waitUntil(lambda: first.canvas.there)
    late = filled.add_image(np.zeros((9, 9)), name="late", contrast_limits=(0, 1))
    second = panel(ClassroomPanel)
    qtbot.waitUntil(lambda: second.canvas.there)
    assert not first.canvas.points.visible
    assert second.canvas.points.visible
    assert not late.visible
    first.play.play_button.click()
    second.play.play_button.click()
    qtbot.waitUntil(lambda: min(made.lesson.session.updates for made in (first, second)) > 0)
    assert second.canvas.front
    second.end()
    assert first.canvas.points.visible
    first.end()
    assert late.visible
    filled.layers.remove(late)
    assert (
        look_of(filled) == {**before, "active": None, "selected": look_of(filled)["selected"]}
        or look_of(filled) == before
    )


def test_the_users_own_layers_can_be_looked_at_meanwhile(qtbot, filled, panel):
    qtbot.wait(20)
    before = look_of(filled)
    made = panel(ClassroomPanel)
    qtbot.waitUntil(lambda: made.canvas.there)
    made.canvas.step_aside()
    now = look_of(filled)
    assert now["layers"] == [*before["layers"], ("Decision surface", False), ("Points", False)]
    assert now["camera"] == before["camera"]
    made.lesson.set(kind="xor", training=50)
    made.lesson.step()
    made.canvas.enter()
    assert [x.name for x in filled.layers if x.visible] == ["Decision surface", "Points"]
    assert len(made.canvas.points.data) == 250
    made.end()
    assert look_of(filled) == before


def test_a_person_adds_moves_and_removes_points(qtbot, classroom):
    lesson, layer = classroom.lesson, classroom.canvas.points
    classroom.canvas.set_class(1)
    layer.add([[0.25, -0.75]])  # as napari's tool does
    qtbot.waitUntil(lambda: lesson.session.setup.points.kind == "custom")
    assert lesson.wanted.points.rows[-1] == (-0.75, 0.25, 1.0)
    assert len(lesson.wanted.points.rows) == 701
    assert sum(lesson.session.data.counts) == 701
    layer.selected_data = {0}
    layer._move([0], (0.5, 0.5))
    layer._move([0], (0.6, 0.7))
    qtbot.waitUntil(lambda: lesson.wanted.points.rows[0][:2] == tuple(layer.data[0, ::-1]))
    layer.selected_data = set(range(5))
    layer.remove_selected()
    qtbot.waitUntil(lambda: len(lesson.wanted.points.rows) == 696)
    assert len(layer.data) == 696
    np.testing.assert_allclose(layer.face_color[-1], of_classes([1])[0])


def test_own_points_from_an_empty_plane(qtbot, classroom):
    lesson, layer = classroom.lesson, classroom.canvas.points
    classroom.data.draw_button.click()
    assert len(layer.data) == 0
    assert layer.mode == "add"
    assert "no points yet" in lesson.problem
    assert not classroom.play.play_button.isEnabled()
    assert "no points yet" in classroom.play.play_button.toolTip()
    classroom.player.play()
    assert not classroom.player.playing
    extent = classroom.canvas._fresh_grid().extent
    for k, xy in enumerate(((-0.5, 0), (0.5, 0), (-0.5, 0.2), (0.4, 0.9))):
        classroom.data.classes.button(k % 2).click()
        layer.add([xy[::-1]])
        qtbot.waitUntil(lambda n=k + 1: len(lesson.wanted.points.rows) == n)
    assert not lesson.problem
    assert classroom.canvas._fresh_grid().extent == extent  # the plane does not move below the hand
    assert [r[2] for r in lesson.wanted.points.rows] == [0, 1, 0, 1]
    classroom.data.clear_button.click()
    assert lesson.wanted.points.rows == ()
    assert len(layer.data) == 0


def test_selected_points_are_given_the_class_that_is_chosen(qtbot, classroom):
    lesson, layer = classroom.lesson, classroom.canvas.points
    lesson.set_rows(((0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1)))
    layer.mode = "select"
    layer.selected_data = {1}
    classroom.data.classes.button(2).click()
    assert [r[2] for r in lesson.wanted.points.rows] == [0, 2, 1, 1]
    assert lesson.session.data.classes == 3
    np.testing.assert_allclose(layer.face_color[1], of_classes([2])[0])


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (((0, 0, 0),), "not of class 1"),
        (((0, 0, 0), (1, 1, 0)), "not of class 1"),
        (((0, 0, 0), (0, 0, 1)), "same position"),
        ((), "no points yet"),
    ],
)
def test_points_that_cannot_teach_are_shown_and_explained(classroom, rows, why):
    classroom.lesson.set_rows(rows)
    assert why in classroom.progress.message.text()
    assert len(classroom.canvas.points.data) == len(rows)
    classroom.lesson.choose("xor")
    assert classroom.progress.message.text() == ""


def test_a_bad_file_is_said_even_while_points_are_missing(classroom, tmp_path):
    classroom.lesson.set_rows(())
    (tmp_path / "bad.csv").write_bytes(bytes(range(256)))
    classroom.data.read(tmp_path / "bad.csv")
    assert "bad.csv is not a table" in classroom.progress.message.text()
    classroom.lesson.set_rows(((0, 0, 0),))
    assert "not of class 1" in classroom.progress.message.text()


def test_another_exercise_waits_for_play(qtbot, classroom):
    classroom.lesson.set(epochs=100_000)
    classroom.play.play_button.click()
    qtbot.waitUntil(lambda: classroom.lesson.session.updates > 0)
    classroom.lesson.set(learning_rate=0.02)
    assert classroom.player.playing
    classroom.lesson.choose("xor")
    assert not classroom.player.playing
    qtbot.wait(60)
    assert classroom.lesson.session.updates == 0


def test_the_users_units_are_kept(qtbot, viewer):
    """Layers in µm and in pixels together would make napari warn."""
    viewer.add_image(np.zeros((3, 8, 8)), scale=(2, 0.5, 0.5), units=("um", "um", "um"))
    panel = ClassroomPanel(viewer)
    qtbot.addWidget(panel)
    panel.canvas.enter()
    assert {str(unit) for layer in viewer.layers for unit in layer.units} == {"micrometer"}
    panel.end()


def test_points_of_a_locked_exercise_stay(qtbot, classroom):
    classroom.lesson.choose("deep")
    layer = classroom.canvas.points
    assert not layer.editable
    before = layer.data.copy()
    layer.data = before + 1
    qtbot.waitUntil(lambda: np.array_equal(layer.data, before))
    assert classroom.lesson.session.setup.points.kind == "circle"


def test_odd_edits_do_no_harm(qtbot, classroom):
    layer, lesson = classroom.canvas.points, classroom.lesson
    before = layer.data.copy()
    layer.data = np.zeros((10_050, 2))
    qtbot.wait(80)
    assert not lesson.problem
    np.testing.assert_array_equal(layer.data, before)
    for bad in (np.nan, 1e200):
        assert not lesson.set_rows(((0, 0, 0), (bad, 1, 1)))
        np.testing.assert_array_equal(layer.data, before)
    layer.features = {}
    layer.data = before[:5]
    qtbot.wait(80)
    assert "class" in layer.features
    classroom.canvas.surface.data = np.zeros((3, 4, 3), np.uint8)
    classroom.canvas.surface.scale = (9, 9)
    lesson.step()
    lesson.set(learning_rate=0.02)
    assert classroom.canvas.surface.data.shape == (80, 80, 3)
    assert classroom.canvas.surface.scale[0] < 1


def test_layers_that_are_removed_while_it_plays_come_back(qtbot, viewer, classroom):
    classroom.play.slider.setValue(6)
    classroom.lesson.set(epochs=100_000)
    classroom.play.play_button.click()
    for remove in (lambda: viewer.layers.remove(classroom.canvas.surface), viewer.layers.clear):
        before = classroom.lesson.session.updates
        qtbot.waitUntil(lambda before=before: classroom.lesson.session.updates > before)
        remove()
    before = classroom.lesson.session.updates
    qtbot.waitUntil(lambda: classroom.lesson.session.updates > before)
    assert classroom.player.playing
    qtbot.waitUntil(lambda: "was removed" in classroom.progress.message.text())
    classroom.play.play_button.click()
    assert classroom.canvas.there
    assert [x.name for x in viewer.layers] == ["Decision surface", "Points"]
    assert "was removed" not in classroom.progress.message.text()


def test_a_viewer_that_is_closed_while_it_plays(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=False)
    made = ClassroomPanel(viewer)
    viewer.window.add_dock_widget(made, name="Classroom")
    qtbot.waitUntil(lambda: made.canvas.there)  # noqa: F821
    made.lesson.set(epochs=100_000)
    made.play.play_button.click()
    qtbot.waitUntil(lambda: made.lesson.session.updates > 0)  # noqa: F821
    viewer.close()
    qtbot.waitUntil(lambda: not made.player.playing)  # noqa: F821
    updates = made.lesson.session.updates
    qtbot.wait(50)
    assert made.lesson.session.updates == updates
    del made
    gc.collect()


def test_a_neuron_on_the_canvas(classroom):
    lesson, canvas = classroom.lesson, classroom.canvas
    lesson.set(hidden=(4,))
    classroom.net.view._pick_unit((0, 2))
    assert canvas.surface.name == "Output of h3"
    y, x = canvas.surface.data_to_world((10, 60))
    lesson.session.predict([[x, y]])
    activation = lesson.session.net.layers[0].outputs[0, 2]  # ReLU, of the line's start
    assert (activation <= 0) == (tuple(canvas.surface.data[10, 60]) == (255, 255, 255))
    lesson.set(hidden=(2,))  # it is gone
    assert canvas.neuron is None
    assert canvas.surface.name == "Decision surface"


def test_a_curve_is_a_line_where_the_net_says_it(classroom):
    lesson, layer = classroom.lesson, classroom.canvas.surface
    lesson.choose("curve")
    lesson.solve()
    lesson.learn(float("inf"), 60, 200)
    lesson.learned()
    data, points = lesson.session.data, classroom.canvas.points
    np.testing.assert_array_equal(points.data[0], (data.value[0], data.xy[0, 0]))
    for x in (-0.8, 0.0, 0.5):
        said = lesson.session.predict([[x, 0]])[0, 0]
        row, column = np.round(layer.world_to_data((said, x))).astype(int)
        far = (row + 20) % 80
        assert layer.data[row, column, 2] < 120  # orange
        assert tuple(layer.data[far, column]) == (255, 255, 255)


def test_small_pictures_of_neurons(classroom):
    lesson = classroom.lesson
    lesson.choose("clusters")
    lesson.solve()
    lesson.learn(float("inf"), 60, 30)
    grid = Grid.of(lesson.session.data, ("x", "y"), 24)
    inputs, outputs = neuron_pictures(lesson.session, grid)
    assert inputs.shape == (2, 24, 24, 3)
    assert outputs.shape == (4, 24, 24, 3)
    # y is the largest in the first row: orange; x in the last column
    np.testing.assert_allclose([inputs[1, 0, 5], inputs[0, 5, -1]], [(230, 159, 0)] * 2, atol=40)
    np.testing.assert_allclose([inputs[1, -1, 5], inputs[0, 5, 0]], [(0, 114, 178)] * 2, atol=40)
    # class 0 lies at the upper right
    assert CLASSES[0] == "#0072B2"
    np.testing.assert_allclose(outputs[0, 3, -4], (0, 114, 178), atol=20)
    np.testing.assert_allclose(outputs[0, -4, 3], 255, atol=20)


@pytest.mark.parametrize(("size", "shift"), [(1e-7, 0.0), (1e6, 0.0), (1.0, 1e7), (1e-3, -5.0)])
def test_planes_of_all_sizes(qtbot, filled, panel, size, shift):
    made = panel(ClassroomPanel)
    qtbot.waitUntil(lambda: made.canvas.there)
    xy = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * size + shift
    made.lesson.set_rows(tuple((x, y, float(k % 2)) for k, (x, y) in enumerate(xy)))
    layer, surface_ = made.canvas.points, made.canvas.surface
    np.testing.assert_allclose(layer.data, xy[:, ::-1])
    place = np.array([surface_.world_to_data(layer.data_to_world(p)) for p in layer.data])
    np.testing.assert_allclose(place[3] - place[0], 80 / 1.05, rtol=1e-6)  # the corners of the plane but its margin
    np.testing.assert_allclose(place[[0, 3]].mean(0), 39.5, atol=1e-3)
    made.lesson.choose("xor")
    np.testing.assert_array_equal(layer.data_to_world((1, 1)), (1, 1))
