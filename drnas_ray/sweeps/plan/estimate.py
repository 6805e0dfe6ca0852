"""What a sweep will take: counts from its plan, hours from measured times of an epoch.

No time is assumed: a run has hours only where one with the same settings was measured. Settings
that do not change what an epoch costs, such as the seed or learning rates, may differ
(`_COST_FREE`).
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from drnas_ray.config import Settings
from drnas_ray.sweeps.plan.retrains import example_training
from drnas_ray.sweeps.plan.runs import PlannedRun
from drnas_ray.sweeps.spec.sweep import Resources, SweepConfig

_COST_FREE = ("seed", "epochs", "weights", "arch", "genotype", "lr", "lr_min", "weight_decay")


class MeasuredRun(Protocol):
    """One run or training of a results folder."""

    @property
    def config(self) -> str:
        """Its settings as JSON."""

    @property
    def epoch_s(self) -> float:
        """Mean seconds of an epoch (of a step, for a run without epochs)."""

    @property
    def device(self) -> str:
        """The name of the device it was measured on."""

    @property
    def on_gpu(self) -> bool:
        """Whether that is a GPU."""


@dataclass(frozen=True)
class EpochTime:
    """Mean seconds of an epoch over the runs measured, and the devices they were measured on."""

    epoch_s: float
    devices: str
    on_gpu: bool


@dataclass(frozen=True)
class EstimateRow:
    """Runs that cost the same. seconds: of all of them; None: no such run was measured."""

    label: str
    dataset: str
    runs: int
    epochs: int
    seconds: float | None
    epoch_time: EpochTime | None


@dataclass(frozen=True)
class Estimate:
    """searches, trainings: in the order in which they run. Trainings are an upper bound, because
    equal cells under one seed are trained once."""

    searches: tuple[EstimateRow, ...]
    trainings: tuple[EstimateRow, ...]
    jobs: tuple[tuple[float | None, ...], tuple[float | None, ...]]
    """Seconds of each trial of both parts."""
    resources: Resources
    max_concurrent: int | None

    @property
    def rows(self) -> tuple[EstimateRow, ...]:
        """Both parts."""
        return self.searches + self.trainings

    @property
    def trials(self) -> int:
        """Trials of both parts."""
        return sum(row.runs for row in self.rows)

    @property
    def unmeasured(self) -> tuple[EstimateRow, ...]:
        """Rows without a measured time."""
        return tuple(row for row in self.rows if row.seconds is None)

    @property
    def gpu_hours(self) -> float | None:
        """GPU time, by each trial's share; None unless all rows were measured on a GPU."""
        if self.unmeasured or not all(
            row.epoch_time and row.epoch_time.on_gpu for row in self.rows
        ):
            return None
        return sum(row.seconds or 0 for row in self.rows) / 3600 * self.resources.gpu

    @property
    def trial_hours(self) -> float:
        """Hours of all measured rows, one trial after another."""
        return sum(row.seconds or 0 for row in self.rows) / 3600

    def wall_hours(self, slots: int) -> float | None:
        """Hours until all is done, with this many trials at once; None unless all was measured.

        As Tune does it: the next trial starts when a slot is free, trainings after all searches.
        Starting machines and trials is not counted.
        """
        if self.unmeasured or slots < 1:
            return None
        at_once = min(slots, self.max_concurrent or slots)
        return sum(_makespan([s or 0 for s in part], at_once) for part in self.jobs) / 3600


def estimate(
    sweep: SweepConfig, runs: Sequence[PlannedRun], measured: Iterable[MeasuredRun]
) -> Estimate:
    """The estimate of a planned sweep."""
    times = _epoch_times(measured)
    searches = [(run.label, run.config.data.label, run.config, run.epochs) for run in runs]
    trainings: list[tuple[str, str, Settings, int]] = []
    if sweep.retrain is not None:
        for run in runs:
            config = example_training(sweep, run.config)
            trainings.append(("trained from scratch", config.data.label, config, config.epochs))
    parts = [_part(jobs, times) for jobs in (searches, trainings)]
    return Estimate(
        parts[0][0], parts[1][0], (parts[0][1], parts[1][1]), sweep.resources, sweep.max_concurrent
    )


def _part(
    jobs: Sequence[tuple[str, str, Settings, int]], times: Mapping[str, EpochTime]
) -> tuple[tuple[EstimateRow, ...], tuple[float | None, ...]]:
    grouped: dict[tuple[str, str, str], list[int]] = {}
    seconds: list[float | None] = []
    for label, dataset, config, epochs in jobs:
        key = cost_key(config.model_dump(mode="json"))
        grouped.setdefault((label, dataset, key), []).append(epochs)
        time = times.get(key)
        seconds.append(None if time is None else time.epoch_s * epochs)
    rows = []
    for (label, dataset, key), counts in grouped.items():
        time = times.get(key)
        total = None if time is None else time.epoch_s * sum(counts)
        rows.append(EstimateRow(label, dataset, len(counts), sum(counts), total, time))
    return tuple(rows), tuple(seconds)


def cost_key(config: Mapping[str, Any]) -> str:
    """Settings with equal keys cost the same per epoch."""
    kept = {key: value for key, value in config.items() if key not in _COST_FREE}
    if isinstance(kept.get("stages"), list):
        kept["stages"] = [{k: v for k, v in s.items() if k != "epochs"} for s in kept["stages"]]
    return json.dumps(kept, sort_keys=True)


def _epoch_times(measured: Iterable[MeasuredRun]) -> dict[str, EpochTime]:
    """By cost key; the mean where several runs have the same one."""
    found: dict[str, list[MeasuredRun]] = {}
    for run in measured:
        found.setdefault(cost_key(json.loads(run.config)), []).append(run)
    return {
        key: EpochTime(
            sum(run.epoch_s for run in runs) / len(runs),
            ", ".join(sorted({run.device for run in runs})),
            all(run.on_gpu for run in runs),
        )
        for key, runs in found.items()
    }


def _makespan(jobs: Sequence[float], slots: int) -> float:
    """Seconds until the last job ends, when each starts as soon as a slot is free."""
    free = [0.0] * slots
    for job in jobs:
        heapq.heappush(free, heapq.heappop(free) + job)
    return max(free)
