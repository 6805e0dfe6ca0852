"""Where a cache keeps its parts: a local or shared folder with locks, or a store without locks."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from drnas_ray.config.base import is_uri
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import locked, write_atomically
from drnas_ray.core.stores import Store

LISTING = 2**62
"""The byte that is locked while the folder is listed or parts are deleted; cells use lower ones."""
MERGING = LISTING + 1
"""The byte that is locked while merging: two at once would each keep a copy of the same rows."""
STALE_S = 3600.0
"""A temporary file of this age is left over from a killed process."""


class Parts(ABC):
    """Files named part-*.parquet that appear complete and never change."""

    @abstractmethod
    def names(self) -> set[str]:
        """The names of all parts."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The content of a part, None where it is gone. Raises UserError or OSError."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a new part; it is on the disk when this returns. Raises UserError."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a part, which may be gone already."""

    @contextmanager
    def locked(self, byte: int, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
        """Hold one byte of the lock, as `core.files.locked` does.

        True where there are no locks: at worst a cell is trained twice.
        """
        yield True

    def clear(self) -> None:  # noqa: B027  (for places without temporary files)
        """Delete temporary files of killed processes."""


def parts_at(place: Path | str) -> Parts:
    """The parts of a folder or a URI. Raises UserError where it can't be created or written."""
    return StoreParts(Store.open(str(place))) if is_uri(place) else FolderParts(Path(place))


class StoreParts(Parts):
    """On a store such as S3, which has no locks."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(self) -> set[str]:
        """The names of all parts."""
        return {name for name in self.store.names() if name.startswith("part-")}

    def read(self, name: str) -> bytes | None:
        """The content of a part, None where it is gone."""
        return self.store.read(name) if self.store.has(name) else None

    def write(self, name: str, content: bytes) -> None:
        """Write a new part."""
        self.store.write(name, content)

    def delete(self, name: str) -> None:
        """Delete a part, which may be gone already."""
        self.store.delete(name)


class FolderParts(Parts):
    """In a folder that processes share, with POSIX locks that end with the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with self._as_user_error():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".lock").touch()

    def names(self) -> set[str]:
        """The names of all parts."""
        # Not while parts are deleted: a listing may miss a new part and those merged into it.
        with self.locked(LISTING, shared=True), os.scandir(self.folder) as entries:
            return {e.name for e in entries if e.name.startswith("part-")}

    def read(self, name: str) -> bytes | None:
        """The content of a part, None where it is gone."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """A new part, complete and on the disk when this returns."""
        with self._as_user_error():
            write_atomically(self.folder / name, content, sync=True)

    def delete(self, name: str) -> None:
        """Delete a part, which may be gone already."""
        (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self, byte: int, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
        """As in `Parts`; a file system may have no locks either."""
        lock = locked(self.folder / ".lock", byte=byte, shared=shared, wait=wait)
        with ExitStack() as stack:
            try:
                ours = stack.enter_context(lock)
            except OSError:
                ours = True
            yield ours

    def clear(self) -> None:
        """Delete temporary files of killed processes."""
        for path in self.folder.glob(".part-*"):
            try:
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink()
            except FileNotFoundError:
                continue

    @contextmanager
    def _as_user_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"benchmark cache {self.folder} can't be written: {error.strerror}"
            ) from error
