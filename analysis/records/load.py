"""One or several results folders as one data set, for tables, figures and the report.

A folder is what a sweep wrote, or has only the files of an export. If a sweep's folder has an
export of exactly its present trials (`analysis.records.freshness`), that is read: seconds instead
of minutes for 10,000 runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.records.collect import Collected, collect
from analysis.records.freshness import DIGEST_KEY, WARNINGS_KEY, source_digest
from analysis.records.merge import merged
from analysis.records.schema import SCHEMAS, damaged, read_frame
from drnas_ray.core.errors import UserError
from drnas_ray.results.layout import SWEEP_FILE, export_file


def load(folders: Sequence[Path], *, epoch_columns: Sequence[str] | None = None) -> Collected:
    """The runs of all folders, with a column `sweep` (the folder) in each of the three tables.

    (sweep, run_id) identifies a run. A run in several folders counts once, and rows with the same
    name but different settings are kept apart (`analysis.records.merge`).

    epoch_columns: columns of epochs to read; run_id is always added. None reads all (strengths of
    10,000 runs need gigabytes), () reads no epochs.

    Raises UserError as `collect` does, for a damaged export without its trials, or if no folder is
    given, or one is given twice.
    """
    if not folders:
        raise UserError("no results folder: give one that a sweep wrote")
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise UserError("a results folder is given twice: its runs would count double")
    if epoch_columns:
        epoch_columns = list(dict.fromkeys(["run_id", *epoch_columns]))
        unknown = [name for name in epoch_columns if name not in SCHEMAS["epochs"].names]
        if unknown:
            raise UserError(f"epochs.parquet has no column '{unknown[0]}'")
    parts = []
    for folder in folders:
        found = _folder(Path(folder), epoch_columns)
        for frame in (found.runs, found.epochs, found.retrains):
            frame.insert(0, "sweep", str(folder))
        parts.append(found)
    return parts[0] if len(parts) == 1 else merged(parts)


def load_runs(folders: Sequence[Path]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Only the runs, and the warnings: what tables and statistics need."""
    found = load(folders, epoch_columns=())
    return found.runs, found.warnings


def _folder(folder: Path, epoch_columns: Sequence[str] | None) -> Collected:
    """One folder, read from its export if that is up to date."""
    if not (folder / SWEEP_FILE).is_file():
        if folder.is_dir() and export_file(folder, "runs").is_file():
            return _exported(folder, epoch_columns)
        if folder.is_dir():
            raise UserError(
                f"{folder} is not a results folder: it has no {SWEEP_FILE}, and no runs.parquet of "
                "an export"
            )
        raise UserError(f"no folder {folder}: give the folder that a sweep wrote")
    try:
        fresh = _is_fresh(folder, epoch_columns)
        return _exported(folder, epoch_columns) if fresh else collect(folder, epoch_columns)
    except UserError as err:
        found = collect(folder, epoch_columns)
        note = f"{err} (its trials were read instead)"
        return Collected(found.runs, found.epochs, found.retrains, (note, *found.warnings))


def _files(epoch_columns: Sequence[str] | None) -> list[str]:
    return [kind for kind in SCHEMAS if kind != "epochs" or epoch_columns != ()]


def _metadata(path: Path) -> dict[bytes, bytes]:
    """The file's metadata. Raises UserError if it is damaged."""
    try:
        return pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError) as err:
        raise damaged(path, err) from err


def _is_fresh(folder: Path, epoch_columns: Sequence[str] | None) -> bool:
    """Whether all files to read match the present trials. Raises UserError if one is damaged."""
    paths = [export_file(folder, kind) for kind in _files(epoch_columns)]
    if not all(path.is_file() for path in paths):
        return False
    digests = {_metadata(path).get(DIGEST_KEY, b"") for path in paths}
    return digests == {source_digest(folder).encode()}


def _exported(folder: Path, epoch_columns: Sequence[str] | None) -> Collected:
    kinds = _files(epoch_columns)
    columns = {"epochs": epoch_columns}
    frames = {
        kind: read_frame(kind, export_file(folder, kind), columns.get(kind)) for kind in kinds
    }
    written = _metadata(export_file(folder, "runs")).get(WARNINGS_KEY, b"[]")
    try:
        warnings = tuple(str(text) for text in json.loads(written))
    except ValueError:
        warnings = ()
    return Collected(
        runs=frames["runs"],
        epochs=frames.get("epochs", pd.DataFrame()),
        retrains=frames["retrains"],
        warnings=warnings,
    )
