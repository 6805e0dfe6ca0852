"""A table, and how it is written: text, Markdown, CSV, LaTeX, HTML, Parquet.

Every rendering carries the note that says which protocol, which figure, how many seeds, and how
many runs are left out: numbers of different kinds look alike once they are copied.
"""

from __future__ import annotations

import html
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

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


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


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in " ".join(text.split()))


def to_latex(table: Table) -> str:
    r"""A booktabs tabular and the note below it; needs \usepackage{booktabs}.

    With grouped headings it is fitted to the line and needs graphicx too.
    """
    wide = bool(table.groups)
    packages = "booktabs,graphicx" if wide else "booktabs"
    kinds = ("l" if place in table.words else "r" for place in range(len(table.columns)))
    lines = [
        rf"% needs \usepackage{{{packages}}}",
        *([r"\resizebox{\linewidth}{!}{%"] if wide else []),
        rf"\begin{{tabular}}{{l{''.join(kinds)}}}",
        r"\toprule",
        *_latex_groups(table),
        " & ".join(map(_latex, [table.first, *table.columns])) + r" \\",
        r"\midrule",
    ]
    lines += [" & ".join(_row_latex(line)) + r" \\" for line in table.lines()]
    lines += [r"\bottomrule", r"\end{tabular}" + ("}" if wide else ""), r"\par\smallskip"]
    lines.append(rf"{{\footnotesize {_latex(' '.join(table.notes))}\par}}")
    return "\n".join(lines) + "\n"


def _row_latex(line: list[str]) -> Iterator[str]:
    for text in line:
        number = re.fullmatch(r"(-?[\d.]+) ± ([\d.]+)(| \(\d+\))", text)
        if number:
            yield rf"${number[1]} \pm {number[2]}${number[3]}"
            continue
        # A row that begins with a bracket would be taken for an argument of the \\ before it.
        yield f"{{}}{_latex(text)}" if text.startswith(("[", "*")) else _latex(text)


def _latex_groups(table: Table) -> Iterator[str]:
    if not table.groups:
        return
    cells, rules, at = [""], [], 2
    for heading, span in table.groups:
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{_latex(heading)}}}")
        if heading:
            rules.append(rf"\cmidrule(lr){{{at}-{at + span - 1}}}")
        at += span
    yield " & ".join(cells) + r" \\"
    yield " ".join(rules)


def to_html(table: Table) -> str:
    """A <table> with its note as caption, nothing but HTML: a page gives it its looks.

    Classes: `results` on the table; `word`, `number`, `plain` on cells.
    """

    def cell(place: int, value: Cell) -> str:
        kind = "word" if place in table.words else "number" if value.n else "plain"
        # Sorting goes by the number in full; a printed figure begins with its own.
        key = f' data-sort="{value.mean!r}"' if value.n else ""
        return f'<td class="{kind}"{key}>{html.escape(value.text())}</td>'

    head = ""
    if table.groups:
        spans = "".join(
            f'<th colspan="{span}" scope="colgroup">{html.escape(heading)}</th>'
            for heading, span in table.groups
        )
        head = f"<tr><td></td>{spans}</tr>\n"
    names = "".join(
        f'<th scope="col">{html.escape(name)}</th>' for name in (table.first, *table.columns)
    )
    body = "\n".join(
        f'<tr><th scope="row">{html.escape(label)}</th>'
        + "".join(cell(place, value) for place, value in enumerate(cells))
        + "</tr>"
        for label, cells in table.rows
    )
    note_text = html.escape(" ".join(table.notes))
    return (
        f'<table class="results">\n<caption>{note_text}</caption>\n'
        f"<thead>\n{head}<tr>{names}</tr>\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
    )


def to_html_page(table: Table, title: str) -> str:
    """A whole page of one table, self-contained: no script, no request."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{to_html(table)}</body>\n</html>\n"
    )


_STYLE = """body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em; overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; padding-top: .8em; max-width: 60em; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; white-space: nowrap; }
thead { border-bottom: 2px solid #333; border-top: 2px solid #333; }
th[scope=row] { text-align: left; font-weight: normal; }
td.number { text-align: right; }
td.plain { text-align: right; color: #666; }
@media print { th, td { padding: .1em .3em; font-size: 9px; } }
"""


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


def to_text(table: Table, width: int = 160) -> str:
    """What `to_rich` shows, as plain text of a width in characters."""
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(to_rich(table))
    return console.export_text()


def _stacks(table: Table) -> Iterator[tuple[str, range]]:
    """Heading and columns of each group; without groups, each column is one."""
    at = 0
    for heading, span in table.groups or [("", 1)] * len(table.columns):
        yield heading, range(at, at + span)
        at += span
