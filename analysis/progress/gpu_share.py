"""How many trials of a sweep fit on one GPU at once, from the memory that its epochs used."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.records.collect import Collected

PROCESS_MIB = 600.0
"""Memory that CUDA itself takes per process, besides tensors: an assumption, on the safe side."""
USABLE = 0.9
"""Usable share of a GPU's memory; the rest allows for fragmentation in the allocator."""


@dataclass(frozen=True)
class GpuShare:
    """How many trials fit on one kind of GPU."""

    device: str
    peak_mib: float
    """The most that any trial had in use during an epoch."""
    total_mib: float
    fit: int
    """Trials that fit at once; 0 if not even one is certain to."""

    @property
    def share(self) -> float:
        """The `resources.gpu` at which exactly `fit` trials run at once; for fit > 0."""
        return math.floor(1000 / self.fit) / 1000


def gpu_shares(collected: Collected) -> tuple[GpuShare, ...]:
    """One per kind of GPU on which epochs were measured, ordered by name."""
    known = collected.epochs.dropna(subset=["gpu_peak_mib", "gpu_total_mib"])
    found = []
    for device, epochs in known.groupby("device"):
        peak, total = float(epochs["gpu_peak_mib"].max()), float(epochs["gpu_total_mib"].min())
        fit = math.floor(USABLE * total / (peak + PROCESS_MIB))
        found.append(GpuShare(str(device), peak, total, fit))
    return tuple(found)
