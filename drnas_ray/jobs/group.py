"""Several runs as one job: short runs one after another, or the seeds of a point in lockstep."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drnas_ray.config import Settings
from drnas_ray.core.errors import UserError
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.base import Job
from drnas_ray.jobs.single import SingleJob
from drnas_ray.results.status import Status, step_status

STEP_S = 1.0
"""A step of a batch starts the next run until this much time has passed."""


class BatchJob(Job):
    """Runs of one step each, one after another: a multi-trial method on a table.

    Such a run takes milliseconds, a trial or a checkpoint tens of milliseconds whatever is in it;
    so a trial takes a hundred runs and reports about once a second. runs: run id to a function that
    starts it.
    """

    def __init__(self, runs: Mapping[str, Callable[[], SingleJob]]) -> None:
        super().__init__(json.dumps(list(runs)))
        self.runs = dict(runs)

    @property
    def ended(self) -> bool:
        """All runs are done."""
        return len(self.records) == len(self.runs)

    def step(self) -> dict[str, Any]:
        """Report the new records, or all of them at the end and when called again."""
        begun, before = time.perf_counter(), len(self.records)
        for start in list(self.runs.values())[before:]:
            run = start()
            run.restarts = self.restarts
            record = run.step()
            assert record["status"] != Status.running  # else a kill would lose more than one step
            self.records.append(record)
            if time.perf_counter() - begun >= STEP_S:
                break
        took = time.perf_counter() - begun
        return {
            "runs": self.records if self.ended else self.records[before:],
            "epoch": len(self.records),
            "wall_s": took / max(len(self.records) - before, 1),
            "status": step_status(finished=self.ended),
        }

    def computation_state(self) -> dict[str, Any]:
        """Nothing: a run is done or not begun."""
        return {}

    def load_computation_state(self, state: dict[str, Any]) -> None:
        """Nothing, as for `computation_state`."""


class PointJob(Job):
    """A point of a tuning: the same settings under several seeds, one epoch of each at a time.

    The objective is the mean of `metric` over the runs. until: the epoch after which the job ends
    even if its runs could continue; None: with its runs.
    """

    def __init__(self, runs: Sequence[SingleJob], metric: str, until: int | None = None) -> None:
        super().__init__(point_settings(run.config for run in runs))
        self.runs, self.metric, self.until = runs, metric, until

    @property
    def ended(self) -> bool:
        """All runs are done or at `until`, or one diverged: the others then stop too."""
        reached = self.until is not None and self.records
        return super().ended or bool(reached and self.records[-1]["epoch"] >= self.until)

    def step(self) -> dict[str, Any]:
        """One epoch of every run. A point that ended returns its last record again."""
        if not self.ended:
            begun = time.perf_counter()
            records = [run.step() for run in self.runs]
            self.records.append(
                {
                    "epoch": records[0]["epoch"],
                    "status": _status([record["status"] for record in records]),
                    "objective": objective([record.get(self.metric) for record in records]),
                    "wall_s": time.perf_counter() - begun,
                    "runs": records,
                }
            )
        return self.records[-1]

    def computation_state(self) -> dict[str, Any]:
        """That of each run, records included."""
        return {"runs": [run.state_dict() for run in self.runs]}

    def load_computation_state(self, state: dict[str, Any]) -> None:
        """Continue where `computation_state` was taken."""
        for run, part in zip(self.runs, state["runs"], strict=True):
            run.load_state_dict(part)

    def adopt(self, path: Path, settings: str, epoch: int) -> None:
        """Continue, with own values, from the point with these settings as it was after the epoch.

        Raises UserError where the file is damaged, or of another point or epoch.
        """
        state = checkpoint.load(path, settings)
        reached = json.loads(state["records"])[-1]["epoch"]
        if reached != epoch:
            raise UserError(f"checkpoint {path} is of epoch {reached}, not {epoch}")
        for run, part in zip(self.runs, state["runs"], strict=True):
            run.adopt_state_dict(part)


def point_settings(configs: Iterable[Settings]) -> str:
    """The text that identifies the settings of all runs of a point."""
    return json.dumps([config.canonical_json() for config in configs])


def objective(figures: Sequence[float | None]) -> float:
    """The mean; NaN where a run has no finite figure."""
    if any(figure is None or not math.isfinite(figure) for figure in figures):
        return math.nan
    return math.fsum(float(figure) for figure in figures if figure is not None) / len(figures)


def _status(statuses: Sequence[str]) -> str:
    return step_status(
        finished=all(status == Status.done for status in statuses),
        diverged=Status.diverged in statuses,
    )
