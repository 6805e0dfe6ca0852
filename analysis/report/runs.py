"""The runs of the page: how many of each method, a row for each, and each one's story."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.benchmark import BenchmarkTable
from analysis.collect import Collected
from analysis.report.charts import Chart
from analysis.report.curves import OpKey, accuracy_charts, legend, strength_charts
from analysis.report.doubts import GROUP, group_name, method_name, run_name
from analysis.report.grids import (
    MOST_ROWS,
    Entry,
    Grid,
    absent,
    grid,
    number,
    ranges,
    span,
    words,
)
from analysis.report.pictures import Picture, cell_picture
from analysis.report.provenance import flat
from drnas_ray.errors import UserError

STATUS = {
    "done": "done",
    "diverged": "diverged",
    "error": "failed",
    "running": "unfinished",
    "pending": "not begun",
}
"""A run's status, to the word for it."""


@dataclass(frozen=True)
class Story:
    """All about one run."""

    anchor: str
    title: str
    status: Entry
    accuracy: str
    """The figure for the headline, empty where there is none."""
    facts: tuple[tuple[str, str], ...]
    genotype: str | None
    picture: Picture | None
    no_picture: str
    key: tuple[OpKey, ...]
    strengths: tuple[Chart, ...]
    curves: tuple[Chart, ...]
    error: str | None
    config: tuple[tuple[str, str], ...]


