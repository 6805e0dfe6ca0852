"""The comparison table: methods as rows, data sets as columns. `to_...` write it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.records.benchmark import BenchmarkTable
from analysis.records.labels import full_label
from analysis.stats.summary import BENCHMARK, STATISTICS, metrics, summary
from analysis.tables.markup import to_html, to_html_page, to_latex
from analysis.tables.notes import notes
from analysis.tables.render import Cell, Table, to_csv, to_markdown, to_parquet, to_rich, to_text

_HEADING = {
    "retrain_test_acc_pct": "",
    "bench_valid_acc_pct": " valid",
    "bench_test_acc_pct": " test",
}


def _cell(row: Mapping[str, Any], metric: str) -> Cell:
    if row["n_pending"] == row["n_runs"]:
        return Cell()
    done = "done" if row["n_done"] == 0 else "retrained"
    if metric.startswith("bench") and row["n_done"]:
        done = "in the benchmark"
    n, mean, std = (row[f"{metric}_{name}"] for name in ("n", "mean", "std"))
    return Cell(int(n), float(mean), float(std), f"0 of {row['n_runs']} {done}")


def _optimal(
    places: Sequence[tuple[str, str]], runs: pd.DataFrame, benchmark: BenchmarkTable
) -> tuple[Cell, ...]:
    """The benchmark's maximum in each column: not an average over runs, so without n."""
    once = runs.drop_duplicates("dataset")
    names = {
        label: json.loads(config)["data"]["name"]
        for label, config in zip(once["dataset"], once["config"], strict=True)
    }
    cells = []
    for dataset, metric in places:
        name = dataset if dataset in benchmark.datasets else names.get(dataset, dataset)
        best = benchmark.best(name, "valid" if metric == BENCHMARK[0] else "test")
        cells.append(Cell(missing="" if math.isnan(best) else f"{best:.2f}"))
    return tuple(cells)


def _tidy(frame: pd.DataFrame, names: tuple[str, ...], source: str) -> pd.DataFrame:
    shared = [name for name in frame.columns if not name.startswith(names)]
    parts = []
    for place, metric in enumerate(names):
        part = frame[shared].copy()
        part.insert(5, "metric", metric)
        for offset, name in enumerate(STATISTICS):
            part.insert(6 + offset, name, frame[f"{metric}_{name}"])
        part["source"] = source
        parts.append(part.assign(_place=place))
    tidy = pd.concat(parts).rename_axis("_row").reset_index()
    tidy = tidy.sort_values(["_row", "_place"], kind="stable", ignore_index=True)
    return tidy.drop(columns=["_row", "_place"])


def _label(row: Mapping[str, Any], recipe: int | None, protocols: bool, recipes: bool) -> str:
    label = full_label(row["label"], row["variant"])
    if protocols:
        label += f" [{row['protocol']}]"
    if recipes:
        label += " [not retrained]" if recipe is None else f" [retrained {recipe} epochs]"
    return label


def table(runs: pd.DataFrame, benchmark: BenchmarkTable | None = None) -> Table:
    """Methods as rows, data sets as columns (with a benchmark: valid and test of each).

    Rows and columns are in order of first appearance; each protocol and retraining recipe has its
    own rows, labelled if there are several. Raises UserError as `summary` does.
    """
    frame = summary(runs, benchmark)
    names = metrics(benchmark)
    datasets = list(dict.fromkeys(frame["dataset"]))
    many_protocols = frame["protocol"].nunique() > 1
    many_recipes = bool(frame["retrain_epochs"].notna().any())
    rows: dict[tuple[Any, ...], tuple[str, dict[tuple[str, str], Cell]]] = {}
    for row in (
        {str(key): value for key, value in raw.items()} for raw in frame.to_dict("records")
    ):
        recipe = None if pd.isna(row["retrain_epochs"]) else row["retrain_epochs"]
        key = (row["protocol"], row["label"], row["variant"], recipe)
        text = _label(row, recipe, many_protocols, many_recipes)
        _, cells = rows.setdefault(key, (text, {}))
        for metric in names:
            cells[row["dataset"], metric] = _cell(row, metric)
    places = [(dataset, metric) for dataset in datasets for metric in names]
    lines = [
        (label, tuple(cells.get(place, Cell()) for place in places))
        for label, cells in rows.values()
    ]
    if benchmark is not None:
        lines.append(("optimal", _optimal(places, runs, benchmark)))
    return Table(
        columns=tuple(f"{dataset}{_HEADING[metric]}" for dataset, metric in places),
        rows=tuple(lines),
        notes=notes(runs, frame, benchmark),
        tidy=_tidy(frame, names, "retrained" if benchmark is None else benchmark.label),
    )


__all__ = [
    "Cell",
    "Table",
    "summary",
    "table",
    "to_csv",
    "to_html",
    "to_html_page",
    "to_latex",
    "to_markdown",
    "to_parquet",
    "to_rich",
    "to_text",
]
