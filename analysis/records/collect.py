"""A results folder as three tables, in memory (`collect`) or as Parquet files (`export`).

Works at any time, even while the sweep runs. Trials are read one by one and rows written in chunks,
so that exporting keeps one row per run in memory, not one per epoch. The same files give the same
bytes; an export records what it was made from (`analysis.records.freshness`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.records.freshness import DIGEST_KEY, WARNINGS_KEY, source_digest
from analysis.records.rows import retrain_columns, retrain_row, run_row
from analysis.records.schema import SCHEMAS, as_frame, as_table, read_frame
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import atomic_replacement
from drnas_ray.results.export_schema import RETRAIN_COLUMNS, SEARCH_COLUMNS
from drnas_ray.results.journal import CUT_SHORT, Journal, Point
from drnas_ray.results.layout import (
    JOURNAL_FILE,
    RETRAIN,
    RETRAIN_FILE,
    SEARCH,
    SWEEP_FILE,
    export_file,
)
from drnas_ray.results.manifest import RunEntry, SweepFile, load_retrain, load_sweep
from drnas_ray.results.records import (
    Record,
    folders_by_id,
    point_folders,
    read_batches,
    read_record,
)
from drnas_ray.results.status import Status
from drnas_ray.results.trial import Row

_CHUNK_ROWS = 8192
"""Rows of a Parquet row group; with strengths, about 4 MiB."""


@dataclass(frozen=True)
class Collected:
    """A results folder in memory, with the columns of `results.export_schema`."""

    runs: pd.DataFrame
    epochs: pd.DataFrame
    retrains: pd.DataFrame
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """The files that were written, and what in the results folder could not be used."""

    runs: Path
    epochs: Path
    retrains: Path
    warnings: tuple[str, ...]

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        """runs.parquet, epochs.parquet, retrains.parquet."""
        return self.runs, self.epochs, self.retrains


def _damage_warnings(kind: str, ident: str, record: Record) -> list[str]:
    found = [f"{kind} {ident}: {text}" for text in record.passed_over]
    if record.damaged:
        found.append(
            f"{kind} {ident}: {record.damaged} lines of its result.json are not reports: skipped"
        )
    return found


def _unknown_trials(folders: dict[str, list[Path]], known: set[str], file: str) -> list[str]:
    """One warning for all trials that the plan lacks: there may be thousands."""
    unknown = sorted(ident for ident in folders if ident not in known)
    if not unknown:
        return []
    count = sum(len(folders[ident]) for ident in unknown)
    first = folders[unknown[0]][0].name
    return [
        f"{count} trial folders have ids that {file} lacks ('{unknown[0]}' in {first}): ignored"
    ]


def _retrain_rows(results: Path, warnings: list[str]) -> list[Row]:
    jobs = load_retrain(results)
    folders, damaged = folders_by_id(results, RETRAIN, "retrain_id")
    warnings += damaged + _unknown_trials(folders, {job.retrain_id for job in jobs}, RETRAIN_FILE)
    rows = []
    for job in jobs:
        ident = job.retrain_id
        record = read_record(folders.get(ident, []), "retrain_id", ident, RETRAIN_COLUMNS)
        warnings += _damage_warnings("retraining", ident, record)
        rows.append(retrain_row(results, job, record))
    return rows


def _run_row(
    results: Path,
    sweep: SweepFile,
    entry: RunEntry,
    record: Record,
    *,
    point: Point | None,
    warnings: list[str],
) -> Row:
    try:
        return run_row(results, sweep, entry, record, point)
    except UserError as err:  # one damaged run must not prevent the export of the others
        warnings.append(f"run {entry.run_id}: {err}: its genotype is left out")
        bare = replace(record, rows=tuple(row | {"genotype": None} for row in record.rows))
        return run_row(results, sweep, entry, bare, point)


def _rows(results: Path, warnings: list[str]) -> Iterator[tuple[str, list[Row]]]:
    """(file, rows) in the order of sweep.json and retrain.json; warnings are appended."""
    sweep = load_sweep(results)
    points = Journal(results / JOURNAL_FILE).points
    entries: list[tuple[RunEntry, Point | None]] = [(entry, None) for entry in sweep.runs]
    entries += [(entry, point) for point in points for entry in point.runs]
    retrains = _retrain_rows(results, warnings)
    yield "retrains", retrains
    jobs_of: dict[str, list[Row]] = {}
    for job in retrains:
        for ident in job["run_ids"]:
            jobs_of.setdefault(ident, []).append(job)
    folders, damaged = folders_by_id(results, SEARCH, "run_id")
    in_batches, damaged_batches = read_batches(results, SEARCH_COLUMNS)
    known = {run.run_id for run, _ in entries}
    warnings += damaged + damaged_batches + _unknown_trials(folders, known, SWEEP_FILE)
    seen: set[str] = set()
    for entry, point in entries:
        ident = entry.run_id
        if ident in seen:
            warnings.append(f"run {ident} is listed twice in sweep.json: only the first counts")
            continue
        seen.add(ident)
        if ident in in_batches:
            record = in_batches[ident]
        else:
            here = folders.get(ident, []) if point is None else point_folders(results, point.folder)
            record = read_record(here, "run_id", ident, SEARCH_COLUMNS)
        warnings += _damage_warnings("run", ident, record)
        if point is not None and point.status in CUT_SHORT and record.status is Status.running:
            record = replace(record, status=Status.stopped)
        row = _run_row(results, sweep, entry, record, point=point, warnings=warnings)
        columns, problems = retrain_columns(row, jobs_of.get(ident, []))
        warnings += problems
        yield "runs", [row | columns]
        yield "epochs", [{"run_id": ident, **epoch} for epoch in record.rows]


def _write_rows(results: Path, write: Callable[[str, pa.Table], object]) -> tuple[str, ...]:
    """Pass all rows to `write` in chunks; each file gets at least one chunk, empty or not."""
    warnings: list[str] = []
    waiting: dict[str, list[Row]] = {kind: [] for kind in SCHEMAS}
    for kind, rows in _rows(results, warnings):
        waiting[kind] += rows
        if len(waiting[kind]) >= _CHUNK_ROWS:
            write(kind, as_table(kind, waiting[kind]))
            waiting[kind] = []
    for kind, rows in waiting.items():
        write(kind, as_table(kind, rows))
    return tuple(warnings)


def collect(results: Path, epoch_columns: Sequence[str] | None = None) -> Collected:
    """The three tables of a results folder.

    epoch_columns: columns of epochs to keep; None keeps all, () drops its rows too.

    Raises UserError if it is not a results folder, or its sweep.json or retrain.json is damaged;
    problems of single trials are in the warnings.
    """
    tables: dict[str, list[pa.Table]] = {kind: [] for kind in SCHEMAS}

    def keep(kind: str, table: pa.Table) -> None:
        if kind == "epochs" and epoch_columns is not None:
            table = table.select(list(epoch_columns))
        if table.num_columns:
            tables[kind].append(table)

    warnings = _write_rows(Path(results), keep)
    frames = {
        kind: as_frame(pa.concat_tables(parts)) if parts else pd.DataFrame()
        for kind, parts in tables.items()
    }
    return Collected(**frames, warnings=warnings)


def export(results: Path, out: Path | None = None) -> Export:
    """Write runs.parquet, epochs.parquet and retrains.parquet into `out`, by default `results`.

    Files are complete or absent. Raises UserError as `collect` does, or if `out` can't be written.
    """
    results = Path(results)
    load_sweep(results)  # a wrong folder is refused before anything is written
    out = results if out is None else Path(out)
    paths = {kind: export_file(out, kind) for kind in SCHEMAS}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as whole:
            aside = {
                kind: whole.enter_context(atomic_replacement(path)) for kind, path in paths.items()
            }
            warnings = _write(results, aside)
    except OSError as err:
        raise UserError(f"can't export {results} to {out}: {err}") from err
    return Export(**paths, warnings=warnings)


def _write(results: Path, paths: Mapping[str, Path]) -> tuple[str, ...]:
    with ExitStack() as files:
        writers = {
            kind: files.enter_context(pq.ParquetWriter(path, SCHEMAS[kind], compression="zstd"))
            for kind, path in paths.items()
        }
        digest = source_digest(results)
        warnings = _write_rows(results, lambda kind, table: writers[kind].write_table(table))
        for writer in writers.values():
            metadata = {DIGEST_KEY: digest, WARNINGS_KEY: json.dumps(warnings)}
            writer.add_key_value_metadata(metadata)
    return warnings


def read_runs(path: Path) -> pd.DataFrame:
    """runs.parquet, given as the file or as its folder; one row per run.

    Raises UserError if the file is missing, damaged or of another schema version.
    """
    path = Path(path)
    return read_frame("runs", export_file(path, "runs") if path.is_dir() else path)
