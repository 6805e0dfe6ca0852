"""A table of the page before it is written: entries with what they are sorted by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

MOST_ROWS = 500
"""Of one table: a page must open on a phone; `drnas table` and the Parquet files have them all."""
NONE = "—"


@dataclass(frozen=True)
class Entry:
    """One field of a table."""

    text: str
    order: float | None = None
    """What a number is sorted by; a text is sorted as it reads."""
    missing: bool = False
    """Sorted last, whichever way."""
    link: str | None = None
    """The id of an element of the page."""
    status: str | None = None
    """A run's status, which gets a mark of its own."""


@dataclass(frozen=True)
class Grid:
    """A table with a caption; numbers are set right."""

    caption: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    """For each column, whether it holds numbers."""
    rows: tuple[tuple[Entry, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()
    """Headings above those of the columns, each with how many columns it spans."""
    notes: tuple[str, ...] = ()
    left_out: int = 0
    """Rows beyond the first MOST_ROWS."""


def grid(
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[Entry]],
    *,
    numeric: Sequence[bool] | None = None,
    groups: Iterable[tuple[str, int]] = (),
    notes: Iterable[str] = (),
) -> Grid:
    """A Grid of at most MOST_ROWS rows.

    numeric: without it, columns are numeric where one of their entries has an order.
    """
    kept = tuple(tuple(row) for row in rows[:MOST_ROWS])
    if numeric is None:
        numeric = [any(row[i].order is not None for row in kept) for i in range(len(headings))]
    return Grid(
        caption,
        tuple(headings),
        tuple(numeric),
        kept,
        tuple(groups),
        tuple(notes),
        max(0, len(rows) - MOST_ROWS),
    )


def absent(value: object) -> bool:
    """Whether a column has no value here: None, nan or pandas' NA."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def words(value: object, link: str | None = None) -> Entry:
    """A text entry; missing where there is none."""
    if absent(value) or value == "":
        return Entry(NONE, missing=True)
    return Entry(str(value), link=link)


def number(value: object, digits: int = 2, unit: str = "") -> Entry:
    """A figure with so many digits behind the point; missing where there is none."""
    if absent(value):
        return Entry(NONE, missing=True)
    figure = float(str(value))
    if not math.isfinite(figure):
        return Entry(str(figure), missing=True)
    return Entry(f"{figure:,.{digits}f}{unit}", order=figure)


def span(seconds: object) -> Entry:
    """A time as people say it, sorted by its seconds."""
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
    """`0 to 3, 5, 8 to 9`; of more than `most` pieces the first, and how many numbers more."""
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
