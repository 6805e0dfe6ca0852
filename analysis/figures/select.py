"""The runs that a figure shows: done ones, named as in tables, a panel per data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.cells.draw import run_name
from analysis.figures.base import Missing
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from drnas_ray.core.distribution import Distribution
from drnas_ray.results.compat import distribution_of
from drnas_ray.results.status import Status


@dataclass(frozen=True)
class Selection:
    """Runs to show. `runs` has a row per run and panel, with the columns of runs.parquet and

    series: the method as named in tables; panel: the data set; data: its name in benchmarks.
    """

    runs: pd.DataFrame
    keys: list[str]
    """The columns on which runs and epochs are joined."""
    facts: str
    """Sentences for the caption: seeds, protocol, and what was left out."""

    @property
    def series(self) -> list[str]:
        """Names of the methods, in order of first appearance."""
        return list(dict.fromkeys(self.runs["series"]))

    @property
    def panels(self) -> list[str]:
        """Names of the data sets, in order of first appearance."""
        return list(dict.fromkeys(self.runs["panel"]))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(series, panel), in order of first appearance."""
        return pairs(self.runs)

    def epochs(self, data: Collected, columns: Sequence[str]) -> pd.DataFrame:
        """These columns and `epoch` of the runs' epochs, with series, panel, data and seed."""
        names = [*self.keys, "series", "panel", "data", "seed"]
        right = data.epochs[[*self.keys, "epoch", *columns]]
        return self.runs[names].merge(right, on=self.keys, how="inner", sort=False)


def pairs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The distinct (series, panel) of a frame's rows, in order of first appearance."""
    return list(dict.fromkeys(zip(frame["series"], frame["panel"], strict=True)))


def only(selection: Selection, keep: NDArray[np.bool_], data: Collected) -> Selection:
    """The selection with fewer rows, and with facts of these rows."""
    runs = selection.runs[keep].reset_index(drop=True)
    return Selection(runs, selection.keys, _facts(runs, data, ()))


def select(
    data: Collected,
    benchmark: BenchmarkTable | None = None,
    *,
    multi_trial: bool = True,
    distribution: Distribution | None = None,
    space: str | None = None,
) -> Selection:
    """The done runs, each once.

    benchmark: keep only runs on its data sets; a run of protocol transfer is there once for each.
    multi_trial: whether to keep runs without epochs. distribution: keep only runs whose strengths
    parametrise it. Raises Missing if no run is left.
    """
    every = data.runs
    runs = every[(every["status"] == Status.done) & every["genotype"].notna()]
    runs = runs.drop_duplicates(["protocol", "run_id"])
    if runs.empty:
        raise Missing("no run is done yet: wait until a search has finished")
    left_out: list[str] = []
    if not multi_trial and (asking := runs["queries"].notna()).any():
        names = ", ".join(dict.fromkeys(runs["label"][asking]))
        left_out.append(f"Not shown: {names} (they query whole cells and have no epochs).")
        runs = runs[~asking]
    if distribution is not None:
        runs = runs[[kind == distribution for kind in _distributions(runs)]]
    if space is not None:
        runs = runs[runs["space"] == space]
    if runs.empty:
        raise Missing(
            "no done run of a method that learns a Dirichlet: search with one, such as drnas"
            if distribution == "dirichlet"
            else "no done run of a method that searches in epochs: search with one, such as drnas"
        )
    runs = _named(runs)
    if benchmark is not None:
        runs = _looked_up(runs, benchmark)
    keys = [key for key in ("sweep", "run_id") if key in runs and key in data.epochs]
    return Selection(runs.reset_index(drop=True), keys, _facts(runs, data, left_out))


def _distributions(runs: pd.DataFrame) -> list[Distribution]:
    """What each run's strengths parametrise; the column is missing in earlier versions' exports."""
    written = runs.get("distribution", [None] * len(runs))
    return [distribution_of(*pair) for pair in zip(runs["method"], written, strict=True)]


def _named(runs: pd.DataFrame) -> pd.DataFrame:
    """With series, panel and data. Transfers from different data sets are different series."""
    transfer = runs["protocol"] == "transfer"
    source = runs["protocol"]
    if runs["dataset"][transfer].nunique() > 1:
        source = source.mask(transfer, "transfer from " + runs["dataset"])
    protocols = source.nunique() > 1
    which = runs.assign(protocol=source).groupby(["protocol", "label", "variant"], sort=False)
    names = [run_name(group.iloc[0], protocols) for _, group in which]
    data = {
        config: json.loads(config)["data"]["name"] for config in runs["config"].drop_duplicates()
    }
    return runs.assign(
        series=np.array(names, dtype=object)[which.ngroup().to_numpy()],
        panel=runs["dataset"],
        data=runs["config"].map(data),
    )


def _looked_up(runs: pd.DataFrame, benchmark: BenchmarkTable) -> pd.DataFrame:
    transfer = runs["protocol"] == "transfer"
    parts = [runs[~transfer & runs["data"].isin(benchmark.datasets)]]
    parts += [runs[transfer].assign(panel=name, data=name) for name in benchmark.datasets]
    found = pd.concat(parts)
    if found.empty:
        known = ", ".join(dict.fromkeys(runs["data"]))
        raise Missing(
            f"{benchmark.label} has no figures for {known}: search {', '.join(benchmark.datasets)},"
            " or with protocol=transfer look the cells up on all of them"
        )
    return found


def _facts(runs: pd.DataFrame, data: Collected, left_out: Sequence[str]) -> str:
    counts = runs.groupby(["series", "panel"])["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    n = f"n = {low}" if low == high else f"n = {low} to {high}"
    plural = "seed" if high == 1 else "seeds"
    protocols = " and ".join(
        f"transfer (searched on {', '.join(dict.fromkeys(group['dataset']))})"
        if name == "transfer"
        else str(name)
        for name, group in runs.groupby("protocol", sort=False)
    )
    undone = int((data.runs["status"] != Status.done).sum())
    text = f"{n} {plural} per method and data set. Protocol: {protocols}."
    if undone:
        text += f" Left out: {undone} runs that are not done."
    return " ".join([text, *left_out])


def table_fact(benchmark: BenchmarkTable) -> str:
    """A sentence for the caption: where accuracies come from."""
    return f"Table: {benchmark.label}, {benchmark.epochs}-epoch entries, means over its own seeds."


def require_test_accuracies(benchmark: BenchmarkTable, selection: Selection) -> None:
    """Raise Missing if the table has no test accuracies on any of the runs' data sets."""
    names = dict.fromkeys(selection.runs["data"])
    if not any(np.isfinite(benchmark.columns[name, "test"]).any() for name in names):
        raise Missing(f"{benchmark.label} has no test accuracies on {', '.join(names)}")
