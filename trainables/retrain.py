"""Training one derived cell from scratch as a Ray Tune trial."""

from __future__ import annotations

from typing import Any

from drnas_ray.config import Settings
from drnas_ray.door import retrain_config
from trainables.trial import JobTrial


class RetrainTrial(JobTrial):
    """A canonical cell under one recipe and seed."""

    id_key = "retrain_id"

    @staticmethod
    def parse(raw: dict[str, Any]) -> Settings:
        """The recipe."""
        return retrain_config(raw)
