"""Running a tuning: one Tune experiment for each driver, all from one journal."""

from __future__ import annotations

from functools import partial
from itertools import count, takewhile
from pathlib import Path

from ray import tune

from drnas_ray.results.journal import Journal
from drnas_ray.results.layout import JOURNAL_FILE, SEARCH, experiment
from drnas_ray.sweeps.folder import make_folder
from drnas_ray.sweeps.ray_tune.session import cluster, places, trial_resources
from drnas_ray.sweeps.ray_tune.tuner import ExecutionSettings, new_tuner
from drnas_ray.sweeps.tune.plan import Tuning
from drnas_ray.sweeps.tune.population import PopulationSearcher
from drnas_ray.sweeps.tune.schedulers import scheduler
from drnas_ray.sweeps.tune.searcher import PointSearcher
from drnas_ray.sweeps.tune.view import TuningView


def run_tuning(
    tuning: Tuning,
    out: Path,
    trainable: type[tune.Trainable],
    execution: ExecutionSettings,
    *,
    address: str | None,
) -> None:
    """Run it into `out`, or continue what is there. Raises UserError before any trial.

    A later driver makes an experiment of its own, `search-1` and so on, of the journal's unfinished
    points and those to come: nothing depends on how much of Tune's own state had reached the disk.
    """
    with cluster(address):
        resources = trial_resources(execution.resources)
        make_folder(out, tuning.sweep, [])
        journal = Journal(out / JOURNAL_FILE)
        at_once, most = max(1, places(resources)), execution.max_concurrent
        if most is not None:
            # Where the cluster grows, nodes come as points ask for them.
            at_once = most if execution.resources.scale else min(at_once, most)
        kind = PopulationSearcher if tuning.spec.scheduler == "pbt" else PointSearcher
        searcher = kind(tuning, journal, at_once, partial(earlier_folders, out.resolve()))
        if searcher.left:
            folder = fresh_folder(out)
            new_tuner(
                tune.with_resources(trainable, resources),
                folder,
                execution,
                view=TuningView(folder.name, tuning, searcher.left),
                scheduler=scheduler(tuning, journal),
                search_alg=searcher,
                num_samples=searcher.left,
            ).fit()


def earlier_folders(out: Path, name: str) -> list[str]:
    """Trials so far of the point with this folder name, the newest last."""
    found = [sorted(folder.glob(f"{name}*")) for folder in _experiments(out)]
    return [str(folder) for part in found for folder in part]


def fresh_folder(out: Path) -> Path:
    """The experiment folder of this driver."""
    return out.resolve() / experiment(SEARCH, len(_experiments(out)))


def _experiments(out: Path) -> list[Path]:
    """`search`, `search-1`, and so on, without a gap."""
    names = (experiment(SEARCH, number) for number in count())
    return list(takewhile(Path.is_dir, (out / name for name in names)))
