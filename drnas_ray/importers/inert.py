"""Inert stand-ins for the names in an untrusted pickle; the named code is never used.

The benchmark's files contain dictionaries, lists, numbers and strings, NumPy scalars, the result
classes of two packages, and (in the `-full` folder) trained weights as PyTorch tensors. Each name
below maps to a function here that turns its arguments into plain data; weights are dropped unread.
Any other name is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from drnas_ray.core.errors import UserError


def plain_key(key: object) -> None:
    """Raises UserError for a key other than a string, a number, or a short tuple of them.

    Hashing tuples nested a million deep would overflow the interpreter's stack.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > 4 or not all(isinstance(part, str | int | float) for part in parts):
        raise UserError("has a key that is neither a string nor a number")


class Holder(dict[str, Any]):
    """The attributes of an instance of one of the packages' result classes."""


class Dtype:
    """A NumPy dtype whose byte order is set by `build`."""

    def __init__(self, code: object, *_: object) -> None:
        dtype = np.dtype(code) if isinstance(code, str) and len(code) < 8 else np.dtype(object)
        if dtype.kind not in "fiub":
            raise UserError(f"contains the NumPy type {code!r}: only numbers are read")
        self.dtype = dtype

    def build(self, state: Any) -> None:
        """State as NumPy pickles it: (version, byte order, ...)."""
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """A NumPy array whose content is set by `build`."""

    def __init__(self, *_: object) -> None:
        self.values: np.ndarray[Any, Any] = np.zeros(0)

    def build(self, state: Any) -> None:
        """State as NumPy pickles it: (version, shape, dtype, Fortran order, bytes)."""
        _, shape, dtype, fortran, data = state
        values = np.frombuffer(data, dtype.dtype)
        self.values = values.reshape(shape, order="F" if fortran else "C")


class Skipped:
    """A value that no figure depends on, such as a tensor."""

    def __init__(self, *_: object) -> None:
        pass

    def build(self, state: Any) -> None:
        """Ignore the state."""


def _scalar(dtype: Dtype, data: bytes) -> float | int:
    number: float | int = np.frombuffer(data, dtype.dtype, count=1)[0].item()
    return number


def _encode(text: str, coding: str = "latin1") -> bytes:
    if coding != "latin1":
        raise UserError(f"contains bytes encoded as {coding!r}: only latin1 is read")
    return text.encode("latin1")


def _dictionary(*args: Any) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for pair in args[0] if args else ():
        key, value = pair
        plain_key(key)
        made[key] = value
    return made


def _default_dictionary(*_: Any) -> dict[Any, Any]:
    return {}


def _holder(*_: Any) -> Holder:
    return Holder()


def _set(*args: Any) -> set[Any]:
    values = args[0] if args else []
    for value in values:
        plain_key(value)
    return set(values)


class _Class:
    """A class that the pickle uses as a value."""

    def __call__(self, *_: object) -> NoReturn:
        raise UserError("creates an object of a type that may only describe another")


_TYPE = _Class()
_RESULT_CLASSES = ("ArchResults", "ResultsCount")
_RESULT_MODULES = ("nas_201_api.api_utils", "nats_bench.api_utils", "nas_201_api.api", "api_utils")
_STORAGES = ("Float", "Double", "Half", "Long", "Int", "Short", "Char", "Byte", "Bool", "BFloat16")

STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _dictionary,
    ("collections", "defaultdict"): _default_dictionary,
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
    ("builtins", "list"): _TYPE,
    ("__builtin__", "list"): _TYPE,
    ("builtins", "object"): _TYPE,
    ("__builtin__", "object"): _TYPE,
    ("copyreg", "_reconstructor"): _holder,
    ("copy_reg", "_reconstructor"): _holder,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): _TYPE,
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Array for core in ("core", "_core")},
    **{(module, name): _holder for module in _RESULT_MODULES for name in _RESULT_CLASSES},
    **{("torch", f"{kind}Storage"): Skipped for kind in _STORAGES},
    ("torch._utils", "_rebuild_tensor"): Skipped,
    ("torch._utils", "_rebuild_tensor_v2"): Skipped,
    ("torch._utils", "_rebuild_parameter"): Skipped,
    ("torch.storage", "_load_from_bytes"): Skipped,
}
"""(module, name) in a pickle -> what is called instead."""
