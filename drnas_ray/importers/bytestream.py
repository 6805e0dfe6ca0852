"""A stream of bytes as a pickle reader needs it."""

from __future__ import annotations

from typing import BinaryIO

from drnas_ray.core.errors import UserError

CHUNK = 1 << 20
LONGEST = 1 << 28
"""Bytes: a longer single string or bytes value is taken for damage."""


class ByteStream:
    """A buffered stream that gives exactly as many bytes as are asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.buffer, self.at = stream, b"", 0

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes. Raises UserError at the end of the file."""
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
            # In pieces, so that a forged length allocates nothing before the file ends.
            more = self.stream.read(CHUNK)
            if not more:
                raise UserError("ends early: it is truncated")
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
