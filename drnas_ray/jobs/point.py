"""One point of a tuning: the same settings under several seeds, stepped together."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from drnas_ray.core.errors import UserError
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.single import RecordedJob


class Seeds(Protocol):
    """Some of a point's runs, wherever they compute."""

    def step(self) -> list[dict[str, Any]]:
        """One epoch of each; their records."""

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each."""

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on where `state_dict` was taken."""

    def adopt_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from another point's, under the settings of this one."""


class LocalSeeds:
    """Runs in this process, one after another."""

    def __init__(self, jobs: Sequence[RecordedJob]) -> None:
        self.jobs = jobs

    def step(self) -> list[dict[str, Any]]:
        """One epoch of each; their records."""
        return [job.step() for job in self.jobs]

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each."""
        return [job.state_dict() for job in self.jobs]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on where `state_dict` was taken."""
        for job, state in zip(self.jobs, states, strict=True):
            job.load_state_dict(state)

    def adopt_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from another point's, under the settings of this one."""
        for job, state in zip(self.jobs, states, strict=True):
            job.adopt_state_dict(state)


class PointJob:
    """Steps all runs of a point, and says the mean of `metric` over them: the objective.

    groups: the runs, in groups that compute at the same time. settings: text that stands for all
    of the runs' settings, which a checkpoint is checked against.
    """

    def __init__(self, groups: Sequence[Seeds], metric: str, settings: str) -> None:
        self.groups, self.metric, self.settings = groups, metric, settings
        self.records: list[dict[str, Any]] = []

    @property
    def ended(self) -> bool:
        """All runs are done, or one diverged: the mean is none then, and the others wait."""
        return bool(self.records) and self.records[-1]["status"] != "running"

    def step(self) -> dict[str, Any]:
        """One epoch of every run. A point that ended says its last record again."""
        if not self.ended:
            begun = time.perf_counter()
            runs = [record for part in self._each(lambda g: g.step()) for record in part]
            self.records.append(
                {
                    "epoch": runs[0]["epoch"],
                    "status": _status([record["status"] for record in runs]),
                    "objective": objective([record.get(self.metric) for record in runs]),
                    "wall_s": time.perf_counter() - begun,
                    "runs": runs,
                }
            )
        return self.records[-1]

    def save(self, path: Path) -> None:
        """All runs in one file, complete or absent."""
        states = self._each(lambda g: g.state_dict())
        state = {"config": self.settings, "groups": states, "records": json.dumps(self.records)}
        checkpoint.save(state, path)

    def load(self, path: Path) -> None:
        """Go on where `save` was called. Raises UserError for a damaged file or another job's."""
        state = checkpoint.load(path, self.settings)
        for group, part in zip(self.groups, state["groups"], strict=True):
            group.load_state_dict(part)
        self.records = json.loads(state["records"])

    def adopt(self, path: Path, settings: str, epoch: int) -> None:
        """Go on from the point of these settings as it was after the epoch, with own values.

        Raises UserError where the file is damaged, or of another point or epoch.
        """
        state = checkpoint.load(path, settings)
        reached = json.loads(state["records"])[-1]["epoch"]
        if reached != epoch:
            raise UserError(f"checkpoint {path} is of epoch {reached}, not {epoch}")
        for group, part in zip(self.groups, state["groups"], strict=True):
            group.adopt_state_dict(part)

    def _each(self, do: Callable[[Seeds], Any]) -> list[Any]:
        if len(self.groups) == 1:
            return [do(self.groups[0])]
        with ThreadPoolExecutor(len(self.groups)) as pool:  # they wait for other processes
            return list(pool.map(do, self.groups))


def _status(statuses: Sequence[str]) -> str:
    if "diverged" in statuses:
        return "diverged"
    return "done" if all(status == "done" for status in statuses) else "running"


def objective(figures: Sequence[float | None]) -> float:
    """The mean, nan where a run has no finite figure."""
    if any(figure is None or not math.isfinite(figure) for figure in figures):
        return math.nan
    return math.fsum(float(figure) for figure in figures if figure is not None) / len(figures)
