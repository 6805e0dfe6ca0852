"""Files that are complete or absent: atomic writes, JSON lines that survive a kill, locks."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drnas_ray.core.errors import UserError


@contextmanager
def atomic_replacement(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to; it is renamed to `path` when the block ends.

    Whenever the process dies, `path` is absent, the old file, or the complete new one. An error
    leaves nothing behind; a kill leaves a hidden file that ends in `.part`. sync: flush to disk
    before the rename, so that it survives a power cut. Raises OSError where it can't be written.
    """
    # Processes on other machines may write to the same shared folder, with the same process id.
    aside = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:12]}.part")
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
    """Write the whole file as `atomic_replacement` does; text as UTF-8. Raises OSError."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with atomic_replacement(path, sync=sync) as aside:
        aside.write_bytes(data)


def write_json(path: Path, content: Any) -> None:
    """Write it as indented JSON with sorted keys, atomically. Raises OSError."""
    write_atomically(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def as_json_lines(entries: Iterable[Any]) -> str:
    """One line of JSON per entry."""
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def append_json_line(path: Path, entry: Any, *, sync: bool = False) -> None:
    """Add one line of JSON; a kill may cut it short, which `json_lines` leaves out.

    sync: wait until it is on the disk. Raises OSError.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(as_json_lines([entry]))
        file.flush()
        if sync:
            os.fsync(file.fileno())


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of every complete line, none where there is no file.

    A last line without a line break was cut off by a kill and is left out. Raises UserError, with
    the line's number, for a line that is not JSON, and OSError where the file can't be read.
    """
    if not path.is_file():
        return
    complete, _, _ = path.read_bytes().rpartition(b"\n")
    for number, line in enumerate(complete.split(b"\n") if complete else (), start=1):
        try:
            yield number, json.loads(line)
        except ValueError as error:
            raise UserError(f"line {number} of {path} is damaged ({error})") from error


def drop_cut_line(path: Path) -> None:
    """Remove a last line that a kill cut short, so that the next entry starts a new line."""
    if path.is_file() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        write_atomically(path, data[: data.rfind(b"\n") + 1])


@contextmanager
def locked(path: Path, *, byte: int = 0, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold a POSIX lock on one byte of a file, created if needed; yields whether it is held.

    Other processes, on other machines too, wait for it, or with `wait=False` get False at once.
    shared: only those that want it exclusively wait. The lock ends with the process that holds it,
    however that ends. Within one process it excludes nobody. Raises OSError where the file can't be
    created, or its file system has no locks.
    """
    descriptor = _lock_file(path)
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.lockf(descriptor, how | (0 if wait else fcntl.LOCK_NB), 1, byte)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: another process holds it
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)


_lock_files: dict[Path, int] = {}


def _lock_file(path: Path) -> int:
    """A descriptor that stays open: closing any one drops all the process's locks on the file."""
    path = path.resolve()
    known = _lock_files.get(path)
    if known is None or not path.exists() or os.fstat(known).st_ino != path.stat().st_ino:
        _lock_files[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    return _lock_files[path]
