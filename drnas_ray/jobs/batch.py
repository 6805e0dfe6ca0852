"""Many short runs as one job: a multi-trial method on a table takes milliseconds a run.

A trial, and a checkpoint, cost tens of milliseconds each, whatever is in them; so a trial takes a
hundred such runs, one after another, and reports about once a second.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from drnas_ray.config import Settings
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.records import completed

STEP_S = 1.0
"""A step goes on to the next run until so much time is gone."""


class OneStep(Protocol):
    """A run that is over after one step."""

    def step(self) -> dict[str, Any]:
        """Its record."""


class PackedJob:
    """Runs of one step each, with the face of a `search.job.RecordedJob`.

    runs: run id to settings. make: the job of these settings. facts: added to every record.
    """

    def __init__(
        self,
        runs: Mapping[str, Settings],
        make: Callable[[Settings], OneStep],
        facts: Mapping[str, Any],
    ) -> None:
        self.runs, self.make, self.facts = dict(runs), make, dict(facts)
        self.records: list[dict[str, Any]] = []
        self.restarts = 0

    @property
    def ended(self) -> bool:
        """All runs are done."""
        return len(self.records) == len(self.runs)

    def step(self) -> dict[str, Any]:
        """The records that are new, or all of them at the end; a job that ended says it again."""
        begun, before = time.perf_counter(), len(self.records)
        for ident in list(self.runs)[before:]:
            record = self.make(self.runs[ident]).step()
            assert record["status"] != "running"  # else a kill would lose more than one step
            facts = {**self.facts, "run_id": ident}
            self.records.append(completed(record, self.runs[ident], facts, self.restarts))
            if time.perf_counter() - begun >= STEP_S:
                break
        took = time.perf_counter() - begun
        return {
            "runs": self.records if self.ended else self.records[before:],
            "epoch": len(self.records),
            "wall_s": took / max(len(self.records) - before, 1),
            "status": "done" if self.ended else "running",
        }

    def save(self, path: Path) -> None:
        """All records in one file, complete or absent."""
        checkpoint.save({"config": self._names(), "records": json.dumps(self.records)}, path)

    def load(self, path: Path) -> None:
        """Go on where `save` was called. Raises UserError for a damaged file or another pack's."""
        self.records = json.loads(checkpoint.load(path, self._names())["records"])
        self.restarts = 1 + (self.records[-1]["restarts"] if self.records else 0)

    def _names(self) -> str:
        return json.dumps(list(self.runs))
