"""What each edge learns over the epochs: entropy and concentration of its operations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.figures.lines import BAND, Block, banded, draw_lines
from analysis.figures.select import Selection, select
from analysis.figures.strengths import entropies, strength_chunks
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import styled
from drnas_ray.spaces import SPACES
from drnas_ray.spaces.space import Space

_MOST_BLOCKS = 4


def edge_names(space: Space) -> list[str]:
    """(T * E,) `edge 1←0`, preceded by the cell type if there are several."""
    types = space.cell_types if len(space.cell_types) > 1 else ("",)
    return [f"{kind} edge {to}←{start}".strip() for kind in types for to, start in space.edges]


def _space(chosen: Selection) -> Space:
    """The space of the first run: a figure of edges shows one space only."""
    name = str(chosen.runs["space"].iloc[0])
    if name not in SPACES:
        raise Missing(f"this version doesn't know the space '{name}'")
    return SPACES[name]


def edge_entropies(data: Collected, chosen: Selection, space: Space) -> pd.DataFrame:
    """A row per run and epoch: series, panel, epoch, and a column per edge, its entropy in nats."""
    frame = chosen.epochs(data, ["strengths"])
    names = edge_names(space)
    parts = []
    for places, strengths in strength_chunks(frame["strengths"], space.shape):
        values = entropies(strengths).reshape(len(places), len(names))
        rows = frame.iloc[places][["series", "panel", "epoch"]].reset_index(drop=True)
        parts.append(rows.join(pd.DataFrame(values, columns=names)))
    return pd.concat(parts, ignore_index=True)


@styled
def _entropy(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    chosen = select(data, multi_trial=False)
    space = _space(chosen)
    frame = edge_entropies(data, chosen, space)
    if frame[edge_names(space)].isna().all(axis=None):
        raise Missing("no epoch has strengths to take the entropy of")
    panels = chosen.panels[:_MOST_BLOCKS]
    several = len(panels) > 1
    blocks = [
        Block(
            f"{panel}\nentropy, nats" if several else "entropy, nats",
            banded(frame[frame["panel"] == panel], None, "series", edge_names(space)),
            dict.fromkeys(edge_names(space), float(np.log(len(space.ops)))),
            share_y=True,
        )
        for panel in panels
    ]
    where = "" if several else f" on {panels[0]}"
    return draw_lines(
        blocks,
        f"Entropy of each edge's operations during the search{where}",
        f"{BAND} Of the strengths of an edge, scaled to sum to 1. {chosen.facts}",
        level=f"uniform: ln {len(space.ops)}",
        columns=7 if several else 3,
    )


def concentrations(data: Collected, chosen: Selection, space: Space) -> pd.DataFrame:
    """A row per run, epoch and edge: epoch, edge, and a column per operation, its concentration."""
    frame = chosen.epochs(data, ["strengths"])
    parts = []
    for places, strengths in strength_chunks(frame["strengths"], space.shape):
        values = strengths.reshape(len(places), -1, len(space.ops))
        epoch = frame["epoch"].to_numpy(np.int64)[places]
        for place, name in enumerate(edge_names(space)):
            part = pd.DataFrame(values[:, place], columns=list(space.ops))
            parts.append(part.assign(epoch=epoch, edge=name))
    return pd.concat(parts, ignore_index=True)


@styled
def _concentration(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    chosen = select(data, distribution="dirichlet")
    space = _space(chosen)
    pairs = chosen.pairs
    blocks = []
    for series, panel in pairs[:_MOST_BLOCKS]:
        mine = (chosen.runs["series"] == series) & (chosen.runs["panel"] == panel)
        part = Selection(chosen.runs[mine], chosen.keys, "")
        frame = banded(concentrations(data, part, space), "edge", None, space.ops)
        label = f"{series}, {panel}\nconcentration β" if len(pairs) > 1 else "concentration β"
        levels = dict.fromkeys(edge_names(space), 1.0)
        blocks.append(Block(label, frame, levels, share_y=True))
    if all(block.frame.empty for block in blocks):
        raise Missing("no epoch of a DrNAS run has strengths")
    where = f", {' on '.join(pairs[0])}" if len(pairs) == 1 else ""
    cut = f" The first {_MOST_BLOCKS} of {len(pairs)}." if len(pairs) > _MOST_BLOCKS else ""
    return draw_lines(
        blocks,
        f"Dirichlet concentration of each edge's operations during the search{where}",
        f"{BAND} A pruned operation has concentration 0. {chosen.facts}{cut}",
        level="β = 1: uniform on the simplex",
        columns=7 if len(blocks) > 1 else 3,
    )


ENTROPY = FigureKind(
    "entropy",
    "Entropy of each edge's operations during the search.",
    _entropy,
    details="In nats, of strengths scaled to sum to 1.",
)
CONCENTRATION = FigureKind(
    "concentration",
    "Dirichlet concentration of each operation on each edge during the search.",
    _concentration,
    needs=(Needs.dirichlet,),
)
