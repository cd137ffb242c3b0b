"""Read a pickle that holds nothing but plain values and numpy arrays; nothing in it is run, anything else is refused."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import DojoError

__all__ = ["load_plain"]

NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
KINDS = "biufcOSU"
PLAIN = (("collections", "OrderedDict"), ("builtins", "set"), ("__builtin__", "set"))  # the last one of protocol 2


def load_plain(file: BinaryIO, name: str) -> Any:
    """The next pickle of an open file: dictionaries, lists, tuples, sets, numbers, text and numpy arrays.

    No function or class that the pickle names is ever called: arrays are built here from their shape, type and bytes.

    Parameters
    ----------
    name : of the file, for the message.

    Raises
    ------
    DojoError : the pickle asks for anything else, as a harmful one does.
    """
    try:
        return _plain(_Reader(file, name).load())
    except DojoError:
        raise
    except Exception as error:  # a pickle is a program: a broken or hostile one fails in any way
        raise DojoError(
            f"{name} holds Python objects that cannot be read ({type(error).__name__}). Save the labels as TIFF."
        ) from error


class _Reader(pickle.Unpickler):
    """Gives our own builders for the few names that arrays need, a new one each time."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file)
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        builders: dict[str, Callable[..., Any]] = {
            "_reconstruct": _Array,
            "_frombuffer": _from_buffer,
            "scalar": _scalar,
            "dtype": _Type,
        }
        if module in NUMPY and name == "ndarray":
            return "ndarray"  # only handed to _reconstruct
        if module in NUMPY and name in builders:
            return partial(builders[name])
        if module.partition(".")[0] == "pathlib" and name.endswith("Path"):
            return partial(_path)
        if (module, name) in PLAIN:
            return partial(set if name == "set" else dict)
        if (module, name) == ("_codecs", "encode"):
            return partial(_encode)
        raise DojoError(
            f"{self._name} asks to run {module}.{name}, which no segmentation needs. It may be harmful, and was not read."
        )

    def persistent_load(self, pid: Any) -> Any:
        raise DojoError(f"{self._name} refers to other data, which no segmentation needs. It was not read.")


class _Type:
    """A dtype as the pickle describes it: by a short text and the byte order alone."""

    __slots__ = ("code", "swapped")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.swapped = str(code), False

    def __setstate__(self, state: Any) -> None:
        self.swapped = state[1] in ("<", ">") and (state[1] == "<") != (sys.byteorder == "little")

    def dtype(self) -> np.dtype[Any]:
        found = np.dtype(self.code)
        found = found.newbyteorder("S") if self.swapped else found
        if found.kind not in KINDS or found.fields:
            raise ValueError(f"a type {self.code}")
        return found


class _Array:
    """An array that is not built before the pickle has been read."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        self.array: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        shape, dtype, fortran, content = state[-4:]
        self.array = _array(shape, dtype, "F" if fortran else "C", content)


def _array(shape: Any, dtype: Any, order: str, content: Any) -> NDArray[Any]:
    kind = dtype.dtype() if isinstance(dtype, _Type) else np.dtype(np.uint8)
    shape = tuple(int(n) for n in shape)
    if kind.kind == "O":
        array = np.empty(prod(shape), object)
        array[:] = [_plain(v) for v in content]
        return array.reshape(shape, order="F" if order == "F" else "C")
    return np.frombuffer(bytes(content), kind, prod(shape)).reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> NDArray[Any]:
    return _array(shape, dtype, str(order), content)


def _scalar(dtype: Any, content: Any = b"") -> Any:
    return _array((1,), dtype, "C", content if not isinstance(dtype, _Type) or dtype.code != "O" else [content])[0]


def _path(*parts: Any) -> str:
    return "/".join(str(p) for p in parts)


def _encode(text: str, coding: str = "latin1", *_: Any) -> bytes:
    if coding not in ("latin1", "latin-1"):
        raise ValueError(f"an encoding {coding}")
    return text.encode("latin1")


def _plain(value: Any) -> Any:
    """Our stand-ins replaced by what they stand for, in dictionaries, lists and tuples."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(v) for v in value)
    return value
