"""points.jsonl: every point of a tuning and what came of it, a line each, written as it happens.

The file is the whole state of a tuning: what was asked, what each epoch said, what ended how. A
driver that was killed at any moment is followed by one that reads it and goes on.

    {"point": 0, "values": {...}, "runs": [...], "folder": "..."}   before the point's trial exists
    {"point": 1, "values": {...}, "same_as": 0}        a point that was asked before: not run again
    {"point": 0, "epoch": 1, "objective": 91.2}        after each epoch; null where not finite
    {"point": 0, "status": "done"}                     one of `PointStatus`

Population-based training adds: its points have a `fork` (which member they are, from which point
and epoch they go on), {"point": 0, "status": "paused", "at": 8} at the end of a generation, and
{"decided": 8} when it is settled who goes on from whom.
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
    """What came of a point."""

    done = "done"
    stopped = "stopped"
    """The scheduler ended it early, or in population-based training a copy took its place."""
    diverged = "diverged"
    error = "error"
    """It failed; a driver that goes on tries again."""
    invalid = "invalid"
    """Its values can't go together: never run."""
    paused = "paused"
    """Population-based training: its generation is over, and it may go on in the next."""


ENDED = (PointStatus.done, PointStatus.stopped, PointStatus.diverged, PointStatus.invalid)
"""What is not tried again."""
CUT_SHORT = (PointStatus.stopped, PointStatus.diverged)
"""What ends a point's runs before their last epoch by decision, not by failure."""
COMPARABLE = (PointStatus.done, PointStatus.stopped)
"""Whose objective is compared with others'."""


@dataclass
class Point:
    """One point: its values, its runs, and what is known of it by now."""

    number: int
    values: dict[str, Any]
    runs: tuple[RunEntry, ...] = ()
    same_as: int | None = None
    """An earlier point with the same values."""
    folder: str | None = None
    """The name of its trial's folder, or how the names of its trials' folders begin."""
    fork: dict[str, Any] | None = None
    """In population-based training: `member`, `parent` (a point or None), `epoch`."""
    curve: dict[int, float | None] = field(default_factory=dict)
    """Epoch to objective: the mean over the runs, None where it was not finite."""
    status: PointStatus | None = None
    """None while it is under way."""
    at: int = 0
    """The epoch at which it was paused last. One in `curve` may be of a trial that was killed
    before its checkpoint was whole."""

    @property
    def objective(self) -> float | None:
        """That of its last epoch."""
        return self.curve[max(self.curve)] if self.curve else None

    @property
    def ended(self) -> bool:
        """Nothing is left to do for it."""
        return self.status in ENDED or self.same_as is not None


class Journal:
    """The points of a tuning by number, from 0, kept in a file. Reading alone changes nothing."""

    def __init__(self, path: Path) -> None:
        """No points where there is no file, and without a last line that a kill cut short.

        Raises UserError where the file is damaged anywhere else.
        """
        self.path = path
        self.points: list[Point] = []
        self.decided = 0
        """The last epoch after which it was decided who goes on from whom."""
        self._begun = False
        """Whether this journal has written."""
        for number, entry in json_lines(path):
            try:
                self._take(entry)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                raise UserError(f"line {number} of {path} is damaged ({_why(error)})") from error

    def loss(self, point: Point, sign: float) -> float | None:
        """What the searcher is told: None while unknown, and for what failed."""
        point = point if point.same_as is None else self.points[point.same_as]
        known = point.status in COMPARABLE and point.objective is not None
        return sign * point.objective if known and point.objective is not None else None

    def twin(self, values: Mapping[str, Any]) -> int | None:
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
        """A new point, on the disk before anything of it runs."""
        number = len(self.points)
        entry: dict[str, Any] = {"point": number, "values": dict(values)}
        if same_as is None:
            entry["runs"] = [run.written() for run in runs]
        else:
            entry["same_as"] = same_as
        if runs:
            entry["folder"] = f"point-{number:04d}-{runs[0].run_id}"
        if fork is not None:
            entry["fork"] = dict(fork)
        self._write(entry, sync=True)
        return self.points[-1]

    def report(self, number: int, epoch: int, objective: float) -> None:
        """The objective after an epoch. Of an epoch done twice, the last counts."""
        told = objective if math.isfinite(objective) else None
        self._write({"point": number, "epoch": epoch, "objective": told}, sync=False)

    def end(self, number: int, status: str, **more: Any) -> None:
        """How it ended: `error` says why it is invalid, `at` the epoch at which it is paused.

        Raises ValueError for a status that is none of `PointStatus`.
        """
        told = PointStatus(status).value
        self._write({"point": number, "status": told, **more}, sync=True)

    def decide(self, epoch: int) -> None:
        """It is decided who goes on from whom after this epoch."""
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
                raise ValueError(f"point {number} where {len(self.points)} is next")
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
