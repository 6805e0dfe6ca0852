"""Schedulers that stop bad points early, told again what a driver before this one had seen."""

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
"""Of ASHA (Li et al., MLSys 2020) unless another is given; its authors use 3 or 4."""
OTHERS_NEEDED = 3
"""Points that the median is taken over, at least."""


@dataclass(frozen=True)
class PastTrial:
    """As much of a trial as the schedulers look at, for a point that ended before."""

    trial_id: str


def scheduler(tuning: Tuning, journal: Journal) -> TrialScheduler:
    """Tune's scheduler of the tuning. It compares the objective at equal epochs."""
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
        never: Any = math.inf  # is a point paused for want of others
        return MedianStoppingRule(
            **shared,
            grace_period=grace,
            min_samples_required=OTHERS_NEEDED,
            min_time_slice=never,
        )
    return FIFOScheduler()
