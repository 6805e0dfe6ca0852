"""One architecture search as a Ray Tune trial."""

from __future__ import annotations

from typing import Any

from drnas_ray.config import Settings
from drnas_ray.door import run_config
from trainables.trial import JobTrial


class SearchTrial(JobTrial):
    """A whole run of one method under one seed, with a supernet or without."""

    id_key = "run_id"

    @staticmethod
    def parse(raw: dict[str, Any]) -> Settings:
        """Settings of a run, with a supernet or without."""
        return run_config(raw)
