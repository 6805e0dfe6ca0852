"""Figures over epochs that compare methods: trajectory, skip connections, Hessian."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.figures.lines import BAND, Block, banded, draw_lines
from analysis.figures.select import require_test_accuracies, select, table_fact
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import styled


def look_up(frame: pd.DataFrame, benchmark: BenchmarkTable, split: str) -> pd.Series[float]:
    """The benchmark's accuracy in percent of each row's genotype on its data set (`data`).

    NaN without a genotype. Each cell is looked up once, however many rows have it.
    """
    codes, cells = pd.factorize(frame["genotype"])
    places, names = pd.factorize(frame["data"])
    result = np.full(len(frame), np.nan)
    for place, name in enumerate(names):
        values = benchmark.lookup(list(cells), str(name), split)
        here = places == place
        result[here] = np.append(values, np.nan)[codes[here]]  # code -1: no genotype
    return pd.Series(result, index=frame.index)


@styled
def _trajectory(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    if benchmark is None:
        return _supernet_trajectory(data)
    chosen = select(data, benchmark, multi_trial=False, space="nb201")
    require_test_accuracies(benchmark, chosen)
    frame = chosen.epochs(data, ["genotype"])
    frame["accuracy"] = look_up(frame, benchmark, "test")
    places = dict(zip(chosen.runs["panel"], chosen.runs["data"], strict=True))
    limits = {panel: benchmark.best(name, "test") for panel, name in places.items()}
    if frame["accuracy"].isna().all():
        raise Missing(f"{benchmark.label} has none of the derived cells")
    block = Block(
        "test accuracy, %",
        banded(frame, "panel", "series", ["accuracy"]),
        limits,
    )
    return draw_lines(
        [block],
        "Accuracy of the derived cell during the search",
        f"{BAND} The cell derived after each epoch, as trained from scratch for the table. "
        f"{chosen.facts} {table_fact(benchmark)}",
        level="best cell of the table",
    )


def _supernet_trajectory(data: Collected) -> Figure:
    chosen = select(data, multi_trial=False)
    frame = banded(
        chosen.epochs(data, ["val_mean_acc_pct"]), "panel", "series", ["val_mean_acc_pct"]
    )
    if frame.empty:
        raise Missing("no epoch reports a validation accuracy: give a table with --benchmark")
    return draw_lines(
        [Block("validation accuracy, %", frame)],
        "Validation accuracy of the supernet during the search",
        f"{BAND} Of the shared weights at the mean of the learnt architecture, NOT of the derived "
        f"cell trained from scratch: --benchmark TABLE shows that. {chosen.facts}",
    )


@styled
def _skips(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    chosen = select(data, multi_trial=False)
    frame = banded(chosen.epochs(data, ["skip_count"]), "panel", "series", ["skip_count"])
    if frame.empty:
        raise Missing("no epoch has a derived cell: search for more epochs")
    return draw_lines(
        [Block("skip connections", frame, share_y=True)],
        "Skip connections of the derived cell during the search",
        f"{BAND} A cell of only skip connections means that the search collapsed. {chosen.facts}",
    )


@styled
def _hessian(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    measures = {
        "hessian_max_eigenvalue": "largest eigenvalue, nats",
        "hessian_trace": "trace, nats",
    }
    chosen = select(data, multi_trial=False)
    frame = chosen.epochs(data, list(measures))
    if frame[list(measures)].isna().all(axis=None):
        raise Missing("no run measured the Hessian: search with --set diagnostics.hessian=5")
    blocks = [
        Block(label, found, log=None)
        for name, label in measures.items()
        if len(found := banded(frame, "panel", "series", [name]))
    ]
    return draw_lines(
        blocks,
        "Hessian of the validation loss in the architecture parameter",
        f"{BAND} Second derivatives of the supernet's loss in the architecture parameter, at the "
        "mean of the learnt distribution, on a fixed validation batch. How a method scales its "
        "parameter decides their size: for methods with different parameters, such as DrNAS and "
        f"DARTS, compare how values change, not how large they are. {chosen.facts}",
    )


TRAJECTORY = FigureKind(
    "trajectory",
    "Accuracy of the cell derived after each epoch, with a band over seeds.",
    _trajectory,
    details="With a table, the test accuracy of each epoch's cell, and the table's best. Without, "
    "the validation accuracy of the supernet at the mean architecture: a different quantity, and "
    "labelled as such.",
)
SKIPS = FigureKind("skips", "Skip connections in the derived cell after each epoch.", _skips)
HESSIAN = FigureKind(
    "hessian",
    "Largest eigenvalue and trace of the Hessian during the search, methods compared.",
    _hessian,
    details="Of the validation loss with respect to the architecture parameter. The scale is "
    "logarithmic if values span more than 1.5 decades.",
    needs=(Needs.diagnostics,),
)
