"""Which pair a person looks at, and visibility that is put back exactly."""

from __future__ import annotations

from types import SimpleNamespace

from napari_dojo.widgets.common.alone import Alone, lies_on, pair_in_view


def layer(name, visible=True, kind="image"):
    return SimpleNamespace(name=name, visible=visible, _type_string=kind)


def test_the_pair_in_view():
    a, b, c = "abc"
    pairs = [(a, "a labels"), (b, "b labels")]
    stack = [(a, True), (b, True), (c, True)]
    assert pair_in_view(pairs, "a labels", stack) == 0
    assert pair_in_view(pairs, None, stack) == 1
    assert pair_in_view(pairs, c, [(a, True), (b, False), (c, True)]) == 0
    assert pair_in_view(pairs, None, [(a, False), (b, False)]) == 0
    assert pair_in_view([], a, stack) is None


def test_what_lies_on_its_own_image():
    a, b, labels = layer("a"), layer("b"), layer("l", kind="labels")
    assert lies_on((a,), [(b, True), (a, True), (labels, True)])
    assert not lies_on((a,), [(a, True), (b, True)])
    assert lies_on((a,), [(a, True), (b, False)])


def test_visibility_is_put_back_but_for_what_a_person_changed():
    layers = [layer("a"), layer("b"), layer("c", False), layer("d"), layer("e")]
    a, b, c, d, e = layers
    alone = Alone(layers)
    alone.show([c], beside=[d])
    assert [x.visible for x in layers] == [False, False, True, True, False]
    e.visible = True  # by a person
    alone.show([a])
    assert [x.visible for x in layers] == [True, False, False, False, False]
    layers.remove(b)
    alone.put_back()
    assert [x.visible for x in (a, b, c, d, e)] == [True, False, False, True, True]
    alone.put_back()
    assert c.visible is False
