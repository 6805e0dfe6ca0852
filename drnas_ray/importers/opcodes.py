"""The rarer opcodes of a pickle (Python's `pickletools`), as functions of the machine's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from drnas_ray.core.errors import UserError
from drnas_ray.importers.inert import Skipped, plain_key


class Source(Protocol):
    """Where bytes come from."""

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes. Raises UserError at the end of the file."""

    def line(self) -> str:
        """A text line, without its end."""


class Reader(Protocol):
    """What an opcode may use of `pickles.Machine`, which documents the methods."""

    stack: list[Any]

    @property
    def source(self) -> Source: ...  # noqa: D102
    def popped(self) -> list[Any]: ...  # noqa: D102
    def put(self, keys: list[Any], values: list[Any]) -> None: ...  # noqa: D102
    def name(self, module: Any, name: Any) -> None: ...  # noqa: D102
    def call(self) -> None: ...  # noqa: D102
    def build(self) -> None: ...  # noqa: D102
    def bytes_of(self, width: int) -> bytes: ...  # noqa: D102


def _integer(width: int, signed: bool) -> Callable[[Reader], None]:
    def read(machine: Reader) -> None:
        machine.stack.append(int.from_bytes(machine.source.take(width), "little", signed=signed))

    return read


def _long(width: int) -> Callable[[Reader], None]:
    def read(machine: Reader) -> None:
        data = machine.bytes_of(width)
        if len(data) > 64:
            raise UserError(f"has a number of {len(data):,} bytes: damaged")
        machine.stack.append(int.from_bytes(data, "little", signed=True))

    return read


def _bytes(width: int) -> Callable[[Reader], None]:
    return lambda machine: machine.stack.append(machine.bytes_of(width))


def _text(width: int, coding: str) -> Callable[[Reader], None]:
    return lambda machine: machine.stack.append(machine.bytes_of(width).decode(coding))


def _push(make: Callable[[], Any]) -> Callable[[Reader], None]:
    return lambda machine: machine.stack.append(make())


def _tuple_of(count: int) -> Callable[[Reader], None]:
    def make(machine: Reader) -> None:
        values = machine.stack[-count:]
        if len(values) != count:
            raise UserError("is damaged (a tuple of missing values)")
        machine.stack[-count:] = [tuple(values)]

    return make


def _set_item(machine: Reader) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.put([key], [value])


def _set_items(machine: Reader) -> None:
    values = machine.popped()
    machine.put(values[::2], values[1::2])


def _append(machine: Reader) -> None:
    value = machine.stack.pop()
    _extend(machine, [value])


def _extend(machine: Reader, values: list[Any]) -> None:
    target = machine.stack[-1]
    if type(target) is list:
        target.extend(values)
    elif type(target) is set:
        for value in values:
            plain_key(value)
        target.update(values)
    else:
        raise UserError("is damaged (values for something that is not a list or set)")


def _marked(make: Callable[[list[Any]], Any]) -> Callable[[Reader], None]:
    def run(machine: Reader) -> None:
        values = machine.popped()
        machine.stack.append(make(values))

    return run


def _skip(count: int) -> Callable[[Reader], None]:
    """Skip bytes without data: the number of the protocol, the length of a frame."""

    def run(machine: Reader) -> None:
        machine.source.take(count)

    return run


def _pop_mark(machine: Reader) -> None:
    machine.popped()


def _pop(machine: Reader) -> None:
    machine.stack.pop()


def _global(machine: Reader) -> None:
    machine.name(machine.source.line(), machine.source.line())


def _stack_global(machine: Reader) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.name(module, name)


def _persistent(machine: Reader) -> None:
    machine.stack[-1] = Skipped()  # a tensor's storage


HANDLERS: Mapping[bytes, Callable[[Reader], None]] = {
    b"\x80": _skip(1),
    b"\x95": _skip(8),
    b"N": _push(lambda: None),
    b"\x88": _push(lambda: True),
    b"\x89": _push(lambda: False),
    b"}": _push(dict),
    b"]": _push(list),
    b")": _push(tuple),
    b"\x8f": _push(set),
    b"J": _integer(4, signed=True),
    b"M": _integer(2, signed=False),
    b"\x8a": _long(1),
    b"\x8b": _long(4),
    b"C": _bytes(1),
    b"B": _bytes(4),
    b"\x8e": _bytes(8),
    b"\x8d": _text(8, "utf-8"),
    b"U": _text(1, "latin1"),
    b"T": _text(4, "latin1"),
    b"\x85": _tuple_of(1),
    b"\x86": _tuple_of(2),
    b"\x87": _tuple_of(3),
    b"t": _marked(tuple),
    b"s": _set_item,
    b"u": _set_items,
    b"a": _append,
    b"e": lambda machine: _extend(machine, machine.popped()),
    b"\x90": lambda machine: _extend(machine, machine.popped()),
    b"0": _pop,
    b"1": _pop_mark,
    b"c": _global,
    b"\x93": _stack_global,
    b"R": lambda machine: machine.call(),
    b"\x81": lambda machine: machine.call(),
    b"b": lambda machine: machine.build(),
    b"Q": _persistent,
}
"""Opcode -> what it does; the most common ones are in `pickles.Machine` itself."""
