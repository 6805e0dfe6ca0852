"""The points of a tuning: points.jsonl, whose lines the driver adds as things happen."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drnas_ray.core.errors import UserError
from drnas_ray.results.manifest import RunEntry

CUT_SHORT = ("stopped", "diverged")
"""Ends of a point that may come before its runs are through: by decision, not by failure."""


@dataclass
class Point:
    """One point, as far as it has come. `same_as`: an earlier one with the same values."""

    number: int
    values: dict[str, Any]
    runs: tuple[RunEntry, ...] = ()
    same_as: int | None = None
    folder: str | None = None
    curve: dict[int, float | None] = field(default_factory=dict)
    """Epoch to objective: the mean over the point's seeds, None where one had no finite figure."""
    status: str | None = None
    """done, stopped, diverged, error, invalid; None while it is under way."""

    @property
    def objective(self) -> float | None:
        """That of the last epoch."""
        return self.curve[max(self.curve)] if self.curve else None


def point_folders(results: Path, point: Point) -> list[Path]:
    """Its trial's folder under each driver that ran it; `params.json` may have come to none."""
    if point.folder is None:
        return []
    # In population-based training a point has a trial each generation.
    forms = (f"search/{point.folder}*", f"search-*/{point.folder}*")
    return [folder for form in forms for folder in sorted(results.glob(form))]


def load_points(results: Path) -> tuple[Point, ...]:
    """The points of a results folder in the order they were asked; none where nothing was tuned.

    A last line that was cut off says nothing. Raises UserError for any other damage.
    """
    path = results / "points.jsonl"
    if not path.is_file():
        return ()
    points: list[Point] = []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            _take(points, json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError, ValidationError) as err:
            raise UserError(f"line {number} of {path} is no line of a tuning ({err!r})") from err
    return tuple(points)


def _take(points: list[Point], entry: dict[str, Any]) -> None:
    if "decided" in entry:
        return
    if "values" in entry:
        runs = tuple(RunEntry.model_validate(run) for run in entry.get("runs", ()))
        same_as, folder = entry.get("same_as"), entry.get("folder")
        points.append(Point(entry["point"], entry["values"], runs, same_as, folder))
        return
    point = points[entry["point"]]
    if "epoch" in entry:
        point.curve[entry["epoch"]] = entry["objective"]
    else:
        point.status = entry["status"]
