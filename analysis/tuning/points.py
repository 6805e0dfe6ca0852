"""What a tuning found: its points, the best of them, and which key matters.

A point's objective is the mean over its seeds of one figure after the last epoch. Points that a
scheduler stopped have one of fewer epochs: they are shown, and never ranked with the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from drnas_ray.core.errors import UserError

FEWEST = 8
"""Done points under which a forest is fitted to noise."""
_TREES, _SHUFFLES, _FOLDS = 200, 20, 4


@dataclass(frozen=True)
class Tuning:
    """One tuning of a results folder.

    points: a row a point, in the order asked: point, status (done, stopped, diverged, error,
    running, pending), objective, seeds, epochs_done, run_ids, and a column for each key.
    """

    search: Mapping[str, Any]
    label: str
    dataset: str
    points: pd.DataFrame

    @property
    def keys(self) -> tuple[str, ...]:
        """The tuned settings."""
        return tuple(self.search["space"])

    @property
    def metric(self) -> str:
        """What the objective is the mean of."""
        return str(self.search["metric"])

    @property
    def largest(self) -> bool:
        """Whether a larger objective is better."""
        return bool(self.search["mode"] == "max")

    def kind(self, key: str) -> str:
        """uniform, loguniform, quniform, qloguniform, randint or choice."""
        return str(next(iter(self.search["space"][key])))

    def options(self, key: str) -> list[Any]:
        """Of a choice."""
        return list(self.search["space"][key]["choice"])

    def coordinates(self, key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Each point's place along the key: its value, the logarithm on a logarithmic scale, or
        the place of its option."""
        values = self.points[key].tolist()
        if self.kind(key) == "choice":
            texts = [json.dumps(option, sort_keys=True) for option in self.options(key)]
            return np.array([texts.index(json.dumps(v, sort_keys=True)) for v in values], float)
        found = np.array(values, float)
        return np.log(found) if "log" in self.kind(key) else found

    @property
    def done(self) -> pd.DataFrame:
        """The points whose runs all went to their end, best first; the earlier of equals first."""
        done = self.points[(self.points["status"] == "done") & self.points["objective"].notna()]
        return done.sort_values("objective", ascending=not self.largest, kind="stable")


def tunings(runs: pd.DataFrame) -> list[Tuning]:
    """The tunings among runs as `collect`, `load` or `read_runs` give them, in order."""
    found = []
    of_points = runs[runs["tuning"].notna()]
    by = ["tuning", *(["sweep"] if "sweep" in runs else [])]
    for _, here in of_points.groupby(by, sort=False):
        first = here.iloc[0]
        rows = [_point(members) for _, members in here.groupby("point", sort=True)]
        search = json.loads(first["tuning"])
        points = pd.DataFrame(rows)
        for key in search["space"]:  # as they were: pandas would make another value of a null
            points[key] = pd.Series([row[key] for row in rows], dtype=object)
        found.append(Tuning(search, first["label"], first["dataset"], points))
    return found


def _point(runs: pd.DataFrame) -> dict[str, Any]:
    """A point's status is the worst of its runs', but for those that a diverged one cut short."""
    statuses = set(runs["status"])
    order = ("error", "diverged", "running", "pending", "stopped", "done")
    return {
        "point": int(runs["point"].iloc[0]),
        "status": next(status for status in order if status in statuses),
        "objective": runs["objective"].astype(float).iloc[0],
        "seeds": len(runs),
        "epochs_done": int(runs["epochs_done"].max()),
        "run_ids": runs["run_id"].tolist(),
        **json.loads(runs["variant"].iloc[0]),
    }


@dataclass(frozen=True)
class Importance:
    """share: key -> importance. r2: how much of the objective's variance a forest foretold for
    points that it was not fitted to; near or below 0 the importances mean nothing."""

    share: Mapping[str, float]
    r2: float
    points: int


