"""One point of a tuning as a Ray Tune trial: its runs under all seeds, and the mean of a figure."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from pyarrow.fs import LocalFileSystem

from drnas_ray.core.errors import UserError
from drnas_ray.jobs.point import LocalSeeds, PointJob
from drnas_ray.jobs.single import begin
from drnas_ray.parsing import run_config
from drnas_ray.results.layout import CHECKPOINT_FILE
from drnas_ray.search.device import pick_device
from trainables.trial import JobTrial, newest_first

Runs = list[dict[str, Any]]


class PointTrial(JobTrial):
    """The trial's config holds, beside `threads` and `data_root`, `seeds_at_once` and `resources`
    (of one run), and `job`:

    runs: `run_id` and plain `settings` of each. metric: what the objective is the mean of.
    earlier: folders of trials that had the point. until: the epoch after which the trial ends,
    though the runs may not; None: with them. parent: the point that this one goes on from, or
    None: its `runs`, `earlier`, and `epoch`.
    """

    id_key = "point"

    @staticmethod
    def begin(job: dict[str, Any], **how: Any) -> PointJob:
        """All runs at epoch 0, to compute here, one after another."""
        return PointJob([_local(job["runs"], **how)], job["metric"], _settings(job["runs"]))

    def setup(self, config: dict[str, Any]) -> None:
        """Build all runs at epoch 0, or where an earlier trial left them."""
        job, at_once = config["job"], config["seeds_at_once"]
        self.until = job["until"]
        if at_once == 1:
            super().setup(config)
        else:
            # They outlive the job: to start a process takes longer than a short run.
            if not hasattr(self, "processes"):
                self.processes = _started(config["resources"], at_once)
            where = config["threads"], config["data_root"]
            groups = [
                RemoteSeeds(process, job["runs"][first::at_once], *where)
                for first, process in enumerate(self.processes)
            ]
            self.job = PointJob(groups, job["metric"], _settings(job["runs"]))
        assert isinstance(self.job, PointJob)
        parent = job["parent"]
        if not _first_that_can(self.job.load, job["earlier"]) and parent is not None:
            adopt = partial(
                self.job.adopt, settings=_settings(parent["runs"]), epoch=parent["epoch"]
            )
            if not _first_that_can(adopt, parent["earlier"]):
                raise UserError(
                    f"no checkpoint of epoch {parent['epoch']} is left in {parent['earlier']}"
                )

    def step(self) -> dict[str, Any]:
        """One epoch; its record. Beyond `until` the last one again."""
        records = self.job.records
        if self.until is not None and records and records[-1]["epoch"] >= self.until:
            return {**records[-1], "done": True}
        record = super().step()
        return {**record, "done": record["done"] or record["epoch"] == self.until}


def _settings(runs: Runs) -> str:
    return json.dumps([run["settings"] for run in runs], sort_keys=True)


def _first_that_can(load: Callable[[Path], None], folders: list[str]) -> bool:
    """Load the newest checkpoint that can be read of the newest folder that has one, if any."""
    for folder in reversed(folders):
        for newest in newest_first(folder, LocalFileSystem()):
            try:
                load(Path(newest.path) / CHECKPOINT_FILE)
            except (OSError, UserError):
                continue
            return True
    return False


def _local(runs: Runs, **how: Any) -> LocalSeeds:
    return LocalSeeds(
        [begin(run_config(run["settings"]), {"run_id": run["run_id"]}, **how) for run in runs]
    )


class RemoteSeeds:
    """Runs in a process of their own, in a place of the trial's placement group."""

    def __init__(self, process: Any, runs: Runs, threads: int, data_root: str | None) -> None:
        self.process = process
        self.begun = process.begin.remote(runs, threads, data_root)

    def step(self) -> list[dict[str, Any]]:
        """One epoch of each; their records."""
        # What went wrong in `begin` is raised here; all processes begin at the same time.
        _, records = ray.get([self.begun, self.process.step.remote()])
        return list(records)

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each, tensors on the CPU."""
        states: list[dict[str, Any]] = ray.get(self.process.state_dict.remote())
        return states

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on where `state_dict` was taken."""
        ray.get(self.process.load_state_dict.remote(states))

    def adopt_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from another point's, under the settings of this one."""
        ray.get(self.process.adopt_state_dict.remote(states))


def _started(resources: dict[str, float], count: int) -> list[Any]:
    process = ray.remote(num_cpus=resources["cpu"], num_gpus=resources.get("gpu", 0))(_Process)
    started: Any = process
    return [started.remote() for _ in range(count)]


class _Process:
    def begin(self, runs: Runs, threads: int, data_root: str | None) -> None:
        self.seeds = LocalSeeds(())  # before the next is built: a GPU may not hold both
        self.seeds = _local(
            runs,
            threads=threads,
            data_root=None if data_root is None else Path(data_root),
            device=pick_device() if ray.get_gpu_ids() else torch.device("cpu"),
        )

    def step(self) -> list[dict[str, Any]]:
        return self.seeds.step()

    def state_dict(self) -> list[dict[str, Any]]:
        return [_on_cpu(state) for state in self.seeds.state_dict()]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        self.seeds.load_state_dict(states)

    def adopt_state_dict(self, states: list[dict[str, Any]]) -> None:
        self.seeds.adopt_state_dict(states)


def _on_cpu(value: Any) -> Any:
    """The trial's own process was given no GPU to unpack tensors of one."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_on_cpu(part) for part in value)
    return value
