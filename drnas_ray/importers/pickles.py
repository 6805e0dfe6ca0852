"""A pickle machine that reads data only: it imports nothing and calls nothing that a file names.

Written from the opcode list of Python's `pickletools`. Beside safety it saves memory: a dictionary
may be boiled down as soon as it is complete, and what it held is then forgotten, so that a file
that takes 28 GB as Python objects is read in a few hundred MB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from drnas_ray.core.errors import UserError
from drnas_ray.importers.inert import STAND_INS, Array, Dtype, Holder, Skipped, plain_key
from drnas_ray.importers.opcodes import HANDLERS

Boil = Callable[[dict[Any, Any], object], bool]
"""Called with a dictionary that has just got items, and the key under which it will be put (or
whatever lies below it). May shrink the dictionary in place; True where it did."""

CHUNK = 1 << 20
LONGEST = 1 << 28
"""Bytes: the longest single text or bytes value that is believed."""
_SMALL = 16
_ALLOWED = frozenset(STAND_INS.values())
_FORGOTTEN = object()
_PAIRS = re.compile(rb"(?s)(?:j.{4}G.{8}){4,}+|(?:h.G.{8}){4,}+|(?:K.G.{8}){4,}+")
_LAYOUTS = {
    op: np.dtype([("op", "u1"), ("key", key), ("then", "u1"), ("value", ">f8")])
    for op, key in zip(b"jhK", ("<u4", "u1", "u1"), strict=True)
}


class _Source:
    """A stream with a buffer: `take(n)` returns exactly n bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.buffer, self.at = stream, b"", 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.buffer):
            self._fill(count)
            end = count
        piece = self.buffer[self.at : end]
        self.at = end
        return piece

    def _fill(self, count: int) -> None:
        if count > LONGEST:
            raise UserError(f"has a value of {count:,} bytes: damaged")
        parts, have = [self.buffer[self.at :]], len(self.buffer) - self.at
        while have < count:
            # In pieces, so that a made-up length does not allocate before the file's end shows.
            more = self.stream.read(CHUNK)
            if not more:
                raise UserError("ends in the middle: cut off")
            parts.append(more)
            have += len(more)
        self.buffer, self.at = b"".join(parts), 0

    def line(self) -> str:
        """A text line, without its end."""
        found = bytearray()
        while (byte := self.take(1)) != b"\n":
            found += byte
            if len(found) > 1000:
                raise UserError("has a name of over 1000 bytes: damaged")
        return found.decode("utf-8", "replace")


class Machine:
    """Reads one pickle after the other from a stream. See `load`."""

    def __init__(self, stream: BinaryIO, boil: Boil | None = None) -> None:
        self.source, self.boil = _Source(stream), boil
        self.texts: dict[str, str] = {}
        self.numbered = 0
        """The most values that one of its pickles numbered, to be named again until its end."""

    def load(self) -> Any:
        """The next pickle's data. Raises UserError, without the file's name, if it is none."""
        self.stack: list[Any] = []
        self.frames: list[list[Any]] = []
        self.memo: list[Any] = []
        try:
            content = self._run()
            self.numbered = max(self.numbered, len(self.memo))
            return content
        except UserError:
            raise
        # What damaged bytes lead to: wrong types on the stack, missing marks, numbers too large.
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
                    raise UserError(f"is no pickle, or a damaged one (byte {op!r})")
                handler(self)
                stack = self.stack

    def _epochs(self) -> bool:
        """Take a row of epoch (or `set@epoch`) and number pairs at once: most of a file is those.

        The same as one opcode after the other, only quicker.
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
            raise UserError("is damaged (it numbers its values wrongly)")

    def _recall(self, number: int) -> Any:
        value = self.memo[number]
        if value is _FORGOTTEN:
            raise UserError("shares tables of epochs between runs, which no official file does")
        return value

    def popped(self) -> list[Any]:
        """The values above the last mark, which goes too."""
        values = self.stack
        if not self.frames:
            raise UserError("is damaged (a mark is missing)")
        self.stack = self.frames.pop()
        return values

    def put(self, keys: list[Any], values: list[Any]) -> None:
        """Into the dictionary on top; then it may be boiled down."""
        target = self.stack[-1]
        if type(target) not in (dict, Holder) or len(keys) != len(values):
            raise UserError("is damaged (items for something that takes none)")
        for key in keys:
            plain_key(key)
        target.update(zip(keys, values, strict=True))
        if self.boil is None:
            return
        below = self.stack[-2] if len(self.stack) > 1 else None
        if self.boil(target, below):
            self._forget(target)

    def _forget(self, down_to: dict[Any, Any]) -> None:
        """Drop what was numbered since this dictionary was, texts aside.

        Small ones stay while their run's neighbours may share them: until the dictionary that holds
        the runs is boiled down as well.
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
        """Push what stands for module.name."""
        stand_in = STAND_INS.get((module, name)) if isinstance(module, str) else None
        if stand_in is None:
            raise UserError(
                f"asks for {str(module)[:60]}.{str(name)[:60]}, which no benchmark file does: "
                "refused, nothing was run"
            )
        self.stack.append(stand_in)

    def call(self) -> None:
        """A stand-in with its arguments. Its result is plain data."""
        args = self.stack.pop()
        stand_in = self.stack.pop()
        if stand_in not in _ALLOWED or not isinstance(args, tuple):
            raise UserError("is damaged (a call of something that is no type)")
        self.stack.append(stand_in(*args))

    def build(self) -> None:
        """The state of what lies on top."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Holder):
            target.update(state)
            below = self.stack[-2] if len(self.stack) > 1 else None
            if self.boil is not None and self.boil(target, below):
                self._forget(target)
        elif isinstance(target, Dtype | Array | Skipped):
            target.build(state)
            if isinstance(target, Array):
                self.stack[-1] = target.values.tolist()
        elif type(target) is not dict:  # an OrderedDict's extra attributes tell us nothing
            raise UserError("is damaged (a state for something that has none)")

    def bytes_of(self, width: int) -> bytes:
        """A value that its length stands before, as a number of `width` bytes."""
        return self.source.take(int.from_bytes(self.source.take(width), "little"))