def importance(tuning: Tuning) -> Importance:
    """How much worse a random forest foretells the objective when a key's values are shuffled.

    The forest (200 trees, scikit-learn) is fitted to the done points but for one of four parts,
    and foretells that part; all of it is done for each part, seeds fixed. A key's importance is
    the rise of the mean squared error when its values are permuted over the foretold points (mean
    of 20 permutations, Breiman 2001), divided by the objective's variance. 0: the key says
    nothing; 1: without it the error rises by as much as the objective varies. It says what
    mattered within the space that was tried, where HyperOpt tries good regions more often.

    Raises UserError with fewer than 8 done points, or where all have one objective.
    """
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415  (a second to import)
    from sklearn.model_selection import KFold  # noqa: PLC0415

    done = tuning.points["status"].eq("done") & tuning.points["objective"].notna()
    target = tuning.points.loc[done, "objective"].to_numpy(float)
    if len(target) < FEWEST:
        raise UserError(
            f"{len(target)} points are done, and which key matters can't be told from fewer than "
            f"{FEWEST}"
        )
    if np.ptp(target) == 0:
        raise UserError("all points have the same objective: no key matters")
    features = np.column_stack([tuning.coordinates(key) for key in tuning.keys])[done.to_numpy()]
    rng = np.random.default_rng(0)
    errors, rises = [], np.zeros(len(tuning.keys))
    for fitted, told in KFold(_FOLDS, shuffle=True, random_state=0).split(features):
        forest = RandomForestRegressor(_TREES, random_state=0).fit(features[fitted], target[fitted])
        error = (forest.predict(features[told]) - target[told]) ** 2
        errors.append(error)
        for place in range(len(tuning.keys)):
            for _ in range(_SHUFFLES):
                shuffled = features[told].copy()
                shuffled[:, place] = rng.permutation(shuffled[:, place])
                worse = (forest.predict(shuffled) - target[told]) ** 2
                rises[place] += (worse - error).sum() / _SHUFFLES
    variance = target.var()
    share = {
        key: float(rise / len(target) / variance)
        for key, rise in zip(tuning.keys, rises, strict=True)
    }
    return Importance(share, float(1 - np.concatenate(errors).mean() / variance), len(target))


def best(tuning: Tuning, most: int = 10) -> pd.DataFrame:
    """The best done points: rank, point, the keys, objective, and beside it how many seeds."""
    rows = tuning.done.head(most)
    frame = rows[["point", *tuning.keys, "objective", "seeds"]].reset_index(drop=True)
    frame.insert(0, "rank", frame.index + 1)
    return frame


def tuning_note(tuning: Tuning) -> tuple[str, ...]:
    """The sentences under the table of best points: what was done, and what is left out."""
    search, points = tuning.search, tuning.points
    seeds = int(points["seeds"].max())
    order = "largest" if tuning.largest else "smallest"
    epochs = sorted({int(n) for n in tuning.done["epochs_done"]})
    sentences = [
        f"{tuning.label} on {tuning.dataset}. Objective: mean over {seeds} "
        f"{'seed' if seeds == 1 else 'seeds'} of {tuning.metric} after "
        f"{' or '.join(map(str, epochs)) or 'the last'} epochs; {order} is best.",
        _chosen(search),
    ]
    counts = points["status"].value_counts()
    stopped = int(counts.get("stopped", 0))
    if stopped:
        sentences.append(f"{stopped} of {len(points)} points were stopped early: not ranked.")
    rest = [f"{counts[s]} {s}" for s in ("diverged", "error", "running", "pending") if s in counts]
    if rest:
        sentences.append(f"Also not ranked: {', '.join(rest)}.")
    return tuple(sentences)


def _chosen(search: Mapping[str, Any]) -> str:
    given, initial, trials = len(search["points"]), search["n_initial_points"], search["trials"]
    if search["scheduler"] == "pbt":
        return f"Population-based training of {trials} members, seed {search['seed']}."
    text = f"{given} given, " if given else ""
    text += f"random until {min(initial, trials)}, then HyperOpt (TPE) until {trials}"
    scheduler = "" if search["scheduler"] == "none" else f"; early stopping: {search['scheduler']}"
    return f"Points: {text}, seed {search['seed']}{scheduler}."


def figure_text(value: Any) -> str:
    """A value as tables and axes show it."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
