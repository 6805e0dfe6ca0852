"""Running a tuning: one Tune experiment for each driver, all from one journal."""

from __future__ import annotations

from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from ray import tune

from drnas_ray.core.errors import UserError
from drnas_ray.results.journal import Journal
from drnas_ray.results.layout import JOURNAL_FILE, SEARCH, experiment
from drnas_ray.sweeps.folder import make_folder
from drnas_ray.sweeps.ray_tune.track import trackers
from drnas_ray.sweeps.ray_tune.tuner import (
    CHECKPOINTS_KEPT,
    HowToRun,
    cluster,
    folder_of,
    places,
    trial_resources,
)
from drnas_ray.sweeps.spec.sweep import Resources
from drnas_ray.sweeps.tune.plan import Tuning
from drnas_ray.sweeps.tune.population import PopulationSearcher
from drnas_ray.sweeps.tune.schedulers import scheduler
from drnas_ray.sweeps.tune.searcher import PointSearcher
from drnas_ray.sweeps.tune.view import TuningView


def run_tuning(
    tuning: Tuning,
    out: Path,
    trainable: type[tune.Trainable],
    how: HowToRun,
    *,
    address: str | None,
) -> None:
    """Run it into `out`, or go on with what is there. Raises UserError before any trial.

    A driver that goes on makes an experiment of its own, `search-1` and so on, of the points that
    the journal has unfinished and of those to come: nothing hangs on how much of Tune's own state
    had reached the disk.
    """
    with cluster(address):
        resources = trial_resources(how.resources)
        check_places(places(resources), tuning.spec.seeds_at_once, how.resources)
        make_folder(out, tuning.sweep, [])
        journal = Journal(out / JOURNAL_FILE)
        at_once = max(1, places(resources) // tuning.spec.seeds_at_once)
        if how.resources.scale and how.max_concurrent:
            at_once = how.max_concurrent  # the nodes for it come as they are asked for
        kind = PopulationSearcher if tuning.spec.scheduler == "pbt" else PointSearcher
        searcher = kind(
            tuning,
            journal,
            min(at_once, how.max_concurrent or at_once),
            partial(earlier_folders, out.resolve()),
        )
        if searcher.left:
            folder = fresh_folder(out)
            _tuner(searcher, trainable, folder=folder, how=how, resources=resources).fit()


def check_places(free: int, seeds_at_once: int, wanted: Resources) -> None:
    """Raise UserError where a point's runs never fit at once: its trial would wait for ever."""
    if free < seeds_at_once and not wanted.scale:
        raise UserError(
            f"search.seeds_at_once={seeds_at_once}: the cluster holds {free} runs at once with "
            f"resources cpu={wanted.cpu:g}, gpu={wanted.gpu:g}: give no more, or lower resources"
        )


def earlier_folders(out: Path, name: str) -> list[str]:
    """Trials so far of the point of this folder name, the newest last."""
    found = [sorted(folder.glob(f"{name}*")) for folder in _experiments(out)]
    return [str(folder) for part in found for folder in part]


def fresh_folder(out: Path) -> Path:
    """The experiment folder of this driver."""
    return out.resolve() / experiment(SEARCH, len(_experiments(out)))


def _experiments(out: Path) -> list[Path]:
    """`search`, `search-1`, and so on, without a gap."""
    names = (experiment(SEARCH, number) for number in count())
    return list(takewhile(Path.is_dir, (out / name for name in names)))


def _tuner(
    searcher: PointSearcher,
    trainable: type[tune.Trainable],
    *,
    folder: Path,
    how: HowToRun,
    resources: dict[str, float],
) -> tune.Tuner:
    tuning = searcher.tuning
    at_once = tuning.spec.seeds_at_once
    asked: Any = resources
    if at_once > 1:
        # The trial itself only waits for its runs, which are processes of their own.
        bundle = {name.upper(): amount for name, amount in resources.items()}
        asked = tune.PlacementGroupFactory([{}, *[bundle] * at_once])
    return tune.Tuner(
        tune.with_resources(trainable, asked),
        param_space={
            "seeds_at_once": at_once,
            "resources": resources,
            "threads": how.resources.threads,
            "data_root": how.root,
        },
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler(tuning, searcher.journal),
            num_samples=searcher.left,
            reuse_actors=True,
            trial_name_creator=folder_of,
            trial_dirname_creator=folder_of,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            callbacks=[
                TuningView(folder.name, tuning, searcher.left),
                *trackers(how.track, folder.parent.name, folder.name),
            ],
            failure_config=tune.FailureConfig(max_failures=how.max_failures),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=1, num_to_keep=CHECKPOINTS_KEPT
            ),
            verbose=0,
        ),
    )
