"""The runs of the page: how many of each method, which are told in full, a row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.cells.draw import run_name
from analysis.report.grids import MOST_ROWS, Entry, Grid, absent, grid, number, ranges, span, words
from analysis.report.names import GROUP

STATUS = {
    "done": "done",
    "diverged": "diverged",
    "error": "failed",
    "running": "unfinished",
    "pending": "not begun",
}
"""A run's status, to the word for it."""


def chosen(runs: pd.DataFrame, most: int) -> list[int]:
    """Places in `runs` of those told in full: at most `most`, in the order of `runs`.

    In turn one of every method and data set, by seed. Up to a quarter of the places go to runs
    that failed or diverged, taken in the same way, and those that are left over. A run that has
    not begun has nothing to tell.
    """

    def in_turn(frame: pd.DataFrame) -> list[int]:
        turn = frame.groupby(GROUP, sort=False).cumcount()
        return [int(i) for i in turn.sort_values(kind="stable").index]

    frame = runs.reset_index(drop=True).sort_values("seed", kind="stable")
    bad = frame["status"].isin(["error", "diverged"])
    troubled, others = in_turn(frame[bad]), in_turn(frame[~bad & (frame["status"] != "pending")])
    quarter = most // 4
    return sorted([*troubled[:quarter], *others, *troubled[quarter:]][:most])


def anchors(places: Sequence[int]) -> dict[int, str]:
    """Ids of the stories: `run-1` and so on, for run ids may hold what an id must not."""
    return {place: f"run-{number_ + 1}" for number_, place in enumerate(places)}


def status_entry(value: str) -> Entry:
    """The word for a status, with its mark."""
    return Entry(STATUS.get(value, value), status=value)


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
                words(run_name(first, many)),
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
    return grid("Runs by method and data set", headings, rows)


def listing(runs: pd.DataFrame, links: Mapping[int, str]) -> Grid:
    """A row for each run, those told in full with a link, and first where not all fit."""
    order = list(range(len(runs)))
    if len(order) > MOST_ROWS:
        order.sort(key=lambda place: place not in links)
    rows = [_listed(runs.iloc[place], links.get(place)) for place in order[:MOST_ROWS]]
    headings = ["Method", "Data set", "Seed", "Status", "Epochs", "Validation acc. %"]
    headings += ["Test acc. % (retrained)", "Cell", "Skips", "Search time", "Device"]
    words_in = ("Method", "Data set", "Status", "Device")
    numeric = [heading not in words_in for heading in headings]
    got = grid("Every run", headings, rows, numeric=numeric)
    return replace(got, left_out=len(order) - len(got.rows))


def _listed(row: pd.Series[Any], link: str | None) -> list[Entry]:
    cell = number(row["arch_index"], 0)
    if cell.missing and not absent(row["genotype"]):
        cell = words(row["genotype"])
    return [
        words(run_name(row, protocols=False), link),
        words(row["dataset"]),
        number(row["seed"], 0),
        status_entry(row["status"]),
        Entry(f"{row['epochs_done']} of {row['epochs_total']}", order=float(row["epochs_done"])),
        number(row["val_acc_pct"]),
        number(row["retrain_test_acc_pct"]),
        Entry(cell.text.replace(",", ""), cell.order, cell.missing),
        number(row["skip_count"], 0),
        span(row["search_s"]),
        words(row["device"]),
    ]
