"""The tables of results and statistics, made ready for the page."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from analysis.paper.notes import kept_runs
from analysis.paper.table import paper_table
from analysis.records.benchmark import BenchmarkTable
from analysis.report.page_tables import NONE, Entry, PageTable, page_table, words
from analysis.stats.pairs import paired
from analysis.stats.statistics import statistics
from analysis.tables.comparison import table
from analysis.tables.render import Cell, Table
from analysis.tables.statistics import paired_table, statistics_table
from drnas_ray.benchmarks.columns import CELLS
from drnas_ray.benchmarks.published import NAMES, published
from drnas_ray.core.errors import UserError

_FIGURE = re.compile(r"(?:~ )?(-?\d+(?:\.\d+)?)")
_UNDONE = re.compile(r"0 of \d+ [a-z]")
_PAPER = {
    "nb201": "NAS-Bench-201, ours beside the paper's",
    "cifar10": "CIFAR-10, ours beside the paper's",
    "imagenet": "ImageNet, ours beside the paper's",
}


def _entry(cell: Cell, is_word: bool) -> Entry:
    """A cell, sorted by its mean, or by the number at the start of its text."""
    text = cell.text()
    if is_word or text == "":
        return words(text)
    if cell.n:
        return Entry(text, order=cell.mean)
    begins = _FIGURE.match(text)
    if begins is None or _UNDONE.match(text):
        return Entry(NONE if text == "-" else text, missing=True)
    return Entry(text, order=float(begins[1]))


def result_table(caption: str, made: Table) -> PageTable:
    """A table of `analysis.tables.render` for the page: sortable, with its notes below."""
    rows = [
        [words(label), *(_entry(cell, i in made.words) for i, cell in enumerate(cells))]
        for label, cells in made.rows
    ]
    kinds = [False, *(i not in made.words for i in range(len(made.columns)))]
    return page_table(
        caption,
        [made.first, *made.columns],
        rows,
        numeric=kinds,
        groups=[("", 1), *made.groups] if made.groups else (),
        notes=made.notes,
    )


def _sources(
    runs: pd.DataFrame, benchmark: BenchmarkTable | None
) -> Sequence[tuple[str, BenchmarkTable | None]]:
    """Where accuracies come from: retrainings if any, and the benchmark if one is given."""
    retrained = ("test accuracy in %, cells retrained from scratch", None)
    if benchmark is None:
        return [retrained]
    looked_up = (f"accuracy in % of the derived cells in {benchmark.label}", benchmark)
    return [retrained, looked_up] if runs["retrain_id"].notna().any() else [looked_up]


def results(runs: pd.DataFrame, benchmark: BenchmarkTable | None) -> list[PageTable]:
    """The comparison of methods, then those of the paper's tables that have runs here."""
    tables = [
        result_table(f"Methods: {about}", table(runs, source))
        for about, source in _sources(runs, benchmark)
    ]
    # The paper's tables compare with the official benchmark only, not with cells trained here.
    whole = benchmark is not None and (benchmark.epochs, benchmark.cells) == (200, CELLS)
    for name in NAMES:
        if not kept_runs(published(name), runs).empty:
            made = paper_table(name, runs, benchmark if whole else None)
            tables.append(result_table(_PAPER[name], made))
    return tables


def statistics_tables(runs: pd.DataFrame, benchmark: BenchmarkTable | None) -> list[PageTable]:
    """Statistics over seeds of every row, and paired comparisons over common seeds."""
    tables = []
    for about, source in _sources(runs, benchmark):
        made = statistics_table(statistics(runs, source), source)
        tables.append(result_table(f"Over seeds: {about}", made))
        caption = f"Pairs of methods over common seeds: {about}"
        try:
            pairs = paired_table(paired(runs, source), source)
        except UserError as too_many:
            tables.append(page_table(caption, [], [], notes=[f"Left out: {too_many}."]))
            continue
        if pairs.rows:
            tables.append(result_table(caption, pairs))
    return tables
