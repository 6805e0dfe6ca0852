"""Files that are complete or absent: atomic writes, JSON lines that survive a kill, locks."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_aside(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to; it is renamed to `path` when the block ends.

    So `path` is absent, the old file or the complete new one, whenever the process dies. After an
    error nothing is left behind. sync: also on the disk before it gets its name, so that it
    survives a power cut. Raises OSError where it can't be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        if sync:
            with aside.open("rb") as file:
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes | str, *, sync: bool = False) -> None:
    """Write the whole file as `written_aside` does; text as UTF-8. Raises OSError."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with written_aside(path, sync=sync) as aside:
        aside.write_bytes(data)


def write_json(path: Path, content: Any) -> None:
    """Write it as indented JSON with sorted keys, atomically. Raises OSError."""
    write_atomically(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def append_json_line(path: Path, entry: Any, *, sync: bool = False) -> None:
    """Add one line of JSON; a kill may cut it short, which `json_lines` leaves out.

    sync: wait until it is on the disk. Raises OSError.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
        file.flush()
        if sync:
            os.fsync(file.fileno())


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of every complete line, none where there is no file.

    A last line without a line break was cut off by a kill and is left out. Raises ValueError, with
    the line's number, for a line that is not JSON, and OSError where the file can't be read.
    """
    if not path.is_file():
        return
    complete, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            yield number, json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} of {path} is damaged ({error})") from error


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the POSIX lock of a file, which is made if need be; yields whether it is held.

    Other processes wait for it, or with `wait=False` are told False at once. The lock goes with
    the process that holds it, however that ends.
    """
    with path.open("a+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
