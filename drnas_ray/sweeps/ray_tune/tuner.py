"""Many jobs of one kind through Ray Tune: one trial each, resumed where it stopped."""

from __future__ import annotations

import json
import logging
import os
import pickle
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.autoscaler.sdk import request_resources

from drnas_ray.core.errors import UserError
from drnas_ray.core.files import write_json
from drnas_ray.core.stores import Store
from drnas_ray.sweeps.ray_tune.live import LiveView
from drnas_ray.sweeps.ray_tune.memory import MemoryScheduler
from drnas_ray.sweeps.ray_tune.track import trackers
from drnas_ray.sweeps.spec.sweep import Resources, Tracking

# A trial goes on from its newest checkpoint that can be read; the other is there for when the
# newest was cut off in writing.
CHECKPOINTS_KEPT = 2
_POLL_S = 2.0


@dataclass(frozen=True)
class TrialJob:
    """One trial: its id, a folder name, a label for people, how many steps, its settings."""

    id: str
    folder: str
    label: str
    epochs: int
    settings: Mapping[str, Any]


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Ray for the time of a sweep: the cluster at `address`, or one of this machine's own.

    Raises UserError where no cluster answers at the address.
    """
    # Tune says on its own, at length, what the live view shows in a line; with the older output
    # it can be told not to.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # Its own handler of Ctrl-C lets `fit` return as if all were done.
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is not None:
        _check_address(address)
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise UserError where nothing listens: Ray itself would go on trying for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return  # `auto` and client addresses are Ray's to read
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster answers at {address}: {error}") from error


def trial_resources(wanted: Resources) -> dict[str, float]:
    """What a trial asks Ray for: its GPU share only where there are GPUs, or may yet be.

    Raises UserError where no node could ever hold one trial; on a cluster that grows by itself,
    where none has come that can within `scale_wait_s`.
    """
    begun, asking = time.monotonic(), False
    try:
        while True:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            gpus = max((node.get("GPU", 0) for node in nodes), default=0)
            needs_gpu = wanted.gpu and (gpus or wanted.scale)
            asked = {"cpu": wanted.cpu} | ({"gpu": wanted.gpu} if needs_gpu else {})
            fits = any(
                node.get("CPU", 0) >= asked["cpu"] and node.get("GPU", 0) >= asked.get("gpu", 0)
                for node in nodes
            )
            if fits or not wanted.scale or time.monotonic() - begun >= wanted.scale_wait_s:
                break
            if not asking:  # an autoscaler adds a node only where something asks for it
                asking = True
                request_resources(bundles=[{name.upper(): n for name, n in asked.items()}])
            time.sleep(_POLL_S)
    finally:
        # From here on the trials ask for themselves. Ray keeps a request until it is taken back:
        # after Ctrl-C it would go on holding a node.
        if asking:
            request_resources(bundles=[])
    if not fits:
        has = "; ".join(f"{n.get('CPU', 0):g} CPUs, {n.get('GPU', 0):g} GPUs" for n in nodes)
        raise UserError(
            f"a trial asks for {asked}, which no node of the cluster has ({has}): lower resources"
            + (
                f"; waited {wanted.scale_wait_s:g} s for one"
                if wanted.scale
                else ", or set resources.scale=true where nodes come by themselves"
            )
        )
    return asked


def places(asked: dict[str, float]) -> int:
    """How many trials, or actors, fit on all nodes at once."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = {name.upper(): amount for name, amount in asked.items()}
    # A hair more, for shares such as three times 0.33 of 0.99.
    return sum(int(min(n.get(k, 0) / v + 1e-6 for k, v in wanted.items())) for n in nodes)


@dataclass(frozen=True)
class HowToRun:
    """What decides how trials run, and never what comes out of them."""

    resources: Resources
    max_concurrent: int | None
    max_failures: int
    data_root: Path | None
    track: Tracking
    store: Store | None = None
    """Where Tune writes, if not into the local folder."""

    @property
    def root(self) -> str | None:
        """`data_root` for processes in another folder."""
        return None if self.data_root is None else str(self.data_root.expanduser().resolve())


