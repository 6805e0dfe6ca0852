"""NAS-Bench-201's 12-epoch validation figures from a table in Parquet, opened once a process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drnas_ray.bench.base import Answer, Benchmark
from drnas_ray.errors import UserError

PREFIX = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16"}
"""Data set to the start of its columns: `{prefix}_valid_acc_12`, `{prefix}_train_time_s_12`."""


class TableBenchmark(Benchmark):
    """Looks cells up. Only the two columns it needs are ever read from the file.

    timed: answers carry the training time, for a budget in simulated seconds. Raises UserError
    for a missing or damaged file, another data set, or a column with gaps.
    """

    cheap: ClassVar[bool] = True

    def __init__(self, path: Path, dataset: str, *, timed: bool = False) -> None:
        if dataset not in PREFIX:
            raise UserError(
                f"benchmark.table has no figures for data set '{dataset}': it has "
                f"{', '.join(PREFIX)}"
            )
        prefix = PREFIX[dataset]
        self.rows, self.accuracies = _column(path, f"{prefix}_valid_acc_12")
        self.costs = _column(path, f"{prefix}_train_time_s_12")[1] if timed else None

    def query(self, genotype: str) -> Answer:
        """One row of the table."""
        row = self.rows.get(genotype)
        if row is None:
            raise UserError(f"the benchmark table has no cell '{genotype}'")
        cost = None if self.costs is None else float(self.costs[row])
        return Answer(float(self.accuracies[row]), cost)


@lru_cache(maxsize=16)
def _column(path: Path, name: str) -> tuple[dict[str, int], NDArray[np.float64]]:
    """Row of each cell, and the column, without gaps."""
    if not path.is_file():
        raise UserError(f"no benchmark table {path}: give a NAS-Bench-201 Parquet file")
    try:
        with pq.ParquetFile(path) as file:
            for needed in ("arch", name):
                if needed not in file.schema_arrow.names:
                    raise UserError(f"benchmark table {path} lacks the column '{needed}'")
            table = file.read(columns=["arch", name])
        values = table[name].cast(pa.float64()).to_numpy()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"benchmark table {path} can't be read ({reason})") from error
    gaps = int(np.isnan(values).sum())
    if gaps:
        raise UserError(
            f"benchmark table {path} knows '{name}' of {len(values) - gaps} of {len(values)} cells "
            "only" + (": set queries instead of budget_s" if "time" in name else "")
        )
    return {arch: row for row, arch in enumerate(table["arch"].to_pylist())}, values
