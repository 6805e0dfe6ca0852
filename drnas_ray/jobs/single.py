"""One run as a job."""

from __future__ import annotations

from typing import Any

from drnas_ray.config import Settings
from drnas_ray.core.errors import UserError
from drnas_ray.jobs.base import Adoptable, Computation, Job
from drnas_ray.jobs.records import completed


class SingleJob(Job):
    """Steps one run, epoch by epoch, and keeps its records.

    facts: added to every record (ids, device, threads).
    """

    def __init__(self, config: Settings, computation: Computation, facts: dict[str, Any]) -> None:
        super().__init__(config.canonical_json())
        self.config, self.computation, self.facts = config, computation, facts

    def step(self) -> dict[str, Any]:
        """One epoch; its record. A job that ended returns its last record again.

        Raises UserError for an unregistered metric.
        """
        if not self.ended:
            record = completed(self.computation.step(), self.config, self.facts, self.restarts)
            self.records.append(record)
        return self.records[-1]

    def computation_state(self) -> dict[str, Any]:
        """The run's state."""
        return self.computation.state_dict()

    def load_computation_state(self, state: dict[str, Any]) -> None:
        """Continue where the run's state was taken."""
        self.computation.load_state_dict(state)

    def adopt_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from another search's state, under these settings and without its records.

        Raises UserError where the run is not a weight-sharing search.
        """
        if not isinstance(self.computation, Adoptable):
            raise UserError("only a weight-sharing search can continue from another's state")
        self.computation.adopt_state_dict(state)
        self.records = []
