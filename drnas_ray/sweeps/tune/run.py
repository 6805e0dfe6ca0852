"""Running a tuning: one Tune experiment for each driver, all from one ledger."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ray import tune

from drnas_ray.results.journal import LEDGER, Ledger
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
    """Run it into `out`, or go on with what is there. Raises UserError before any trial.

    A driver that goes on makes an experiment of its own, `search-1` and so on, of the points that
    the ledger has unfinished and of those to come: nothing depends on how much of Tune's own state
    had reached the disk.
    """
    with cluster(address):
        resources = trial_resources(execution.resources)
        make_folder(out, tuning.sweep, [])
        ledger = Ledger(out / LEDGER)
        at_once, most = max(1, places(resources)), execution.max_concurrent
        if most is not None:
            # Where the cluster grows, nodes come as points ask for them.
            at_once = most if execution.resources.scale else min(at_once, most)
        kind = PopulationSearcher if tuning.spec.scheduler == "pbt" else PointSearcher
        searcher = kind(tuning, ledger, at_once, partial(earlier_folders, out.resolve()))
        if searcher.left:
            folder = fresh_folder(out)
            new_tuner(
                tune.with_resources(trainable, resources),
                folder,
                execution,
                view=TuningView(folder.name, tuning, searcher.left),
                scheduler=scheduler(tuning, ledger),
                search_alg=searcher,
                num_samples=searcher.left,
            ).fit()


def earlier_folders(out: Path, name: str) -> list[str]:
    """Trials so far of the point of this folder name, the newest last."""
    found = [sorted(folder.glob(f"{name}*")) for folder in _experiments(out)]
    return [str(folder) for part in found for folder in part]


def fresh_folder(out: Path) -> Path:
    """The experiment folder of this driver."""
    count = len(_experiments(out))
    return out.resolve() / ("search" if count == 0 else f"search-{count}")


def _experiments(out: Path) -> list[Path]:
    """`search`, `search-1`, and so on, without a gap."""
    found = [out / "search"]
    while found[-1].is_dir():
        found.append(out / f"search-{len(found)}")
    return found[:-1]
