"""Many short runs as one Ray Tune trial."""

from __future__ import annotations

from typing import Any

from drnas_ray.jobs.batch import PackedJob
from drnas_ray.jobs.single import begin_pack
from drnas_ray.parsing import run_config
from trainables.trial import JobTrial


class PackTrial(JobTrial):
    """Whole runs of multi-trial methods on a table, one after another. `settings`: by run id."""

    id_key = "pack_id"

    @staticmethod
    def begin(job: dict[str, Any], **how: Any) -> PackedJob:
        """The runs, none of them done."""
        runs = {ident: run_config(raw) for ident, raw in job["settings"].items()}
        return begin_pack(runs, **how)
