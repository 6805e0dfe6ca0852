"""The paper's three tables, every row and column, ours beside the published figures.

Published figures come from `drnas_ray/bench/published.yaml`. A run is a row of the paper if its
label is one that the row names, it has no grid variant, and its data set is the row's; all other
runs of the table's space and data sets stand below. Protocols never share a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from analysis.benchmark import BenchmarkTable
from analysis.paper_notes import kept_runs, paper_notes
from analysis.render import Cell, Table
from analysis.summary import (
    BENCHMARK,
    Group,
    Record,
    finite,
    grouped,
    joined,
    summarised,
    variant_text,
)
from drnas_ray.bench.published import Column, PublishedTable, Row, published

SECONDS_A_DAY = 86_400
TOP5 = "retrain_test_top5_acc_pct"
"""Read where an export has it; none does yet."""
_FIGURES: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "test_error": ("retrain_test_acc_pct", lambda acc: 100 - acc),
    "top1_error": ("retrain_test_acc_pct", lambda acc: 100 - acc),
    "top5_error": (TOP5, lambda acc: 100 - acc),
    "params_m": ("retrain_params_m", float),
}
"""Key of a published column, to our column and how it becomes the published figure."""
_EMPTY = Cell(missing="")
_SAID = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120"}


@dataclass(frozen=True)
class _Line:
    """One line of the table: a published row, runs of ours, or both."""

    row: Row | None
    ours: str = ""
    """Label and variant of our runs; empty where there are none."""
    protocol: str = ""
    epochs: int | None = None
    """Of retraining, where runs of several recipes are at hand."""
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    """By data set."""

    def done(self, dataset: str) -> list[Record]:
        """The finished runs on a data set."""
        return [r for r in self.records.get(dataset, ()) if r["status"] == "done"]

    def searched(self, dataset: str) -> list[Record]:
        """Those that were searched there, and not only looked up."""
        return [r for r in self.done(dataset) if r["searched_on"] == dataset]

    @property
    def devices(self) -> list[str]:
        """Where its finished runs were searched."""
        found = {str(r["device"]) for data in self.records for r in self.done(data) if r["device"]}
        return sorted(found)


def _lines(paper: PublishedTable, groups: Mapping[Group, Sequence[Record]]) -> Iterator[_Line]:
    """The paper's rows in its order, each with our runs of it; then the runs that are none."""
    mine: dict[tuple[str, str, str, int | None], dict[str, Sequence[Record]]] = {}
    for group, records in groups.items():
        key = (group.label, group.variant, group.protocol, group.retrain_epochs)
        mine.setdefault(key, {})[group.dataset] = records
    taken = set()
    for row in paper.rows:
        fits = [
            key for key in mine if key[0] in row.ours and key[1] == "{}" and not row.searched_on
        ]
        taken |= set(fits)
        yield from [_line(row, key, mine[key]) for key in fits] or [_Line(row)]
    yield from (_line(None, key, records) for key, records in mine.items() if key not in taken)


def _line(
    row: Row | None,
    key: tuple[str, str, str, int | None],
    records: Mapping[str, Sequence[Record]],
) -> _Line:
    label, variant, protocol, epochs = key
    name = ", ".join(filter(None, (label, variant_text(variant))))
    return _Line(row, name, protocol, epochs, records)


def _name(line: _Line, several: bool) -> str:
    """The first column: the paper's name for the row, and ours where it takes telling apart."""
    if line.row is None:
        name = line.ours
    else:
        cite = f" ({line.row.cite})" if line.row.cite else ""
        name = f"{line.row.label}{line.row.marks}{cite}"
        if several:
            name += f" [{line.ours}]"
    return name if line.epochs is None else f"{name} [retrained {line.epochs} epochs]"


def _spread(values: Sequence[float], digits: int = 2) -> Cell:
    array = np.asarray(values, np.float64)
    std = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    return Cell(len(array), float(array.mean()), std, digits=digits)


def _digits(value: float) -> int:
    """Decimals that leave two significant digits of a small number."""
    return 2 if value <= 0 else min(8, max(2, 1 - math.floor(math.log10(value))))


def _why_not(records: Sequence[Record], done: int, what: str) -> Cell:
    if all(record["status"] == "pending" for record in records):
        return Cell()
    return Cell(missing=f"0 of {len(records)} {what if done else 'done'}")


def _figure(line: _Line, column: Column, benchmark: BenchmarkTable | None) -> Cell:
    """Ours for a published column; cost and words have functions of their own."""
    dataset = column.dataset or ""
    records = line.records.get(dataset, ())
    done = line.done(dataset)
    if not records:
        return Cell()
    if column.key in _FIGURES:
        name, turned = _FIGURES[column.key]
        what = "retrained"
    else:  # nb201: a figure of the benchmark, or of our own training on the test images
        split = column.key.rsplit("_", 1)[1]
        if benchmark is None and split == "valid":
            return Cell(missing="needs --benchmark")
        name = "retrain_test_acc_pct" if benchmark is None else BENCHMARK[split == "test"]
        what, turned = ("retrained" if benchmark is None else "in the benchmark"), float
    if done and all(name not in record for record in records):
        return Cell(missing="not recorded")
    values = [turned(float(value)) for value in finite(done, name)]
    return _spread(values) if values else _why_not(records, len(done), what)


def _cost(line: _Line, dataset: str) -> Cell:
    """Mean days of a search on a data set: the trials' own seconds, on the devices named."""
    searched = line.searched(dataset)
    values = [float(value) / SECONDS_A_DAY for value in finite(searched, "search_s")]
    if not values:
        return _EMPTY
    if len({str(record["device"]).startswith("cpu") for record in searched}) > 1:
        return Cell(missing="CPU and GPU mixed")
    cell = _spread(values)
    return replace(cell, digits=_digits(cell.mean))


