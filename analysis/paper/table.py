"""The paper's three tables, every row and column, with our results beside the published ones.

Published numbers come from `drnas_ray/benchmarks/published.yaml`. A run belongs to a row of the
paper if the row lists its label, it has no grid variant, and its data set is the row's; all other
runs of the table's space and data sets come below. Protocols never share a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.paper.cells import EMPTY, cost, ours, printed, where
from analysis.paper.notes import kept_runs, paper_notes
from analysis.paper.rows import ComparedRow, compared_rows, names_of
from analysis.records.benchmark import BenchmarkTable
from analysis.stats.summary import RunRow, grouped, joined, summarised
from analysis.tables.render import Cell, Table
from drnas_ray.benchmarks.columns import CELLS
from drnas_ray.benchmarks.published import Column, PublishedTable, published
from drnas_ray.core.errors import UserError

_DATASET_NAMES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet16-120": "ImageNet16-120",
}


def _costs(paper: PublishedTable) -> list[str]:
    """The data sets that get a column of search cost although the paper prints none."""
    if any(column.key == "search_days" for column in paper.columns):
        return []
    return list(dict.fromkeys(column.dataset for column in paper.columns if column.dataset))


def _cells(row: ComparedRow, paper: PublishedTable, benchmark: BenchmarkTable | None) -> list[Cell]:
    cells = [Cell(missing=row.protocol)]
    for place, column in enumerate(paper.columns):
        cells.append(printed(row, place, column))
        if column.key != "kind":
            cells.append(ours(row, column, benchmark))
    cells += [cost(row, dataset) for dataset in _costs(paper)]
    return [*cells, Cell(missing=where(row))]


def _heads(paper: PublishedTable) -> tuple[list[tuple[str, int]], list[str], set[int]]:
    """Groups, columns, and indices of the columns that hold words."""
    groups, columns, word_places = [("", 1)], ["Protocol"], {0}
    for column in paper.columns:
        if column.key == "kind":
            groups.append(("", 1))
            word_places.add(len(columns))
            columns.append(column.heading)
        else:
            groups.append((column.heading, 2))
            columns += ["published", "ours"]
    costs = _costs(paper)
    if costs:
        groups.append(("Search cost of ours (days)", len(costs)))
        columns += [_DATASET_NAMES[dataset] for dataset in costs]
    return [*groups, ("", 1)], [*columns, "Searched on"], {*word_places, len(columns)}


def _tidy_row(
    row: ComparedRow, name: str, paper: PublishedTable, benchmark: BenchmarkTable | None
) -> Iterator[RunRow]:
    shared = {
        "row": name,
        "in_paper": row.published is not None,
        "protocol": row.protocol,
        "label": row.ours,
        "retrain_epochs": row.epochs,
        "device": "; ".join(row.devices),
    }
    places: list[tuple[int | None, Column]] = list(enumerate(paper.columns))
    places += [
        (None, Column(key="search_days", heading="", dataset=data)) for data in _costs(paper)
    ]
    for place, column in places:
        figure = (
            row.published.figures[place]
            if row.published is not None and place is not None
            else None
        )
        if column.key == "kind":
            cell = EMPTY
        elif place is None:
            cell = cost(row, column.dataset or "")
        else:
            cell = ours(row, column, benchmark)
        yield shared | {
            "column": column.key,
            "dataset": column.dataset,
            "published": figure.text if figure else None,
            "published_mean": figure.mean if figure else None,
            "published_std": figure.std if figure else None,
            "n": cell.n,
            "mean": cell.mean,
            "std": cell.std,
            "no_figure": cell.missing if math.isnan(cell.mean) and cell.missing else None,
            "source": benchmark.label if benchmark else "retrained",
        }


def _tidy(
    rows: Sequence[ComparedRow],
    names: Sequence[str],
    paper: PublishedTable,
    benchmark: BenchmarkTable | None,
) -> pd.DataFrame:
    """One row per number, unrounded."""
    frame = pd.DataFrame(
        [
            run
            for row, name in zip(rows, names, strict=True)
            for run in _tidy_row(row, name, paper, benchmark)
        ]
    )
    numbers = ("published_mean", "published_std", "mean", "std")
    return frame.astype({**dict.fromkeys(numbers, "float64"), "retrain_epochs": "Int64"})


def paper_table(
    name: str, runs: pd.DataFrame | None = None, benchmark: BenchmarkTable | None = None
) -> Table:
    """The paper's table `nb201`, `cifar10` or `imagenet`, with ours (mean ± std (n)) beside it.

    runs: as `analysis.records.load` returns them; if None, or if none belongs to the table, ours
    are `not run`. benchmark: where NAS-Bench-201 accuracies of our cells are looked up; without
    it, test columns show retrained cells. Raises UserError for an unknown name, for a benchmark
    that is not NAS-Bench-201's own 200-epoch table, or as `summary` does.
    """
    paper = published(name)
    kept = kept_runs(paper, runs)
    use = benchmark if paper.space == "nb201" else None
    if use is not None and (use.epochs, use.cells) != (200, CELLS):
        raise UserError(
            f"{use.label} has cells trained here for {use.epochs} epochs: the paper compares "
            "with NAS-Bench-201's own 200-epoch trainings, use `drnas table DIR` instead"
        )
    groups = {} if kept.empty else grouped(joined(kept, use), use)
    frame = summarised(groups, use) if groups else None
    rows = list(compared_rows(paper, groups))
    names = names_of(rows)
    heads, columns, word_places = _heads(paper)
    return Table(
        columns=tuple(columns),
        rows=tuple(
            (text, tuple(_cells(row, paper, use))) for row, text in zip(rows, names, strict=True)
        ),
        notes=paper_notes(paper, kept, runs, frame, use),
        tidy=_tidy(rows, names, paper, use),
        groups=tuple(heads),
        words=frozenset(word_places),
    )
