"""What a sweep will take: counts from its plan, hours from step times that somebody measured.

No time is assumed. A run counts only where a run with the same settings was measured, but for those
that say how long it goes on or what it learns with, not what an epoch costs (`_FREE`).
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drnas_ray.config import Settings
from drnas_ray.sweeps.plan.retrains import example_training
from drnas_ray.sweeps.plan.runs import PlannedRun
from drnas_ray.sweeps.spec.sweep import Resources, SweepConfig

_FREE = ("seed", "epochs", "weights", "arch", "genotype", "lr", "lr_min", "weight_decay")


@dataclass(frozen=True)
class Pace:
    """Mean seconds of an epoch (of a step, for a run without epochs), and where it was measured."""

    epoch_s: float
    device: str
    on_gpu: bool


@dataclass(frozen=True)
class Measured:
    """One run or training of a results folder: its settings as JSON, and its pace."""

    config: str
    pace: Pace


@dataclass(frozen=True)
class Line:
    """A row of the estimate. seconds: of all its runs; None: nobody measured such a run."""

    label: str
    dataset: str
    runs: int
    epochs: int
    seconds: float | None
    pace: Pace | None


@dataclass(frozen=True)
class Estimate:
    """searches, trainings: in the order in which they run. Trainings are at most so many, for
    equal cells under one seed are trained once."""

    searches: tuple[Line, ...]
    trainings: tuple[Line, ...]
    jobs: tuple[tuple[float | None, ...], tuple[float | None, ...]]
    """Seconds of each trial of both parts."""
    resources: Resources
    max_concurrent: int | None

    @property
    def lines(self) -> tuple[Line, ...]:
        """Both parts."""
        return self.searches + self.trainings

    @property
    def trials(self) -> int:
        """Trials of both parts."""
        return sum(line.runs for line in self.lines)

    @property
    def unmeasured(self) -> tuple[Line, ...]:
        """Rows whose pace nobody measured."""
        return tuple(line for line in self.lines if line.seconds is None)

    @property
    def gpu_hours(self) -> float | None:
        """GPUs' time, by each trial's share; None unless all rows were measured on one."""
        if self.unmeasured or not all(line.pace and line.pace.on_gpu for line in self.lines):
            return None
        return sum(line.seconds or 0 for line in self.lines) / 3600 * self.resources.gpu

    @property
    def trial_hours(self) -> float:
        """Hours of all measured rows, one trial after another."""
        return sum(line.seconds or 0 for line in self.lines) / 3600

    def wall_hours(self, slots: int) -> float | None:
        """Hours until all is done with so many trials at once; None unless all was measured.

        As Tune does it: the next trial starts when a place is free, trainings after all searches.
        Starting machines and trials is not counted.
        """
        if self.unmeasured or slots < 1:
            return None
        places = min(slots, self.max_concurrent or slots)
        return sum(_makespan([s or 0 for s in part], places) for part in self.jobs) / 3600


def estimate(
    sweep: SweepConfig, runs: Sequence[PlannedRun], measured: Iterable[Measured]
) -> Estimate:
    """The estimate of a planned sweep."""
    paces = _paces(measured)
    searches = [(run.label, run.config.data.label, run.config, run.epochs) for run in runs]
    trainings: list[tuple[str, str, Settings, int]] = []
    if sweep.retrain is not None:
        for run in runs:
            config = example_training(sweep, run.config)
            trainings.append(("trained from scratch", config.data.label, config, config.epochs))
    parts = [_part(jobs, paces) for jobs in (searches, trainings)]
    return Estimate(
        parts[0][0], parts[1][0], (parts[0][1], parts[1][1]), sweep.resources, sweep.max_concurrent
    )


def _part(
    jobs: Sequence[tuple[str, str, Settings, int]], paces: Mapping[str, Pace]
) -> tuple[tuple[Line, ...], tuple[float | None, ...]]:
    rows: dict[tuple[str, str, str], list[int]] = {}
    seconds: list[float | None] = []
    for label, dataset, config, epochs in jobs:
        key = cost_key(config.model_dump(mode="json"))
        rows.setdefault((label, dataset, key), []).append(epochs)
        pace = paces.get(key)
        seconds.append(None if pace is None else pace.epoch_s * epochs)
    lines = []
    for (label, dataset, key), counts in rows.items():
        pace = paces.get(key)
        total = None if pace is None else pace.epoch_s * sum(counts)
        lines.append(Line(label, dataset, len(counts), sum(counts), total, pace))
    return tuple(lines), tuple(seconds)


def cost_key(config: Mapping[str, Any]) -> str:
    """Settings with equal keys cost the same per epoch."""
    kept = {key: value for key, value in config.items() if key not in _FREE}
    if isinstance(kept.get("stages"), list):
        kept["stages"] = [{k: v for k, v in s.items() if k != "epochs"} for s in kept["stages"]]
    return json.dumps(kept, sort_keys=True)


def _paces(measured: Iterable[Measured]) -> dict[str, Pace]:
    """Key -> pace; the mean where several runs have the same one."""
    found: dict[str, list[Pace]] = {}
    for one in measured:
        found.setdefault(cost_key(json.loads(one.config)), []).append(one.pace)
    return {
        key: Pace(
            sum(pace.epoch_s for pace in paces) / len(paces),
            ", ".join(sorted({pace.device for pace in paces})),
            all(pace.on_gpu for pace in paces),
        )
        for key, paces in found.items()
    }


def _makespan(jobs: Sequence[float], places: int) -> float:
    """Seconds until the last job ends, when each starts as soon as a place is free."""
    free = [0.0] * places
    for job in jobs:
        heapq.heappush(free, heapq.heappop(free) + job)
    return max(free)
