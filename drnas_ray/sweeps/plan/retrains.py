"""From finished searches to the trainings from scratch of the cells that they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from drnas_ray.config import RetrainConfig, RunSettings, merged
from drnas_ray.core.errors import UserError
from drnas_ray.parsing import retrain_config
from drnas_ray.spaces import space_named
from drnas_ray.sweeps.plan.keys import leaves
from drnas_ray.sweeps.plan.runs import PlannedRun
from drnas_ray.sweeps.spec.sweep import SweepConfig


def plan_retrains(
    sweep: SweepConfig, finished: Mapping[str, str], runs: Sequence[PlannedRun]
) -> dict[str, tuple[RetrainConfig, list[str]]]:
    """Trainings from scratch: id -> (settings, the run ids that wait for it).

    finished: run id -> derived genotype. Equal canonical cells under one seed are trained once,
    as the canonical cell, so the result does not depend on which run finished first.
    """
    if sweep.retrain is None:
        return {}
    jobs: dict[str, tuple[RetrainConfig, list[str]]] = {}
    for run in runs:
        if run.run_id not in finished:
            continue
        config = retrain_of(sweep, run.config, finished[run.run_id])
        jobs.setdefault(config.id(), (config, []))[1].append(run.run_id)
    return jobs


def retrain_of(sweep: SweepConfig, run: RunSettings, genotype: str) -> RetrainConfig:
    """The recipe of the sweep for one derived cell. Raises UserError for an invalid recipe."""
    recipe = sweep.retrain or {}
    for key in ("genotype", "space", "seed", "data.name", "data.path"):
        if key in recipe or key in leaves(recipe):
            raise UserError(f"retrain.{key} follows from each run: take it out of the recipe")
    given = {
        "genotype": space_named(run.space).canonical(genotype),
        "space": run.space,
        "seed": run.seed,
        "data": run.data.model_dump(),
    }
    return retrain_config(merged(given, recipe))


def example_training(sweep: SweepConfig, run: RunSettings) -> RetrainConfig:
    """The training of some cell of the run's space: which one it finds is not known yet."""
    return retrain_of(sweep, run, space_named(run.space).random(np.random.default_rng(0)))
