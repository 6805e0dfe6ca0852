"""Training one derived cell from scratch as a Ray Tune trial."""

from __future__ import annotations

from typing import Any

from drnas_ray.jobs.single import RecordedJob, begin
from drnas_ray.parsing import retrain_config
from trainables.trial import JobTrial


class RetrainTrial(JobTrial):
    """A canonical cell under one recipe and seed."""

    id_key = "retrain_id"

    @staticmethod
    def begin(job: dict[str, Any], **how: Any) -> RecordedJob:
        """The training at epoch 0."""
        return begin(retrain_config(job["settings"]), {"retrain_id": job["retrain_id"]}, **how)
