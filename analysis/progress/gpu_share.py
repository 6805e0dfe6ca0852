"""How many trials of a sweep fit on one GPU at once, from what its epochs have measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.records.collect import Collected

PROCESS_MIB = 600.0
"""What CUDA itself takes in each process, beside its tensors; an assumption, on the safe side."""
USABLE = 0.9
"""Of a GPU: the rest is for memory that the allocator holds in pieces too small to use."""


@dataclass(frozen=True)
class GpuShare:
    """What trials took of one kind of GPU."""

    device: str
    peak_mib: float
    """The most that an epoch of any trial had in use."""
    total_mib: float
    fit: int
    """Trials that fit at once, 0 where not even one is sure to."""

    @property
    def share(self) -> float:
        """The `resources.gpu` that lets as many run at once and no more, for fit > 0."""
        return math.floor(1000 / self.fit) / 1000


def gpu_shares(collected: Collected) -> tuple[GpuShare, ...]:
    """One for each kind of GPU that epochs were measured on, by name."""
    known = collected.epochs.dropna(subset=["gpu_peak_mib", "gpu_total_mib"])
    found = []
    for device, epochs in known.groupby("device"):
        peak, total = float(epochs["gpu_peak_mib"].max()), float(epochs["gpu_total_mib"].min())
        fit = math.floor(USABLE * total / (peak + PROCESS_MIB))
        found.append(GpuShare(str(device), peak, total, fit))
    return tuple(found)
