"""One searched run: the strengths that it learnt, and the retrainings of its cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drnas_ray.config import DataSettings
from drnas_ray.core.distribution import Distribution
from drnas_ray.results.compat import distribution_of
from drnas_ray.results.status import ENDED
from drnas_ray.spaces import space_named


@dataclass(frozen=True)
class Retraining:
    """A training from scratch of a run's cell: its settings, and the folders of its trials."""

    retrain_id: str
    config: Mapping[str, Any]
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class SearchedRun:
    """One run with the strengths of its last epoch, or of an earlier one that an early stop chose.

    strengths: (T, E, O), at least 0, and 0 for pruned operations.
    """

    run_id: str
    label: str
    method: str
    space: str
    seed: int
    data: DataSettings
    epoch: int
    ended: bool
    strengths: NDArray[np.float64]
    distribution: Distribution
    """What the strengths parametrise."""
    genotype: str | None
    """The cell that the run itself derived, if it has."""
    retrains: tuple[Retraining, ...] = ()

    @property
    def means(self) -> NDArray[np.float64]:
        """(T, E, O): strengths as shares of their edge; for a Dirichlet, its means."""
        shares: NDArray[np.float64] = self.strengths / self.strengths.sum(-1, keepdims=True)
        return shares

    def retraining(self, canonical: str) -> Retraining | None:
        """The training from scratch of a canonical cell on this run's data set, if any."""
        for job in self.retrains:
            data = job.config["data"]
            same_images = (data.get("name"), data.get("path")) == (self.data.name, self.data.path)
            if job.config["genotype"] == canonical and same_images:
                return job
        return None


class NoStrengthsError(Exception):
    """A run has no usable strengths; the message continues 'run ID'."""


def searched_run(facts: Mapping[str, Any], last: Mapping[str, Any]) -> SearchedRun:
    """The run with these fields and this row of its epochs.

    facts: the fields of `SearchedRun` from run_id to seed, `data` as a dict, and maybe `retrains`
    and `distribution`, which results of earlier versions lack. last: the columns of the epoch whose
    cell is the answer, empty if none was reported. Raises NoStrengthsError if it has no strengths
    that a cell can be derived from.
    """
    if not last:
        raise NoStrengthsError("has not reported an epoch yet")
    if last["strengths"] is None:
        raise NoStrengthsError(
            f"({facts['method']}) has no strengths: its method does not rank operations"
        )
    shape = space_named(facts["space"]).shape
    try:
        strengths = np.array(last["strengths"], dtype=float)  # None becomes nan
    except (TypeError, ValueError):
        strengths = np.zeros(0)
    if strengths.shape != shape:
        raise NoStrengthsError(
            f"has strengths whose shape is not {shape}, that of {facts['space']}"
        )
    usable = np.isfinite(strengths).all() and (strengths >= 0).all()
    if not usable or not (strengths.sum(-1) > 0).all():
        raise NoStrengthsError(
            f"has no valid strengths at epoch {last['epoch']}: they must be finite, at least 0, "
            "and not all 0 on an edge"
        )
    return SearchedRun(
        **{
            **{name: value for name, value in facts.items() if name != "distribution"},
            "data": DataSettings.model_validate(facts["data"]),
        },
        epoch=int(last["epoch"]),
        ended=last["status"] in ENDED,
        strengths=strengths,
        distribution=distribution_of(facts["method"], facts.get("distribution")),
        genotype=last["genotype"],
    )
