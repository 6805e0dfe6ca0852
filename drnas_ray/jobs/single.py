"""From settings to something that steps: what a trainable, or `drnas search`, drives."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import torch

from drnas_ray.benchmarks.tabular import TabularBenchmark
from drnas_ray.blackbox.run import BlackBoxRun
from drnas_ray.config import (
    BlackBoxConfig,
    DataSettings,
    QueryConfig,
    RetrainConfig,
    SearchConfig,
    Settings,
)
from drnas_ray.core.errors import UserError
from drnas_ray.data.catalog import load_test, load_train, search_halves
from drnas_ray.data.images import DataInfo, ImageSet
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.batch import PackedJob
from drnas_ray.search.device import device_name, use_threads
from drnas_ray.search.loop import Search
from drnas_ray.search.ondemand import TrainOnDemand
from drnas_ray.search.run import Run
from drnas_ray.search.training import Training


class Job(Protocol):
    """One run of any kind, between two epochs."""

    @property
    def epoch(self) -> int:
        """Epochs completed."""

    def step(self) -> dict[str, Any]:
        """One epoch; its record, with `status` running, done or diverged."""

    def state_dict(self) -> dict[str, Any]:
        """All that the rest depends on: tensors, numbers and text only."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""


def start(config: Settings, data_root: Path | None, device: torch.device) -> Job:
    """The job of these settings at epoch 0."""
    if isinstance(config, SearchConfig):
        return Search(Run(config, _halves(config.data, data_root), device))
    if isinstance(config, RetrainConfig):
        return Training(config, _whole(config.data, data_root), device)
    assert isinstance(config, BlackBoxConfig)
    if not isinstance(config, QueryConfig):
        return BlackBoxRun(config)
    table = open_table(config)
    if table is not None:
        return BlackBoxRun(config, table)
    halves = _halves(config.data, data_root)
    return BlackBoxRun(config, TrainOnDemand(config, halves, device))


def open_table(config: QueryConfig) -> TabularBenchmark | None:
    """The table that a run asks, None where it trains cells. Raises UserError."""
    path = config.benchmark.table
    if path is None:
        return None
    return TabularBenchmark(Path(path), config.data.name, timed=config.budget_s is not None)


class RecordedJob:
    """A job that keeps its records, so that a checkpoint alone holds all that was found.

    facts: added to every record (ids, device, threads). A record also says how often the job had
    been restarted by then from a checkpoint.
    """

    def __init__(self, config: Settings, job: Job, facts: dict[str, Any]) -> None:
        self.config, self.job, self.facts = config, job, facts
        self.records: list[dict[str, Any]] = []
        self.restarts = 0

    @property
    def ended(self) -> bool:
        """Done or diverged."""
        return bool(self.records) and self.records[-1]["status"] != "running"

    def step(self) -> dict[str, Any]:
        """One epoch; its record. A job that ended says its last record again."""
        if not self.ended:
            # Tune's own time stamp is of the report, which a resumed trial may repeat.
            known = {**self.facts, "restarts": self.restarts, "reported_unix_s": time.time()}
            self.records.append({**self.job.step(), **known})
        return self.records[-1]

    def state_dict(self) -> dict[str, Any]:
        """The whole job and its records."""
        return {**self.job.state_dict(), "records": json.dumps(self.records)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.job.load_state_dict(state)
        self.records = json.loads(state["records"])
        self.restarts = 1 + (self.records[-1].get("restarts", 0) if self.records else 0)

    def adopt_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from another search's, under these settings; its records stay its own.

        Raises UserError where the job is no weight-sharing search.
        """
        if not isinstance(self.job, Search):
            raise UserError("only a weight-sharing search can go on from another one's state")
        self.job.adopt_state_dict(state)
        self.records = []

    def save(self, path: Path) -> None:
        """The whole job and its records in one file, complete or absent."""
        checkpoint.save(self.state_dict(), path)

    def load(self, path: Path) -> None:
        """Go on where `save` was called. Raises UserError for a damaged file or another job's."""
        self.load_state_dict(checkpoint.load(path, self.config.canonical_json()))


def begin(
    config: Settings,
    ids: dict[str, str],
    *,
    threads: int,
    data_root: Path | None,
    device: torch.device,
) -> RecordedJob:
    """The job at epoch 0, this process set to its threads; `ids` go into every record."""
    use_threads(threads)
    facts = {**ids, **_facts(threads, device)}
    return RecordedJob(config, start(config, data_root, device), facts)


def begin_pack(
    runs: Mapping[str, Settings],
    *,
    threads: int,
    data_root: Path | None,
    device: torch.device,
) -> PackedJob:
    """Runs of one step each, by id, none of them done; as `begin` else."""
    use_threads(threads)
    make = partial(start, data_root=data_root, device=device)
    return PackedJob(runs, make, _facts(threads, device))


def _facts(threads: int, device: torch.device) -> dict[str, Any]:
    return {
        "device": device_name(device),
        "threads": threads,
        # Tune notes it as well, but not in the records that a checkpoint keeps.
        "hostname": platform.node(),
    }


# A worker process runs many jobs on few data sets; images are read-only, so jobs share them.
@lru_cache(maxsize=2)
def _halves(settings: DataSettings, root: Path | None) -> tuple[DataInfo, ImageSet, ImageSet]:
    return search_halves(settings, root)


@lru_cache(maxsize=2)
def _whole(settings: DataSettings, root: Path | None) -> tuple[DataInfo, ImageSet, ImageSet]:
    info, train = load_train(settings, root)
    return info, train, load_test(settings, root)
