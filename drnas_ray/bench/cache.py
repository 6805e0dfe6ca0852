"""Figures of cells that were trained, kept in a folder of Parquet parts that processes share.

A part is written aside, renamed into place and never changed: a reader sees all of it or nothing.
Small parts are merged: first the merged one appears, then those in it go, so a row may be there
twice for a moment but is never missing. Who trains a cell holds a lock on it that ends with the
process, however that ends. `pandas.read_parquet(FOLDER)` reads the whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from drnas_ray.errors import UserError

SCHEMA_VERSION = 1
PARTS_KEPT = 64
"""A writer merges its own parts when there are so many of one cell each."""
STALE_S = 3600.0
"""What was written aside and left there so long ago is of a process that was killed."""
_LISTING = 2**62
"""The byte that is locked while the folder is listed or parts go; cells have those below."""
_MERGING = _LISTING + 1
"""The byte that is locked by who merges: two at once would each keep a copy of the same rows."""

_TEXT, _INT, _REAL = pa.string(), pa.int64(), pa.float64()
SCHEMA = pa.schema(
    {
        "recipe_id": _TEXT,
        "arch": _TEXT,  # the canonical cell, the benchmark's own string
        "seed": _INT,
        "space": _TEXT,
        "dataset": _TEXT,
        "epochs": _INT,
        "recipe": _TEXT,  # JSON, keys sorted
        "status": _TEXT,  # done, or diverged: the figures are null then
        "val_acc_pct": _REAL,
        "val_loss": _REAL,
        "train_acc_pct": _REAL,
        "train_loss": _REAL,
        "params_m": _REAL,  # millions
        "train_s": _REAL,  # training and validation
        "device": _TEXT,
        "threads": _INT,
        "host": _TEXT,
        "drnas_ray_version": _TEXT,
        "torch_version": _TEXT,
        "finished_unix_s": _REAL,
    },
    metadata={"drnas_ray.cache_schema_version": str(SCHEMA_VERSION)},
)
Row = dict[str, Any]
"""Column of `SCHEMA` to value; a missing column is null."""
Key = tuple[str, str, int]
"""(recipe id, canonical cell, seed)."""
log = logging.getLogger(__name__)


class CellCache:
    """One process's view of the folder. Raises UserError where it can't be made or written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: dict[Key, Row] = {}
        self._seen: set[str] = set()
        self._own: list[str] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_file(folder / ".lock")
        except OSError as error:
            raise UserError(
                f"benchmark cache {folder} can't be written: {error.strerror}"
            ) from error
        self.refresh()

    def get(self, key: Key) -> Row | None:
        """What is known of the cell as of the last `refresh`, None where it is nothing."""
        return self._rows.get(key)

    def rows(self) -> list[Row]:
        """All that is known as of the last `refresh`, by recipe, cell and seed."""
        return [self._rows[key] for key in sorted(self._rows)]

    def figure(self, key: Key, train: Callable[[], Row], *, wait: bool = True) -> Row | None:
        """The row of a cell, trained only if neither this process nor another one has done so.

        wait: for another process that is training it just now; else None is returned then.
        """
        if (row := self.get(key)) is not None:
            return row
        how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
        with self._locked(_place(key), how) as ours:
            if not ours:
                return None
            self.refresh()  # it may have been trained until a moment ago
            if self.get(key) is None:
                recipe_id, arch, seed = key
                self.add({**train(), "recipe_id": recipe_id, "arch": arch, "seed": seed})
            return self.get(key)

    def refresh(self) -> None:
        """Read the parts that are new. A damaged one is named in a warning, once, and left out."""
        while True:
            gone = False
            for name in sorted(self._names() - self._seen):
                rows = self._read(name)
                gone |= rows is None
                if rows is not None:
                    self._seen.add(name)
                    _merge_into(self._rows, rows)
            if not gone:  # else it was merged since the folder was listed: its rows are elsewhere
                return

    def add(self, row: Row) -> None:
        """Keep a row for all processes: when this returns it is on the disk."""
        name = self._write([row])
        self._own.append(name)
        _merge_into(self._rows, [row])
        if len(self._own) >= PARTS_KEPT:
            self._merge(lambda: self._own)
            self._own = []

    def compact(self) -> None:
        """Merge all parts that can be read into one, and clear away what killed processes left."""
        self._merge(self._names)
        self._own = []
        for path in self.folder.glob(".part-*"):
            try:
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink()
            except FileNotFoundError:
                continue

    def _names(self) -> set[str]:
        # Not while parts are deleted: a listing may miss a new part, and the ones merged into it.
        with self._locked(_LISTING, fcntl.LOCK_SH), os.scandir(self.folder) as entries:
            return {e.name for e in entries if e.name.startswith("part-")}

    def _read(self, name: str) -> list[Row] | None:
        """Rows of a part, none of a damaged one; None where the part is gone."""
        path = self.folder / name
        try:
            with pq.ParquetFile(path) as file:
                table = file.read(use_threads=False).select(SCHEMA.names).cast(SCHEMA)
            if any(table[name].null_count for name in ("recipe_id", "arch", "seed")):
                raise ValueError("a row says not which cell it is of")
            rows: list[Row] = table.to_pylist()
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            if name not in self._seen:
                why = (str(error) or type(error).__name__).splitlines()[0]
                log.warning("benchmark cache part %s can't be read (%s): left out", path, why)
            return []
        return rows

    def _write(self, rows: list[Row]) -> str:
        name = f"part-{uuid.uuid4().hex}.parquet"
        aside = self.folder / f".{name}"
        try:
            with aside.open("wb") as file:
                pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.folder / name)
        except OSError as error:
            raise UserError(
                f"benchmark cache {self.folder} can't be written: {error.strerror}"
            ) from error
        self._seen.add(name)
        return name

    def _merge(self, which: Callable[[], Iterable[str]]) -> None:
        """One part in place of several; `which` is asked when nobody else is merging."""
        with self._locked(_MERGING, fcntl.LOCK_EX):
            parts = {name: part for name in sorted(which()) if (part := self._read(name))}
            if len(parts) < 2:
                return
            rows: dict[Key, Row] = {}
            for part in parts.values():
                _merge_into(rows, part)
            self._write([rows[key] for key in sorted(rows)])
            _merge_into(self._rows, rows.values())  # others' rows may be new here
            with self._locked(_LISTING, fcntl.LOCK_EX):
                for name in parts:
                    (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self, place: int, how: int) -> Iterator[bool]:
        """Hold one byte of the lock file; False where another process does and LOCK_NB is given.

        Where the file system has no locks it yields True: at worst a cell is trained twice.
        """
        ours, held = True, False
        try:
            fcntl.lockf(self._lock, how, 1, place)
            held = True
        except OSError as error:
            ours = error.errno not in (errno.EAGAIN, errno.EACCES)
        try:
            yield ours
        finally:
            if held:
                fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, place)


def _place(key: Key) -> int:
    """The byte of the lock file that stands for a cell, drawn from the key."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") % _LISTING


def _merge_into(found: dict[Key, Row], rows: Iterable[Row]) -> None:
    """One row a key. Of two the one that was finished first counts, in whatever order they come."""
    for row in rows:
        key = (row["recipe_id"], row["arch"], row["seed"])
        if key not in found or _age(row) < _age(found[key]):
            found[key] = row


def _age(row: Row) -> tuple[float, str]:
    return float(row.get("finished_unix_s") or 0.0), str(row.get("host"))


_locks: dict[Path, int] = {}


def _lock_file(path: Path) -> int:
    """A descriptor that stays open: closing any one of a file ends all locks of the process."""
    path = path.resolve()
    known = _locks.get(path)
    if known is None or not path.exists() or os.fstat(known).st_ino != path.stat().st_ino:
        _locks[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    return _locks[path]