def run_jobs(
    jobs: list[TrialJob], trainable: type[tune.Trainable], folder: Path, how: HowToRun
) -> list[dict[str, Any]]:
    """Run all jobs to their end under `folder`; the last record of each trial that reported.

    Nothing is made where there are no jobs.

    Called again with the same jobs it goes on: finished trials are not run again, unfinished and
    failed ones start from their newest checkpoint. Where Tune's own state can't be read, all are
    handed to it anew, and finished ones only say their last record again. So it is on a store.
    """
    if not jobs:
        return []
    folder = folder.resolve()  # Tune takes a relative path for a URI
    prepared = tune.with_resources(trainable, trial_resources(how.resources))
    if how.store is None and _restorable(folder):
        tuner = _restored(folder, prepared)
    else:
        tuner = _new_tuner(jobs, prepared, str(trainable.id_key), folder, how)  # type: ignore[attr-defined]
    results = tuner.fit()
    for _ in range(how.max_failures):
        if not _given_up_early(results, how.max_failures) or not _restorable(folder):
            break
        results = _restored(folder, prepared).fit()
    every = (results[index] for index in range(len(results)))
    return [dict(result.metrics) for result in every if result.metrics]


def _restored(folder: Path, trainable: Any) -> tune.Tuner:
    _forget_decisions(folder)
    return tune.Tuner.restore(
        str(folder), trainable=trainable, resume_unfinished=True, resume_errored=True
    )


def _given_up_early(results: tune.ResultGrid, max_failures: int) -> bool:
    """Whether Tune gave up a trial that had failures to spare.

    It does so where a process dies before its trial has begun to run (Ray 2.60).
    """
    trials = results._experiment_analysis.trials or []
    return any(t.status == t.ERROR and t.num_failures <= max_failures for t in trials)


def _restorable(folder: Path) -> bool:
    """Whether Tune has left a state that it can go on from.

    It writes its files over the old ones (Ray 2.60): killed meanwhile, it leaves them cut off. And
    tuner.pkl comes before the first snapshot; killed in between, Tune would go on with no trials.
    """
    states = sorted(folder.glob("experiment_state-*.json"))
    if not states or not tune.Tuner.can_restore(str(folder)):
        return False
    searchers = sorted(folder.glob("basic-variant-state-*.json"))
    try:
        json.loads(states[-1].read_text())
    except ValueError:
        return False
    return all(_whole_pickle(path) for path in (folder / "tuner.pkl", *searchers[-1:]))


def _whole_pickle(path: Path) -> bool:
    """Whether it ends as a pickle does; nothing in it is run."""
    return path.read_bytes().endswith(pickle.STOP)


def _forget_decisions(folder: Path) -> None:
    """Take decisions about trials out of Tune's state, to be made anew.

    A trial whose last failure struck while it saved a checkpoint leaves a STOP there, which would
    end it for good one step after it was resumed (Ray 2.60).
    """
    for path in sorted(folder.glob("experiment_state-*.json"))[-1:]:  # the one that Tune reads
        state = json.loads(path.read_text())
        if state.get("runner_data", {}).get("_cached_trial_decisions"):
            state["runner_data"]["_cached_trial_decisions"] = {}
            write_json(path, state)


def _new_tuner(
    jobs: list[TrialJob], trainable: Any, id_key: str, folder: Path, how: HowToRun
) -> tune.Tuner:
    entries = [
        {id_key: job.id, "folder": job.folder, "settings": dict(job.settings)} for job in jobs
    ]
    return tune.Tuner(
        trainable,
        param_space={
            "job": tune.grid_search(entries),
            "threads": how.resources.threads,
            "gpu_free_mib": how.resources.gpu_free_mib,
            "gpu_wait_s": how.resources.gpu_wait_s,
            "data_root": how.root,
        },
        tune_config=tune.TuneConfig(
            max_concurrent_trials=how.max_concurrent,
            scheduler=MemoryScheduler(how.resources),
            reuse_actors=True,
            trial_name_creator=folder_of,
            trial_dirname_creator=folder_of,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent) if how.store is None else how.store.path,
            storage_filesystem=None if how.store is None else how.store.files,
            callbacks=[
                LiveView(folder.name, {job.folder: (job.label, job.epochs) for job in jobs}),
                *trackers(how.track, folder.parent.name, folder.name),
            ],
            failure_config=tune.FailureConfig(max_failures=how.max_failures),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=1, num_to_keep=CHECKPOINTS_KEPT
            ),
            verbose=0,
        ),
    )


def folder_of(trial: Any) -> str:
    """The name of a trial and of its folder."""
    return str(trial.config["job"]["folder"])
