"""The records of short runs, of which a trial does a hundred: `packed/*` of a results folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.records.schema import Row
from analysis.records.trial import ENDED, Record, failure, passed_over, reports, typed
from drnas_ray.results.layout import SEARCH_COLUMNS


def read_packs(results: Path) -> tuple[dict[str, Record], list[str]]:
    """The record of every run that a pack names, by run id, and warnings."""
    found: dict[str, Record] = {}
    warnings: list[str] = []
    for folder in sorted(results.glob("packed*/*")):
        path = folder / "params.json"
        if not path.is_file():
            continue
        try:
            idents = list(json.loads(path.read_text(encoding="utf-8"))["job"]["settings"])
        except (OSError, ValueError, KeyError, TypeError):
            warnings.append(f"{folder.parent.name}/{folder.name}: its params.json names no runs")
            continue
        warnings += [f"{folder.name}: {text}" for text in passed_over(folder)]
        records, damaged = _records(folder, idents)
        if damaged:
            warnings.append(f"{folder.name}: {damaged} of its reports can't be read: skipped")
        for ident, record in records.items():
            # A run may be in two packs, planned anew after a kill: the one that did it counts.
            if ident not in found or record.rows:
                found[ident] = record
    return found, warnings


def _records(folder: Path, idents: list[str]) -> tuple[dict[str, Record], int]:
    """What a pack says of each of its runs, and how many of its reports are damaged."""
    rows: dict[str, Row] = {}
    damaged, last_date = 0, ""
    for report in _reports(folder):
        last_date = max(last_date, str(report.get("date") or ""))
        ident = report.get("run_id")
        row = typed(report, SEARCH_COLUMNS) if ident in idents else None
        if row is None or row["status"] not in ENDED:
            damaged += 1
        else:
            rows[str(ident)] = row
    failed = failure(folder)
    over = failed is None or bool(failed.date and last_date > failed.date)
    error = None if failed is None or over else failed.error
    missing = Record((), "pending" if error is None else "error", error, folder)
    done = {ident: Record((row,), row["status"], None, folder) for ident, row in rows.items()}
    return {ident: done.get(ident, missing) for ident in idents}, damaged


def _reports(folder: Path) -> Iterator[dict[str, Any]]:
    """Every report of a run."""
    # What Tune has not brought into the folder yet is in the checkpoints.
    for path in (*sorted(folder.glob("checkpoint_*/epochs.jsonl")), folder / "result.json"):
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    yield from reports(line)
