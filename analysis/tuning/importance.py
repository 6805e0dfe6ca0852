"""Which tuned setting matters: permutation importance of a random forest (Breiman 2001)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.tuning.results import Tuning
from drnas_ray.core.errors import UserError
from drnas_ray.results.status import Status

FEWEST = 8
"""With fewer done points, a forest is fitted to noise."""
_TREES, _SHUFFLES, _FOLDS = 200, 20, 4


@dataclass(frozen=True)
class Importance:
    """How much each key matters.

    share: key -> importance. r2: the forest's R² on held-out points; if it is near or below 0, the
    importances mean nothing. points: done points of the tuning.
    """

    share: Mapping[str, float]
    r2: float
    points: int


def importance(tuning: Tuning) -> Importance:
    """How much worse a random forest predicts the objective when a key's values are shuffled.

    The done points are split into four folds. For each, a forest (200 trees, scikit-learn, fixed
    seeds) is fitted to the other three folds and predicts this one. A key's importance is the rise
    of the mean squared error when its values are permuted over the held-out points (mean of 20
    permutations), divided by the objective's variance. 0: the key carries no information; 1:
    without it the error rises by as much as the objective varies. It holds within the space that
    was tried, of which HyperOpt tries good regions more often.

    Raises UserError with fewer than 8 done points, or if all have the same objective.
    """
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415  (a second to import)
    from sklearn.model_selection import KFold  # noqa: PLC0415

    features, target = _done(tuning)
    rng = np.random.default_rng(0)
    errors, rises = [], np.zeros(len(tuning.keys))
    for fitted, held_out in KFold(_FOLDS, shuffle=True, random_state=0).split(features):
        forest = RandomForestRegressor(_TREES, random_state=0).fit(features[fitted], target[fitted])
        error = (forest.predict(features[held_out]) - target[held_out]) ** 2
        errors.append(error)
        for key in range(len(tuning.keys)):
            out = features[held_out], target[held_out]
            for worse in _errors_when_shuffled(forest, *out, key, rng):
                rises[key] += (worse - error).sum() / _SHUFFLES
    variance = target.var()
    share = {
        key: float(rise / len(target) / variance)
        for key, rise in zip(tuning.keys, rises, strict=True)
    }
    return Importance(share, float(1 - np.concatenate(errors).mean() / variance), len(target))


def _done(tuning: Tuning) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(points, keys) coordinates and (points,) objectives of the done points."""
    done = tuning.points["status"].eq(Status.done) & tuning.points["objective"].notna()
    target = tuning.points.loc[done, "objective"].to_numpy(float)
    if len(target) < FEWEST:
        raise UserError(f"only {len(target)} points are done: importance needs at least {FEWEST}")
    if np.ptp(target) == 0:
        raise UserError("all points have the same objective: no key matters")
    features = np.column_stack([tuning.coordinates(key) for key in tuning.keys])
    return features[done.to_numpy()], target


def _errors_when_shuffled(
    forest: Any,
    features: NDArray[np.float64],
    target: NDArray[np.float64],
    key: int,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.float64]]:
    """(points,) squared errors of the predictions, for each permutation of the key's values."""
    for _ in range(_SHUFFLES):
        shuffled = features.copy()
        shuffled[:, key] = rng.permutation(shuffled[:, key])
        yield (forest.predict(shuffled) - target) ** 2
