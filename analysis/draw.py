"""Pictures of derived cells, as PNG and SVG; the same data give the same bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.cellplot import draw_graph, drawable, legend_lines
from analysis.summary import variant_text

_DPI = 150
_MOST_CELLS = 20
_MOST_ROWS, _MOST_SEEDS = 20, 12
"""Of the overview; a larger grid can't be read, and its title says what is left out."""


def _style() -> AbstractContextManager[None]:
    return mpl.rc_context(
        {
            "svg.fonttype": "none",  # text stays text: searchable, and the file small
            "svg.hashsalt": "drnas-ray",  # ids from a fixed salt, not from chance
            "font.family": "DejaVu Sans",
            "text.parse_math": False,  # a label with dollar signs is no formula
        }
    )


def _save(figure: Figure, path: Path, title: str) -> tuple[Path, Path]:
    """Write path.png and path.svg. A suffix is added, not put in place of one: arch.lr=0.01."""
    path.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path.with_name(path.name + suffix) for suffix in (".png", ".svg"))
    FigureCanvasAgg(figure)
    figure.savefig(png, dpi=_DPI, metadata={"Software": None, "Title": title})
    figure.savefig(svg, metadata={"Date": None, "Creator": None, "Title": title})
    return png, svg


def draw_cell(
    genotype: str, space_name: str, path: Path, title: str | None = None
) -> tuple[Path, Path]:
    """Draw one cell into `path` + .png and .svg and return both paths.

    The title may have several lines; None prints the genotype. Raises UserError if the space has
    no picture or the genotype is none of its cells.
    """
    title = genotype if title is None else title
    head, *rest = title.split("\n")
    with _style():
        figure = Figure(figsize=(8, 4.6))
        axes = figure.add_axes((0.01, 0.01, 0.98, 0.82))
        draw_graph(axes, space_name, genotype)
        size = 13 if len(head) < 60 else 9
        figure.text(0.5, 0.965, head, ha="center", va="top", fontsize=size, fontweight="bold")
        figure.text(0.5, 0.90, "\n".join(rest), ha="center", va="top", fontsize=9, color="#444444")
        return _save(figure, Path(path), head)


def _names(row: pd.Series[str], protocols: bool) -> str:
    name = ", ".join(filter(None, (row["label"], variant_text(row["variant"]))))
    return f"{name} [{row['protocol']}]" if protocols else name


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=]+", "-", text).strip("-.") or "cell"


def _caption(found: pd.DataFrame) -> str:
    """Who found the cell, and how good it is: lines 2 and 3 of its picture."""
    first = found.iloc[0]
    seeds = ", ".join(str(seed) for seed in sorted(set(found["seed"])))
    text = f"{'seeds' if ',' in seeds else 'seed'} {seeds}"
    # Runs that found one cell share its retraining: that is one figure, not several.
    known = found.dropna(subset=["retrain_test_acc_pct"]).drop_duplicates("retrain_id")
    if len(known):
        mean = known["retrain_test_acc_pct"].mean()
        epochs = "/".join(str(n) for n in sorted(set(known["retrain_epochs"].dropna())))
        text += f"; test accuracy {mean:.2f} % after retraining for {epochs} epochs"
        if len(known) > 1:
            text += f" (mean of {len(known)})"
    return f"{text}\n{first['genotype']}"


def _picture_name(method: str, row: pd.Series[str], taken: set[str]) -> str:
    index = row["arch_index"]
    digest = hashlib.sha256(row["genotype"].encode()).hexdigest()[:8]
    mark = digest if pd.isna(index) else f"cell{index}"
    stem = name = _slug(f"{method}-{row['dataset']}-{mark}")
    count = 2
    while name.lower() in taken:  # two labels may differ in signs that no file name keeps
        name, count = f"{stem}-{count}", count + 1
    taken.add(name.lower())
    return name


def _overview(groups: Sequence[tuple[str, pd.DataFrame]], path: Path) -> tuple[Path, Path]:
    """All cells on one page: a row per method and data set, a column per seed."""
    seeds = sorted({int(seed) for _, found in groups for seed in found["seed"]})
    shown, columns = groups[:_MOST_ROWS], seeds[:_MOST_SEEDS]
    title = "Derived cells by method and seed"
    if len(shown) < len(groups) or len(columns) < len(seeds):
        title += (
            f" (first {len(shown)} of {len(groups)} rows, {len(columns)} of {len(seeds)} seeds)"
        )
    left, top, bottom = 2.3, 0.8, 0.5  # inches
    width, height = left + 1.9 * max(len(columns), 3), top + bottom + 1.15 * len(shown)
    figure = Figure(figsize=(width, height))
    grid = figure.add_gridspec(
        len(shown),
        len(columns),
        left=left / width,
        right=0.99,
        top=1 - top / height,
        bottom=bottom / height,
    )
    figure.text(0.5, 1 - 0.14 / height, title, ha="center", va="top", fontweight="bold")
    for place, (label, found) in enumerate(shown):
        for column, seed in enumerate(columns):
            axes = figure.add_subplot(grid[place, column])
            axes.set_axis_off()
            rows = found[found["seed"] == seed]
            if len(rows):
                draw_graph(axes, rows.iloc[0]["space"], rows.iloc[0]["genotype"], labels=False)
            else:
                axes.text(0.5, 0.5, "no cell", ha="center", va="center", color="#777777")
            if place == 0:
                axes.set_title(f"seed {seed}", fontsize=9)
        box = figure.add_subplot(grid[place, 0]).get_position()
        figure.axes[-1].remove()
        figure.text(0.1 / width, (box.y0 + box.y1) / 2, label, va="center", fontsize=9)
    lines = legend_lines(drawable(shown[0][1].iloc[0]["space"]).ops)
    figure.legend(handles=lines, loc="lower center", ncols=len(lines), frameon=False, fontsize=8)
    return _save(figure, path, title)


def draw_all(runs: pd.DataFrame, out_dir: Path) -> list[Path]:
    """Draw the distinct cells of each (label, variant, data set) of the done runs, and cells.png.

    Of hundreds of seeds only the 20 cells that were found most often are drawn.

    runs: as `collect` or `read_runs` give them. Returns the files, PNG and SVG of each picture;
    none where no run is done. Raises UserError if a space has no picture.
    """
    out_dir = Path(out_dir)
    done = runs[(runs["status"] == "done") & runs["genotype"].notna()]
    keys = ["protocol", "label", "variant", "dataset"]
    protocols = done["protocol"].nunique() > 1
    paths: list[Path] = []
    groups: list[tuple[str, pd.DataFrame]] = []
    taken: set[str] = {"cells"}
    for _, group in done.groupby(keys, sort=False):
        method, dataset = _names(group.iloc[0], protocols), group.iloc[0]["dataset"]
        groups.append((f"{method}\n{dataset}".replace(", ", ",\n"), group))
        cells = [found for _, found in group.groupby("genotype", sort=False)]
        for found in sorted(cells, key=len, reverse=True)[:_MOST_CELLS]:
            first = found.iloc[0]
            title = f"{method} on {dataset}\n{_caption(found)}"
            name = _picture_name(method, first, taken)
            paths += draw_cell(first["genotype"], first["space"], out_dir / name, title)
    if groups:
        with _style():
            paths += _overview(groups, out_dir / "cells")
    return paths
