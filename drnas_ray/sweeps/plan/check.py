"""What can be checked before any trial starts: the plan, the data sets, tables and caches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drnas_ray.benchmarks.cache import CellCache
from drnas_ray.config import QueryConfig
from drnas_ray.data.catalog import prepare
from drnas_ray.jobs.start import open_table
from drnas_ray.sweeps.plan.retrains import example_training
from drnas_ray.sweeps.plan.runs import PlannedRun, plan_runs
from drnas_ray.sweeps.spec.sweep import SweepConfig


def checked_plan(sweep: SweepConfig) -> list[PlannedRun]:
    """All runs of the sweep, its recipe tried on each.

    Raises UserError for the first invalid run or recipe.
    """
    runs = plan_runs(sweep)
    if sweep.retrain is not None:
        for run in runs:
            example_training(sweep, run.config)
    return runs


def prepare_runs(runs: Sequence[PlannedRun], data_root: Path | None, *, retrained: bool) -> None:
    """Read every data set, benchmark table and cache that the runs need. Raises UserError."""
    for run in runs:
        if isinstance(run.config, QueryConfig):
            open_table(run.config)
            if run.config.benchmark.cache is not None:
                CellCache(run.config.benchmark.cache)
    needed = (run.config.data for run in runs if retrained or run.config.needs_images)
    for settings in dict.fromkeys(needed):
        prepare(settings, data_root)
