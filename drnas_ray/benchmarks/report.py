"""What `drnas bench info` and `query` say: coverage, optima, known cells beside print.

Published figures: DrNAS (Chen et al., ICLR 2021, arXiv:2006.10355), table on NAS-Bench-201, whose
rows ResNet, DARTS (all skips), DrNAS and optimal are the cells named here; the first three figures'
origin is NAS-Bench-201 (Dong & Yang, ICLR 2020, arXiv:2001.00326).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drnas_ray.benchmarks.columns import CELLS, COSTS, DATASETS, EPOCHS, column_of
from drnas_ray.benchmarks.hardware import Hardware
from drnas_ray.benchmarks.published import published
from drnas_ray.benchmarks.table import Table
from drnas_ray.spaces.nb201 import NB201

SOURCE = "arXiv:2006.10355 and arXiv:2001.00326"
SPLITS = ("valid", "test")
SIX = tuple((data, split) for data in DATASETS for split in SPLITS)
"""The order in which papers print the 200-epoch figures."""
KNOWN = {"ResNet": 11472, "all skip": 1835, "DrNAS": 9930}
"""Name to index; all but the second are rows of `published.yaml`."""
ALL_SKIP = (39.77, 54.30, 15.03, 15.61, 16.43, 16.32)
"""The six published figures in percent of the cell that the table has no row of its own for."""
_DETAILS = ("arch", "arch_index", "unique_group", "_std", "_n", "_by_seed")
CLOSE = 0.1
"""Percent. File versions differ by this much; the ResNet row by up to 0.7."""


@dataclass(frozen=True)
class Line:
    """A cell's six figures in percent beside print; index None: each column's own optimum."""

    name: str
    index: int | None
    here: tuple[float, ...]
    printed: tuple[float, ...]

    @property
    def off(self) -> float:
        """The largest difference from print in percent, nan if a figure is missing."""
        return float(np.max(np.abs(np.subtract(self.here, self.printed))))


def lines(table: Table) -> list[Line]:
    """Known cells and the optima, as far as the table has them."""
    print_of = published("nb201").numbers
    found = [
        Line(
            name,
            index,
            tuple(_figure(table, index, *of) for of in SIX),
            ALL_SKIP if name == "all skip" else print_of(name),
        )
        for name, index in KNOWN.items()
    ]
    optima = tuple(best(table, column_of(data, split, 200))[1] for data, split in SIX)
    return [*found, Line("optimal", None, optima, print_of("optimal"))]


def _figure(table: Table, index: int, dataset: str, split: str) -> float:
    return float(table.figures(index, column_of(dataset, split, 200)))


def best(table: Table, name: str) -> tuple[int | None, float]:
    """Index and value of a column's largest number, (None, nan) where it has none."""
    values = table.column(name) if name in table.names else np.full(CELLS, np.nan)
    if np.isnan(values).all():
        return None, math.nan
    index = int(np.nanargmax(values))
    return index, float(values[index])


def coverage(table: Table) -> Iterator[tuple[str, int, str, int | None, float]]:
    """For every accuracy and cost column: name, cells with a figure, trainings a cell, optimum.

    Trainings a cell are "14% 1, 35% 2, 51% 3", or empty where the table doesn't say. The optimum
    is index and value, for accuracies only.
    """
    names = [column_of(data, split, epochs) for epochs in EPOCHS for data, split in SIX]
    names += [f"{prefix}_{cost}" for prefix in DATASETS.values() for cost in COSTS]
    names += [column_of(data, "train", epochs, "time_s") for data in DATASETS for epochs in EPOCHS]
    if "recipe_id" in table.facts:  # trained here: all that it has
        listed = (name for name in table.names if not name.endswith(_DETAILS))
        names = [name for name in listed if "_seeds_" not in name]
    for name in names:
        if name not in table.names:
            yield name, 0, "", None, math.nan
            continue
        known = int((~np.isnan(table.column(name))).sum())
        index, value = best(table, name) if "_acc_" in name else (None, math.nan)
        yield name, known, _trainings(table, f"{name}_n"), index, value


def _trainings(table: Table, name: str) -> str:
    if name not in table.names:
        return ""
    counts = table.column(name)
    values, many = np.unique(counts[~np.isnan(counts)], return_counts=True)
    shares = 100 * many / max(many.sum(), 1)
    return ", ".join(f"{s:.0f}% {int(n)}" for n, s in zip(values, shares, strict=True))


def query(table: Table, cell: str | int, hardware: Path | None = None) -> dict[str, Any]:
    """All that a table says of one cell; what it doesn't know is left out.

    Keys are column names, accuracies in percent. Raises UserError for what is no cell.
    """
    index = int(table.rows(cell))
    found: dict[str, Any] = {"arch_index": index, "arch": NB201().cell(index)}
    sources = [table] if hardware is None else [table, Hardware(hardware).table]
    for source in sources:
        for name in source.names:
            if name in ("arch_index", "arch", "unique_group") or name in found:
                continue
            value: Any
            if name.endswith("_by_seed") or "_seeds_" in name:
                value = source.listed(index, name)
            else:
                value = source.figures(index, name)
                if math.isnan(value):
                    continue
                value = int(value) if name.endswith("_n") else value
            if value != []:
                found[name] = value
    return found
