"""A table, and its formats: text, Markdown, CSV, Parquet; `markup` has LaTeX and HTML.

Every format includes the notes that say which protocol, which metric, how many seeds, and how many
runs are left out: once numbers are copied elsewhere, nothing else tells them apart.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text


@dataclass(frozen=True)
class Cell:
    """Mean and sample standard deviation over n runs, or a text."""

    n: int = 0
    mean: float = math.nan
    std: float = math.nan
    missing: str = "not run"
    """What to print if n is 0: why there is no value, or a published or other text."""
    digits: int = 2
    """Decimals."""

    def text(self) -> str:
        """`97.31 ± 0.20 (4)`, `97.31 (1)`, or `missing`."""
        if self.n == 0:
            return self.missing
        spread = "" if math.isnan(self.std) else f" ± {self.std:.{self.digits}f}"
        return f"{self.mean:.{self.digits}f}{spread} ({self.n})"


@dataclass(frozen=True)
class Table:
    """A table, whatever the format."""

    columns: tuple[str, ...]
    """Headings of the columns after the first; that one's heading is `first`."""
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    """(method, one cell per column)."""
    notes: tuple[str, ...]
    tidy: pd.DataFrame
    """Unrounded numbers, for CSV and Parquet: one row per number or comparison."""
    groups: tuple[tuple[str, int], ...] = ()
    """(heading, columns it spans) of a row above `columns`; () for no such row."""
    first: str = "Method"
    words: frozenset[int] = frozenset()
    """Indices of columns that hold words, which are left-aligned."""

    def headings(self) -> tuple[str, ...]:
        """`columns` as a single row of headings: each is preceded by its group's heading."""
        if not self.groups:
            return self.columns
        above = [heading for heading, span in self.groups for _ in range(span)]
        return tuple(
            ", ".join(filter(None, pair)) for pair in zip(above, self.columns, strict=True)
        )

    def lines(self) -> Iterator[list[str]]:
        """The cells of each row as text, the method first."""
        for label, cells in self.rows:
            yield [label, *(cell.text() for cell in cells)]


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]#~])", r"\\\1", " ".join(text.split()))


def to_markdown(table: Table) -> str:
    """A pipe table with the notes below it."""
    lines = [[table.first, *table.headings()], *table.lines()]
    text = ["| " + " | ".join(map(_markdown, line)) + " |" for line in lines]
    sides = (" --- |" if place in table.words else " ---: |" for place in range(len(table.columns)))
    text.insert(1, f"| --- |{''.join(sides)}")
    return "\n".join([*text, "", _markdown(" ".join(table.notes)), ""])


def to_csv(table: Table) -> str:
    """The tidy rows, numbers in full, with a column `note` that repeats the notes."""
    note_text = " ".join(table.notes)
    return str(table.tidy.assign(note=note_text).to_csv(index=False, lineterminator="\n"))


def to_parquet(table: Table) -> bytes:
    """The tidy rows as a Parquet file; the notes are in its metadata as `notes`, a JSON list."""
    data = pa.Table.from_pandas(table.tidy, preserve_index=False)
    notes = json.dumps(list(table.notes), ensure_ascii=False).encode()
    data = data.replace_schema_metadata({**(data.schema.metadata or {}), b"notes": notes})
    sink = io.BytesIO()
    pq.write_table(data, sink, compression="zstd")
    return sink.getvalue()


def to_rich(table: Table) -> RichTable:
    """The table for a terminal; names are shown literally, not read as markup.

    The columns of a group are stacked in one column: a terminal is narrow.
    """
    result = RichTable(
        caption=Text(" ".join(table.notes)),
        caption_justify="left",
        show_lines=bool(table.groups),
    )
    result.add_column(Text(table.first))
    places = list(_stacks(table))
    for heading, stack in places:
        below = [table.columns[place] for place in stack]
        words = all(place in table.words for place in stack)
        result.add_column(
            Text("\n".join(filter(None, [heading, *below]))), justify="left" if words else "right"
        )
    for label, cells in table.rows:
        stacked = ("\n".join(cells[place].text() for place in stack) for _, stack in places)
        result.add_row(Text(label), *(Text(text.rstrip()) for text in stacked))
    return result


def to_text(table: Table) -> str:
    """What `to_rich` shows, as plain text of any width, for files and pipes."""
    made = to_rich(table)
    wide = Console(width=10_000, file=io.StringIO())
    width = max(80, wide.measure(made).maximum)
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(made)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"


def _stacks(table: Table) -> Iterator[tuple[str, range]]:
    """Heading and column indices of each group; without groups, each column is its own."""
    at = 0
    for heading, span in table.groups or [("", 1)] * len(table.columns):
        yield heading, range(at, at + span)
        at += span
