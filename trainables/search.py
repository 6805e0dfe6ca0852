"""One architecture search as a Ray Tune trial."""

from __future__ import annotations

from typing import Any

from drnas_ray.jobs.single import RecordedJob, begin
from drnas_ray.parsing import run_config
from trainables.trial import JobTrial


class SearchTrial(JobTrial):
    """A whole run of one method under one seed, with a supernet or without."""

    id_key = "run_id"

    @staticmethod
    def begin(job: dict[str, Any], **how: Any) -> RecordedJob:
        """The run at epoch 0."""
        return begin(run_config(job["settings"]), {"run_id": job["run_id"]}, **how)
