"""points.jsonl: every point of a tuning and its outcome, one event per line, written at once.

The file is the whole state of a tuning: which points were asked for, what each epoch reported, how
each ended. Whenever a driver is killed, the next one reads it and continues.

    {"point": 0, "values": {...}, "runs": [...], "folder": "..."}   before the point's trial exists
    {"point": 1, "values": {...}, "same_as": 0}        asked for before: not run again
    {"point": 0, "epoch": 1, "objective": 91.2}        after each epoch; null where not finite
    {"point": 0, "status": "done"}                     one of `PointStatus`

Population-based training adds a `fork` to its points (their member, and the point and epoch that
they continue from), {"point": 0, "status": "paused", "at": 8} at the end of a generation, and
{"decided": 8} once it is decided which member copies which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drnas_ray.config import first_problem
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import append_json_line, drop_cut_line, json_lines
from drnas_ray.results.manifest import RunEntry


class PointStatus(StrEnum):
    """The outcome of a point."""

    done = "done"
    stopped = "stopped"
    """The scheduler ended it early, or in population-based training a copy took its place."""
    diverged = "diverged"
    error = "error"
    """It failed; the next driver tries it again."""
    invalid = "invalid"
    """Its values exclude each other: never run."""
    paused = "paused"
    """Population-based training: its generation is over, and it may continue in the next."""


ENDED = (PointStatus.done, PointStatus.stopped, PointStatus.diverged, PointStatus.invalid)
"""The statuses that are not tried again."""
CUT_SHORT = (PointStatus.stopped, PointStatus.diverged)
"""The statuses of points whose runs end before their last epoch by decision, not by failure."""
COMPARABLE = (PointStatus.done, PointStatus.stopped)
"""The statuses of points whose objective is compared with others'."""


@dataclass
class Point:
    """One point: its values, its runs, and what is known about it so far."""

    number: int
    values: dict[str, Any]
    runs: tuple[RunEntry, ...] = ()
    same_as: int | None = None
    """An earlier point with the same values."""
    folder: str | None = None
    """The name of its trial's folder, or the prefix of its trials' folder names."""
    fork: dict[str, Any] | None = None
    """In population-based training: `member`, `parent` (a point or None), `epoch`."""
    curve: dict[int, float | None] = field(default_factory=dict)
    """Epoch to objective: the mean over the runs, None where it was not finite."""
    status: PointStatus | None = None
    """None while it is under way."""
    at: int = 0
    """The epoch at which it was last paused. A later one in `curve` may lack a complete checkpoint,
    if its trial was killed."""

    @property
    def objective(self) -> float | None:
        """That of its last epoch."""
        return self.curve[max(self.curve)] if self.curve else None

    @property
    def ended(self) -> bool:
        """Nothing is left to do for it."""
        return self.status in ENDED or self.same_as is not None


class Journal:
    """The points of a tuning by number, from 0, kept in a file. Reading doesn't change it."""

    def __init__(self, path: Path) -> None:
        """No points where there is no file, and without a last line that a kill cut short.

        Raises UserError where the file is damaged anywhere else.
        """
        self.path = path
        self.points: list[Point] = []
        self.decided = 0
        """The last epoch after which it was decided which member copies which."""
        self._begun = False
        """Whether this object has written to the file."""
        for number, entry in json_lines(path):
            try:
                self._take(entry)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                raise UserError(f"line {number} of {path} is damaged ({_why(error)})") from error

    def loss(self, point: Point, sign: float) -> float | None:
        """The loss for the searcher: None while unknown, and for a failed point."""
        point = point if point.same_as is None else self.points[point.same_as]
        known = point.status in COMPARABLE and point.objective is not None
        return sign * point.objective if known and point.objective is not None else None

    def first_with(self, values: Mapping[str, Any]) -> int | None:
        """The number of the first point with these values."""
        for point in self.points:
            if point.values == values and point.same_as is None:
                return point.number
        return None

    def add(
        self,
        values: Mapping[str, Any],
        runs: Sequence[RunEntry] = (),
        same_as: int | None = None,
        fork: Mapping[str, Any] | None = None,
    ) -> Point:
        """A new point, on disk before any of its runs start."""
        number = len(self.points)
        entry: dict[str, Any] = {"point": number, "values": dict(values)}
        if same_as is None:
            entry["runs"] = [run.to_dict() for run in runs]
        else:
            entry["same_as"] = same_as
        if runs:
            entry["folder"] = f"point-{number:04d}-{runs[0].run_id}"
        if fork is not None:
            entry["fork"] = dict(fork)
        self._write(entry, sync=True)
        return self.points[-1]

    def report(self, number: int, epoch: int, objective: float) -> None:
        """Note the objective after an epoch. If an epoch is repeated, the last report counts."""
        finite = objective if math.isfinite(objective) else None
        self._write({"point": number, "epoch": epoch, "objective": finite}, sync=False)

    def end(self, number: int, status: str, **more: Any) -> None:
        """Note how it ended. error: why it is invalid. at: the epoch at which it is paused.

        Raises ValueError for a status that is not in `PointStatus`.
        """
        name = PointStatus(status).value
        self._write({"point": number, "status": name, **more}, sync=True)

    def decide(self, epoch: int) -> None:
        """Note that the copies after this epoch are decided."""
        self._write({"decided": epoch}, sync=True)

    def _write(self, entry: dict[str, Any], *, sync: bool) -> None:
        self._take(entry)
        if not self._begun:
            drop_cut_line(self.path)
            self._begun = True
        append_json_line(self.path, entry, sync=sync)

    def _take(self, entry: dict[str, Any]) -> None:
        if "decided" in entry:
            self.decided = entry["decided"]
            return
        number = entry["point"]
        if "values" in entry:
            if number != len(self.points):
                raise ValueError(f"point {number}, expected {len(self.points)}")
            runs = tuple(RunEntry.model_validate(run) for run in entry.get("runs", ()))
            same_as, folder, fork = entry.get("same_as"), entry.get("folder"), entry.get("fork")
            self.points.append(Point(number, entry["values"], runs, same_as, folder, fork))
        elif "epoch" in entry:
            self.points[number].curve[entry["epoch"]] = entry["objective"]
        else:
            point = self.points[number]
            point.status, point.at = PointStatus(entry["status"]), entry.get("at", point.at)


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_problem(RunEntry, error)
    return f"{type(error).__name__}: {error}"
