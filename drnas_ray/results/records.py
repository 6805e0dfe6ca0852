"""The record of each run: everything in its trials' folders, merged into one row per epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drnas_ray.results.layout import (
    BATCHES,
    PARAMS_FILE,
    RECORDS_FILE,
    REPORTS_FILE,
    SEARCH,
    checkpoint_files,
    trial_folders,
)
from drnas_ray.results.status import ENDED, Status
from drnas_ray.results.trial import (
    Columns,
    Failure,
    Row,
    lines,
    read_failure,
    read_job,
    read_passed_over,
    reports,
    typed,
)


@dataclass(frozen=True)
class Record:
    """Everything in the folders of one run or retraining, merged."""

    rows: tuple[Row, ...] = ()
    """The last row of each epoch, in order, with the requested columns."""
    status: Status = Status.pending
    error: str | None = None
    """The last line of error.txt where the status is error."""
    folder: Path | None = None
    """The folder that reported last."""
    damaged: int = 0
    """Lines that are not a report of this id, not counting an unfinished last one."""
    restarts: int = 0
    """How often Tune tried again after a failure."""
    passed_over: tuple[str, ...] = ()
    """A sentence for each damaged checkpoint that could not be resumed from."""

    @property
    def last(self) -> Row:
        """The row of the last epoch, empty if there is none."""
        return self.rows[-1] if self.rows else {}

    @property
    def answer(self) -> Row:
        """The row of the epoch whose cell is the answer: the last, or an earlier one after an early
        stop (the last if a damaged file lost that)."""
        epoch = self.last.get("answer_epoch")
        return next((row for row in self.rows if row["epoch"] == epoch), self.last)

    def total(self, column: str) -> float | None:
        """The column's sum over the epochs, None where no epoch has it."""
        values = [row[column] for row in self.rows if row[column] is not None]
        return sum(values) if values else None


# --- one run or training ------------------------------------------------------------------------


def folders_by_id(results: Path, kind: str, key: str) -> tuple[dict[str, list[Path]], list[str]]:
    """The trial folders of a kind, by the id that their params.json has under `job.key`.

    kind: `layout.SEARCH` or `layout.RETRAIN`. A folder without params.json holds no trial; one
    that can't be read gives a warning.
    """
    found: dict[str, list[Path]] = {}
    warnings: list[str] = []
    for folder in trial_folders(results, kind):
        if not (folder / PARAMS_FILE).is_file():
            continue
        try:
            job = read_job(folder)
            for one in job.get("runs", [job]):  # a trial of a tuning holds several runs
                found.setdefault(str(one[key]), []).append(folder)
        except (OSError, ValueError, KeyError, TypeError):
            warnings.append(
                f"{folder.parent.name}/{folder.name}: no {key} in its {PARAMS_FILE}: left out"
            )
    return found, warnings


def point_folders(results: Path, folder: str | None) -> list[Path]:
    """The trials' folders of a tuning's point under each driver that ran it, by `Point.folder`.

    A point of population-based training has one trial per generation. params.json may be missing.
    """
    return [] if folder is None else trial_folders(results, SEARCH, f"{folder}*")


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


def read_record(folders: Sequence[Path], key: str, ident: str, columns: Columns) -> Record:
    """The trial folders of one id (`key` is run_id or retrain_id), merged into one record."""
    if not folders:
        return Record()
    # The later attempt wins, by the times in its rows: copying a folder changes file times.
    attempts = sorted(
        (_attempt(folder, key, ident, columns) for folder in folders),
        key=lambda attempt: attempt.reported_unix_s,
    )
    kept = {row["epoch"]: row for attempt in attempts for row in attempt.rows}
    rows = tuple(kept[epoch] for epoch in sorted(kept))
    newest = attempts[-1]
    last = max((part.failure for part in attempts if part.failure), default=None)
    status = _status(rows, last, newest)
    failed = status is Status.error
    return Record(
        rows,
        status,
        last.error if last and failed else None,
        newest.folder,
        sum(attempt.damaged for attempt in attempts),
        sum(part.failure.times for part in attempts if part.failure) - failed,
        tuple(text for folder in folders for text in read_passed_over(folder)),
    )


