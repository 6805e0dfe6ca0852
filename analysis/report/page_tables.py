"""The tables of the page before they become HTML: entries with the values they are sorted by.

Not `analysis.tables.render.Table`, whose HTML has no links, marks or sorting: `results` converts
those tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

MOST_ROWS = 500
"""Rows of one table: the page must open on a phone. `drnas table` and the exports have them all."""
NONE = "—"


@dataclass(frozen=True)
class Entry:
    """One field of a table."""

    text: str
    order: float | None = None
    """The value that a number is sorted by; a text is sorted alphabetically."""
    missing: bool = False
    """Sorted last in either direction."""
    link: str | None = None
    """The HTML id of the element that it links to."""
    status: str | None = None
    """A run's status, shown with a mark."""


@dataclass(frozen=True)
class PageTable:
    """A table with a caption; numbers are right-aligned."""

    caption: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    """For each column, whether it holds numbers."""
    rows: tuple[tuple[Entry, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()
    """(heading, columns it spans) of the row above the column headings."""
    notes: tuple[str, ...] = ()
    left_out: int = 0
    """How many rows beyond the first MOST_ROWS are not shown."""


def page_table(
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[Entry]],
    *,
    numeric: Sequence[bool] | None = None,
    groups: Iterable[tuple[str, int]] = (),
    notes: Iterable[str] = (),
) -> PageTable:
    """A table of at most MOST_ROWS rows.

    numeric: whether each column holds numbers; by default, if any of its entries has an `order`.
    """
    kept = tuple(tuple(row) for row in rows[:MOST_ROWS])
    if numeric is None:
        numeric = [any(row[i].order is not None for row in kept) for i in range(len(headings))]
    return PageTable(
        caption,
        tuple(headings),
        tuple(numeric),
        kept,
        tuple(groups),
        tuple(notes),
        max(0, len(rows) - MOST_ROWS),
    )


def absent(value: object) -> bool:
    """Whether a value is missing: None, NaN or pandas' NA."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def words(value: object, link: str | None = None) -> Entry:
    """An entry that is a text, or missing."""
    if absent(value) or value == "":
        return Entry(NONE, missing=True)
    return Entry(str(value), link=link)


def number(value: object, digits: int = 2, unit: str = "") -> Entry:
    """An entry that is a number with `digits` decimals, or missing."""
    if absent(value):
        return Entry(NONE, missing=True)
    figure = float(str(value))
    if not math.isfinite(figure):
        return Entry(str(figure), missing=True)
    return Entry(f"{figure:,.{digits}f}{unit}", order=figure)


def span(seconds: object) -> Entry:
    """An entry that is a duration, sorted by its seconds, or missing."""
    if absent(seconds):
        return Entry(NONE, missing=True)
    return Entry(duration(float(str(seconds))), order=float(str(seconds)))


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `5 h 02 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(whole / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(whole / 3600)
    return f"{hours // 24} d {hours % 24} h"


def moment(unix_s: float) -> str:
    """A time stamp in UTC, to the minute."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def ranges(values: Iterable[int], most: int = 6) -> str:
    """`0 to 3, 5, 8 to 9`; after `most` ranges, only how many more numbers there are."""
    ordered = sorted(set(values))
    pieces: list[list[int]] = []
    for value in ordered:
        if pieces and value == pieces[-1][1] + 1:
            pieces[-1][1] = value
        else:
            pieces.append([value, value])
    texts = [str(a) if a == b else f"{a} to {b}" for a, b in pieces[:most]]
    rest = sum(b - a + 1 for a, b in pieces[most:])
    return ", ".join(texts) + (f" and {rest} more" if rest else "")
