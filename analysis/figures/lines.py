"""Lines over epochs, one per method, with a band over seeds: most figures consist of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.page import page, style_axes, whole_ticks
from analysis.style import GREY, line_style

PER_PANEL = 8
"""With more lines, which would be hard to follow, each gets its own panel."""
_COLUMNS, _MANY = 4, 5
BAND = "Line: median over seeds; band: their quartiles."


@dataclass(frozen=True)
class Block:
    """Panels of one quantity. frame: columns panel, line, epoch, n, middle, low, high."""

    ylabel: str
    frame: pd.DataFrame
    limits: dict[str, float] = field(default_factory=dict)
    """Values of horizontal lines, by panel (or by line, if each line has its own panel)."""
    share_y: bool = False
    log: bool | None = False
    """Logarithmic scale; None: if all values are above 0 and span more than 1.5 decades."""


def banded(
    frame: pd.DataFrame, panel: str | None, line: str | None, values: Sequence[str]
) -> pd.DataFrame:
    """Median and quartiles over the runs at each epoch, of each panel, line and column of values.

    panel, line: columns of the frame, or None if each column of `values` is a panel or a line.
    Returns columns panel, line, epoch, n, middle, low, high. Values that are not finite are left
    out. Quartiles, because a mean ± deviation exceeds 100 % accuracy if one seed collapses.
    """
    keys = [key for key in (panel, line) if key is not None]
    numbers = frame[list(values)].astype(np.float64)
    numbers = numbers.where(np.isfinite(numbers)).join(frame[[*keys, "epoch"]])
    grouped = numbers.groupby([*keys, "epoch"], sort=False, observed=True)[list(values)]
    quartiles = grouped.quantile(np.array([0.25, 0.5, 0.75])).unstack()
    counts = grouped.count()
    parts = []
    for value in values:
        # In the order of first appearance: unstacking has sorted the names.
        part = quartiles[value].reindex(counts.index).set_axis(["low", "middle", "high"], axis=1)
        part = part.assign(n=counts[value])[counts[value] > 0].reset_index()
        part = part.rename(columns={panel: "panel", line: "line"})
        missing = {"panel": value} if panel is None else {"line": value} if line is None else {}
        parts.append(part.assign(**missing))
    result: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return result


def _log(block: Block) -> bool:
    if block.log is not None:
        return block.log
    values = block.frame["middle"].to_numpy()
    return bool(values.min() > 0 and values.max() / values.min() > 30)


def _line(axes: Axes, part: pd.DataFrame, place: int, alpha: float) -> None:
    part = part.sort_values("epoch")
    epoch = part["epoch"].to_numpy(np.float64)
    look = line_style(place)
    if (part["n"] > 1).any():
        low, high = part["low"].to_numpy(), part["high"].to_numpy()
        axes.fill_between(epoch, low, high, color=look["color"], alpha=alpha, linewidth=0)
    every = max(1, math.ceil(len(epoch) / 8))
    # Markers at the same epochs would hide each other where lines coincide.
    first = place % every if len(epoch) > every else 0
    axes.plot(
        epoch,
        part["middle"].to_numpy(),
        linewidth=1.9,
        markersize=4.5,
        markevery=(first, every),
        label=str(part["line"].iloc[0]),
        **look,
    )


def _draw_panel(axes: Axes, block: Block, name: str, lines: Sequence[str], split: bool) -> None:
    """split: each panel shows one line; panels and lines change places."""
    key, other = ("line", "panel") if split else ("panel", "line")
    part = block.frame[block.frame[key] == name]
    for number, line in enumerate(lines):
        found = part[part[other] == line]
        if len(found):
            _line(axes, found.assign(line=line), number, 0.18 if len(lines) <= 3 else 0.1)
    for owner, value in block.limits.items():
        if split or owner == name:
            axes.axhline(value, color=GREY, linewidth=1, linestyle=(0, (1, 1.5)), zorder=1)
    style_axes(axes, name)
    if _log(block):
        axes.set_yscale("log")
    whole_ticks(axes)


def draw_lines(
    blocks: Sequence[Block], title: str, caption: str, level: str = "", columns: int = _COLUMNS
) -> Figure:
    """Blocks one below the other, each a grid of panels. level: label of the horizontal lines."""
    lines = list(dict.fromkeys(name for block in blocks for name in block.frame["line"]))
    panels = list(dict.fromkeys(name for block in blocks for name in block.frame["panel"]))
    split = len(lines) > PER_PANEL >= len(panels)
    if split:
        lines, panels = panels, lines
    columns = min(_MANY if split else columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    handles = [
        Line2D([], [], linewidth=1.9, markersize=4.5, label=name, **line_style(place))
        for place, name in enumerate(lines)
    ]
    if level:
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (1, 1.5)), label=level))
    size = (3.5, 2.8) if columns < 4 else (2.7, 2.3) if columns < 6 else (2.15, 2.1)
    figure, axes = page((rows * len(blocks), columns), title, caption, handles, size)
    for number, block in enumerate(blocks):
        grid = [one for row in axes[number * rows : (number + 1) * rows] for one in row]
        for place, (name, one) in enumerate(zip(panels, grid, strict=False)):
            if (block.share_y or split) and place:
                one.sharey(grid[0])
            _draw_panel(one, block, name, lines, split)
            if place % columns == 0:
                one.set_ylabel(block.ylabel)
            if place >= len(panels) - columns:
                one.set_xlabel("epoch")
        for one in grid[len(panels) :]:
            one.set_axis_off()
    return figure
