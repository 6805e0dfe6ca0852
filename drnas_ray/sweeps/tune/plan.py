"""From the `search:` section to a checked tuning: space, metric, points, scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drnas_ray.config import QueryConfig, RunSettings, SearchConfig
from drnas_ray.core.errors import UserError, did_you_mean
from drnas_ray.results.metrics import RunKind, held_out, tunable
from drnas_ray.sweeps.plan.runs import PlannedRun, plan_runs
from drnas_ray.sweeps.spec.dimensions import Dimension, dimensions
from drnas_ray.sweeps.spec.sweep import SweepConfig
from drnas_ray.sweeps.spec.tuning import TuningSpec

MAY_CHANGE = (
    "arch.lr", "arch.betas", "arch.weight_decay", "weights.lr", "weights.lr_min",
    "weights.momentum", "weights.weight_decay", "weights.clip", "method.penalty_scale",
)  # fmt: skip
"""Settings that may change while a search runs: they shape no tensor and are read every epoch."""
LEAST_MEMBERS = 4
"""The smallest population."""


@dataclass(frozen=True)
class Tuning:
    """A checked tuning."""

    sweep: SweepConfig
    spec: TuningSpec
    dims: tuple[Dimension, ...]
    tried: tuple[PlannedRun, ...]
    """Runs at the extremes of the space, checked in place of all to come."""

    @property
    def label(self) -> str:
        """The row in tables."""
        return self.tried[0].label

    @property
    def epochs(self) -> int:
        """The most epochs that a run takes."""
        return max(run.epochs for run in self.tried)

    def runs(self, values: Mapping[str, Any]) -> list[PlannedRun]:
        """One run for each seed. Raises UserError where the values exclude each other."""
        return runs_at(self.sweep, values)


def runs_at(sweep: SweepConfig, values: Mapping[str, Any]) -> list[PlannedRun]:
    """The runs of one point: those of a grid with only this point."""
    grid = {key: [value] for key, value in values.items()}
    fixed = sweep.model_copy(update={"grid": grid, "search": None})
    runs = plan_runs(fixed, axes="search.space")
    for key in values:
        if key not in runs[0].variant:
            raise UserError(
                f"search.space {key}: runs of method {runs[0].config.method.name} have no such "
                "setting"
            )
    return runs


def plan_tuning(sweep: SweepConfig) -> Tuning:
    """The tuning of a sweep with a `search:` section. Raises UserError for the first problem."""
    assert sweep.search is not None
    spec = sweep.search
    dims = dimensions(spec.space)
    _check_alone(sweep)
    _check_points(spec, dims)
    tuning = Tuning(sweep, spec, dims, tuple(_tried(sweep, spec, dims)))
    _check_metric(spec.metric, tuning.tried[0])
    _check_scheduler(spec, dims, tuning.epochs)
    if spec.scheduler == "pbt":
        _check_pbt(spec, tuning.tried[0])
    return tuning


def _check_alone(sweep: SweepConfig) -> None:
    for what, given in (("methods", sweep.methods), ("datasets", sweep.datasets)):
        if len(given) != 1 or given == ("all",):
            count = "all" if given == ("all",) else len(given)
            raise UserError(
                f"{what}: {count} are listed, and `search` tunes one: give each its own sweep file"
            )
    if sweep.grid:
        raise UserError(
            f"grid over {', '.join(sweep.grid)} with `search`: HyperOpt refuses a grid, put the "
            "key into search.space as a choice"
        )
    if sweep.retrain is not None:
        raise UserError(
            "retrain with `search`: every point's cells would be trained: set retrain to null, and "
            "retrain in a sweep with the best point's settings"
        )
    for name in ("retry_oom", "gpu_free_mib"):
        if getattr(sweep.resources, name):
            raise UserError(
                f"resources.{name}={getattr(sweep.resources, name)} with `search`: tunings do not "
                "use it, leave it out"
            )
    if sweep.protocol != "search":
        raise UserError(f"protocol {sweep.protocol} with `search`: use protocol search")


def _check_points(spec: TuningSpec, dims: tuple[Dimension, ...]) -> None:
    keys = {dim.key for dim in dims}
    for number, point in enumerate(spec.points):
        if set(point) != keys:
            raise UserError(
                f"search.points[{number}] sets {sorted(point)}, and a point must set every key of "
                f"the space: {sorted(keys)}"
            )
        for dim in dims:
            dim.raw(point[dim.key])
    if len(spec.points) > spec.trials:
        raise UserError(
            f"search.points lists {len(spec.points)} points, more than trials={spec.trials}"
        )


def _tried(sweep: SweepConfig, spec: TuningSpec, dims: tuple[Dimension, ...]) -> list[PlannedRun]:
    """The runs of the given points and of each key's extremes, the other keys at their first value.

    Not every combination is tried: a point whose values exclude each other is noted as invalid when
    HyperOpt asks for it.
    """
    start = {dim.key: dim.extremes[0] for dim in dims}
    middle = dict(spec.points[0]) if spec.points else start
    tried = [middle, *spec.points[1:]]
    tried += [{**middle, dim.key: end} for dim in dims for end in dim.extremes]
    return [run for point in tried for run in runs_at(sweep, point)]


def run_kind(config: RunSettings) -> RunKind:
    """What epochs of such runs can report."""
    if isinstance(config, SearchConfig):
        return RunKind.supernet
    return RunKind.multi_trial if isinstance(config, QueryConfig) else RunKind.no_feedback


def _check_metric(metric: str, run: PlannedRun) -> None:
    if held_out(metric):
        raise UserError(
            f"search.metric={metric}: test, retraining and benchmark figures are never used to "
            "choose settings; take a figure of the search itself, such as val_mean_acc_pct"
        )
    known = tunable(run_kind(run.config))
    if metric not in known:
        raise UserError(
            f"search.metric={metric} can't be optimised by runs of method "
            f"{run.config.method.name}: {did_you_mean(metric, known)}known: {', '.join(known)}"
        )


def _check_scheduler(spec: TuningSpec, dims: tuple[Dimension, ...], epochs: int) -> None:
    taken_by = {
        "grace_epochs": ("asha", "median"),
        "reduction_factor": ("asha",),
        "interval_epochs": ("pbt",),
    }
    for name, schedulers in taken_by.items():
        if getattr(spec, name) is not None and spec.scheduler not in schedulers:
            raise UserError(
                f"search.{name} with scheduler {spec.scheduler}: it is a setting of "
                f"{' and '.join(schedulers)}"
            )
    if spec.scheduler == "none":
        return
    if epochs == 1:
        raise UserError(
            f"search.scheduler={spec.scheduler}: these runs report once, at their end: use none"
        )
    if any(dim.key == "epochs" for dim in dims):
        raise UserError(
            f"search.scheduler={spec.scheduler} compares points after equal epochs, and "
            "search.space changes epochs: use scheduler none, or take epochs out"
        )
    if (spec.grace_epochs or 1) >= epochs:
        raise UserError(
            f"search.grace_epochs={spec.grace_epochs} of epochs={epochs} leaves no epoch to stop "
            "at: give fewer"
        )


def _check_pbt(spec: TuningSpec, run: PlannedRun) -> None:
    if not isinstance(run.config, SearchConfig):
        raise UserError(
            f"search.scheduler=pbt with method {run.config.method.name}: a copy continues "
            "another's supernet, and these runs have none"
        )
    fixed = [key for key in spec.space if key not in MAY_CHANGE]
    if fixed:
        raise UserError(
            f"search.scheduler=pbt with {fixed[0]} in the space: it can't change while a search "
            f"runs; settings that can: {', '.join(MAY_CHANGE)}"
        )
    if spec.n_initial_points < spec.trials:
        raise UserError(
            f"search.scheduler=pbt with n_initial_points={spec.n_initial_points} of "
            f"trials={spec.trials}: PBT changes values itself, so HyperOpt can't choose any (Ray "
            "refuses the pair too): set n_initial_points to trials, or use another scheduler"
        )
    if spec.trials < LEAST_MEMBERS:
        raise UserError(
            f"search.scheduler=pbt with trials={spec.trials}: the worst quarter of the members "
            f"copies the best quarter: give at least {LEAST_MEMBERS}"
        )
    epochs = run.epochs
    if spec.interval_epochs is None or spec.interval_epochs >= epochs:
        raise UserError(
            f"search.scheduler=pbt with interval_epochs={spec.interval_epochs}: give the epochs "
            f"between comparisons, fewer than epochs={epochs}, such as {max(1, epochs // 5)}"
        )
