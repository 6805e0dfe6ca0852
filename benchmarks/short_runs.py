"""Overhead of Ray Tune for short runs, in batches and one by one.

    python benchmarks/short_runs.py TABLE.parquet [RUNS]

A sweep of REINFORCE on a table (tens of milliseconds per run) on one CPU, three times: in a plain
loop in this process (the baseline); as trials of a hundred runs each, as `drnas sweep` does; and as
one trial per run. `over` is the time beyond the baseline, in percent of it, without starting Ray
and the first actor, which is printed separately.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import torch

from drnas_ray.jobs.start import start
from drnas_ray.sweeps.plan.runs import PlannedRun, plan_runs
from drnas_ray.sweeps.ray_tune.session import cluster
from drnas_ray.sweeps.ray_tune.tuner import ExecutionSettings, TrialSpec, run_trials
from drnas_ray.sweeps.spec.sweep import Resources, SweepConfig, Tracking
from drnas_ray.sweeps.sweep import batches
from trainables.trial import JobTrial


def plan(path: Path, count: int) -> list[PlannedRun]:
    sweep = {
        "name": "short-runs",
        "methods": ["reinforce"],
        "datasets": ["cifar10"],
        "seeds": f"0:{count}",
        "config": {"benchmark": {"table": str(path)}},
    }
    return plan_runs(SweepConfig.model_validate(sweep))


def timed(trials: list[TrialSpec], folder: Path) -> float:
    execution = ExecutionSettings(Resources(), 1, 0, None, Tracking())
    begun = time.perf_counter()
    run_trials(trials, JobTrial, folder, execution)
    return time.perf_counter() - begun


def alone(runs: list[PlannedRun]) -> list[TrialSpec]:
    return [
        TrialSpec("run_id", r.run_id, r.folder, r.label, 1, r.config.model_dump(mode="json"))
        for r in runs
    ]


def main() -> None:
    path, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    torch.set_num_threads(1)
    runs = plan(path, count)
    begun = time.perf_counter()
    for run in runs:
        start(run.config, None, torch.device("cpu")).step()
    bare = time.perf_counter() - begun
    print(f"{count} runs, {1e3 * bare / count:.1f} ms each: plain loop {bare:.1f} s")
    with tempfile.TemporaryDirectory() as name, cluster(None):
        folder = Path(name)
        first = timed(alone(runs[:1]), folder / "first")
        print(f"start-up (an actor and one trial): {first:.1f} s")
        for text, trials in (
            ("in batches", batches(runs)),
            ("one by one", alone(runs)),
        ):
            took = timed(trials, folder / text.replace(" ", "-")) - first
            files = sum(1 for _ in (folder / text.replace(" ", "-")).rglob("*"))
            print(f"{text:10}  {took:6.1f} s  over {100 * (took / bare - 1):5.1f} %  {files} files")
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB peak")


if __name__ == "__main__":
    main()
