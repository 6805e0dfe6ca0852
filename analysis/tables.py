"""The comparison table: methods as rows, data sets as columns, in Markdown, CSV, LaTeX or rich.

Every rendering carries the note that says which protocol, which figure, how many seeds, and how
many runs are left out: numbers of different kinds look alike once they are copied.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.table import Table as RichTable
from rich.text import Text

from analysis.benchmark import BenchmarkTable
from analysis.notes import note
from analysis.summary import BENCHMARK, STATISTICS, metrics, summary, variant_text

_HEADING = {
    "retrain_test_acc_pct": "",
    "bench_valid_acc_pct": " valid",
    "bench_test_acc_pct": " test",
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


@dataclass(frozen=True)
class Cell:
    """One figure: mean and sample standard deviation in percent over n runs."""

    n: int = 0
    mean: float = math.nan
    std: float = math.nan
    missing: str = "not run"
    """What to print where n is 0."""

    def text(self, plus_minus: str = "{mean} ± {std}") -> str:
        """`97.31 ± 0.20 (4)`, `97.31 (1)`, or what is missing."""
        if self.n == 0:
            return self.missing
        mean = f"{self.mean:.2f}"
        if not math.isnan(self.std):
            mean = plus_minus.format(mean=mean, std=f"{self.std:.2f}")
        return f"{mean} ({self.n})"


@dataclass(frozen=True)
class Table:
    """A table before it is written in some format."""

    columns: tuple[str, ...]
    """Headings of the figures; the first column, Method, is not among them."""
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    """(method, one cell a column)."""
    notes: tuple[str, ...]
    tidy: pd.DataFrame
    """One row per (protocol, label, variant, dataset, metric), numbers in full."""


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
    """The table's own maximum of each column: read off, so there is no n to give."""
    names = {
        label: json.loads(config)["data"]["name"]
        for label, config in zip(runs["dataset"], runs["config"], strict=True)
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
    label = ", ".join(filter(None, (row["label"], variant_text(row["variant"]))))
    if protocols:
        label += f" [{row['protocol']}]"
    if recipes:
        label += " [not retrained]" if recipe is None else f" [retrained {recipe} epochs]"
    return label


def table(runs: pd.DataFrame, benchmark: BenchmarkTable | None = None) -> Table:
    """Methods as rows, data sets as columns (with a benchmark: valid and test of each).

    Rows and columns come in order of first appearance; several protocols or retraining recipes
    get rows of their own, labelled. Raises UserError as `summary` does.
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
        notes=note(runs, frame, benchmark),
        tidy=_tidy(frame, names, "retrained" if benchmark is None else benchmark.label),
    )


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]#~])", r"\\\1", " ".join(text.split()))


def to_markdown(table: Table) -> str:
    """A pipe table and the note below it."""
    lines = [["Method", *table.columns]]
    lines += [[label, *(cell.text() for cell in cells)] for label, cells in table.rows]
    text = ["| " + " | ".join(map(_markdown, line)) + " |" for line in lines]
    text.insert(1, "| --- |" + " ---: |" * len(table.columns))
    return "\n".join([*text, "", _markdown(" ".join(table.notes)), ""])


def to_csv(table: Table) -> str:
    """Tidy rows for machines, numbers in full; the note is a column of its own."""
    note_text = " ".join(table.notes)
    return str(table.tidy.assign(note=note_text).to_csv(index=False, lineterminator="\n"))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in " ".join(text.split()))


def to_latex(table: Table) -> str:
    """A booktabs tabular and the note below it; needs \\usepackage{booktabs}."""
    lines = [
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(map(_latex, ["Method", *table.columns])) + r" \\",
        r"\midrule",
    ]
    for label, cells in table.rows:
        texts = [cell.text(r"${mean} \pm {std}$") if cell.n else cell.missing for cell in cells]
        lines.append(" & ".join([_latex(label), *texts]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip"]
    lines.append(rf"{{\footnotesize {_latex(' '.join(table.notes))}\par}}")
    return "\n".join(lines) + "\n"


def to_rich(table: Table) -> RichTable:
    """The table for a terminal; names are shown as they are, not read as markup."""
    result = RichTable(caption=Text(" ".join(table.notes)), caption_justify="left")
    result.add_column("Method")
    for heading in table.columns:
        result.add_column(Text(heading), justify="right")
    for label, cells in table.rows:
        result.add_row(Text(label), *(Text(cell.text()) for cell in cells))
    return result


__all__ = ["Cell", "Table", "summary", "table", "to_csv", "to_latex", "to_markdown", "to_rich"]
