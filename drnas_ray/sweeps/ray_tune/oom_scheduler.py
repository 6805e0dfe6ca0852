"""Trials that ran out of GPU memory: the next attempt has a larger share, so fewer neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from drnas_ray.search.device import OUT_OF_MEMORY
from drnas_ray.sweeps.spec.sweep import Resources


class OutOfMemoryScheduler(FIFOScheduler):
    """First in, first out; doubles the GPU share of a trial that ran out of GPU memory.

    At most `retry_oom` times per trial, and up to a whole GPU. A resumed sweep begins with the
    share in its sweep file.
    """

    def __init__(self, resources: Resources) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.resources = resources

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Called while a failed trial has stopped and is not yet in the queue again."""
        # A trial that is given up is still marked as running here.
        if trial.status != Trial.ERROR or not self._ran_out(trial):
            return
        factory: Any = trial.placement_group_factory
        asked = dict(factory.required_resources)
        share = asked.get("GPU", 0.0)
        if not share or share >= 1:
            return
        doubled = min(1.0, 2 * share)
        if doubled <= self.resources.gpu * 2**self.resources.retry_oom:
            trial.update_resources({"cpu": asked["CPU"], "gpu": doubled})

    @staticmethod
    def _ran_out(trial: Trial) -> bool:
        if trial.error_file is None:
            return False
        *_, last = Path(trial.error_file).read_text(errors="replace").split("Failure # ")
        return OUT_OF_MEMORY in last
