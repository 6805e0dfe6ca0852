"""A cell as a graph on matplotlib axes: nodes in a row, one bent arrow per edge.

No pyplot and no display: callers make their own Figure. Lengths are in the units of the axes,
where nodes stand 2 apart.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch

from drnas_ray.errors import UserError, unknown_name
from drnas_ray.spaces import SPACES
from drnas_ray.spaces.nb201 import NB201

# Okabe & Ito's palette: told apart with any common colour blindness, and in grey by their labels.
COLOURS = {
    "none": "#767676",
    "skip_connect": "#0072B2",
    "nor_conv_1x1": "#CC79A7",
    "nor_conv_3x3": "#D55E00",
    "avg_pool_3x3": "#009E73",
}
_INK = "#333333"
_ABSENT: dict[str, Any] = {"linestyle": (0, (1, 2.5)), "linewidth": 1.2}
"""How a `none` edge is drawn: it carries nothing, but where it would be is worth seeing."""
_NODES = ("in", "1", "2", "out")
_GAP, _RADIUS = 2.0, 0.3
# Bend of an edge by (target, source): long edges above, the one that would cross them below.
_BEND = {(2, 0): -0.5, (3, 1): 0.5, (3, 0): -0.68}


def drawable(space_name: str) -> NB201:
    """The space, if its cells can be drawn. Raises UserError if not."""
    space = SPACES.get(space_name)
    if space is None:
        raise unknown_name("space", space_name, SPACES)
    if not isinstance(space, NB201):
        raise UserError(f"cells of space '{space_name}' can't be drawn: only those of nb201 can")
    return space


def _node(axes: Axes, node: int, name: str, labels: bool) -> Circle:
    end = name in ("in", "out")
    circle = Circle(
        (node * _GAP, 0),
        _RADIUS,
        facecolor=_INK if end else "white",
        edgecolor=_INK,
        linewidth=1.6 if labels else 1,
        zorder=2,
    )
    axes.add_patch(circle)
    if labels:
        colour = "white" if end else _INK
        axes.text(
            node * _GAP, 0, name, color=colour, zorder=3, ha="center", va="center", fontsize=11
        )
    return circle


def _edge(axes: Axes, nodes: tuple[Circle, Circle], op: str, bend: float, labels: bool) -> None:
    """An arrow from the first node to the second."""
    absent = op == "none"
    (start, _), (stop, _) = nodes[0].center, nodes[1].center
    axes.add_patch(
        FancyArrowPatch(
            (start, 0),
            (stop, 0),
            patchA=nodes[0],
            patchB=nodes[1],
            shrinkA=0,
            shrinkB=2 if labels else 1,
            arrowstyle="-|>",
            mutation_scale=16 if labels else 9,
            connectionstyle=f"arc3,rad={bend}",
            color=COLOURS[op],
            linewidth=_ABSENT["linewidth"] if absent else 2.2,
            linestyle=_ABSENT["linestyle"] if absent else "-",
            zorder=1,
        )
    )
    if not labels:
        return
    # The arc's middle is halfway up to its control point, which is bend x chord off the line.
    height = -bend / 2 * (stop - start)
    below = height < 0
    axes.text(
        (start + stop) / 2,
        height - 0.1 if below else height + 0.1,
        op,
        color=COLOURS[op],
        fontsize=11,
        fontweight="normal" if absent else "bold",
        ha="center",
        va="top" if below else "bottom",
        zorder=3,
    )


def draw_graph(axes: Axes, space_name: str, genotype: str, labels: bool = True) -> None:
    """Draw the cell; `labels` writes each operation on its edge. Raises UserError on a bad cell."""
    space = drawable(space_name)
    chosen = space.choices(space.check(genotype))[0]
    nodes = [_node(axes, node, name, labels) for node, name in enumerate(_NODES)]
    axes.set_xlim(-0.5, 3 * _GAP + 0.5)
    axes.set_ylim(-1.45, 2.45)
    axes.set_aspect("equal")
    axes.set_axis_off()
    for (target, source), index in zip(space.edges, chosen, strict=True):
        bend = _BEND.get((target, source), 0.0)
        _edge(axes, (nodes[source], nodes[target]), space.ops[int(index)], bend, labels)


def legend_lines(ops: tuple[str, ...]) -> list[Line2D]:
    """A line for each operation, for pictures whose edges have no labels."""
    return [
        Line2D(
            [],
            [],
            color=COLOURS[op],
            label=op,
            **(_ABSENT if op == "none" else {"linewidth": 2.2}),
        )
        for op in ops
    ]