def _status(rows: Sequence[Row], last: Failure | None, newest: _Attempt) -> Status:
    if rows and rows[-1]["status"] in ENDED:
        return Status(rows[-1]["status"])
    # error.txt stays when Tune tries again: only a failure after the last report counts.
    resumed = last and rows and last.date and newest.rows[-1]["date"] > last.date
    if last and not resumed:
        return Status.error
    return Status.running if rows else Status.pending


def _attempt(folder: Path, key: str, ident: str, columns: Columns) -> _Attempt:
    """Tune's lines, preceded by those that only checkpoints hold.

    Tune copies its lines into the folder only now and then; a checkpoint has the records of all
    epochs up to it, so a trial resumed from one after a kill lacks no epoch.
    """
    rows, damaged = _rows(folder / REPORTS_FILE, key, ident, columns)
    ended = bool(rows) and rows[-1]["status"] in ENDED
    if not ended or len({row["epoch"] for row in rows}) < rows[-1]["epoch"]:
        for path in checkpoint_files(folder, RECORDS_FILE):
            more, cut = _rows(path, key, ident, columns)
            rows, damaged = more + rows, damaged + cut
    return _Attempt(folder, rows, damaged, read_failure(folder))


def _rows(path: Path, key: str, ident: str, columns: Columns) -> tuple[list[Row], int]:
    """The rows of an id in a file of reports, and how many of its lines are damaged."""
    rows: list[Row] = []
    damaged = 0
    for line in lines(path):
        own = next((report for report in reports(line) if report.get(key) == ident), None)
        row = None if own is None else typed(own, columns)
        if row is not None:
            rows.append(row)
        elif line.strip() and line.endswith("\n"):
            damaged += 1
    return rows, damaged


# --- batches ------------------------------------------------------------------------------------


def read_batches(results: Path, columns: Columns) -> tuple[dict[str, Record], list[str]]:
    """The record of every short run that a batch names, by run id, and warnings."""
    found: dict[str, Record] = {}
    warnings: list[str] = []
    for folder in trial_folders(results, BATCHES):
        if not (folder / PARAMS_FILE).is_file():
            continue
        try:
            idents = list(read_job(folder)["settings"])
        except (OSError, ValueError, KeyError, TypeError):
            warnings.append(
                f"{folder.parent.name}/{folder.name}: its {PARAMS_FILE} names no runs: left out"
            )
            continue
        warnings += [f"{folder.name}: {text}" for text in read_passed_over(folder)]
        records, damaged = _batch(folder, idents, columns)
        if damaged:
            warnings.append(f"{folder.name}: {damaged} of its reports can't be read: skipped")
        for ident, record in records.items():
            # A run may be in two batches, planned again after a kill: the one that ran it counts.
            if ident not in found or record.rows:
                found[ident] = record
    return found, warnings


def _batch(folder: Path, idents: list[str], columns: Columns) -> tuple[dict[str, Record], int]:
    """The record of each run of a batch, and how many of its reports are damaged."""
    rows: dict[str, Row] = {}
    damaged, last_date = 0, ""
    # What Tune has not copied into the folder yet is in the checkpoints.
    for path in (*checkpoint_files(folder, RECORDS_FILE), folder / REPORTS_FILE):
        for report in (one for line in lines(path) for one in reports(line)):
            last_date = max(last_date, str(report.get("date") or ""))
            ident = report.get("run_id")
            row = typed(report, columns) if ident in idents else None
            if row is None or row["status"] not in ENDED:
                damaged += 1
            else:
                rows[str(ident)] = row
    failure = read_failure(folder)
    recovered = failure is None or bool(failure.date and last_date > failure.date)
    missing = Record(folder=folder)
    if failure is not None and not recovered:
        missing = replace(missing, status=Status.error, error=failure.error)
    done = {
        ident: Record((row,), Status(row["status"]), folder=folder) for ident, row in rows.items()
    }
    return {ident: done.get(ident, missing) for ident in idents}, damaged
