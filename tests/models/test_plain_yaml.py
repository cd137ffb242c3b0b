"""YAML from strangers."""

from __future__ import annotations

import pytest

from napari_dojo.models.plain_yaml import MOST, plain_yaml


def test_plain_values_and_aliases_come_back() -> None:
    assert plain_yaml(b"a: &x [1, 2.5, yes]\nb: *x\n") == {"a": [1, 2.5, True], "b": [1, 2.5, True]}


@pytest.mark.parametrize(
    "raw",
    [
        b"!!python/object/apply:os.getcwd []",
        b"[" * 100_000,
        b"a: &a [*a]",
        b"a: *b",
        b"a: " + b"9" * 5000,
        b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"b%d: &b%d [%s]\n" % (i, i, b",".join([b"*b%d" % (i - 1) if i else b"*a"] * 10)) for i in range(9)),
        b"[" + b"1," * (MOST + 1) + b"]",
        b"\0\0",
        b"a: [1, 2",
    ],
)
def test_what_would_take_too_much_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"plain|nested|alias|digits"):
        plain_yaml(raw)
