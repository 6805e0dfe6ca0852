"""Cells from official files to columns (one row per cell) and curves (one row per training)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drnas_ray.benchmarks.columns import CELLS, COST_COLUMNS, EPOCHS, METRICS, NETWORKS, SPLITS
from drnas_ray.importers.trials import CellRecord, Trial

_SETS = ("train", "x-valid", "x-test", "ori-test")
CURVES = pa.schema(
    [
        ("arch_index", pa.int32()),
        ("network", pa.string()),
        ("seed", pa.int32()),
        ("epochs", pa.int16()),
        *(
            (f"{name.replace('-', '_')}_{metric}", pa.list_(pa.float64()))
            for name in _SETS
            for metric in METRICS
        ),
    ]
)
"""Lists have one number per epoch, nan where that epoch wasn't evaluated; null: it never was."""


class Collector:
    """Fills columns; `take` is called once per cell. curves: the file of per-epoch rows, if any."""

    def __init__(self, curves: pq.ParquetWriter | None = None) -> None:
        self.numbers: dict[str, NDArray[np.float64]] = {}
        self.lists: dict[str, list[Any]] = {}
        self.writer = curves
        self.rows: list[dict[str, Any]] = []
        self.cells = 0

    def take(self, cell: CellRecord) -> None:
        """Put one cell's figures into its row."""
        self.cells += 1
        for epochs in EPOCHS:
            for network, prefix in NETWORKS.items():
                runs = cell.runs(epochs, network)
                if runs:
                    self._runs(cell.index, epochs, network, prefix, runs)

    def _runs(
        self, row: int, epochs: int, network: str, prefix: str, runs: list[tuple[int, Trial]]
    ) -> None:
        self._list(f"{prefix}_seeds_{epochs}", row, [seed for seed, _ in runs])
        for cost, values in _costs(runs).items():
            self._number(f"{prefix}_{cost}_{epochs}", row, values)
        for (of, theirs), split in SPLITS.items():
            if of != network:
                continue
            finals = np.array([trial.final(theirs) for _, trial in runs])
            for metric, figures in zip(METRICS, finals.T, strict=True):
                self._figure(f"{split}_{metric}_{epochs}", row, figures)
        if self.writer is not None:
            self.rows += [_curve_row(row, network, seed, trial) for seed, trial in runs]
            if len(self.rows) >= 2000:
                self.flush()

    def _figure(self, name: str, row: int, figures: NDArray[np.float64]) -> None:
        there = figures[~np.isnan(figures)]
        if not len(there):
            return
        self._number(name, row, there.mean())
        self._list(f"{name}_by_seed", row, figures.tolist())
        if "_acc_" in name:
            self._number(f"{name}_n", row, len(there))
            if len(there) > 1:
                self._number(f"{name}_std", row, there.std(ddof=1))

    def _number(self, name: str, row: int, value: float) -> None:
        if name not in self.numbers:
            self.numbers[name] = np.full(CELLS, np.nan)
        self.numbers[name][row] = value

    def _list(self, name: str, row: int, values: list[Any]) -> None:
        self.lists.setdefault(name, [None] * CELLS)[row] = values

    def flush(self) -> None:
        """Write the pending rows of curves."""
        if self.writer is not None and self.rows:
            self.writer.write_table(pa.Table.from_pylist(self.rows, CURVES))
            self.rows = []

    def columns(self) -> dict[str, pa.Array]:
        """All columns except those that name the cell, 15,625 rows in the benchmark's order."""
        self._merge_costs()
        made = {}
        for name in sorted({*self.numbers, *self.lists}):
            if name in self.lists:
                kind = pa.int32() if "_seeds_" in name else pa.float64()
                made[name] = pa.array(self.lists[name], pa.list_(kind))
            else:
                kind = pa.int32() if name.endswith("_n") else pa.float64()
                made[name] = pa.array(self.numbers[name], from_pandas=True).cast(kind)
        return made

    def _merge_costs(self) -> None:
        """`cifar10_params_mb` from both schedules' entries, the 200-epoch one first.

        Parameters and multiply-adds do not depend on how long the network was trained. Latency was
        measured for each schedule, so only that of the 200-epoch entry counts as the cell's.
        """
        for prefix in NETWORKS.values():
            for cost in COST_COLUMNS:
                short, whole = (self.numbers.get(f"{prefix}_{cost}_{e}") for e in EPOCHS)
                found = whole
                if cost != "latency_s":
                    found = short if whole is None else whole
                    if short is not None and whole is not None:
                        found = np.where(np.isnan(whole), short, whole)
                    for epochs in EPOCHS:
                        self.numbers.pop(f"{prefix}_{cost}_{epochs}", None)
                if found is not None:
                    self.numbers[f"{prefix}_{cost}"] = found


def _costs(runs: Iterable[tuple[int, Trial]]) -> dict[str, float]:
    """Means over seeds. Latencies of 0 or less are not measurements.

    In some official files parameters and multiply-adds differ between seeds; according to
    NATS-Bench 1.6 those of seed 888 are right. Without that seed they are unknown: nan.
    """
    by_seed = dict(runs)
    found = {}
    for cost in COST_COLUMNS:
        values = {seed: getattr(trial, cost) for seed, trial in by_seed.items()}
        if cost == "latency_s":
            values = {seed: value for seed, value in values.items() if value > 0}
        elif len({f"{value:.5f}" for value in values.values()}) > 1:
            values = {888: values.get(888, np.nan)}
        found[cost] = float(np.mean(list(values.values()))) if values else np.nan
    return found


def _curve_row(row: int, network: str, seed: int, trial: Trial) -> dict[str, Any]:
    made: dict[str, Any] = {
        "arch_index": row, "network": network, "seed": seed, "epochs": trial.epochs
    }  # fmt: skip
    for name in _SETS:
        curve = trial.curves.get(name)
        for place, metric in enumerate(METRICS):
            key = f"{name.replace('-', '_')}_{metric}"
            made[key] = None if curve is None else curve[:, place]
    return made
