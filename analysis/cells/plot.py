"""A cell as a graph on matplotlib axes: nodes in a row, one bent arrow per edge.

No pyplot and no display: callers make the Figure. Lengths are in the units of the axes. In cells
whose output is a concatenation (DARTS), every edge is an arc above the row of nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch

from drnas_ray.core.errors import unknown_name
from drnas_ray.spaces import SPACES
from drnas_ray.spaces.space import Space

Edge = tuple[int, int, str]
"""(target node, source node, operation)."""
# Colour, dashes, width in points. Okabe & Ito's palette can be distinguished with any common colour
# blindness; dashes and widths help if edges have no labels.
_LOOKS: Mapping[str, tuple[str, Any, float]] = {
    "none": ("#767676", (0, (1, 2.5)), 1.2),  # carries nothing, but shows where an edge could be
    "skip_connect": ("#0072B2", (0, (4, 1.5)), 2.2),
    "nor_conv_1x1": ("#CC79A7", "-", 1.5),
    "nor_conv_3x3": ("#D55E00", "-", 3.2),
    "avg_pool_3x3": ("#009E73", (0, (1, 1)), 2.4),
    "max_pool_3x3": ("#000000", (0, (1, 1)), 2.4),
    "sep_conv_3x3": ("#D55E00", "-", 2.0),
    "sep_conv_5x5": ("#CC79A7", "-", 3.2),
    "dil_conv_3x3": ("#B07D00", (0, (6, 1.5, 1, 1.5)), 2.0),
    "dil_conv_5x5": ("#3F86B0", (0, (6, 1.5, 1, 1.5)), 3.2),
}
_OTHER = ("#333333", "-", 2.0)
_INK = "#333333"
_GAP, _WIDE, _RADIUS = 2.0, 2.4, 0.3
_CONCAT = ("#BBBBBB", "-", 1.0)
# Bend of an edge by (target, source): long edges above, the one that would cross them below.
_BEND = {(2, 0): -0.5, (3, 1): 0.5, (3, 0): -0.68}


def drawable(space_name: str) -> Space:
    """The space of that name. Raises UserError if there is none."""
    space = SPACES.get(space_name)
    if space is None:
        raise unknown_name("space", space_name, SPACES)
    return space


def _node(axes: Axes, place: tuple[float, float], name: str, end: bool, labels: bool) -> Circle:
    """A node; `end` marks inputs and outputs."""
    circle = Circle(
        place,
        _RADIUS,
        facecolor=_INK if end else "white",
        edgecolor=_INK,
        linewidth=1.6 if labels else 1,
        zorder=2,
    )
    axes.add_patch(circle)
    if labels:
        colour = "white" if end else _INK
        axes.text(*place, name, color=colour, zorder=3, ha="center", va="center", fontsize=11)
    return circle


def _arrow(axes: Axes, nodes: tuple[Circle, Circle], bend: float, labels: bool, look: Any) -> None:
    """From the first node to the second. look: colour, dashes, width."""
    colour, dashes, width = look
    start, stop = nodes
    axes.add_artist(  # add_patch would compute the arrow again, for limits that are set anyway
        FancyArrowPatch(
            start.center,
            stop.center,
            patchA=start,
            patchB=stop,
            shrinkA=0,
            shrinkB=2 if labels else 1,
            arrowstyle="-|>",
            mutation_scale=16 if labels else 9,
            connectionstyle=f"arc3,rad={bend}",
            color=colour,
            linewidth=width,
            linestyle=dashes,
            zorder=1,
        )
    )


def _row(axes: Axes, edges: Sequence[Edge], labels: bool) -> None:
    """Nodes in a line, the last one the output; long edges bend."""
    last = max(target for target, _, _ in edges)
    names = ["in", *map(str, range(1, last)), "out"]
    nodes = [
        _node(axes, (node * _GAP, 0), name, node in (0, last), labels)
        for node, name in enumerate(names)
    ]
    axes.set_xlim(-0.5, last * _GAP + 0.5)
    axes.set_ylim(-1.45, 2.45)
    for target, source, op in edges:
        bend = _BEND.get((target, source), 0.0)
        look = _LOOKS.get(op, _OTHER)
        _arrow(axes, (nodes[source], nodes[target]), bend, labels, look)
        if not labels:
            continue
        # The arc's middle is halfway up to its control point, which is bend x chord off the line.
        height = -bend / 2 * (target - source) * _GAP
        below = height < 0
        axes.text(
            (source + target) / 2 * _GAP,
            height - 0.1 if below else height + 0.1,
            op,
            color=look[0],
            fontsize=11,
            fontweight="normal" if op == "none" else "bold",
            ha="center",
            va="top" if below else "bottom",
            zorder=3,
        )


def _arcs(axes: Axes, edges: Sequence[Edge], concat: Sequence[int], labels: bool) -> None:
    """Nodes in a line, and every edge an arc above it, so that no edge crosses a node.

    No two arcs between different nodes have their tops, where the labels are, at the same place.
    """
    inputs = min(target for target, _, _ in edges)
    last = max(target for target, _, _ in edges)
    names = [f"c-{inputs - node}" for node in range(inputs)]
    names += [*map(str, range(last - inputs + 1)), "out"]
    nodes = [
        _node(axes, (node * _WIDE, 0), name, node < inputs or node > last, labels)
        for node, name in enumerate(names)
    ]
    for node in concat:
        _arrow(axes, (nodes[node], nodes[-1]), 0.35, labels, _CONCAT)
    axes.set_xlim(-0.5, (last + 1) * _WIDE + 0.5)
    longest = max(target - source for target, source, _ in edges)
    axes.set_ylim(-0.2 * (last + 1 - min(concat)) * _WIDE - 0.3, 0.36 * longest * _WIDE + 0.5)
    for target, source, op in edges:
        look = _LOOKS.get(op, _OTHER)
        _arrow(axes, (nodes[source], nodes[target]), -0.7, labels, look)
        if labels:
            place = ((source + target) / 2 * _WIDE, 0.35 * (target - source) * _WIDE)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            axes.text(
                *place, op, color=look[0], fontsize=9, fontweight="bold", bbox=box, zorder=3,
                ha="center", va="center",
            )  # fmt: skip


def draw_edges(
    axes: Axes, edges: Sequence[Edge], concat: Sequence[int] = (), labels: bool = True
) -> None:
    """Draw a cell given as its edges; `labels` writes each operation on its edge.

    Nodes without incoming edges that come first are inputs. concat: the nodes that make the
    output; () where the last node is the output.
    """
    axes.set_aspect("equal")
    axes.set_axis_off()
    if concat:
        _arcs(axes, edges, concat, labels)
    else:
        _row(axes, edges, labels)


def draw_graph(
    axes: Axes, space_name: str, genotype: str, labels: bool = True, cell: int = 0
) -> None:
    """Draw one cell type of a genotype. Raises UserError if the genotype is not valid."""
    space = drawable(space_name)
    draw_edges(axes, space.graphs(space.check(genotype))[cell], space.concat, labels)


def legend_lines(ops: Sequence[str]) -> list[Line2D]:
    """A legend line for each operation, for pictures without labels on edges."""
    looks = [_LOOKS.get(op, _OTHER) for op in ops]
    return [
        Line2D([], [], color=colour, linestyle=dashes, linewidth=width, label=op)
        for op, (colour, dashes, width) in zip(ops, looks, strict=True)
    ]
