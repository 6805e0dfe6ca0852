"""Any CSV or Parquet file with a column of cells (`arch`, `arch_index`, ...) to benchmark order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from drnas_ray.benchmarks.columns import CELLS
from drnas_ray.core.errors import UserError
from drnas_ray.spaces.nb201 import NB201

NAMES = ("arch", "arch_str", "architecture", "arch_index")
_SPACE = NB201()


def read_tidy(path: Path) -> pa.Table:
    """The file's table. Raises UserError, naming the file, if it can't be read."""
    try:
        if path.suffix == ".csv":
            return pyarrow.csv.read_csv(path)
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"benchmark file {path} can't be read ({reason})") from error


def indices(table: pa.Table, path: Path) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """(rows,) the benchmark's number of each row's cell.

    Raises UserError without a column of cells, for a value that is not a cell, or a repeated cell.
    """
    name = next((known for known in NAMES if known in table.column_names), None)
    if name is None:
        raise UserError(
            f"benchmark file {path} has no column {', '.join(NAMES[:-1])} or arch_index"
        )
    try:
        cells = table[name].to_pylist()
        if name == "arch_index":
            numbers = [_SPACE.index(_SPACE.cell(int(cell))) for cell in cells]
        else:
            numbers = [_SPACE.index(str(cell)) for cell in cells]
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"benchmark file {path}, column {name}: {error}") from error
    if len(set(numbers)) != len(numbers):
        twice = next(n for n in numbers if numbers.count(n) > 1)
        raise UserError(f"benchmark file {path} has cell {twice} more than once")
    if not numbers:
        raise UserError(f"benchmark file {path} has no rows")
    return np.array(numbers, dtype=np.intp)


def tidy_columns(path: Path) -> tuple[dict[str, pa.Array], int]:
    """All columns except those that name the cell, in the benchmark's order, and how many cells.

    Rows that the file lacks are null.
    """
    table = read_tidy(path)
    rows = indices(table, path)
    places = np.full(CELLS, -1)
    places[rows] = np.arange(len(rows))
    take = pa.array(places, mask=places < 0)
    return {
        name: table[name].combine_chunks().take(take)
        for name in table.column_names
        if name not in (*NAMES, "unique_group")
    }, len(rows)
