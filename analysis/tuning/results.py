"""What a tuning found: its points, and the best of them.

A point's objective is the mean over its seeds of one metric after the last epoch. For points that a
scheduler stopped it is that of an earlier epoch: they are shown, but never ranked with the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from drnas_ray.results.status import Status, counts_text

_DECIDES = (
    Status.error, Status.diverged, Status.running, Status.pending, Status.stopped, Status.done,
)  # fmt: skip
"""The status of a point is the first of these that one of its runs has. `diverged` comes before
`stopped`: when one seed diverges, the point's other runs are stopped."""


@dataclass(frozen=True)
class Tuning:
    """One tuning of a results folder.

    points: a row per point, in the order in which they were asked for: point, status, objective,
    seeds, epochs_done, run_ids, and a column for each key.
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
        """The metric that the objective is the mean of."""
        return str(self.search["metric"])

    @property
    def largest(self) -> bool:
        """Whether a larger objective is better."""
        return bool(self.search["mode"] == "max")

    def kind(self, key: str) -> str:
        """uniform, loguniform, quniform, qloguniform, randint or choice."""
        return str(next(iter(self.search["space"][key])))

    def options(self, key: str) -> list[Any]:
        """The options of a key of kind `choice`."""
        return list(self.search["space"][key]["choice"])

    def coordinates(self, key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(points,): a key's values, or their logarithms on a logarithmic scale, or the indices of
        its options."""
        values = self.points[key].tolist()
        if self.kind(key) == "choice":
            texts = [json.dumps(option, sort_keys=True) for option in self.options(key)]
            return np.array([texts.index(json.dumps(v, sort_keys=True)) for v in values], float)
        numbers = np.array(values, float)
        return np.log(numbers) if "log" in self.kind(key) else numbers

    @property
    def done(self) -> pd.DataFrame:
        """The points whose runs are all done, best first; of equal ones, the earlier first."""
        done = self.points[
            (self.points["status"] == Status.done) & self.points["objective"].notna()
        ]
        return done.sort_values("objective", ascending=not self.largest, kind="stable")


def tunings(runs: pd.DataFrame) -> list[Tuning]:
    """The tunings in `runs` (of `collect`, `load` or `read_runs`), in order of appearance."""
    found = []
    of_points = runs[runs["tuning"].notna()]
    by = ["tuning", *(["sweep"] if "sweep" in runs else [])]
    for _, here in of_points.groupby(by, sort=False):
        first = here.iloc[0]
        rows = [_point(members) for _, members in here.groupby("point", sort=True)]
        search = json.loads(first["tuning"])
        points = pd.DataFrame(rows)
        for key in search["space"]:  # as objects: pandas would turn a null into NaN
            points[key] = pd.Series([row[key] for row in rows], dtype=object)
        found.append(Tuning(search, first["label"], first["dataset"], points))
    return found


def _point(runs: pd.DataFrame) -> dict[str, Any]:
    """The row of a point, from the rows of its runs."""
    statuses = set(runs["status"])
    return {
        "point": int(runs["point"].iloc[0]),
        "status": next(str(status) for status in _DECIDES if status in statuses),
        "objective": runs["objective"].astype(float).iloc[0],
        "seeds": len(runs),
        "epochs_done": int(runs["epochs_done"].max()),
        "run_ids": runs["run_id"].tolist(),
        **json.loads(runs["variant"].iloc[0]),
    }


def best(tuning: Tuning, most: int = 10) -> pd.DataFrame:
    """The `most` best done points: columns rank, point, the keys, objective, seeds."""
    rows = tuning.done.head(most)
    frame = rows[["point", *tuning.keys, "objective", "seeds"]].reset_index(drop=True)
    frame.insert(0, "rank", frame.index + 1)
    return frame


def tuning_notes(tuning: Tuning) -> tuple[str, ...]:
    """The sentences under the table of best points: how they were found, and what is left out."""
    search, points = tuning.search, tuning.points
    seeds = int(points["seeds"].max())
    order = "largest" if tuning.largest else "smallest"
    epochs = sorted({int(n) for n in tuning.done["epochs_done"]})
    after = f"{' or '.join(map(str, epochs))} epochs" if epochs else "the last epoch"
    sentences = [
        f"{tuning.label} on {tuning.dataset}. Objective: mean over {seeds} "
        f"{'seed' if seeds == 1 else 'seeds'} of {tuning.metric} after "
        f"{after}; {order} is best.",
        _how_chosen(search),
    ]
    others = counts_text(points["status"])
    if others:
        sentences.append(f"Not ranked, of {len(points)} points: {others}.")
    return tuple(sentences)


def _how_chosen(search: Mapping[str, Any]) -> str:
    given, initial, trials = len(search["points"]), search["n_initial_points"], search["trials"]
    if search["scheduler"] == "pbt":
        return f"Population-based training of {trials} members, seed {search['seed']}."
    text = f"{given} given, " if given else ""
    text += f"random until {min(initial, trials)}, then HyperOpt (TPE) until {trials}"
    scheduler = "" if search["scheduler"] == "none" else f"; early stopping: {search['scheduler']}"
    return f"Points: {text}, seed {search['seed']}{scheduler}."


def value_text(value: Any) -> str:
    """A value as tables and axes show it."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
