"""A whole sweep: search every run, then train the derived cells from scratch.

A grid value on its way from YAML to the running trial:

1. `cli/runs.py` reads the command line;
2. `sweeps/spec/sweep.py` reads and checks the sweep file;
3. `run_sweep`, here, plans and runs it;
4. `sweeps/plan/runs.py` makes every combination a mapping of one run's settings;
5. `parsing.py` turns that into a checked settings object;
6. `sweeps/ray_tune/tuner.py` hands it to Ray Tune as plain JSON (params.json is the record);
7. `trainables/trial.py`, in a worker, builds the job (`jobs/start.py`) and steps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune

from drnas_ray.config import RetrainConfig
from drnas_ray.core.errors import UserError
from drnas_ray.core.stores import Store
from drnas_ray.results.layout import BATCHES, SEARCH, is_trial_file
from drnas_ray.results.manifest import note_retrains
from drnas_ray.results.status import Status
from drnas_ray.sweeps.folder import check_folder, make_folder
from drnas_ray.sweeps.plan.check import checked_plan, prepare_runs
from drnas_ray.sweeps.plan.retrains import plan_retrains
from drnas_ray.sweeps.plan.runs import PlannedRun
from drnas_ray.sweeps.ray_tune.session import cluster, trial_resources
from drnas_ray.sweeps.ray_tune.track import check_tracking
from drnas_ray.sweeps.ray_tune.tuner import ExecutionSettings, TrialSpec, run_trials
from drnas_ray.sweeps.spec.sweep import SweepConfig
from drnas_ray.sweeps.tune.plan import plan_tuning
from drnas_ray.sweeps.tune.run import run_tuning

RUNS_PER_BATCH = 100
"""Short runs in one trial: seconds of work, so that the trial's own cost does not matter."""


def run_sweep(
    sweep: SweepConfig,
    out: Path,
    trainable: type[tune.Trainable],
    *,
    data_root: Path | None = None,
    address: str | None = None,
    resume: bool = False,
    store: Store | None = None,
) -> None:
    """Run it into `out`, or continue what is there.

    trainable: what drives a job, handed in by the command line. store: what `out` is the local copy
    of; trials write there directly.

    Raises UserError for anything wrong in the sweep, the folder or the data, before any trial.
    """
    check_tracking(sweep.track)
    execution = ExecutionSettings(
        sweep.resources, sweep.max_concurrent, sweep.max_failures, data_root, sweep.track, store
    )
    if sweep.search is not None:
        _run_tuning(sweep, out, trainable, execution, address=address, resume=resume)
        return
    runs = checked_plan(sweep)
    check_folder(out, sweep, runs, resume=resume)
    prepare_runs(runs, data_root, retrained=sweep.retrain is not None)
    with cluster(address):
        trial_resources(execution.resources)  # refuses what the cluster can't hold
        make_folder(out, sweep, runs)
        if store is not None:
            store.push(out, leave=is_trial_file)
        on_cpu = execution.resources.model_copy(update={"gpu": 0.0})
        records = run_trials(
            batches(runs), trainable, out / BATCHES, replace(execution, resources=on_cpu)
        )
        records += run_trials(_searches(runs), trainable, out / SEARCH, execution)
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
            store.push(out, leave=is_trial_file)
        for folder, keys in noted.items():
            trials = [_retrain(key, retrains[key][0]) for key in keys]
            run_trials(trials, trainable, out / folder, execution)


def _run_tuning(
    sweep: SweepConfig,
    out: Path,
    trainable: type[tune.Trainable],
    execution: ExecutionSettings,
    *,
    address: str | None,
    resume: bool,
) -> None:
    if execution.store is not None:
        raise UserError(
            f"search: with --out {execution.store.uri}: the journal of a tuning is a local file: "
            "name a folder, shared by all nodes, and copy it afterwards"
        )
    tuning = plan_tuning(sweep)
    check_folder(out, sweep, [], resume=resume)
    prepare_runs(tuning.tried, execution.data_root, retrained=False)
    run_tuning(tuning, out, trainable, execution, address=address)


def _searches(runs: Sequence[PlannedRun]) -> list[TrialSpec]:
    """One trial for each run that is not short."""
    return [
        TrialSpec(
            "run_id",
            run.run_id,
            run.folder,
            run.label,
            run.epochs,
            run.config.model_dump(mode="json"),
        )
        for run in runs
        if not run.short
    ]


def batches(runs: Sequence[PlannedRun]) -> list[TrialSpec]:
    """The short runs, in their order, `RUNS_PER_BATCH` to a trial."""
    short = [run for run in runs if run.short]
    found = []
    for number, first in enumerate(range(0, len(short), RUNS_PER_BATCH)):
        part = short[first : first + RUNS_PER_BATCH]
        labels = list(dict.fromkeys(run.label for run in part))
        label = labels[0] if len(labels) == 1 else "short runs"
        settings = {run.run_id: run.config.model_dump(mode="json") for run in part}
        name = f"pack-{number:04d}"
        found.append(TrialSpec("pack_id", name, name, label, len(part), settings))
    return found


def _single(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records of single runs: a batch's last one holds those of all its runs."""
    for record in records:
        yield from record.get("runs", [record])


def _retrain(key: str, config: RetrainConfig) -> TrialSpec:
    folder = f"{config.data.name}-s{config.seed}-{key}"
    return TrialSpec(
        "retrain_id", key, folder, "retrain", config.epochs, config.model_dump(mode="json")
    )
