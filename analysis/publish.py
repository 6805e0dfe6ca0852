"""What is written into a results folder once its sweep has ended: exports, a table, pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.cells.draw import draw_all
from analysis.figures.drawing import Drawn, draw_figures
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Export, collect, export, read_runs
from analysis.tables.comparison import table
from analysis.tables.formats import Format, write_table
from analysis.tables.render import Table
from analysis.tuning.importance import Importance, importance
from analysis.tuning.results import Tuning, best, tunings
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import write_atomically
from drnas_ray.results.status import ENDED

TUNING_FIGURES = ("tuning-parallel", "tuning-importance")


@dataclass(frozen=True)
class Published:
    """runs: as in runs.parquet. tables: the files of `table`. pictures: of derived cells."""

    exported: Export
    runs: pd.DataFrame
    table: Table
    tables: tuple[Path, ...]
    pictures: tuple[Path, ...]


def publish(results: Path, benchmark: BenchmarkTable | None = None) -> Published:
    """Export, tabulate (table.md, table.csv) and draw every derived cell (cells/).

    benchmark: tabulate its accuracies of the cells instead of those of retrainings. Raises
    UserError if the folder can't be read or written.
    """
    exported = export(results)
    runs = read_runs(results)
    made = table(runs, benchmark)
    tables = {results / "table.md": Format.markdown, results / "table.csv": Format.csv}
    for path, form in tables.items():
        write_table(made, path, form, "Methods compared")
    return Published(exported, runs, made, tuple(tables), tuple(draw_all(runs, results / "cells")))


@dataclass(frozen=True)
class PublishedTuning:
    """best: the best points; best.csv has all. importance: None, and why, with few points."""

    tuning: Tuning
    best: pd.DataFrame
    importance: Importance | None
    no_importance: str
    best_file: Path
    drawn: Drawn
    runs: pd.DataFrame
    warnings: tuple[str, ...]


def publish_tuning(results: Path, most: int = 10) -> PublishedTuning:
    """Rank the points of a tuning, write best.csv and draw `TUNING_FIGURES`.

    most: how many of the best points to return. Raises UserError if nothing was tuned.
    """
    collected = collect(results)
    found = tunings(collected.runs)
    if not found:
        raise UserError(f"{results} has no tuned points: run a sweep with a `search:` section")
    (tuning,) = found
    best_file = results / "best.csv"
    try:
        write_atomically(best_file, best(tuning, len(tuning.points)).to_csv(index=False))
    except OSError as error:
        raise UserError(f"can't write {best_file}: {error}") from error
    important, why = None, ""
    try:
        important = importance(tuning)
    except UserError as error:
        why = str(error)
    drawn = draw_figures(TUNING_FIGURES, collected, None, results)
    return PublishedTuning(
        tuning,
        best(tuning, most),
        important,
        why,
        best_file,
        drawn,
        collected.runs,
        collected.warnings,
    )


def unfinished(runs: pd.DataFrame) -> str | None:
    """One line on runs or retrainings that are not finished; None if all are."""
    failed = runs[~runs["status"].isin(ENDED)]
    if len(failed):
        counts = ", ".join(f"{n} {status}" for status, n in failed["status"].value_counts().items())
        why = next(
            (text for text in failed["error"] if isinstance(text, str)), "no error was recorded"
        )
        return (
            f"{len(failed)} of {len(runs)} runs are not done ({counts}; the first: {why}): run "
            "again with --resume"
        )
    waiting = runs["retrain_status"].dropna()
    waiting = waiting[~waiting.isin(ENDED)]
    if len(waiting):
        return (
            f"the cells of {len(waiting)} of {len(runs)} runs are not trained from scratch "
            f"({waiting.iloc[0]}): run again with --resume"
        )
    return None
