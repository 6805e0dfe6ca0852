"""Schedulers that stop bad points early; a new driver replays to them what earlier ones saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from drnas_ray.results.journal import COMPARABLE, Journal
from drnas_ray.sweeps.tune.plan import Tuning

REDUCTION_FACTOR = 3
"""ASHA's (Li et al., MLSys 2020) unless another is given; its authors use 3 or 4."""
OTHERS_NEEDED = 3
"""The fewest points that a median is taken over."""


@dataclass(frozen=True)
class PastTrial:
    """As much of a trial as schedulers read, for a point that ended under an earlier driver."""

    trial_id: str


def scheduler(tuning: Tuning, journal: Journal) -> TrialScheduler:
    """Tune's scheduler for the tuning. It compares objectives at equal epochs."""
    made = _scheduler(tuning)
    for point in journal.points:
        if point.status not in COMPARABLE:
            continue
        past: Any = PastTrial(f"past-{point.number}")
        made.on_trial_add(None, past)  # type: ignore[arg-type]
        result: dict[str, Any] = {}
        for epoch in sorted(point.curve):
            value = point.curve[epoch]
            result = {"epoch": epoch, "objective": math.nan if value is None else value}
            made.on_trial_result(None, past, result)  # type: ignore[arg-type]
        made.on_trial_complete(None, past, result)  # type: ignore[arg-type]
    return made


def _scheduler(tuning: Tuning) -> TrialScheduler:
    spec, epochs = tuning.spec, tuning.epochs
    shared: Any = {"time_attr": "epoch", "metric": "objective", "mode": spec.mode}
    grace = spec.grace_epochs or 1
    if spec.scheduler == "asha":
        return AsyncHyperBandScheduler(
            **shared,
            max_t=epochs,
            grace_period=grace,
            reduction_factor=spec.reduction_factor or REDUCTION_FACTOR,
        )
    if spec.scheduler == "median":
        never: Any = math.inf  # never pause a point to wait for others
        return MedianStoppingRule(
            **shared,
            grace_period=grace,
            min_samples_required=OTHERS_NEEDED,
            min_time_slice=never,
        )
    return FIFOScheduler()
