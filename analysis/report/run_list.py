"""The runs on the page: counts by method, which runs are shown in full, and a row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.cells.draw import run_name
from analysis.report.names import GROUP
from analysis.report.page_tables import (
    MOST_ROWS,
    Entry,
    PageTable,
    absent,
    number,
    page_table,
    ranges,
    span,
    words,
)
from drnas_ray.results.status import Status


def chosen(runs: pd.DataFrame, most: int) -> list[int]:
    """Positions in `runs` of those to show in full: at most `most`, in the order of `runs`.

    They are taken in turn from every method and data set, by seed. Runs that failed or diverged
    get up to a quarter of the places, and those that no other run needs. Runs that have not begun
    have nothing to show.
    """

    def in_turn(frame: pd.DataFrame) -> list[int]:
        turn = frame.groupby(GROUP, sort=False).cumcount()
        return [int(i) for i in turn.sort_values(kind="stable").index]

    frame = runs.reset_index(drop=True).sort_values("seed", kind="stable")
    bad = frame["status"].isin([Status.error, Status.diverged])
    begun = frame["status"] != Status.pending
    failed, others = in_turn(frame[bad]), in_turn(frame[~bad & begun])
    quarter = most // 4
    return sorted([*failed[:quarter], *others, *failed[quarter:]][:most])


def anchors(places: Sequence[int]) -> dict[int, str]:
    """HTML ids of the runs shown in full: `run-1`, ...; run ids may hold characters they can't."""
    return {place: f"run-{count}" for count, place in enumerate(places, start=1)}


def status_entry(value: str) -> Entry:
    """The word for a status, with its mark."""
    return Entry(Status(value).word, status=value)


def overview(runs: pd.DataFrame, shown: Sequence[int]) -> PageTable:
    """A row for each method and data set: runs of each status, and which are shown in full."""
    many = runs["protocol"].nunique() > 1
    in_full = pd.Series(False, index=range(len(runs)))
    in_full.iloc[list(shown)] = True
    frame = runs.reset_index(drop=True).assign(in_full=in_full)
    rows = []
    for _, group in frame.groupby(GROUP, sort=False):
        first = group.iloc[0]
        states = group["status"].value_counts()
        rows.append(
            [
                words(run_name(first, many)),
                words(first["dataset"]),
                number(len(group), 0),
                *(number(int(states.get(status, 0)), 0) for status in Status),
                words(ranges(group["seed"][group["status"] == Status.done])),
                number(int(group["in_full"].sum()), 0),
                words(ranges(group["seed"][~group["in_full"]])),
            ]
        )
    headings = ["Method", "Data set", "Runs", *(status.word.capitalize() for status in Status)]
    headings += ["Seeds done", "Shown in full", "Not in full"]
    return page_table("Runs by method and data set", headings, rows)


def listing(runs: pd.DataFrame, links: Mapping[int, str]) -> PageTable:
    """A row for each run; runs shown in full have a link, and come first if not all rows fit."""
    order = list(range(len(runs)))
    if len(order) > MOST_ROWS:
        order.sort(key=lambda place: place not in links)
    rows = [_listed(runs.iloc[place], links.get(place)) for place in order[:MOST_ROWS]]
    headings = ["Method", "Data set", "Seed", "Status", "Epochs", "Validation acc. %"]
    headings += ["Test acc. % (retrained)", "Cell", "Skips", "Search time", "Device"]
    words_in = ("Method", "Data set", "Status", "Device")
    numeric = [heading not in words_in for heading in headings]
    got = page_table("Every run", headings, rows, numeric=numeric)
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
