"""A benchmark table in Parquet: figures of NAS-Bench-201's cells; columns are read on demand.

Reads what `drnas bench import` writes, and any Parquet file with a column of cells and the same
column names (docs/bench.md). Defaults: 200 epochs, mean over the benchmark's seeds, CIFAR-10
validation from `cifar10-valid` networks and test from those trained on all 50,000 images.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drnas_ray.benchmarks.columns import (
    CELLS,
    COST_COLUMNS,
    EPOCHS,
    NETWORKS,
    PREFIXES,
    column_of,
    network_of,
    prefix_of,
)
from drnas_ray.benchmarks.numbering import Cells, cell_numbers
from drnas_ray.core.errors import UserError, unknown_name
from drnas_ray.spaces.nb201 import NB201

Numbers = NDArray[np.float64]
STATS = {"mean": "", "std": "_std", "n": "_n"}
_SPACE = NB201()
_ACCURACY = re.compile(r"(?P<prefix>\w+?)_(valid|test)_acc_(?P<epochs>\d+)")


class CellTable:
    """Figures of cells; made by `open`. One cell gives a float, many give an array; nan: unknown.

    A search never gets one, only a `TabularBenchmark`, which has no test figures.
    """

    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self.path, self._file = path, file
        self.names = tuple(file.schema_arrow.names)
        self.facts = {
            key.decode(): value.decode()
            for key, value in (file.schema_arrow.metadata or {}).items()
            if not key.startswith((b"pandas", b"ARROW"))
        }
        self._columns: dict[str, Numbers] = {}

    @classmethod
    def open(cls, path: Path | str) -> CellTable:
        """Read the names of the file's columns, no figures yet.

        Raises UserError if it is missing, damaged, or has no column of cells.
        """
        path = Path(path)
        if path.is_dir():
            raise UserError(
                f"benchmark table {path} is a folder: `drnas bench import {path} TABLE` makes a "
                "table from an official folder or from trained cells"
            )
        if not path.is_file():
            raise UserError(
                f"benchmark table {path} does not exist: give a NAS-Bench-201 Parquet file"
            )
        try:
            table = cls(path, pq.ParquetFile(path, memory_map=True))
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
        if "arch" not in table.names:
            raise UserError(f"benchmark table {path} lacks the column 'arch'")
        return table

    @cached_property
    def label(self) -> str:
        """File name and the first 12 digits of its sha256: which table a number came from."""
        with self.path.open("rb") as file:
            return (
                f"{self.path.name} (sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:12]})"
            )

    @cached_property
    def fidelities(self) -> dict[str, tuple[int, ...]]:
        """Data sets -> epochs after which there are accuracies; official ones are always listed."""
        found = {name: set(EPOCHS) for name in PREFIXES}
        official = {*PREFIXES.values(), *NETWORKS.values()}
        for name in self.names:
            if match := _ACCURACY.fullmatch(name):
                prefix = match["prefix"]
                known = next((n for n, start in PREFIXES.items() if start == prefix), None)
                if known is not None or prefix not in official:
                    found.setdefault(known or prefix, set()).add(int(match["epochs"]))
        return {name: tuple(sorted(epochs)) for name, epochs in found.items()}

    def _named(self, dataset: str, split: str, epochs: int, metric: str = "acc") -> str:
        """A figure's column. Raises UserError for a data set or epochs without any column."""
        here = self.fidelities.get(dataset)
        if here is None:
            raise unknown_name("benchmark data set", dataset, self.fidelities)
        if epochs not in here:
            listed = ", ".join(map(str, here))
            raise UserError(f"no figures of {dataset} after {epochs} epochs: known: {listed}")
        return column_of(dataset, split, epochs, metric)

    @cached_property
    def _places(self) -> NDArray[np.intp] | None:
        """(rows,) the benchmark's number of each row; None where rows are in its order."""
        if "drnas_bench_schema" in self.facts and self._file.metadata.num_rows == CELLS:
            return None
        archs = self._read("arch").to_pylist()
        # The order is fixed: comparing is quicker than looking up each cell.
        if len(archs) == CELLS and all(
            arch == _SPACE.cell(index) for index, arch in enumerate(archs)
        ):
            return None
        places = np.array([_SPACE.index(str(arch)) for arch in archs], dtype=np.intp)
        if len(np.unique(places)) != len(places):
            raise UserError(f"benchmark table {self.path} has a cell more than once")
        return places

    @property
    def cells(self) -> int:
        """How many cells have a row."""
        return int(self.facts.get("cells", self._file.metadata.num_rows))

    def has(self, cells: Cells) -> bool | NDArray[np.bool_]:
        """Whether the file has a row of the cell."""
        rows = cell_numbers(cells)
        if self._places is None:
            return np.ones(rows.shape, bool) if rows.ndim else True
        found = np.isin(rows, self._places)
        return found if rows.ndim else bool(found)

    def column(self, name: str) -> Numbers:
        """(15625,) a column of numbers in the benchmark's order, nan where a number is missing.

        Raises UserError if there is no such column, or if it doesn't hold numbers.
        """
        if name not in self._columns:
            try:
                values = _numbers(self._read(name).cast(pa.float64()))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise UserError(f"column '{name}' of {self.path} does not hold numbers") from error
            if self._places is not None:
                whole = np.full(CELLS, np.nan)
                whole[self._places] = values
                values = whole
            values.flags.writeable = False
            self._columns[name] = values
        return self._columns[name]

    def _read(self, name: str) -> pa.ChunkedArray:
        if name not in self.names:
            raise UserError(f"benchmark table {self.path} lacks the column '{name}'")
        try:
            return self._file.read(columns=[name], use_threads=False)[name]
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from error

    def figures(self, cells: Cells, name: str) -> Any:
        """A column's numbers: a float for one cell, else an array; nan where a number is missing.

        Without such a column all are nan. Typed Any, as the type depends on the argument.
        """
        rows = cell_numbers(cells)
        if name not in self.names:
            return np.full(rows.shape, np.nan) if rows.ndim else math.nan
        values = self.column(name)[rows]
        return values if rows.ndim else float(values)

    def valid(
        self, cells: Cells, dataset: str = "cifar10", epochs: int = 200, stat: str = "mean"
    ) -> Any:
        """Validation accuracy in percent; CIFAR-10's from networks trained on the other half.

        stat: mean over seeds, std (n - 1), or n, the number of seeds. Raises UserError for others.
        """
        return self._accuracy(cells, dataset, "valid", epochs, stat)

    def test(
        self, cells: Cells, dataset: str = "cifar10", epochs: int = 200, stat: str = "mean"
    ) -> Any:
        """Test accuracy in percent; CIFAR-10's from networks trained on all 50,000 images."""
        return self._accuracy(cells, dataset, "test", epochs, stat)

    def _accuracy(self, cells: Cells, dataset: str, split: str, epochs: int, stat: str) -> Any:
        if stat not in STATS:
            raise unknown_name("statistic", stat, STATS)
        name = self._named(dataset, split, epochs) + STATS[stat]
        return self.figures(cells, name)

    def by_seed(
        self, cell: str | int, dataset: str = "cifar10", split: str = "valid", epochs: int = 200
    ) -> dict[int, float]:
        """Seed -> accuracy in percent of one cell; empty where the table has means only."""
        if split not in ("valid", "test"):
            raise unknown_name("split", split, ("valid", "test"))
        name = self._named(dataset, split, epochs)
        network = network_of(f"{prefix_of(dataset)}_{split}")
        seeds = self.listed(cell, f"{network}_seeds_{epochs}")
        return dict(zip(map(int, seeds), self.listed(cell, f"{name}_by_seed"), strict=False))

    def listed(self, cell: str | int, name: str) -> list[float]:
        """The numbers of one cell in a column of lists; empty where there are none."""
        row = int(cell_numbers(cell))
        if name not in self.names:
            return []
        if self._places is not None:
            found = np.flatnonzero(self._places == row)
            if not len(found):
                return []
            row = int(found[0])
        values: list[float] | None = self._read(name)[row].as_py()
        return values or []

    def cost(self, cells: Cells, dataset: str = "cifar10", what: str = "params_mb") -> Any:
        """`params_mb`, `flops_m` (both in millions) or `latency_s` of the network."""
        if what not in COST_COLUMNS:
            raise unknown_name("cost", what, COST_COLUMNS)
        if dataset not in self.fidelities:
            raise unknown_name("benchmark data set", dataset, self.fidelities)
        return self.figures(cells, f"{prefix_of(dataset)}_{what}")

    def train_s(self, cells: Cells, dataset: str = "cifar10", epochs: int = 200) -> Any:
        """Seconds of the whole training; CIFAR-10's on all 50,000 images."""
        return self.figures(cells, self._named(dataset, "train", epochs, "time_s"))


def _numbers(column: pa.ChunkedArray) -> Numbers:
    """A copy, with null as nan. By buffers, as pyarrow's own way imports pandas (0.3 s)."""
    parts = [np.zeros(0)]
    for chunk in column.chunks:
        known, data = chunk.buffers()
        values = np.frombuffer(data, np.float64, len(chunk), chunk.offset * 8)
        if chunk.null_count:
            bits = np.unpackbits(np.frombuffer(known, np.uint8), bitorder="little")
            there = bits[chunk.offset : chunk.offset + len(chunk)].astype(bool)
            values = np.where(there, values, math.nan)
        parts.append(values)
    return np.concatenate(parts)


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(f"benchmark table {path} can't be read ({reason})")