def chosen(runs: pd.DataFrame, most: int) -> list[int]:
    """Places in `runs` of those told in full: at most `most`, in the order of `runs`.

    In turn one of every method and data set, by seed; up to a quarter of the places go to runs
    that failed or diverged, taken in the same way.
    """

    def in_turn(frame: pd.DataFrame) -> list[int]:
        turn = frame.groupby(GROUP, sort=False).cumcount()
        return [int(i) for i in turn.sort_values(kind="stable").index]

    frame = runs.reset_index(drop=True).sort_values("seed", kind="stable")
    troubled = in_turn(frame[frame["status"].isin(["error", "diverged"])])[: most // 4]
    others = in_turn(frame[frame["status"] != "pending"].drop(index=troubled))
    return sorted((troubled + others)[:most])


def anchors(places: Sequence[int]) -> dict[int, str]:
    """Ids of the stories: `run-1` and so on, for run ids may hold what an id must not."""
    return {place: f"run-{number_ + 1}" for number_, place in enumerate(places)}


def _status(value: str, link: str | None = None) -> Entry:
    return Entry(STATUS.get(value, value), status=value, link=link)


def overview(runs: pd.DataFrame, shown: Sequence[int]) -> Grid:
    """A row for each method and data set: how many runs of each status, and what is shown."""
    many = runs["protocol"].nunique() > 1
    told = pd.Series(False, index=range(len(runs)))
    told.iloc[list(shown)] = True
    frame = runs.reset_index(drop=True).assign(told=told)
    rows = []
    for _, group in frame.groupby(GROUP, sort=False):
        first = group.iloc[0]
        states = group["status"].value_counts()
        out = group["seed"][~group["told"]]
        rows.append(
            [
                words(method_name(first) + (f" [{first['protocol']}]" if many else "")),
                words(first["dataset"]),
                number(len(group), 0),
                *(number(int(states.get(name, 0)), 0) for name in STATUS),
                words(ranges(group["seed"][group["status"] == "done"])),
                number(int(group["told"].sum()), 0),
                words(ranges(out)),
            ]
        )
    headings = ["Method", "Data set", "Runs", *(text.capitalize() for text in STATUS.values())]
    headings += ["Seeds done", "Shown in full", "Not in full"]
    return grid("Runs by method and data set", headings, rows, text_columns=2)


def listing(runs: pd.DataFrame, links: dict[int, str]) -> Grid:
    """A row for each run, those told in full with a link, and first where not all fit."""
    order = list(range(len(runs)))
    if len(order) > MOST_ROWS:
        order.sort(key=lambda place: place not in links)
    rows = [_listed(runs.iloc[place], links.get(place)) for place in order[:MOST_ROWS]]
    headings = ["Method", "Data set", "Seed", "Status", "Epochs", "Validation acc. %"]
    headings += ["Test acc. % (retrained)", "Cell", "Skips", "Search time", "Device"]
    got = grid("Every run", headings, rows, text_columns=2)
    return Grid(
        got.caption, got.headings, got.numeric, got.rows, got.notes, len(order) - len(got.rows)
    )


def _listed(row: pd.Series[Any], link: str | None) -> list[Entry]:
    cell = number(row["arch_index"], 0)
    if cell.missing and not absent(row["genotype"]):
        cell = words(row["genotype"])
    return [
        words(method_name(row), link),
        words(row["dataset"]),
        number(row["seed"], 0),
        _status(row["status"]),
        Entry(f"{row['epochs_done']} of {row['epochs_total']}", order=float(row["epochs_done"])),
        number(row["val_acc_pct"]),
        number(row["retrain_test_acc_pct"]),
        Entry(cell.text.replace(",", ""), cell.order, cell.missing),
        number(row["skip_count"], 0),
        span(row["search_s"]),
        words(row["device"]),
    ]


def _fact(name: str, value: object, digits: int | None = None, unit: str = "") -> tuple[str, str]:
    entry = words(value) if digits is None else number(value, digits, unit)
    return name, "" if entry.missing else entry.text


def _benchmark_facts(row: pd.Series[Any], table: BenchmarkTable | None) -> list[tuple[str, str]]:
    """The cell's figures in the table: on its own data set, after a transfer on every one."""
    if table is None or absent(row["genotype"]):
        return []
    name = json.loads(row["config"])["data"]["name"]
    targets = table.datasets if row["protocol"] == "transfer" else (name,)
    facts = []
    for target in targets:
        if target in table.datasets:
            valid, test = (
                number(table.lookup([row["genotype"]], target, split)[0]).text
                for split in ("valid", "test")
            )
            facts.append((f"{table.label}: {target}", f"{valid} % validation, {test} % test"))
    return facts


def _facts(row: pd.Series[Any], table: BenchmarkTable | None) -> tuple[tuple[str, str], ...]:
    """What is known about a run; what is not is left out."""
    recipe = "" if absent(row["retrain_epochs"]) else f" ({row['retrain_epochs']} epochs)"
    facts = [
        ("Epochs", f"{row['epochs_done']} of {row['epochs_total']}"),
        _fact("Validation accuracy", row["val_acc_pct"], 2, " %"),
        _fact("Validation accuracy, mean weights", row["val_mean_acc_pct"], 2, " %"),
        _fact(f"Test accuracy, retrained{recipe}", row["retrain_test_acc_pct"], 2, " %"),
        *_benchmark_facts(row, table),
        _fact("Retraining", row["retrain_status"]),
        _fact("Parameters of the retrained network", row["retrain_params_m"], 3, " M"),
        _fact("Cell number", row["arch_index"]),
        _fact("Skip connections", row["skip_count"]),
        _fact("Entropy of the shares", row["entropy_nats"], 3, " nats"),
        _fact("Cells asked for", row["queries"]),
        ("Simulated time", "" if (t := span(row["simulated_s"])).missing else t.text),
        ("Search time", "" if (t := span(row["search_s"])).missing else t.text),
        ("Retraining time", "" if (t := span(row["retrain_s"])).missing else t.text),
        _fact("Peak GPU memory", row["gpu_peak_mib"], 0, " MiB"),
        _fact("Device", row["device"]),
        _fact("Threads", row["threads"]),
        _fact("Host", row["host"]),
        _fact("Protocol", row["protocol"]),
        _fact("Run", row["run_id"]),
        _fact("Folder", None if absent(row["trial_dir"]) else f"{row['sweep']}/{row['trial_dir']}"),
    ]
    return tuple((name, text) for name, text in facts if text)


def _cell(row: pd.Series[Any]) -> tuple[Picture | None, str]:
    if absent(row["genotype"]):
        return None, "No cell yet."
    try:
        return cell_picture(str(row["space"]), str(row["genotype"])), ""
    except UserError as reason:
        return None, str(reason)


def _story(
    row: pd.Series[Any], epochs: pd.DataFrame, anchor: str, table: BenchmarkTable | None
) -> Story:
    picture, reason = _cell(row)
    accuracy = number(row["retrain_test_acc_pct"], 2, " % test")
    if accuracy.missing:
        accuracy = number(row["val_acc_pct"], 2, " % validation")
    return Story(
        anchor=anchor,
        title=run_name(row),
        status=_status(row["status"]),
        accuracy="" if accuracy.missing else accuracy.text,
        facts=_facts(row, table),
        genotype=None if absent(row["genotype"]) else str(row["genotype"]),
        picture=picture,
        no_picture=reason,
        key=legend(str(row["space"])),
        strengths=strength_charts(str(row["space"]), epochs),
        curves=accuracy_charts(epochs),
        error=None if absent(row["error"]) else str(row["error"]),
        config=tuple(flat(json.loads(row["config"]))),
    )


def stories(
    collected: Collected,
    links: dict[int, str],
    table: BenchmarkTable | None,
    progress: Callable[[str], None],
) -> list[Story]:
    """The chosen runs, each with its curves; `progress` hears of every one."""
    runs = collected.runs
    wanted = runs.iloc[list(links)][["sweep", "run_id"]]
    epochs = collected.epochs.merge(wanted.drop_duplicates(), on=["sweep", "run_id"])
    parts = dict(list(epochs.groupby(["sweep", "run_id"], sort=False)))
    told = []
    for count, (place, anchor) in enumerate(links.items()):
        progress(f"run {count + 1} of {len(links)}")
        row = runs.iloc[place]
        here = parts.get((row["sweep"], row["run_id"]), epochs.iloc[:0])
        told.append(_story(row, here, anchor, table))
    return told


__all__ = ["Story", "anchors", "chosen", "group_name", "listing", "overview", "stories"]
