"""Pictures of derived cells, as PNG and SVG; the same data give the same bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cells.plot import draw_graph, drawable, legend_lines
from analysis.records.labels import full_label
from analysis.style import save, styled
from drnas_ray.results.status import Status

_MOST_CELLS = 20
_MOST_ROWS, _MOST_SEEDS = 20, 8
"""Of the overview: a larger one can't be read; its title says how much is left out."""


@styled
def draw_cell(
    genotype: str, space_name: str, path: Path, title: str | None = None
) -> tuple[Path, ...]:
    """Draw one genotype into `path` + .png and .svg and return both paths.

    title: may have several lines; None is the genotype. Raises UserError if the space is unknown
    or the genotype is not valid in it.
    """
    title = genotype if title is None else title
    head, *rest = title.split("\n")
    types = drawable(space_name).cell_types
    tall = 0.83 + 3.77 * len(types)  # inches
    figure = Figure(figsize=(8, tall))
    for cell, name in enumerate(types):
        bottom = 3.77 * (len(types) - 1 - cell) / tall
        axes = figure.add_axes((0.01, bottom + 0.01, 0.98, 3.77 / tall - 0.01))
        draw_graph(axes, space_name, genotype, cell=cell)
        if len(types) > 1:
            axes.set_title(name, loc="left", fontsize=11)
    size = 13 if len(head) < 60 else 9
    figure.text(0.5, 1 - 0.16 / tall, head, ha="center", va="top", fontsize=size, weight="bold")
    note: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 9, "color": "#444444"}
    figure.text(0.5, 1 - 0.46 / tall, "\n".join(rest), **note)
    return save(figure, Path(path), head)


def run_name(row: pd.Series[str], protocols: bool) -> str:
    """Label and variant of a run, with its protocol if `protocols`."""
    name = full_label(row["label"], row["variant"])
    return f"{name} [{row['protocol']}]" if protocols else name


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=]+", "-", text).strip("-.") or "cell"


def _caption(found: pd.DataFrame) -> str:
    """Which seeds found the cell, and its accuracy: lines 2 and 3 of its picture."""
    first = found.iloc[0]
    seeds = ", ".join(str(seed) for seed in sorted(set(found["seed"])))
    text = f"{'seeds' if ',' in seeds else 'seed'} {seeds}"
    # Runs that found the same cell share its retraining: that is one accuracy, not several.
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
    while name.lower() in taken:  # labels may differ only in characters that file names leave out
        name, count = f"{stem}-{count}", count + 1
    taken.add(name.lower())
    return name


def cell_groups(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(name, runs) of each method and data set with done runs, in order of first appearance."""
    done = runs[(runs["status"] == Status.done) & runs["genotype"].notna()]
    protocols = done["protocol"].nunique() > 1
    keys = ["protocol", "label", "variant", "dataset"]
    groups = [group for _, group in done.groupby(keys, sort=False)]
    return [(run_name(group.iloc[0], protocols), group) for group in groups]


@styled
def overview(groups: Sequence[tuple[str, pd.DataFrame]], note: str = "") -> Figure:
    """All cells on one page: a row per method, data set and cell type, a column per seed."""
    seeds = sorted({int(seed) for _, found in groups for seed in found["seed"]})
    lines = [
        (f"{name}\n{found.iloc[0]['dataset']}".replace(", ", ",\n"), found, cell)
        for name, found in groups
        for cell in range(len(drawable(found.iloc[0]["space"]).cell_types))
    ]
    shown, columns = lines[:_MOST_ROWS], seeds[:_MOST_SEEDS]
    title = "Derived cells by method and seed"
    if len(shown) < len(lines) or len(columns) < len(seeds):
        title += f" (first {len(shown)} of {len(lines)} rows, {len(columns)} of {len(seeds)} seeds)"
    left, top, bottom = 2.3, 0.8, 0.8  # inches
    width, height = left + 1.9 * max(len(columns), 3), top + bottom + 1.15 * len(shown)
    figure = Figure(figsize=(width, height))
    grid = figure.add_gridspec(
        len(shown),
        max(len(columns), 3),
        left=left / width,
        right=0.99,
        top=1 - top / height,
        hspace=0,
        bottom=bottom / height,
    )
    figure.text(0.5, 1 - 0.14 / height, title, ha="center", va="top", weight="bold")
    for place, (label, found, cell) in enumerate(shown):
        space = drawable(found.iloc[0]["space"])
        for column, seed in enumerate(columns):
            axes = figure.add_subplot(grid[place, column])
            _overview_cell(axes, found[found["seed"] == seed], space.name, cell)
            if place == 0:
                axes.set_title(f"seed {seed}", fontsize=9)
        middle = 1 - (top + (height - top - bottom) * (place + 0.5) / len(shown)) / height
        kind = f"\n{space.cell_types[cell]} cell" if len(space.cell_types) > 1 else ""
        figure.text(0.1 / width, middle, label + kind, va="center", fontsize=9)
    ops = dict.fromkeys(op for _, found, _ in shown for op in drawable(found.iloc[0]["space"]).ops)
    figure.legend(
        handles=legend_lines(list(ops)),
        loc="lower center",
        bbox_to_anchor=(0.5, 0.3 / height),
        ncols=5,
        frameon=False,
        fontsize=8,
        handlelength=3.5,
    )
    figure.text(0.1 / width, 0.1 / height, note, fontsize=8, color="#444444")
    return figure


def _overview_cell(axes: Axes, runs: pd.DataFrame, space_name: str, cell: int) -> None:
    """The cell of the first of these runs, or a note that there is none."""
    axes.set_axis_off()
    if len(runs):
        draw_graph(axes, space_name, runs.iloc[0]["genotype"], labels=False, cell=cell)
    else:
        axes.text(0.5, 0.5, "no cell", ha="center", va="center", color="#777777")


def draw_all(runs: pd.DataFrame, out_dir: Path) -> list[Path]:
    """Draw the distinct cells of each (label, variant, data set) of the done runs, and cells.png.

    Of each, only the 20 cells that were found most often. runs: as `collect` or `read_runs` returns
    them. Returns the files, PNG and SVG of each picture; none if no run is done. Raises UserError
    if a space is unknown.
    """
    out_dir = Path(out_dir)
    paths: list[Path] = []
    groups = cell_groups(runs)
    taken: set[str] = {"cells"}
    for method, group in groups:
        cells = [found for _, found in group.groupby("genotype", sort=False)]
        for found in sorted(cells, key=len, reverse=True)[:_MOST_CELLS]:
            first = found.iloc[0]
            title = f"{method} on {first['dataset']}\n{_caption(found)}"
            name = _picture_name(method, first, taken)
            paths += draw_cell(first["genotype"], first["space"], out_dir / name, title)
    if groups:
        title = "Derived cells by method and seed"
        paths += save(overview(groups), out_dir / "cells", title)
    return paths
