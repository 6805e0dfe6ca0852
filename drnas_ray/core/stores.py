"""Results on a shared store: any URI that pyarrow reads, such as s3://bucket/path.

Ray Tune writes there by itself. Everything else that this program reads and writes (plans, exports,
tables) is small, so it works on a local copy: `pull` fetches the files that an analysis reads,
`push` uploads what is new. `results.layout` says which files those are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from drnas_ray.core.errors import UserError

Stamp = tuple[int, int]
"""Size in bytes and modification time in ns of a local file."""
NameFilter = Callable[[str], bool]
"""Selects files of a folder by their paths below it."""
PARALLEL_READS = 16


@dataclass(frozen=True)
class Store:
    """A folder on a store. `path` is its path on the store's file system."""

    uri: str
    files: fs.FileSystem
    path: str
    _copied: dict[Path, Stamp] = field(default_factory=dict, repr=False, compare=False)
    """Local files as `pull` left them."""

    @classmethod
    def open(cls, uri: str) -> Store:
        """The folder, which need not exist. Raises UserError for a URI that names no store."""
        try:
            files, path = fs.FileSystem.from_uri(uri)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(
                f"'{uri}' names no store that can be written: {_line(error)}"
            ) from error
        return cls(uri, files, path.rstrip("/"))

    def below(self, name: str) -> str:
        """The path on the store's file system of a file in it."""
        return f"{self.path}/{name}"

    def names(self) -> list[str]:
        """Every file in it, by its relative path. Raises UserError where it can't be listed."""
        with _as_user_error(self.uri):
            found = self.files.get_file_info(
                fs.FileSelector(self.path, recursive=True, allow_not_found=True)
            )
        start = len(self.path) + 1
        return sorted(entry.path[start:] for entry in found if entry.type == fs.FileType.File)

    def has(self, name: str) -> bool:
        """Whether the file exists. Raises UserError where that can't be determined."""
        with _as_user_error(self.uri):
            (info,) = self.files.get_file_info([self.below(name)])
        return bool(info.type == fs.FileType.File)

    def read(self, name: str) -> bytes:
        """Return a file's content. Raises UserError where it can't be read."""
        with _as_user_error(self.uri), self.files.open_input_stream(self.below(name)) as stream:
            content: bytes = stream.read()
            return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file, complete or absent. Raises UserError where it can't be written."""
        place = self.below(name)
        with _as_user_error(self.uri):
            if self.files.type_name in ("s3", "gcs", "abfs"):  # objects appear only when complete
                with self.files.open_output_stream(place) as stream:
                    stream.write(content)
                return
            self.files.create_dir(place.rpartition("/")[0], recursive=True)
            aside = f"{place}.part"
            with self.files.open_output_stream(aside) as stream:
                stream.write(content)
            self.files.move(aside, place)

    def delete(self, name: str) -> None:
        """Delete a file, which may be gone already."""
        with _as_user_error(self.uri), suppress(FileNotFoundError):
            self.files.delete_file(self.below(name))

    def pull(self, folder: Path, wanted: NameFilter) -> None:
        """Copy the wanted files into a local folder. Raises UserError where one can't be read."""
        names = [name for name in self.names() if wanted(name)]
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            for name, content in zip(names, pool.map(self.read, names), strict=True):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                self._copied[target] = _stamp(target)

    def push(self, folder: Path, leave: NameFilter) -> None:
        """Upload what is new or changed in a local folder, except hidden files and `leave`.

        What was only pulled is not written again: it may have changed on the store since.
        """
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if not path.is_file() or leave(name) or path.name.startswith("."):
                continue
            if self._copied.get(path) != (stamp := _stamp(path)):
                self.write(name, path.read_bytes())
                self._copied[path] = stamp


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@contextmanager
def _as_user_error(uri: str) -> Iterator[Any]:
    """File-system errors as a one-line UserError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"store {uri}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
