"""From settings to a job at epoch 0: opens the data set or the benchmark table that it needs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

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
from drnas_ray.data.catalog import load_test, load_train, search_halves
from drnas_ray.data.images import DataInfo, ImageSet
from drnas_ray.jobs.base import Computation, Job
from drnas_ray.jobs.group import BatchJob, PointJob
from drnas_ray.jobs.single import SingleJob
from drnas_ray.parsing import retrain_config, run_config
from drnas_ray.search.device import device_name, use_threads
from drnas_ray.search.loop import SearchJob
from drnas_ray.search.ondemand import TrainOnDemand
from drnas_ray.search.steps import Run
from drnas_ray.search.training import Training


@dataclass(frozen=True)
class Place:
    """Where a job computes: it decides the speed. Results depend on the device alone."""

    device: torch.device
    threads: int = 1
    data_root: Path | None = None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Its entries in every record."""
        return {
            "device": device_name(self.device),
            "threads": self.threads,
            # Tune notes it as well, but not in the records that a checkpoint keeps.
            "hostname": platform.node(),
        }


def job_of(given: Mapping[str, Any], place: Place) -> Job:
    """The job of a trial's config, at epoch 0, with this process set to its threads.

    given: plain JSON, as params.json keeps it: `settings` beside `run_id` (a search) or
    `retrain_id` (a training); `settings` by run id beside `pack_id` (a batch of short runs); or
    `runs`, `metric` and `until` beside `point`. Raises UserError for settings that are not valid.
    """
    if "point" in given:
        return point_job(given, place)
    if "pack_id" in given:
        return batch_job({i: run_config(raw) for i, raw in given["settings"].items()}, place)
    if "retrain_id" in given:
        ids = {"retrain_id": given["retrain_id"]}
        return single_job(retrain_config(given["settings"]), ids, place)
    return single_job(run_config(given["settings"]), {"run_id": given["run_id"]}, place)


def single_job(config: Settings, ids: Mapping[str, str], place: Place) -> SingleJob:
    """One run at epoch 0; `ids` go into every record."""
    use_threads(place.threads)
    run = start(config, place.data_root, place.device)
    return SingleJob(config, run, {**ids, **place.facts})


def batch_job(runs: Mapping[str, Settings], place: Place) -> BatchJob:
    """Runs of one step each, by id, none of them begun."""
    use_threads(place.threads)
    return BatchJob(
        {ident: partial(single_job, runs[ident], {"run_id": ident}, place) for ident in runs}
    )


def point_job(given: Mapping[str, Any], place: Place) -> PointJob:
    """The runs of a point, all at epoch 0."""
    runs = [
        single_job(run_config(run["settings"]), {"run_id": run["run_id"]}, place)
        for run in given["runs"]
    ]
    return PointJob(runs, given["metric"], given["until"])


def start(config: Settings, data_root: Path | None, device: torch.device) -> Computation:
    """What these settings compute, at epoch 0."""
    if isinstance(config, SearchConfig):
        return SearchJob(Run(config, _halves(config.data, data_root), device))
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
    """The table that a run queries; None where it trains cells. Raises UserError."""
    path = config.benchmark.table
    if path is None:
        return None
    return TabularBenchmark(Path(path), config.data.name, timed=config.budget_s is not None)


# A worker process runs many jobs on few data sets; images are read-only, so jobs share them.
@lru_cache(maxsize=2)
def _halves(settings: DataSettings, root: Path | None) -> tuple[DataInfo, ImageSet, ImageSet]:
    return search_halves(settings, root)


@lru_cache(maxsize=2)
def _whole(settings: DataSettings, root: Path | None) -> tuple[DataInfo, ImageSet, ImageSet]:
    info, train = load_train(settings, root)
    return info, train, load_test(settings, root)
