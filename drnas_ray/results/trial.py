"""The files of one trial: its job, its reports, its failures.

Tune appends a JSON object per epoch to result.json. A killed process leaves half a line; a resumed
one repeats epochs and may append to that half line, without a line break between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from drnas_ray.results.export_schema import ALIASES
from drnas_ray.results.kinds import Kind
from drnas_ray.results.layout import ERROR_FILE, PARAMS_FILE, PASSED_OVER_FILE

Row = dict[str, Any]
"""One row of a table: column name to value; a missing column is null."""
Columns = Mapping[str, Kind]
"""The columns to read from a report, and their types."""
_FAILURE = re.compile(r"Failure # \d+ \(occurred at ([\d_-]+)\)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def read_job(trial: Path) -> dict[str, Any]:
    """The trial's job: `job` of its params.json.

    Raises OSError or ValueError where there is no such file, or it is damaged.
    """
    params = json.loads((trial / PARAMS_FILE).read_text(encoding="utf-8"))
    job = params.get("job") if isinstance(params, dict) else None
    if not isinstance(job, dict):
        raise ValueError(f"{PARAMS_FILE} has no job")
    return job


class Failure(NamedTuple):
    """A trial's last failure, as Tune notes it in error.txt."""

    date: str
    """Empty where Tune wrote none."""
    error: str
    """The last line."""
    times: int
    """Failures so far, including this one."""


def read_failure(trial: Path) -> Failure | None:
    """The last failure of a trial, None where it never failed."""
    path = trial / ERROR_FILE
    if not path.is_file():
        return None
    text = _COLOUR.sub("", path.read_text(encoding="utf-8", errors="replace"))
    filled = [line.strip() for line in text.splitlines() if line.strip()]
    dates = _FAILURE.findall(text)
    last = filled[-1] if filled else "failed without a message"
    return Failure(dates[-1] if dates else "", last, max(len(dates), 1))


def read_passed_over(trial: Path) -> list[str]:
    """A sentence for each damaged checkpoint that a trial could not resume from."""
    return [
        f"{found.get('problem')}: resumed from {found.get('used')}, epoch {found.get('epoch')}"
        for line in lines(trial / PASSED_OVER_FILE)
        for found in _objects(line)
    ]


def lines(path: Path) -> Iterator[str]:
    """The lines of a file that may be cut off or damaged anywhere; none where there is no file."""
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file


def _objects(line: str) -> Iterator[dict[str, Any]]:
    """The JSON object of a line, or the one that was appended to half of another."""
    start = 0
    while start >= 0:
        try:
            value = json.loads(line[start:])
        except ValueError:
            start = line.find('{"', start + 1)
            continue
        if isinstance(value, dict):
            yield value
        return


def reports(line: str) -> Iterator[dict[str, Any]]:
    """The reports in a line: one, or one per run of a tuning's point or of a batch."""
    for value in _objects(line):
        runs = value.get("runs")
        if not isinstance(runs, list):
            yield value
            continue
        for run in runs:
            if isinstance(run, dict):
                yield {"date": value.get("date"), **run}


def typed(report: Mapping[str, Any], columns: Columns) -> Row | None:
    """The columns of a report, each of its type or None; None if it is not one of ours."""
    try:
        row = {
            name: None if (value := _value(report, name)) is None else kind.read(value)
            for name, kind in columns.items()
        }
    except (TypeError, ValueError, OverflowError):
        return None
    if row["epoch"] is None or row["epoch"] < 1:
        return None
    return row | {"date": str(report.get("date") or "")}


def _value(report: Mapping[str, Any], column: str) -> Any:
    return report[column] if column in report else report.get(ALIASES.get(column, column))
