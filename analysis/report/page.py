"""What stands on the page, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.report import provenance
from analysis.report import run_list as runs
from analysis.report.grids import Grid, duration, moment
from analysis.report.names import Doubt
from analysis.report.pictures import FigureBox, figures
from analysis.report.results import results, statistic_grids
from analysis.report.run_details import Story, stories
from analysis.report.warnings import FEW_SEEDS, doubts
from drnas_ray import __version__
from drnas_ray.core.errors import UserError


@dataclass(frozen=True)
class Page:
    """All that the template writes."""

    title: str
    lead: str
    tiles: tuple[tuple[str, str, str], ...]
    """(name, figure, smaller print)."""
    doubts: tuple[Doubt, ...]
    few_seeds: int
    results: tuple[Grid, ...]
    statistics: tuple[Grid, ...]
    figures: tuple[FigureBox, ...]
    sweeps: Grid
    overview: Grid
    shared: provenance.Settings
    own: tuple[provenance.Settings, ...]
    own_left_out: int
    listing: Grid
    told: str
    stories: tuple[Story, ...]
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
    states = frame["status"].value_counts()
    rest = ", ".join(
        f"{states[name]:,} {text}"
        for name, text in runs.STATUS.items()
        if name != "done" and name in states.index
    )
    methods = frame.groupby(["label", "variant"]).ngroups
    search, retrain = (
        float(frame["search_s"].sum()),
        float(provenance.once(frame)["retrain_s"].sum()),
    )
    return (
        ("Runs done", f"{int(states.get('done', 0)):,} of {len(frame):,}", rest),
        ("Methods", f"{methods:,}", ""),
        ("Data sets", f"{frame['dataset'].nunique():,}", provenance.several(frame["dataset"], 2)),
        ("Protocol", provenance.several(frame["protocol"]), ""),
        ("Searching", duration(search), "summed over runs"),
        ("Retraining", duration(retrain) if retrain else "none", "summed over retrainings"),
        ("Searched on", provenance.several(frame["device"], 2), ""),
        ("Commit", provenance.several(provenance.short_commits(frame), 2), ""),
    )


def _told(frame: pd.DataFrame, shown: int) -> str:
    begun = int((frame["status"] != "pending").sum())
    if shown == begun:
        return f"All {_count(shown, 'run')} that {'has' if shown == 1 else 'have'} begun."
    return (
        f"{shown:,} of {_count(begun, 'run')}: in turn one of every method and data set by seed, "
        "with up to a quarter of the places for those that failed or diverged. The table “Runs by "
        "method and data set” says which are left out; --runs shows more."
    )


def build(
    collected: Collected,
    benchmark: BenchmarkTable | None,
    most_runs: int,
    progress: Callable[[str], None],
) -> Page:
    """The page of these data. Raises UserError without runs, or as the comparison table does."""
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
        doubts=tuple(doubts(collected)),
        few_seeds=FEW_SEEDS,
        results=tuple(results(frame, benchmark)),
        statistics=tuple(statistic_grids(frame, benchmark)),
        figures=tuple(drawn),
        sweeps=provenance.sweeps(frame),
        overview=runs.overview(frame, places),
        shared=shared,
        own=tuple(own),
        own_left_out=left_out,
        listing=runs.listing(frame, links),
        told=_told(frame, len(places)),
        stories=tuple(stories(collected, links, benchmark, progress)),
        version=__version__,
        colophon=(
            f"Written by drnas-ray {__version__}. The page is complete in itself: it loads nothing "
            "and sends nothing. The same data give the same page."
        ),
    )
