"""NAS-Bench-201 figures (Dong & Yang, ICLR 2020, arXiv:2001.00326) from a table in Parquet.

Only the 200-epoch entries, each a mean over the benchmark's own training seeds. CIFAR-10
validation is `cifar10-valid` (trained on 25,000 images, evaluated on the other 25,000); CIFAR-10
test is of the network trained on all 50,000. Papers print this pair. A table of cells trained here
(`drnas bench build`, then `import`) has the data set and epochs of its recipe instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drnas_ray.benchmarks.columns import CELLS, PREFIXES, column_of
from drnas_ray.benchmarks.table import CellTable
from drnas_ray.core.errors import UserError, unknown_name
from drnas_ray.spaces.nb201 import NB201

SPLITS = ("valid", "test")
_SPACE = NB201()
_ALL = np.arange(CELLS)


@dataclass(frozen=True)
class BenchmarkTable:
    """Accuracies in percent of all 15,625 cells. Made by `open`."""

    label: str
    """File name and the first 12 digits of its sha256: which table a number came from."""
    rows: Mapping[str, int]
    """Official string of a cell -> its index in the columns."""
    columns: Mapping[tuple[str, str], NDArray[np.float64]]
    """(data set, split) -> (15625,) accuracies in percent, NaN if the table has none."""
    epochs: int = 200
    """Length of the trainings that the accuracies come from."""
    cells: int = CELLS
    """Cells with a row; fewer than all in a table of cells trained here."""
    table: CellTable | None = None
    """The file, for columns that are read on demand; None if accuracies were given directly."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that can be looked up."""
        return tuple(dict.fromkeys(dataset for dataset, _ in self.columns))

    @classmethod
    def open(cls, path: Path) -> BenchmarkTable:
        """Read a table. Raises UserError if it is missing, damaged, or not the whole benchmark."""
        table = CellTable.open(path)
        if "recipe_id" in table.facts:
            dataset, epochs = table.facts["dataset"], int(table.facts["epochs"])
            wanted = {(dataset, split): column_of(dataset, split, epochs) for split in SPLITS}
        else:
            epochs = 200
            wanted = {
                (data, split): column_of(data, split, epochs)
                for data in PREFIXES
                for split in SPLITS
            }
            for needed in wanted.values():
                if needed not in table.names:
                    raise UserError(f"{path} is not a NAS-Bench-201 table: it lacks '{needed}'")
            if table.cells != CELLS:
                raise UserError(
                    f"{path} has {table.cells} cells: a NAS-Bench-201 table has "
                    f"one row for each of the {CELLS:,} cells"
                )
        columns = {place: table.figures(_ALL, name) for place, name in wanted.items()}
        rows = {_SPACE.cell(index): index for index in range(CELLS)}
        return cls(table.label, rows, columns, epochs, table.cells, table)

    def cost(self, dataset: str, what: str) -> NDArray[np.float64]:
        """(15625,) `params_mb`, `flops_m` (both in millions) or `latency_s` of all cells.

        NaN if the table has none. Raises UserError for another name.
        """
        if self.table is None or dataset not in PREFIXES:
            return np.full(CELLS, np.nan)
        values: NDArray[np.float64] = self.table.cost(_ALL, dataset, what)
        return values

    def best(self, dataset: str, split: str) -> float:
        """The largest accuracy in percent of any cell, nan for a missing data set."""
        values = self.columns.get((dataset, split))
        if values is None or np.isnan(values).all():
            return math.nan
        return float(np.nanmax(values))

    def lookup(self, genotypes: Sequence[str], dataset: str, split: str) -> NDArray[np.float64]:
        """(len(genotypes),) accuracies in percent, NaN if there is none.

        Raises UserError for a data set or split that the table lacks, or an invalid genotype.
        """
        if dataset not in self.datasets:
            raise UserError(
                f"{self.label} has no figures for '{dataset}': it has {', '.join(self.datasets)}"
            )
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        for genotype in genotypes:
            if genotype not in self.rows:
                raise UserError(f"{self.label} has no cell '{genotype}': give official strings")
        places = [self.rows[genotype] for genotype in genotypes]
        return self.columns[dataset, split][np.array(places, dtype=np.intp)]
