"""A pickle machine that only reads data: it imports and calls nothing that a file names.

Written from the opcode list of Python's `pickletools`. It also saves memory: a dictionary can be
reduced as soon as it is complete and its content forgotten, so that a file that takes 28 GB as
Python objects is read in a few hundred MB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from drnas_ray.core.errors import UserError
from drnas_ray.importers.bytestream import ByteStream
from drnas_ray.importers.inert import STAND_INS, Array, Dtype, Holder, Skipped, plain_key
from drnas_ray.importers.opcodes import HANDLERS

Reduce = Callable[[dict[Any, Any], object], bool]
"""Called with a dictionary that has just received items, and what lies below it on the stack: the
key under which it will be stored, if any. May shrink the dictionary in place; True if it did."""

_SMALL = 16
_ALLOWED = frozenset(STAND_INS.values())
_FORGOTTEN = object()
_PAIRS = re.compile(rb"(?s)(?:j.{4}G.{8}){4,}+|(?:h.G.{8}){4,}+|(?:K.G.{8}){4,}+")
_LAYOUTS = {
    op: np.dtype([("op", "u1"), ("key", key), ("then", "u1"), ("value", ">f8")])
    for op, key in zip(b"jhK", ("<u4", "u1", "u1"), strict=True)
}


class Machine:
    """Reads one pickle after another from a stream. See `load`."""

    def __init__(self, stream: BinaryIO, reduce: Reduce | None = None) -> None:
        self.source, self.reduce = ByteStream(stream), reduce
        self.texts: dict[str, str] = {}
        self.numbered = 0
        """The most values that one pickle numbered: it may refer to them until its end."""

    def load(self) -> Any:
        """The next pickle's data. Raises UserError, without the file's name, if it isn't one."""
        self.stack: list[Any] = []
        self.frames: list[list[Any]] = []
        self.memo: list[Any] = []
        try:
            content = self._run()
            self.numbered = max(self.numbered, len(self.memo))
            return content
        except UserError:
            raise
        # Effects of damaged bytes: wrong types on the stack, missing marks, numbers too large.
        except (
            ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError,
            ValueError, struct.error,
        ) as error:  # fmt: skip
            raise UserError(f"is damaged ({type(error).__name__} while reading it)") from error

    def _run(self) -> Any:  # noqa: PLR0912  # one loop, for speed: half a billion steps
        take = self.source.take
        unpack_float = struct.Struct(">d").unpack
        unpack_u32 = struct.Struct("<I").unpack
        stack, memo, texts = self.stack, self.memo, self.texts
        while True:
            op = take(1)
            if op == b"G":
                stack.append(unpack_float(take(8))[0])
            elif op == b"h":
                stack.append(self._recall(take(1)[0]))
            elif op == b"j":
                stack.append(self._recall(unpack_u32(take(4))[0]))
            elif op == b"K":
                stack.append(take(1)[0])
            elif op in (b"X", b"\x8c"):
                size = unpack_u32(take(4))[0] if op == b"X" else take(1)[0]
                text = take(size).decode("utf-8", "surrogatepass")
                stack.append(texts.setdefault(text, text))
            elif op == b"\x94":
                memo.append(stack[-1])
            elif op == b"q":
                self._remember(take(1)[0], stack[-1])
            elif op == b"r":
                self._remember(unpack_u32(take(4))[0], stack[-1])
            elif op == b"(":
                self.frames.append(stack)
                stack = self.stack = []
                while self._epochs():
                    pass
            elif op == b".":
                if self.frames or len(stack) != 1:
                    raise UserError("is damaged (it ends with values left over)")
                return stack.pop()
            else:
                handler = HANDLERS.get(op)
                if handler is None:
                    raise UserError(f"is not a pickle, or is damaged (byte {op!r})")
                handler(self)
                stack = self.stack

    def _epochs(self) -> bool:
        """Take a run of (epoch or `set@epoch`, number) pairs at once: they fill most of a file.
        Same effect as opcode by opcode, only faster.
        """
        source = self.source
        match = _PAIRS.match(source.buffer, source.at)
        if match is None:
            return False
        source.at = match.end()
        layout = _LAYOUTS[match.group()[0]]
        rows = np.frombuffer(match.group(), layout)
        keys = rows["key"].tolist()
        if match.group()[:1] != b"K":
            keys = [self._recall(key) for key in keys]
        pairs: list[Any] = [None] * (2 * len(keys))
        pairs[::2], pairs[1::2] = keys, rows["value"].tolist()
        self.stack.extend(pairs)
        return True

    def _remember(self, number: int, value: Any) -> None:
        memo = self.memo
        if number == len(memo):
            memo.append(value)
        elif number < len(memo):
            memo[number] = value
        elif number - len(memo) < 1000:
            memo.extend([_FORGOTTEN] * (number - len(memo)))
            memo.append(value)
        else:
            raise UserError("is damaged (its values are numbered wrongly)")

    def _recall(self, number: int) -> Any:
        value = self.memo[number]
        if value is _FORGOTTEN:
            raise UserError("shares tables of epochs between runs, which no official file does")
        return value

    def popped(self) -> list[Any]:
        """Pop the values above the last mark, and the mark."""
        values = self.stack
        if not self.frames:
            raise UserError("is damaged (a mark is missing)")
        self.stack = self.frames.pop()
        return values

    def put(self, keys: list[Any], values: list[Any]) -> None:
        """Put items into the dictionary on top, which may then be reduced."""
        target = self.stack[-1]
        if type(target) not in (dict, Holder) or len(keys) != len(values):
            raise UserError("is damaged (items for a value that is not a dictionary)")
        for key in keys:
            plain_key(key)
        target.update(zip(keys, values, strict=True))
        if self.reduce is None:
            return
        below = self.stack[-2] if len(self.stack) > 1 else None
        if self.reduce(target, below):
            self._forget(target)

    def _forget(self, down_to: dict[Any, Any]) -> None:
        """Drop the values numbered after this dictionary, except strings.

        Small values stay as long as other trainings of the cell may share them: until the
        dictionary of the trainings is reduced as well.
        """
        memo, all_of_it = self.memo, "trial" not in down_to
        for number in range(len(memo) - 1, -1, -1):
            value = memo[number]
            if value is down_to:
                return
            big = isinstance(value, dict | list) and len(value) > _SMALL
            if big or (all_of_it and isinstance(value, dict | list | tuple | Skipped)):
                memo[number] = _FORGOTTEN

    def name(self, module: Any, name: Any) -> None:
        """Push the stand-in for module.name."""
        stand_in = STAND_INS.get((module, name)) if isinstance(module, str) else None
        if stand_in is None:
            raise UserError(
                f"asks for {str(module)[:60]}.{str(name)[:60]}, which no benchmark file does: "
                "refused, nothing was run"
            )
        self.stack.append(stand_in)

    def call(self) -> None:
        """Call a stand-in with its arguments; its result is plain data."""
        args = self.stack.pop()
        stand_in = self.stack.pop()
        if stand_in not in _ALLOWED or not isinstance(args, tuple):
            raise UserError("is damaged (a call of a value that is not a type)")
        self.stack.append(stand_in(*args))

    def build(self) -> None:
        """Set the state of the value on top."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Holder):
            target.update(state)
            below = self.stack[-2] if len(self.stack) > 1 else None
            if self.reduce is not None and self.reduce(target, below):
                self._forget(target)
        elif isinstance(target, Dtype | Array | Skipped):
            target.build(state)
            if isinstance(target, Array):
                self.stack[-1] = target.values.tolist()
        elif type(target) is not dict:  # extra attributes of an OrderedDict are of no use
            raise UserError("is damaged (a state for a value that has none)")

    def bytes_of(self, width: int) -> bytes:
        """Bytes preceded by their length, a number of `width` bytes."""
        return self.source.take(int.from_bytes(self.source.take(width), "little"))
