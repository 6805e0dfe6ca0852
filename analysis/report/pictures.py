"""Pictures embedded in the page as data URIs: derived cells and the figures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.cells.plot import draw_graph, drawable
from analysis.figures import FIGURES, Missing
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import style

_MOST_SVG_BYTES = 250_000
"""A larger SVG (thousands of dots) is embedded as a PNG: the page must stay small."""
_PNG_DPI = 160


@dataclass(frozen=True)
class Picture:
    """Everything that an <img> needs."""

    src: str
    """A data URI."""
    alt: str
    width: int
    height: int
    """In CSS pixels."""


@dataclass(frozen=True)
class FigureBox:
    """A figure of the page, or why it is missing."""

    name: str
    about: str
    picture: Picture | None
    missing: str = ""


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def picture(figure: Figure, alt: str) -> Picture:
    """The figure as SVG, or as PNG if the SVG is large; equal figures give equal bytes."""
    FigureCanvasAgg(figure)
    width, height = (round(float(inches) * 96) for inches in figure.get_size_inches())
    # Letters as paths: the reader's device may lack the font, and labels would overlap.
    with style(), mpl.rc_context({"svg.fonttype": "path"}):
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        if out.tell() <= _MOST_SVG_BYTES:
            return Picture(_uri(out.getvalue(), "svg+xml"), alt, width, height)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=_PNG_DPI, metadata={"Software": None})
        return Picture(_uri(out.getvalue(), "png"), alt, width, height)


def cell_words(space_name: str, genotype: str) -> str:
    """The cell in words: every edge and its operation. Raises UserError as `cell_picture` does."""
    space = drawable(space_name)
    cells = [
        f"{name}: " + ", ".join(f"{source} to {target} {op}" for target, source, op in edges)
        for name, edges in zip(space.cell_types, space.graphs(space.check(genotype)), strict=True)
    ]
    return f"Graph of the derived cell, from node to node. {'; '.join(cells)}."


@lru_cache(maxsize=4096)
def cell_picture(space_name: str, genotype: str) -> Picture:
    """The cell as a graph, its cell types one below the other.

    Raises UserError if the space is unknown or the genotype is not valid in it.
    """
    types = drawable(space_name).cell_types
    with style():
        # The smallest size at which no label touches a node.
        width, height = (6.2, 3.45) if len(types) == 1 else (9.0, 3.9)
        figure = Figure(figsize=(width, height * len(types)))
        axes = figure.subplots(len(types), 1, squeeze=False)[:, 0]
        figure.subplots_adjust(0.005, 0.005, 0.995, 0.995 if len(types) == 1 else 0.95, hspace=0.1)
        for cell, name in enumerate(types):
            draw_graph(axes[cell], space_name, genotype, cell=cell)
            if len(types) > 1:
                axes[cell].set_title(name, loc="left", fontsize=11)
    return picture(figure, cell_words(space_name, genotype))


def figures(
    collected: Collected,
    benchmark: BenchmarkTable | None,
    progress: Callable[[str], None],
) -> list[FigureBox]:
    """Every figure of `FIGURES`, drawn or with the reason why not.

    progress: called with a text before each figure.
    """
    boxes = []
    for kind in FIGURES.values():
        progress(f"figure {kind.name}")
        try:
            drawn = kind.draw(collected, benchmark)
        except Missing as reason:
            boxes.append(FigureBox(kind.name, kind.about, None, str(reason)))
            continue
        boxes.append(FigureBox(kind.name, kind.about, picture(drawn, kind.about)))
    return boxes
