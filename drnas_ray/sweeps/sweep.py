"""A whole sweep: search every run, then train the derived cells from scratch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from drnas_ray.benchmarks.cache import CellCache
from drnas_ray.config import QueryConfig, RetrainConfig
from drnas_ray.core.errors import UserError
from drnas_ray.core.stores import Store
from drnas_ray.data.catalog import prepare
from drnas_ray.jobs.single import open_table
from drnas_ray.results.layout import BATCHES, SEARCH, is_of_trial
from drnas_ray.results.manifest import note_retrains
from drnas_ray.results.status import Status
from drnas_ray.spaces import space_named
from drnas_ray.sweeps.folder import check_folder, make_folder
from drnas_ray.sweeps.plan.runs import PlannedRun, plan_retrains, plan_runs, retrain_of
from drnas_ray.sweeps.ray_tune.track import check_tracking
from drnas_ray.sweeps.ray_tune.tuner import HowToRun, TrialJob, cluster, run_jobs, trial_resources
from drnas_ray.sweeps.spec.sweep import SweepConfig
from drnas_ray.sweeps.tune.plan import plan_tuning
from drnas_ray.sweeps.tune.run import run_tuning

RUNS_A_PACK = 100
"""Short runs of a trial: seconds of work, so that the trial's own cost is lost in it."""


@dataclass(frozen=True)
class Trainables:
    """The kinds of trial, handed in by the command line: sweeps import none."""

    search: type[tune.Trainable]
    pack: type[tune.Trainable]
    retrain: type[tune.Trainable]
    point: type[tune.Trainable]


def checked_plan(sweep: SweepConfig) -> list[PlannedRun]:
    """All runs of the sweep, its recipe tried on each. Raises UserError for the first wrong."""
    runs = plan_runs(sweep)
    if sweep.retrain is not None:
        for run in runs:
            any_cell = space_named(run.config.space).random(np.random.default_rng(0))
            retrain_of(sweep, run.config, any_cell)
    return runs


def prepare_runs(runs: list[PlannedRun], data_root: Path | None, *, retrained: bool) -> None:
    """Read every data set, benchmark table and cache that the runs need. Raises UserError."""
    for run in runs:
        if isinstance(run.config, QueryConfig):
            open_table(run.config)
            if run.config.benchmark.cache is not None:
                CellCache(run.config.benchmark.cache)
    needed = (run.config.data for run in runs if retrained or run.config.needs_images)
    for settings in dict.fromkeys(needed):
        prepare(settings, data_root)


def run_sweep(
    sweep: SweepConfig,
    out: Path,
    trainables: Trainables,
    *,
    data_root: Path | None = None,
    address: str | None = None,
    resume: bool = False,
    store: Store | None = None,
) -> None:
    """Run it into `out`, or go on with what is there.

    store: what `out` is the local copy of; trials go there directly.

    Raises UserError for anything wrong in the sweep, the folder or the data, before any trial.
    """
    check_tracking(sweep.track)
    how = HowToRun(
        sweep.resources, sweep.max_concurrent, sweep.max_failures, data_root, sweep.track, store
    )
    if sweep.search is not None:
        if store is not None:
            raise UserError(
                f"search: with --out {store.uri}: the journal of a tuning is a local file: name a "
                "folder, shared by all nodes, and copy it afterwards"
            )
        tuning = plan_tuning(sweep)
        check_folder(out, sweep, [], resume=resume)
        prepare_runs(list(tuning.tried), data_root, retrained=False)
        run_tuning(tuning, out, trainables.point, how, address=address)
        return
    runs = checked_plan(sweep)
    check_folder(out, sweep, runs, resume=resume)
    prepare_runs(runs, data_root, retrained=sweep.retrain is not None)
    with cluster(address):
        trial_resources(how.resources)  # refuses what the cluster can't hold
        make_folder(out, sweep, runs)
        if store is not None:
            store.push(out, leave=is_of_trial)
        on_cpu = replace(how, resources=how.resources.model_copy(update={"gpu": 0.0}))
        records = run_jobs(_packs(runs), trainables.pack, out / BATCHES, on_cpu)
        records += run_jobs(_searches(runs), trainables.search, out / SEARCH, how)
        finished = {
            str(record["run_id"]): str(record["genotype"])
            for record in _single(records)
            if record.get("status") == Status.done
        }
        retrains = plan_retrains(sweep, finished, runs)
        if not retrains:
            return
        noted = note_retrains(out, retrains)
        if store is not None:
            store.push(out, leave=is_of_trial)
        for folder, keys in noted.items():
            jobs = [_retrain_job(key, retrains[key][0]) for key in keys]
            run_jobs(jobs, trainables.retrain, out / folder, how)


def _searches(runs: list[PlannedRun]) -> list[TrialJob]:
    """A trial for each run that is worth one."""
    return [
        TrialJob(r.run_id, r.folder, r.label, r.epochs, r.config.model_dump(mode="json"))
        for r in runs
        if not r.short
    ]


def _packs(runs: list[PlannedRun]) -> list[TrialJob]:
    """The short runs, in their order, `RUNS_A_PACK` a trial."""
    short = [run for run in runs if run.short]
    packs = []
    for number, first in enumerate(range(0, len(short), RUNS_A_PACK)):
        part = short[first : first + RUNS_A_PACK]
        labels = list(dict.fromkeys(run.label for run in part))
        label = labels[0] if len(labels) == 1 else "short runs"
        settings = {run.run_id: run.config.model_dump(mode="json") for run in part}
        name = f"pack-{number:04d}"
        packs.append(TrialJob(name, name, label, len(part), settings))
    return packs


def _single(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records of single runs: a pack's last one holds those of all its runs."""
    for record in records:
        yield from record.get("runs", [record])


def _retrain_job(key: str, config: RetrainConfig) -> TrialJob:
    folder = f"{config.data.name}-s{config.seed}-{key}"
    return TrialJob(key, folder, "retrain", config.epochs, config.model_dump(mode="json"))
