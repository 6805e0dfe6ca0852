"""A table, and how it is written: text, Markdown, CSV, Parquet; `markup` has the rest.

Every rendering carries the note that says which protocol, which figure, how many seeds, and how
many runs are left out: numbers of different kinds look alike once they are copied.
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
    """One figure: mean and sample standard deviation over n runs, or a text of its own."""

    n: int = 0
    mean: float = math.nan
    std: float = math.nan
    missing: str = "not run"
    """What to print where n is 0: why there is no figure, or a text that is none of ours."""
    digits: int = 2
    """Decimals."""

    def text(self) -> str:
        """`97.31 ± 0.20 (4)`, `97.31 (1)`, or what is missing."""
        if self.n == 0:
            return self.missing
        spread = "" if math.isnan(self.std) else f" ± {self.std:.{self.digits}f}"
        return f"{self.mean:.{self.digits}f}{spread} ({self.n})"


@dataclass(frozen=True)
class Table:
    """A table before it is written in some format."""

    columns: tuple[str, ...]
    """Headings of the columns after the first, which is `first`."""
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    """(method, one cell a column)."""
    notes: tuple[str, ...]
    tidy: pd.DataFrame
    """The numbers in full, for CSV and Parquet: one row a figure or a comparison."""
    groups: tuple[tuple[str, int], ...] = ()
    """Headings above those of `columns`, each with how many columns it spans; () is none."""
    first: str = "Method"
    words: frozenset[int] = frozenset()
    """Places of columns that hold words: set flush left."""

    def headings(self) -> tuple[str, ...]:
        """`columns` in one line: a group's heading stands before each of its columns' own."""
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
    """A pipe table and the note below it."""
    lines = [[table.first, *table.headings()], *table.lines()]
    text = ["| " + " | ".join(map(_markdown, line)) + " |" for line in lines]
    sides = (" --- |" if place in table.words else " ---: |" for place in range(len(table.columns)))
    text.insert(1, f"| --- |{''.join(sides)}")
    return "\n".join([*text, "", _markdown(" ".join(table.notes)), ""])


def to_csv(table: Table) -> str:
    """Tidy rows for machines, numbers in full; the note is a column of its own."""
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
    """The table for a terminal; names are shown as they are, not read as markup.

    The columns of a group stand below each other in one: a terminal is narrow.
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
    """What `to_rich` shows, as plain text as wide as it takes, for files and pipes."""
    made = to_rich(table)
    wide = Console(width=10_000, file=io.StringIO())
    width = max(80, wide.measure(made).maximum)
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(made)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"


def _stacks(table: Table) -> Iterator[tuple[str, range]]:
    """Heading and columns of each group; without groups, each column is one."""
    at = 0
    for heading, span in table.groups or [("", 1)] * len(table.columns):
        yield heading, range(at, at + span)
        at += span
