"""What `drnas bench info` and `query` print: coverage, optima, known cells beside published ones.

Published figures: the NAS-Bench-201 table of DrNAS (Chen et al., ICLR 2021, arXiv:2006.10355), with
rows ResNet, DARTS (all skips), DrNAS and optimal; the first two are NAS-Bench-201's own (Dong &
Yang, ICLR 2020, arXiv:2001.00326).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drnas_ray.benchmarks.columns import CELLS, COST_COLUMNS, EPOCHS, PREFIXES, column_of
from drnas_ray.benchmarks.hardware import Hardware
from drnas_ray.benchmarks.numbering import cell_numbers
from drnas_ray.benchmarks.published import published
from drnas_ray.benchmarks.table import CellTable
from drnas_ray.spaces.nb201 import NB201

SOURCE = "arXiv:2006.10355 and arXiv:2001.00326"
SPLITS = ("valid", "test")
SIX = tuple((data, split) for data in PREFIXES for split in SPLITS)
"""The order in which papers print the 200-epoch figures."""
KNOWN = {"ResNet": 11472, "all skip": 1835, "DrNAS": 9930}
"""Name -> index; all but the second are rows of `published.yaml`."""
ALL_SKIP = (39.77, 54.30, 15.03, 15.61, 16.43, 16.32)
"""The six published figures in percent of the cell without a row of its own in that table."""
_DETAILS = ("arch", "arch_index", "unique_group", "_std", "_n", "_by_seed")
CLOSE = 0.1
"""Percent. Versions of the official file differ by this much; in the ResNet row by up to 0.7."""


@dataclass(frozen=True)
class KnownCell:
    """A cell's six figures in percent, here and published; index None: each column's optimum."""

    name: str
    index: int | None
    here: tuple[float, ...]
    published: tuple[float, ...]

    @property
    def deviation(self) -> float:
        """The largest difference from a published figure in percent, nan if one is missing here."""
        return float(np.max(np.abs(np.subtract(self.here, self.published))))


def known_cells(table: CellTable) -> list[KnownCell]:
    """Known cells and the optimum of each column, as far as the table has them."""
    published_row = published("nb201").numbers
    found = [
        KnownCell(
            name,
            index,
            tuple(_figure(table, index, *of) for of in SIX),
            ALL_SKIP if name == "all skip" else published_row(name),
        )
        for name, index in KNOWN.items()
    ]
    optima = tuple(best(table, column_of(data, split, 200))[1] for data, split in SIX)
    return [*found, KnownCell("optimal", None, optima, published_row("optimal"))]


def _figure(table: CellTable, index: int, dataset: str, split: str) -> float:
    return float(table.figures(index, column_of(dataset, split, 200)))


def best(table: CellTable, name: str) -> tuple[int | None, float]:
    """Index and value of a column's largest number, (None, nan) if it has no number."""
    values = table.column(name) if name in table.names else np.full(CELLS, np.nan)
    if np.isnan(values).all():
        return None, math.nan
    index = int(np.nanargmax(values))
    return index, float(values[index])


def coverage(table: CellTable) -> Iterator[tuple[str, int, str, int | None, float]]:
    """For every accuracy and cost column: name, cells with a figure, trainings per cell, optimum.

    Trainings per cell are "14% 1, 35% 2, 51% 3", or empty where the table doesn't say. The optimum
    is index and value, for accuracies only.
    """
    names = [column_of(data, split, epochs) for epochs in EPOCHS for data, split in SIX]
    names += [f"{prefix}_{cost}" for prefix in PREFIXES.values() for cost in COST_COLUMNS]
    names += [column_of(data, "train", epochs, "time_s") for data in PREFIXES for epochs in EPOCHS]
    if "recipe_id" in table.facts:  # trained here: every column
        listed = (name for name in table.names if not name.endswith(_DETAILS))
        names = [name for name in listed if "_seeds_" not in name]
    for name in names:
        if name not in table.names:
            yield name, 0, "", None, math.nan
            continue
        known = int((~np.isnan(table.column(name))).sum())
        index, value = best(table, name) if "_acc_" in name else (None, math.nan)
        yield name, known, _trainings(table, f"{name}_n"), index, value


def _trainings(table: CellTable, name: str) -> str:
    if name not in table.names:
        return ""
    counts = table.column(name)
    values, many = np.unique(counts[~np.isnan(counts)], return_counts=True)
    shares = 100 * many / max(many.sum(), 1)
    return ", ".join(f"{s:.0f}% {int(n)}" for n, s in zip(values, shares, strict=True))


def query(table: CellTable, cell: str | int, hardware: Path | None = None) -> dict[str, Any]:
    """All figures of one cell; missing ones are left out.

    Keys are column names, accuracies are in percent. Raises UserError if `cell` is not a cell.
    """
    index = int(cell_numbers(cell))
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
