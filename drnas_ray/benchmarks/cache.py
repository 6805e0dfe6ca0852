"""Figures of trained cells, kept in a folder of Parquet parts that processes share.

A part appears complete and never changes. Small parts are merged: first the merged part appears,
then those it replaces are deleted, so a row may exist twice for a moment but is never missing. A
process that trains a cell holds a lock on it, which ends with the process, however that ends.
`pandas.read_parquet(FOLDER)` reads the whole cache.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from drnas_ray.benchmarks.parts import LISTING, MERGING, parts_at

SCHEMA_VERSION = 1
PARTS_KEPT = 64
"""A writer merges its own parts when it has this many, of one cell each."""
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
        "status": _TEXT,  # done or diverged; diverged: the figures are null
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
"""Column of `SCHEMA` -> value; a missing column is null."""
Key = tuple[str, str, int]
"""(recipe id, canonical cell, seed)."""
log = logging.getLogger(__name__)


class CellCache:
    """One process's view of a folder, or of a URI such as s3://bucket/cells.

    Raises UserError where it can't be created or written.
    """

    def __init__(self, place: Path | str) -> None:
        self.place, self.parts = place, parts_at(place)
        self._rows: dict[Key, Row] = {}
        self._seen: set[str] = set()
        self._own: list[str] = []
        self.refresh()

    def get(self, key: Key) -> Row | None:
        """The cell's row as of the last `refresh`, None if there is none."""
        return self._rows.get(key)

    def rows(self) -> list[Row]:
        """All rows as of the last `refresh`, sorted by recipe, cell and seed."""
        return [self._rows[key] for key in sorted(self._rows)]

    def figure(self, key: Key, train: Callable[[], Row], *, wait: bool = True) -> Row | None:
        """The row of a cell, which is trained only if no process has done so before.

        wait: whether to wait for another process that is training it; if not, None is returned.
        """
        if (row := self.get(key)) is not None:
            return row
        with self.parts.locked(_lock_byte(key), wait=wait) as ours:
            if not ours:
                return None
            self.refresh()  # another process may just have trained it
            if self.get(key) is None:
                recipe_id, arch, seed = key
                self.add({**train(), "recipe_id": recipe_id, "arch": arch, "seed": seed})
            return self.get(key)

    def refresh(self) -> None:
        """Read new parts. A damaged part is named in a warning, once, and ignored."""
        while True:
            gone = False
            for name in sorted(self.parts.names() - self._seen):
                rows = self._read(name)
                gone |= rows is None
                if rows is not None:
                    self._seen.add(name)
                    _merge_into(self._rows, rows)
            if not gone:  # else it was merged after the folder was listed: its rows are elsewhere
                return

    def add(self, row: Row) -> None:
        """Store a row for all processes: it is on the disk when this returns."""
        name = self._write([row])
        self._own.append(name)
        _merge_into(self._rows, [row])
        if len(self._own) >= PARTS_KEPT:
            self._merge(lambda: self._own)
            self._own = []

    def compact(self) -> None:
        """Merge all readable parts into one, and delete what killed processes left behind."""
        self._merge(self.parts.names)
        self._own = []
        self.parts.clear()

    def _read(self, name: str) -> list[Row] | None:
        """Rows of a part, [] for a damaged one; None where the part is gone."""
        try:
            content = self.parts.read(name)
            if content is None:
                return None
            with pq.ParquetFile(pa.BufferReader(content)) as file:
                table = file.read(use_threads=False).select(SCHEMA.names).cast(SCHEMA)
            if any(table[name].null_count for name in ("recipe_id", "arch", "seed")):
                raise ValueError("a row lacks its recipe, cell or seed")
            rows: list[Row] = table.to_pylist()
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            if name not in self._seen:
                why = (str(error) or type(error).__name__).splitlines()[0]
                part = f"{self.place}/{name}"
                log.warning("benchmark cache part %s can't be read (%s): ignored", part, why)
            return []
        return rows

    def _write(self, rows: list[Row]) -> str:
        name = f"part-{uuid.uuid4().hex}.parquet"
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink)
        self.parts.write(name, sink.getvalue().to_pybytes())
        self._seen.add(name)
        return name

    def _merge(self, which: Callable[[], Iterable[str]]) -> None:
        """One part in place of several; `which` is called when no other process is merging."""
        with self.parts.locked(MERGING):
            parts = {name: part for name in sorted(which()) if (part := self._read(name))}
            if len(parts) < 2:
                return
            rows: dict[Key, Row] = {}
            for part in parts.values():
                _merge_into(rows, part)
            self._write([rows[key] for key in sorted(rows)])
            _merge_into(self._rows, rows.values())  # other processes' rows may be new here
            with self.parts.locked(LISTING):
                for name in parts:
                    self.parts.delete(name)


def _lock_byte(key: Key) -> int:
    """The byte of the lock file that stands for a cell: a hash of its key."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") % LISTING


def _merge_into(found: dict[Key, Row], rows: Iterable[Row]) -> None:
    """One row per key. Of two, the one that finished first counts."""
    for row in rows:
        key = (row["recipe_id"], row["arch"], row["seed"])
        if key not in found or _age(row) < _age(found[key]):
            found[key] = row


def _age(row: Row) -> tuple[float, str]:
    return float(row.get("finished_unix_s") or 0.0), str(row.get("host"))
