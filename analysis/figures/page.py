"""The frame of a figure: title, legend below it, panels, and a caption at the bottom."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.style import INK

TITLE_PT, LABEL_PT, NOTE_PT = 13, 10, 8
_LINE = 1.25 / 72
"""Height of a line of text, in inches per point of its size."""
_LETTER = 0.56 / 72
"""Average width of a letter of DejaVu Sans, in inches per point of its size."""
_NARROWEST = 7.0


def _wrapped(text: str, width: float, points: float) -> list[str]:
    return textwrap.wrap(text, max(int(width / (_LETTER * points)), 20)) if text else []


def _legend_columns(handles: Sequence[Artist], width: float) -> int:
    """As many as fit: entries fill columns from top to bottom; the longest label sets the width."""
    wide = [0.8 + len(str(one.get_label())) * _LETTER * (LABEL_PT - 1) for one in handles]
    for columns in range(len(wide), 1, -1):
        deep = math.ceil(len(wide) / columns)
        # The first columns are the deeper ones.
        if sum(max(wide[at : at + deep]) for at in range(0, len(wide), deep)) < width:
            return math.ceil(len(wide) / deep)
    return 1


def page(
    shape: tuple[int, int],
    title: str,
    caption: str,
    handles: Sequence[Artist] = (),
    panel: tuple[float, float] = (3.4, 2.7),
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with axes in a grid of shape (rows, columns), and those axes.

    panel: width and height of one in inches; handles: of the legend. Title, legend and caption get
    as much room as their text needs, so that nothing overlaps.
    """
    rows, columns = shape
    width = max(columns * panel[0], _NARROWEST)
    inner = width - 0.3
    head = _wrapped(title, inner, TITLE_PT * 1.08)
    foot = _wrapped(caption, inner, NOTE_PT)
    ncols = _legend_columns(handles, inner) if handles else 1
    legend_rows = math.ceil(len(handles) / ncols)
    top = 0.16 + len(head) * TITLE_PT * _LINE + legend_rows * 0.23 + 0.08 * bool(handles)
    bottom = 0.12 + len(foot) * NOTE_PT * _LINE
    height = rows * panel[1] + top + bottom
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine(
        "constrained", rect=(0.01, bottom / height, 0.98, 1 - (top + bottom) / height)
    )
    left = 0.15 / width
    figure.text(
        left, 1 - 0.1 / height, "\n".join(head), va="top", size=TITLE_PT, weight="bold", color=INK
    )
    figure.text(left, 0.08 / height, "\n".join(foot), va="bottom", size=NOTE_PT, color="#444444")
    if handles:
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(left, 1 - (0.1 + len(head) * TITLE_PT * _LINE) / height),
            ncols=ncols,
            frameon=False,
            fontsize=LABEL_PT - 1,
            borderaxespad=0.2,
            handlelength=3.2,
            columnspacing=1.4,
        ).set_in_layout(False)
    return figure, [list(row) for row in figure.subplots(rows, columns, squeeze=False)]


def style_axes(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Title, labels, a light grid, no box."""
    axes.set_title(title, fontsize=LABEL_PT)
    axes.set_xlabel(xlabel, fontsize=LABEL_PT)
    axes.set_ylabel(ylabel, fontsize=LABEL_PT)
    axes.tick_params(labelsize=LABEL_PT - 1)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def whole_ticks(axes: Axes) -> None:
    """Ticks of the x axis at whole epochs."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
