"""A table as LaTeX and as HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from analysis.tables.render import Cell, Table

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


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in " ".join(text.split()))


def to_latex(table: Table) -> str:
    r"""A booktabs tabular with the notes below it; needs \usepackage{booktabs}.

    With grouped headings it is resized to the line width and also needs graphicx.
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
        # LaTeX would read a bracket at the start of a row as an argument of the \\ before it.
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
    """A <table> with its notes as caption, without styles: those are up to the page.

    Classes: `results` on the table; `word`, `number`, `plain` on cells. The report does not use it:
    its tables have links, marks and sorting (analysis/report/templates).
    """

    def cell(place: int, value: Cell) -> str:
        kind = "word" if place in table.words else "number" if value.n else "plain"
        # The unrounded number to sort by; a published figure begins with its own.
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
    """A page with one table, self-contained: no scripts, no requests."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{to_html(table)}</body>\n</html>\n"
    )