def _unit(line: _Line) -> str:
    kinds = {"CPU days" if name.startswith("cpu") else "GPU days" for name in line.devices}
    return " or ".join(sorted(kinds))


def _printed(line: _Line, place: int, column: Column) -> Cell:
    if line.row is None:
        return _EMPTY
    mark = line.row.cost_mark if column.key == "search_days" else ""
    return Cell(missing=f"{line.row.figures[place].text}{mark}")


def _ours(line: _Line, column: Column, benchmark: BenchmarkTable | None) -> Cell:
    if line.row is not None and line.row.label == "optimal":
        if benchmark is None or column.dataset is None:
            return _EMPTY
        best = benchmark.best(column.dataset, column.key.rsplit("_", 1)[1])
        # Read off, so there is no n to give.
        return _EMPTY if math.isnan(best) else Cell(mean=best, missing=f"{best:.2f}")
    dataset = column.dataset or ""
    if column.key == "search_days" and line.records.get(dataset):
        return _cost(line, dataset)
    return _figure(line, column, benchmark)


def _costs(paper: PublishedTable) -> list[str]:
    """The data sets that get a column of search cost though the paper prints none."""
    if any(column.key == "search_days" for column in paper.columns):
        return []
    return list(dict.fromkeys(column.dataset for column in paper.columns if column.dataset))


def _cells(line: _Line, paper: PublishedTable, benchmark: BenchmarkTable | None) -> list[Cell]:
    cells: list[Cell] = []
    for place, column in enumerate(paper.columns):
        cells.append(_printed(line, place, column))
        if column.key != "kind":
            cells.append(_ours(line, column, benchmark))
    cells += [_cost(line, dataset) for dataset in _costs(paper)]
    return [*cells, *(Cell(missing=text) for text in _words(line))]


def _words(line: _Line) -> tuple[str, str]:
    """Protocol, and where the searches ran."""
    where = "; ".join(name.removeprefix("cpu (").removesuffix(")") for name in line.devices)
    return line.protocol, f"{_unit(line)}: {where}" if where else ""


def _heads(paper: PublishedTable) -> tuple[list[tuple[str, int]], list[str], set[int]]:
    """Groups, columns, and places of the columns that hold words."""
    groups: list[tuple[str, int]] = []
    columns: list[str] = []
    words: set[int] = set()
    for column in paper.columns:
        if column.key == "kind":
            groups.append(("", 1))
            words.add(len(columns))
            columns.append(column.heading)
        else:
            groups.append((column.heading, 2))
            columns += ["published", "ours"]
    costs = _costs(paper)
    if costs:
        groups.append(("Search cost of ours (days)", len(costs)))
        columns += [_SAID[dataset] for dataset in costs]
    groups += [("", 1), ("", 1)]
    words |= {len(columns), len(columns) + 1}
    return groups, [*columns, "Protocol", "Searched on"], words


def _tidy_line(
    line: _Line, name: str, paper: PublishedTable, benchmark: BenchmarkTable | None
) -> Iterator[Record]:
    shared = {
        "row": name,
        "in_paper": line.row is not None,
        "protocol": line.protocol,
        "label": line.ours,
        "retrain_epochs": line.epochs,
        "device": "; ".join(line.devices),
    }
    places: list[tuple[int | None, Column]] = list(enumerate(paper.columns))
    places += [
        (None, Column(key="search_days", heading="", dataset=data)) for data in _costs(paper)
    ]
    for place, column in places:
        figure = line.row.figures[place] if line.row is not None and place is not None else None
        if column.key == "kind":
            cell = _EMPTY
        elif place is None:
            cell = _cost(line, column.dataset or "")
        else:
            cell = _ours(line, column, benchmark)
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


def paper_table(
    name: str, runs: pd.DataFrame | None = None, benchmark: BenchmarkTable | None = None
) -> Table:
    """The paper's table `nb201`, `cifar10` or `imagenet`, ours (mean ± std (n)) beside it.

    runs: as `analysis.load` gives them; None or none that fit: the published figures alone, ours
    `not run`. benchmark: where NAS-Bench-201's figures of our cells are looked up; without it its
    test columns have those of cells that were retrained. Raises UserError for another name, or as
    `summary` does.
    """
    paper = published(name)
    kept = kept_runs(paper, runs)
    use = benchmark if paper.space == "nb201" else None
    groups = {} if kept.empty else grouped(joined(kept, use), use)
    frame = summarised(groups, use) if groups else None
    lines = list(_lines(paper, groups))
    labels = [(line.row, line.ours) for line in lines]
    names = [
        _name(line, line.row is not None and len({o for r, o in labels if r is line.row}) > 1)
        for line in lines
    ]
    heads, columns, words = _heads(paper)
    tidy = pd.DataFrame(
        [
            record
            for line, text in zip(lines, names, strict=True)
            for record in _tidy_line(line, text, paper, use)
        ]
    )
    numbers = ("published_mean", "published_std", "mean", "std")
    tidy = tidy.astype({**dict.fromkeys(numbers, "float64"), "retrain_epochs": "Int64"})
    return Table(
        columns=tuple(columns),
        rows=tuple(
            (text, tuple(_cells(line, paper, use))) for line, text in zip(lines, names, strict=True)
        ),
        notes=paper_notes(paper, kept, runs, frame, use),
        tidy=tidy,
        groups=tuple(heads),
        words=frozenset(words),
    )
