"""What cells cost, limits on it, and the error if no cell is within them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.derive.candidates import Cells
from drnas_ray.benchmarks.columns import PREFIXES
from drnas_ray.benchmarks.costs import COSTS, NetSize
from drnas_ray.benchmarks.hardware import Hardware
from drnas_ray.core.errors import UserError, unknown_name

_COST_NAMES = {"params_m": "million parameters", "flops_m": "million multiply-adds"}
_LATENCY = "_latency_ms"


@dataclass(frozen=True)
class Limit:
    """An upper limit on a cost: `params_m`, `flops_m`, or `{device}_latency_ms`."""

    cost: str
    most: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.most) and self.most > 0):
            raise UserError(f"a limit of {self} is not positive: give one above 0")

    def __str__(self) -> str:
        return f"{self.most:g} {self.unit}"

    @property
    def unit(self) -> str:
        """The unit of the number, in words."""
        return _COST_NAMES.get(self.cost, f"ms on {self.cost.removesuffix(_LATENCY)}")

    def kept(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """(cells,): whether each row of a table of costs is within the limit; not if it is NaN."""
        return (table[self.cost] <= self.most).to_numpy()

    @classmethod
    def latency(cls, text: str) -> Limit:
        """The limit in ms that `edgegpu=4.5` stands for. Raises UserError for another form."""
        device, _, most = text.partition("=")
        try:
            return cls(device.strip() + _LATENCY, float(most))
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"latency limit '{text}': write DEVICE=MS, as edgegpu=4.5") from error


def costs(
    cells: Cells, space: str, size: NetSize, dataset: str, hardware: Hardware | None
) -> pd.DataFrame:
    """params_m and flops_m of each cell, and DEVICE_latency_ms of every device in the table.

    NaN if it was not measured. Raises UserError for a space without cost formulas, or a data set
    that is not in the hardware table.
    """
    if space not in COSTS:
        raise UserError(
            f"no formula for the costs of space '{space}': there are some for {', '.join(COSTS)}"
        )
    params, flops = COSTS[space](cells.choices, size)
    frame = pd.DataFrame({"params_m": params / 1e6, "flops_m": flops / 1e6})
    if hardware is None:
        return frame
    if dataset not in PREFIXES:
        raise UserError(
            f"{hardware.table.path} has no latencies for data set '{dataset}': name one of "
            f"{', '.join(PREFIXES)} with --dataset"
        )
    for device in hardware.devices:
        frame[device + _LATENCY] = hardware.cost(list(cells.genotypes), device, "latency", dataset)
    return frame


def check_limits(limits: Sequence[Limit], table: pd.DataFrame, hardware: Hardware | None) -> None:
    """Raise UserError for a limit on a cost that is not in the table."""
    for limit in limits:
        if limit.cost in table:
            continue
        if hardware is None:
            raise UserError(f"a limit in {limit.unit} needs latencies: give --hardware TABLE")
        device = limit.cost.removesuffix(_LATENCY)
        raise unknown_name("device", device, hardware.devices)


def impossible(
    run_id: str, cells: Cells, table: pd.DataFrame, limits: Sequence[Limit]
) -> UserError:
    """The error for limits that no cell is within, with the lowest costs that are possible."""
    whose = "sampled cell" if cells.sampled else "cell"
    keeps = {limit: limit.kept(table) for limit in limits}
    for limit, kept in keeps.items():
        if not kept.any():
            least = table[limit.cost].min()
            reach = "none was measured" if math.isnan(least) else f"the smallest is {least:.6g}"
            return UserError(f"run {run_id}: no {whose} has at most {limit}: {reach}")
    parts = []
    for limit in keeps:
        others = [kept for other, kept in keeps.items() if other != limit]
        held = np.logical_and.reduce(others)
        if held.any():
            parts.append(f"{table[limit.cost][held].min():.6g} {limit.unit}")
    wanted = " and ".join(map(str, keeps))
    reach = f": within the other limits, the smallest are {', '.join(parts)}" if parts else ""
    return UserError(f"run {run_id}: no {whose} has at most {wanted} together{reach}")
