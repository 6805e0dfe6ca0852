"""What a search sees of a benchmark table: one data set's validation figures, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from drnas_ray.benchmarks.base import Answer, Benchmark
from drnas_ray.benchmarks.columns import CELLS, PREFIXES, column_of, validation_network
from drnas_ray.benchmarks.table import CellTable
from drnas_ray.core.errors import UserError
from drnas_ray.spaces.nb201 import NB201


class TabularBenchmark(Benchmark):
    """Looks cells up. Reads only the columns it needs; the table itself isn't kept.

    epochs: of the benchmark's schedule, 12 or 200. timed: answers include the figure's cost, for a
    budget in simulated seconds: the whole training of the evaluated network and one pass over the
    validation images, as in NAS-Bench-201's own runs (AutoDL-Projects). Raises UserError for a
    missing or damaged file, another data set, or a column with gaps.
    """

    cheap: ClassVar[bool] = True

    def __init__(self, path: Path, dataset: str, *, epochs: int = 12, timed: bool = False) -> None:
        if dataset not in PREFIXES:
            raise UserError(
                f"benchmark.table has no figures for data set '{dataset}': it has "
                f"{', '.join(PREFIXES)}"
            )
        path = Path(path)
        modified = path.stat().st_mtime_ns if path.is_file() else 0
        self.rows, self.accuracies = _column(path, column_of(dataset, "valid", epochs), modified)
        self.costs = None
        if timed:
            training = _column(
                path, f"{validation_network(dataset)}_train_time_s_{epochs}", modified
            )[1]
            passes = _column(path, column_of(dataset, "valid", epochs, "time_s"), modified)[1]
            self.costs = training + passes / epochs  # the column sums a pass after each epoch

    def query(self, genotype: str) -> Answer:
        """One row of the table."""
        row = self.rows.get(genotype)
        if row is None:
            raise UserError(f"the benchmark table has no cell '{genotype}'")
        cost = None if self.costs is None else float(self.costs[row])
        return Answer(float(self.accuracies[row]), cost)


# modified (ns): of the file, so that a new file of the same name is read again.
@lru_cache(maxsize=16)
def _column(path: Path, name: str, modified: int) -> tuple[Mapping[str, int], NDArray[np.float64]]:
    """Row of each cell in the file, and (15625,) the column, without gaps for those cells."""
    table = CellTable.open(path)
    rows = np.flatnonzero(table.has(np.arange(CELLS)))
    hint = ": set queries instead of budget_s" if "_time_s_" in name else ""
    if name not in table.names:
        raise UserError(f"benchmark table {path} lacks the column '{name}'{hint}")
    values = table.column(name)
    gaps = int(np.isnan(values[rows]).sum())
    if gaps:
        raise UserError(
            f"benchmark table {path} has '{name}' for {len(rows) - gaps} of {len(rows)} cells only"
            f"{hint}"
        )
    space = NB201()
    return {space.cell(row): row for row in rows.tolist()}, values
