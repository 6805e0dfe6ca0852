"""What one run learnt: the strengths of its last epoch, and the retrainings of its cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.records.trial import ENDED
from drnas_ray.config import DataSettings
from drnas_ray.spaces import space_named


@dataclass(frozen=True)
class Retraining:
    """A training from scratch that a run waits for: its settings and its trial's folders."""

    retrain_id: str
    config: Mapping[str, Any]
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class SearchedRun:
    """One run at its last epoch. strengths: (T, E, O), not below 0, 0 for pruned operations."""

    run_id: str
    label: str
    method: str
    space: str
    seed: int
    data: DataSettings
    epoch: int
    ended: bool
    strengths: NDArray[np.float64]
    genotype: str | None
    """The cell that the run itself derived, if it did."""
    retrains: tuple[Retraining, ...] = ()

    @property
    def means(self) -> NDArray[np.float64]:
        """(T, E, O): strengths as shares of their edge. For DrNAS, the means of its Dirichlets."""
        shares: NDArray[np.float64] = self.strengths / self.strengths.sum(-1, keepdims=True)
        return shares

    def retraining(self, canonical: str) -> Retraining | None:
        """The training from scratch of a canonical cell on this run's data set, if there is one."""
        for job in self.retrains:
            data = job.config["data"]
            same_images = (data.get("name"), data.get("path")) == (self.data.name, self.data.path)
            if job.config["genotype"] == canonical and same_images:
                return job
        return None


class NoStrengthsError(Exception):
    """Why a run has no distribution, as what follows 'run ID'."""


def searched_run(facts: Mapping[str, Any], last: Mapping[str, Any]) -> SearchedRun:
    """The run of these facts and its row of epochs: the last, or the answer of an early stop.

    facts: what a run is told by, the fields from run_id to seed, `data` plain, maybe `retrains`.
    Raises NoStrengthsError with the reason, as what follows 'run ID'.
    """
    if not last:
        raise NoStrengthsError("has reported no epoch yet")
    if last["strengths"] is None:
        raise NoStrengthsError(
            f"({facts['method']}) has no strengths of operations: this method learns no "
            "distribution to derive from"
        )
    shape = space_named(facts["space"]).shape
    try:
        strengths = np.array(last["strengths"], dtype=float)  # None becomes nan
    except (TypeError, ValueError):
        strengths = np.zeros(0)
    if strengths.shape != shape:
        raise NoStrengthsError(f"has strengths of another shape than {facts['space']}'s {shape}")
    usable = np.isfinite(strengths).all() and (strengths >= 0).all()
    if not usable or not (strengths.sum(-1) > 0).all():
        raise NoStrengthsError(
            f"has strengths that are no shares at epoch {last['epoch']}: diverged"
        )
    return SearchedRun(
        **{**facts, "data": DataSettings.model_validate(facts["data"])},
        epoch=int(last["epoch"]),
        ended=last["status"] in ENDED,
        strengths=strengths,
        genotype=last["genotype"],
    )
