"""Diagnostics of a search after an epoch: the loss's curvature and shape around what is learnt.

They only observe: weights, running statistics, what is learnt and the run's random state are the
same, bit for bit, with and without them. All are measured on one batch of the architecture's half
that is fixed for the run, and all randomness follows from the seed and the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drnas_ray.config import LAST
from drnas_ray.methods.base import Batch
from drnas_ray.search.clock import Clock
from drnas_ray.search.diagnostics.earlystop import stop_early
from drnas_ray.search.diagnostics.fixed import fixed_batch, seed_of
from drnas_ray.search.diagnostics.hessian import curvature
from drnas_ray.search.diagnostics.landscape import landscape
from drnas_ray.search.diagnostics.proposition1 import proposition1
from drnas_ray.search.rng import RandomState
from drnas_ray.search.steps import Run

Measure = Callable[[Run, Batch], dict[str, Any]]


def diagnose(run: Run) -> dict[str, Any]:
    """Further entries for the record of the epoch that ended; none where nothing is due.

    `diagnostics_s` is how long it took. With early stopping the run may be finished after it.
    """
    settings, clock = run.config.diagnostics, Clock(run.device)
    record = _measured(run, settings.hessian, curvature)
    eigenvalue = record.get("hessian_max_eigenvalue")
    if settings.early_stop is not None and eigenvalue is not None:
        record |= stop_early(run, settings.early_stop, eigenvalue)
    # After early stopping, so that `last` is also due where the search stops early.
    record |= _measured(run, settings.proposition1, proposition1)
    record |= _measured(run, settings.landscape, landscape)
    return {**record, "diagnostics_s": clock.seconds()["wall_s"]} if record else {}


def _measured(run: Run, every: int | str | None, measure: Measure) -> dict[str, Any]:
    """The measure's figures if it is due, with a random state for it alone."""
    if every is None:
        return {}
    due = run.finished if every == LAST else run.epoch % int(every) == 0
    if not due:
        return {}
    with RandomState(seed_of(run, measure.__name__, run.epoch), run.device).in_use():
        return measure(run, fixed_batch(run))
