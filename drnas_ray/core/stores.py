"""Results on a shared store: any URI that pyarrow reads, such as s3://bucket/path.

Ray Tune writes there by itself. What this program reads and writes besides (plans, exports, tables)
is small, so it works on a local copy: `pull` brings the files that an analysis reads, `push` takes
back what is new. Which those are is said in `results.layout`.
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
"""Size in bytes and time of change in ns of a local file."""
Names = Callable[[str], bool]
"""Some of the files of a folder, told by their paths below it."""
AT_ONCE = 16


@dataclass(frozen=True)
class Store:
    """A folder on a store. `path` is what its file system calls it."""

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
        """What its file system calls a file in it."""
        return f"{self.path}/{name}"

    def names(self) -> list[str]:
        """Every file in it, by its path from here. Raises UserError where it can't be listed."""
        with _plainly(self.uri):
            found = self.files.get_file_info(
                fs.FileSelector(self.path, recursive=True, allow_not_found=True)
            )
        start = len(self.path) + 1
        return sorted(entry.path[start:] for entry in found if entry.type == fs.FileType.File)

    def has(self, name: str) -> bool:
        """Whether the file is there. Raises UserError where that can't be seen."""
        with _plainly(self.uri):
            (info,) = self.files.get_file_info([self.below(name)])
        return bool(info.type == fs.FileType.File)

    def read(self, name: str) -> bytes:
        """A file's content. Raises UserError where it can't be read."""
        with _plainly(self.uri), self.files.open_input_stream(self.below(name)) as stream:
            content: bytes = stream.read()
            return content

    def write(self, name: str, content: bytes) -> None:
        """A file, complete or absent. Raises UserError where it can't be written."""
        place = self.below(name)
        with _plainly(self.uri):
            if self.files.type_name in ("s3", "gcs", "abfs"):  # appear when they are complete
                with self.files.open_output_stream(place) as stream:
                    stream.write(content)
                return
            self.files.create_dir(place.rpartition("/")[0], recursive=True)
            aside = f"{place}.part"
            with self.files.open_output_stream(aside) as stream:
                stream.write(content)
            self.files.move(aside, place)

    def delete(self, name: str) -> None:
        """A file that may be gone already."""
        with _plainly(self.uri), suppress(FileNotFoundError):
            self.files.delete_file(self.below(name))

    def pull(self, folder: Path, wanted: Names) -> None:
        """Copy the wanted files into a local folder. Raises UserError where one can't be read."""
        names = [name for name in self.names() if wanted(name)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for name, content in zip(names, pool.map(self.read, names), strict=True):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                self._copied[target] = _stamp(target)

    def push(self, folder: Path, leave: Names) -> None:
        """Take back what is new or changed in a local folder, but for hidden files and these.

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
def _plainly(uri: str) -> Iterator[Any]:
    """Errors of the file system as one line."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"store {uri}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
