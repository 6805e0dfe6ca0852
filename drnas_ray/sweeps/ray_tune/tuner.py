"""Many jobs through Ray Tune, one trial each: run to the end, or resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ray import tune
from ray.tune.schedulers import TrialScheduler

from drnas_ray.core.stores import Store
from drnas_ray.sweeps.ray_tune.live import LiveView, SweepView
from drnas_ray.sweeps.ray_tune.oom_scheduler import OutOfMemoryScheduler
from drnas_ray.sweeps.ray_tune.session import trial_resources
from drnas_ray.sweeps.ray_tune.snapshot import can_be_restored, restored
from drnas_ray.sweeps.ray_tune.track import trackers
from drnas_ray.sweeps.spec.sweep import Resources, Tracking

# A trial resumes from its newest checkpoint that can be read; the second is for when the newest is
# truncated.
CHECKPOINTS_KEPT = 2


@dataclass(frozen=True)
class TrialSpec:
    """One trial: its id and the id's key, a folder name, a label to show, how many steps it takes,
    and its settings as plain JSON (of a batch: by run id)."""

    id_key: Literal["run_id", "retrain_id", "pack_id"]
    """`pack_id`: of a batch of short runs, once called a pack."""
    id: str
    folder: str
    label: str
    epochs: int
    settings: Mapping[str, Any]

    @property
    def job(self) -> dict[str, Any]:
        """The `job` of the trial's config, which params.json keeps."""
        return {self.id_key: self.id, "folder": self.folder, "settings": dict(self.settings)}


@dataclass(frozen=True)
class ExecutionSettings:
    """How trials run; nothing here changes their results."""

    resources: Resources
    max_concurrent: int | None
    max_failures: int
    data_root: Path | None
    track: Tracking
    store: Store | None = None
    """Where Tune writes, if not into the local folder."""

    @property
    def for_trials(self) -> dict[str, Any]:
        """What every trial's config holds beside its job, for a process in another folder."""
        root = self.data_root
        return {
            "threads": self.resources.threads,
            "gpu_free_mib": self.resources.gpu_free_mib,
            "gpu_wait_s": self.resources.gpu_wait_s,
            "data_root": None if root is None else str(root.expanduser().resolve()),
        }


def run_trials(
    trials: Sequence[TrialSpec],
    trainable: type[tune.Trainable],
    folder: Path,
    execution: ExecutionSettings,
) -> list[dict[str, Any]]:
    """Run all trials to their end under `folder`; the last record of each that reported.

    Without trials nothing is created.

    Called again with the same trials it continues: finished ones are not run again, unfinished and
    failed ones start from their newest checkpoint. Where Tune's own state can't be read, all are
    handed to it again, and finished ones only return their last record again. The same happens on a
    store, where its state is not looked at.
    """
    if not trials:
        return []
    folder = folder.resolve()  # Tune takes a relative path for a URI
    prepared = tune.with_resources(trainable, trial_resources(execution.resources))
    if execution.store is None and can_be_restored(folder):
        tuner = restored(folder, prepared)
    else:
        view = SweepView(folder.name, {each.folder: (each.label, each.epochs) for each in trials})
        tuner = new_tuner(
            prepared,
            folder,
            execution,
            view=view,
            param_space={"job": tune.grid_search([each.job for each in trials])},
            scheduler=OutOfMemoryScheduler(execution.resources),
            max_concurrent_trials=execution.max_concurrent,
        )
    results = tuner.fit()
    for _ in range(execution.max_failures):
        if not _given_up_early(results, execution.max_failures) or not can_be_restored(folder):
            break
        results = restored(folder, prepared).fit()
    every = (results[index] for index in range(len(results)))
    return [dict(result.metrics) for result in every if result.metrics]


def new_tuner(
    trainable: Any,
    folder: Path,
    execution: ExecutionSettings,
    *,
    view: LiveView,
    scheduler: TrialScheduler,
    param_space: Mapping[str, Any] | None = None,
    **search: Any,
) -> tune.Tuner:
    """A Tune experiment in `folder`. search: further arguments of `tune.TuneConfig`."""
    store = execution.store
    return tune.Tuner(
        trainable,
        param_space={**execution.for_trials, **(param_space or {})},
        tune_config=tune.TuneConfig(
            scheduler=scheduler,
            reuse_actors=True,
            trial_name_creator=_folder_of,
            trial_dirname_creator=_folder_of,
            **search,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent) if store is None else store.path,
            storage_filesystem=None if store is None else store.files,
            callbacks=[view, *trackers(execution.track, folder.parent.name, folder.name)],
            failure_config=tune.FailureConfig(max_failures=execution.max_failures),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=1, num_to_keep=CHECKPOINTS_KEPT
            ),
            verbose=0,
        ),
    )


def _given_up_early(results: tune.ResultGrid, max_failures: int) -> bool:
    """Whether Tune gave up a trial that had failures to spare.

    It does so where a process dies before its trial has begun to run (Ray 2.60).
    """
    trials = results._experiment_analysis.trials or []
    return any(t.status == t.ERROR and t.num_failures <= max_failures for t in trials)


def _folder_of(trial: Any) -> str:
    """The name of a trial and of its folder."""
    return str(trial.config["job"]["folder"])
