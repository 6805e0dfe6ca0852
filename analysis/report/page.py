"""What is on the page, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.report import provenance
from analysis.report import run_list as runs
from analysis.report.page_tables import PageTable, duration, moment
from analysis.report.pictures import FigureBox, figures
from analysis.report.results import results, statistics_tables
from analysis.report.run_details import RunDetail, run_details
from analysis.report.warnings import FEW_SEEDS, ReportWarning, report_warnings
from drnas_ray import __version__
from drnas_ray.core.errors import UserError
from drnas_ray.results.status import Status, counts_text


@dataclass(frozen=True)
class Page:
    """Everything that the template shows."""

    title: str
    lead: str
    tiles: tuple[tuple[str, str, str], ...]
    """(name, figure, small print)."""
    warnings: tuple[ReportWarning, ...]
    few_seeds: int
    results: tuple[PageTable, ...]
    statistics: tuple[PageTable, ...]
    figures: tuple[FigureBox, ...]
    sweeps: PageTable
    overview: PageTable
    shared: provenance.Settings
    own: tuple[provenance.Settings, ...]
    own_left_out: int
    listing: PageTable
    detail_note: str
    """Which runs are shown in full."""
    run_details: tuple[RunDetail, ...]
    version: str
    colophon: str


def _title(frame: pd.DataFrame) -> str:
    names = [Path(folder).resolve().name for folder in dict.fromkeys(frame["sweep"])]
    return provenance.several(names, 3)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _lead(frame: pd.DataFrame, newest: float | None) -> str:
    text = (
        f"{_count(len(frame), 'run')} of {_count(frame['label'].nunique(), 'method')} on "
        f"{provenance.several(frame['dataset'])}, {_count(frame['seed'].nunique(), 'seed')}."
    )
    return text + (" Nothing reported yet." if newest is None else f" State of {moment(newest)}.")


def _tiles(frame: pd.DataFrame) -> tuple[tuple[str, str, str], ...]:
    done = int((frame["status"] == Status.done).sum())
    methods = frame.groupby(["label", "variant"]).ngroups
    search, retrain = (
        float(frame["search_s"].sum()),
        float(provenance.once(frame)["retrain_s"].sum()),
    )
    return (
        ("Runs done", f"{done:,} of {len(frame):,}", counts_text(frame["status"])),
        ("Methods", f"{methods:,}", ""),
        ("Data sets", f"{frame['dataset'].nunique():,}", provenance.several(frame["dataset"], 2)),
        ("Protocol", provenance.several(frame["protocol"]), ""),
        ("Searching", duration(search), "summed over runs"),
        ("Retraining", duration(retrain) if retrain else "none", "summed over retrainings"),
        ("Searched on", provenance.several(frame["device"], 2), ""),
        ("Commit", provenance.several(provenance.short_commits(frame), 2), ""),
    )


def _detail_note(frame: pd.DataFrame, shown: int) -> str:
    begun = int((frame["status"] != Status.pending).sum())
    if shown == begun:
        return f"All {_count(shown, 'run')} that {'has' if shown == 1 else 'have'} begun."
    return (
        f"{shown:,} of {_count(begun, 'run')}, taken in turn from every method and data set, by "
        "seed; up to a quarter of them are runs that failed or diverged. The table “Runs by method "
        "and data set” lists those not shown; --runs shows more."
    )


def build(
    collected: Collected,
    benchmark: BenchmarkTable | None,
    most_runs: int,
    progress: Callable[[str], None],
) -> Page:
    """The page for these data.

    Raises UserError if there are no runs, or as `analysis.tables.comparison.table` does.
    """
    frame = collected.runs
    if frame.empty:
        raise UserError("no runs to report on: the sweep lists none")
    progress("tables")
    places = runs.chosen(frame, most_runs)
    links = runs.anchors(places)
    shared, own, left_out = provenance.settings(frame)
    newest = provenance.newest_unix_s(collected)
    drawn = figures(collected, benchmark, progress)
    return Page(
        title=_title(frame),
        lead=_lead(frame, newest),
        tiles=_tiles(frame),
        warnings=tuple(report_warnings(collected)),
        few_seeds=FEW_SEEDS,
        results=tuple(results(frame, benchmark)),
        statistics=tuple(statistics_tables(frame, benchmark)),
        figures=tuple(drawn),
        sweeps=provenance.sweeps(frame),
        overview=runs.overview(frame, places),
        shared=shared,
        own=tuple(own),
        own_left_out=left_out,
        listing=runs.listing(frame, links),
        detail_note=_detail_note(frame, len(places)),
        run_details=tuple(run_details(collected, links, benchmark, progress)),
        version=__version__,
        colophon=(
            f"Written by drnas-ray {__version__}. The page is self-contained: it loads nothing and "
            "sends nothing. The same data give the same page."
        ),
    )
