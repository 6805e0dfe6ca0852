"""What a trial drives (`Job`), and what computes inside it (`Computation`)."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from drnas_ray.jobs import checkpoint
from drnas_ray.results.status import Status


class Computation(Protocol):
    """One search, training or multi-trial run between two epochs. It knows no ids and no files."""

    @property
    def epoch(self) -> int:
        """Epochs completed."""

    def step(self) -> dict[str, Any]:
        """One epoch; its record, with `status` running, done or diverged."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest depends on: tensors, numbers and text only."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""


@runtime_checkable
class Adoptable(Computation, Protocol):
    """One that can also continue from the state of another: a weight-sharing search."""

    def adopt_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from another's state, under the settings of this one."""


class Job(ABC):
    """One run, or several as one, with its records: its checkpoint alone holds all that was found.

    settings: text that identifies all settings of the job; a checkpoint of other settings is
    refused. restarts: how often the job has been restarted from a checkpoint.
    """

    def __init__(self, settings: str) -> None:
        self.settings = settings
        self.records: list[dict[str, Any]] = []
        self.restarts = 0

    @property
    def ended(self) -> bool:
        """Nothing is left to do."""
        return bool(self.records) and self.records[-1]["status"] != Status.running

    @abstractmethod
    def step(self) -> dict[str, Any]:
        """Compute for one step and return its report; a job that ended returns the last again."""

    @abstractmethod
    def computation_state(self) -> dict[str, Any]:
        """What the rest of the job depends on, beside its records."""

    @abstractmethod
    def load_computation_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `computation_state` was taken."""

    def state_dict(self) -> dict[str, Any]:
        """The whole job: tensors, numbers and text only."""
        kept = {"config": self.settings, "records": json.dumps(self.records)}
        return {**self.computation_state(), **kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""
        self.load_computation_state(state)
        self.records = json.loads(state["records"])
        self.restarts = 1 + (self.records[-1].get("restarts", 0) if self.records else 0)

    def save(self, path: Path) -> None:
        """Write the whole job to one file, complete or absent."""
        checkpoint.save(self.state_dict(), path)

    def load(self, path: Path) -> None:
        """Continue where `save` was called. Raises UserError for a damaged or another job's
        file."""
        self.load_state_dict(checkpoint.load(path, self.settings))
