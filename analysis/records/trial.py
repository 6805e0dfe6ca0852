"""What one trial reported: the last row of each epoch, whatever was cut off or repeated.

Tune appends a JSON object per epoch to result.json. A killed process leaves half a line; a resumed
one repeats epochs and may go on behind the half line, without a line break between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from analysis.records.schema import Row
from drnas_ray.results.kinds import Kind
from drnas_ray.results.layout import ALIASES

ENDED = ("done", "diverged", "stopped")
"""The statuses after which a run has nothing left to do."""
_FAILURE = re.compile(r"Failure # \d+ \(occurred at ([\d_-]+)\)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Record:
    """All that the folders of one run or retraining say, merged."""

    rows: tuple[Row, ...] = ()
    """The last row of each epoch, by epoch, with the columns that were asked for."""
    status: str = "pending"
    """done, diverged, error, running (some epochs) or pending (none); a tuning's also stopped."""
    error: str | None = None
    """The last line of error.txt where the status is error."""
    folder: Path | None = None
    """The folder that reported last."""
    damaged: int = 0
    """Lines that are no report of this id, not counting an unfinished last one."""
    restarts: int = 0
    """How often Tune tried again after a failure."""
    passed_over: tuple[str, ...] = ()
    """A sentence for each damaged checkpoint that could not be gone on from."""

    @property
    def last(self) -> Row:
        """The row of the last epoch, empty if there is none."""
        return self.rows[-1] if self.rows else {}

    @property
    def answer(self) -> Row:
        """The row of the epoch whose cell is the answer: the last, or an early stop's earlier one,
        which is the last too where a damaged file lost it."""
        epoch = self.last.get("answer_epoch")
        return next((row for row in self.rows if row["epoch"] == epoch), self.last)

    def total(self, column: str) -> float | None:
        """The column's sum over the epochs, None where no epoch has it."""
        values = [row[column] for row in self.rows if row[column] is not None]
        return sum(values) if values else None


def reports(line: str) -> Iterator[dict[str, Any]]:
    """The reports in a line: one, or one of each run of a tuning's point or of a pack."""
    for value in _objects(line):
        runs = value.get("runs")
        if not isinstance(runs, list):
            yield value
            continue
        for run in runs:
            if isinstance(run, dict):
                yield {"date": value.get("date"), **run}


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


def _value(data: Mapping[str, Any], column: str) -> Any:
    return data[column] if column in data else data.get(ALIASES.get(column, column))


def _row(line: str, key: str, ident: str, columns: Mapping[str, Kind]) -> Row | None:
    """The columns of a line, each of its type or None; None if the line is no report of ours."""
    for data in reports(line):
        if data.get(key) == ident:
            return typed(data, columns)
    return None


def typed(data: Mapping[str, Any], columns: Mapping[str, Kind]) -> Row | None:
    """The columns of a report, each of its type or None; None if it is none of ours."""
    try:
        row = {
            name: None if (value := _value(data, name)) is None else kind.read(value)
            for name, kind in columns.items()
        }
    except (TypeError, ValueError, OverflowError):
        return None
    if row["epoch"] is None or row["epoch"] < 1:
        return None
    return row | {"date": str(data.get("date") or "")}


@dataclass(frozen=True)
class _Attempt:
    """What one folder holds: its rows as written, unreadable lines, and its last failure."""

    folder: Path
    rows: list[Row]
    damaged: int
    failure: Failure | None

    @property
    def reported_unix_s(self) -> float:
        """When it last reported, 0 if never."""
        return (self.rows[-1]["reported_unix_s"] or 0.0) if self.rows else 0.0


def _attempt(folder: Path, key: str, ident: str, columns: Mapping[str, Kind]) -> _Attempt:
    """Tune's lines, and before them what only checkpoints hold.

    Tune brings its lines into the folder now and then; a checkpoint has the records of all epochs
    up to it, so a trial that went on from one after a kill lacks no epoch.
    """
    rows, damaged = _lines(folder / "result.json", key, ident, columns)
    ended = bool(rows) and rows[-1]["status"] in ENDED
    if not ended or len({row["epoch"] for row in rows}) < rows[-1]["epoch"]:
        for path in sorted(folder.glob("checkpoint_*/epochs.jsonl")):
            more, cut = _lines(path, key, ident, columns)
            rows, damaged = more + rows, damaged + cut
    return _Attempt(folder, rows, damaged, failure(folder))


def _lines(path: Path, key: str, ident: str, columns: Mapping[str, Kind]) -> tuple[list[Row], int]:
    """The reports of a file of JSON lines, none if there is no file, and how many are damaged."""
    rows: list[Row] = []
    damaged = 0
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                row = _row(line, key, ident, columns)
                if row is not None:
                    rows.append(row)
                elif line.strip() and line.endswith("\n"):
                    damaged += 1
    return rows, damaged


class Failure(NamedTuple):
    """A trial's last failure, as Tune notes it in error.txt."""

    date: str
    """Empty where Tune wrote none."""
    error: str
    """The last line."""
    times: int
    """Failures so far, this one among them."""


def failure(folder: Path) -> Failure | None:
    """The last failure of a trial, None where it never failed."""
    path = folder / "error.txt"
    if not path.is_file():
        return None
    text = _COLOUR.sub("", path.read_text(encoding="utf-8", errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    dates = _FAILURE.findall(text)
    last = lines[-1] if lines else "failed without a message"
    return Failure(dates[-1] if dates else "", last, max(len(dates), 1))


def read_record(
    folders: Sequence[Path], key: str, ident: str, columns: Mapping[str, Kind]
) -> Record:
    """The trial folders of one id (`key` is run_id or retrain_id), merged into one record."""
    if not folders:
        return Record()
    # The later attempt wins. When it was is in the data; a copied folder has other file times.
    attempts = sorted(
        (_attempt(folder, key, ident, columns) for folder in folders),
        key=lambda attempt: attempt.reported_unix_s,
    )
    kept = {row["epoch"]: row for attempt in attempts for row in attempt.rows}
    rows = tuple(kept[epoch] for epoch in sorted(kept))
    newest = attempts[-1]
    last = max((part.failure for part in attempts if part.failure), default=None)
    status = rows[-1]["status"] if rows else None
    if status not in ENDED:
        # error.txt stays when Tune tries again: only a failure after the last report counts.
        resumed = last and rows and last.date and newest.rows[-1]["date"] > last.date
        status = "error" if last and not resumed else ("running" if rows else "pending")
    failed = status == "error"
    return Record(
        rows,
        status,
        last.error if last and failed else None,
        newest.folder,
        sum(attempt.damaged for attempt in attempts),
        sum(part.failure.times for part in attempts if part.failure) - failed,
        tuple(text for folder in folders for text in passed_over(folder)),
    )


def passed_over(folder: Path) -> list[str]:
    """A sentence for each damaged checkpoint that a trial could not go on from."""
    path = folder / "passed_over.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [
        f"{found.get('problem')}: went on from {found.get('used')}, epoch {found.get('epoch')}"
        for line in lines
        for found in _objects(line)
    ]
