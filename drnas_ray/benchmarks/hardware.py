"""Latency and energy columns of a second table, joined to a benchmark table by cell.

Columns are named as in HW-NAS-Bench (Li et al., ICLR 2021):
`{cifar10,cifar100,imagenet16}_{device}_{latency,energy}`, latency in ms, energy in mJ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from drnas_ray.benchmarks.columns import PREFIXES, prefix_of
from drnas_ray.benchmarks.numbering import Cells
from drnas_ray.benchmarks.table import CellTable
from drnas_ray.core.errors import UserError, unknown_name

KINDS = {"latency": "ms", "energy": "mJ"}
"""What was measured, and its unit."""


class Hardware:
    """Costs of cells on devices, for constraints. Cells are joined by their string.

    Raises UserError if the file can't be read or has no hardware column.
    """

    def __init__(self, path: Path | str) -> None:
        self.table = CellTable.open(path)
        self.columns = tuple(
            name
            for name in self.table.names
            if name.startswith(tuple(f"{prefix}_" for prefix in PREFIXES.values()))
            and name.endswith(tuple(f"_{kind}" for kind in KINDS))
        )
        if not self.columns:
            raise UserError(
                f"{path} has no hardware column such as cifar10_edgegpu_latency: give a table like "
                "HW-NAS-Bench's"
            )

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices, in the file's order."""
        return tuple(
            dict.fromkeys(name.split("_", 1)[1].rsplit("_", 1)[0] for name in self.columns)
        )

    def cost(
        self, cells: Cells, device: str, kind: str = "latency", dataset: str = "cifar10"
    ) -> Any:
        """Latency in ms or energy in mJ, nan where it was not measured.

        Raises UserError for a device, kind or data set that the file lacks.
        """
        name = f"{prefix_of(dataset)}_{device}_{kind}"
        if name not in self.columns:
            raise unknown_name("hardware column", name, self.columns)
        return self.table.figures(cells, name)

    def within(
        self,
        cells: Cells,
        device: str,
        limit: float,
        kind: str = "latency",
        dataset: str = "cifar10",
    ) -> Any:
        """Whether cells cost at most `limit` (ms or mJ); False where that was not measured."""
        found = np.asarray(self.cost(cells, device, kind, dataset)) <= limit
        return found if found.ndim else bool(found)
