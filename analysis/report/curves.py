"""The curves of one run: the strength of every operation on every edge, accuracies and losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.report.charts import Chart, Style, chart
from drnas_ray.spaces import SPACES
from drnas_ray.spaces.space import Space

# The colours of the cell pictures; the style sheet defines them (c0, c1, ...) for light and dark.
_COLOURS = {
    "none": 0,
    "skip_connect": 1,
    "nor_conv_1x1": 2,
    "nor_conv_3x3": 3,
    "avg_pool_3x3": 4,
    "max_pool_3x3": 7,
    "sep_conv_3x3": 3,
    "sep_conv_5x5": 2,
    "dil_conv_3x3": 6,
    "dil_conv_5x5": 5,
}
_DASHES = ("none", "none", "6 3", "none", "2 2.5", "8 3 2 3", "4 2", "1 3")
_ACCURACIES = {
    "train_acc_pct": "training",
    "val_acc_pct": "validation",
    "val_mean_acc_pct": "validation, mean architecture",
}
_LOSSES = {
    "train_loss": "training",
    "val_loss": "validation",
    "val_mean_loss": "validation, mean architecture",
}


@dataclass(frozen=True)
class OpKey:
    """An operation in the key of the strength charts."""

    name: str
    colour: str
    dash: str


def _style(op: str, place: int) -> Style:
    return Style(f"c{_COLOURS.get(op, place % 8)}", _DASHES[place % len(_DASHES)])


def legend(space_name: str) -> tuple[OpKey, ...]:
    """The operations of a space with their lines; empty if the space is unknown."""
    space = SPACES.get(space_name)
    if space is None:
        return ()
    styles = [_style(op, place) for place, op in enumerate(space.ops)]
    return tuple(OpKey(op, s.colour, s.dash) for op, s in zip(space.ops, styles, strict=True))


def _array(values: Sequence[Any], space: Space) -> NDArray[np.float64]:
    """(epochs, T, E, O) strengths, NaN for an epoch without any, or with another shape."""
    out = np.full((len(values), *space.shape), np.nan)
    for place, value in enumerate(values):
        if value is None or (isinstance(value, float) and np.isnan(value)):
            continue
        found = np.array([[list(ops) for ops in edges] for edges in value], dtype=np.float64)
        if found.shape == space.shape:
            out[place] = found
    return out


def strength_charts(space_name: str, epochs: pd.DataFrame) -> tuple[Chart, ...]:
    """A chart for each cell type and edge, all on one vertical scale; empty without strengths."""
    space = SPACES.get(space_name)
    if space is None or epochs.empty:
        return ()
    strengths = _array(list(epochs["strengths"]), space)
    finite = strengths[np.isfinite(strengths)]
    if finite.size == 0:
        return ()
    limits = (min(0.0, float(finite.min())), float(finite.max()))
    numbers = [int(epoch) for epoch in epochs["epoch"]]
    charts = []
    for kind, cell_type in enumerate(space.cell_types):
        prefix = f"{cell_type}, " if len(space.cell_types) > 1 else ""
        for edge, (target, source) in enumerate(space.edges):
            curves = {
                op: (_style(op, place), strengths[:, kind, edge, place].tolist())
                for place, op in enumerate(space.ops)
            }
            title = f"{prefix}node {source} → node {target}"
            charts.append(chart(title, numbers, curves, limits))
    return tuple(made for made in charts if made is not None)


def accuracy_charts(epochs: pd.DataFrame) -> tuple[Chart, ...]:
    """Accuracy, loss and entropy over the epochs, as far as the run reported them."""
    if epochs.empty:
        return ()
    numbers = [int(epoch) for epoch in epochs["epoch"]]

    def one(title: str, columns: dict[str, str]) -> Chart | None:
        curves = {
            name: (Style(f"k{place}", ("none", "none", "5 3")[place]), epochs[column].tolist())
            for place, (column, name) in enumerate(columns.items())
        }
        return chart(title, numbers, curves)

    made = (
        one("Accuracy of the supernet, %", _ACCURACIES),
        one("Loss of the supernet", _LOSSES),
        one("Entropy of the shares, nats", {"entropy_nats": "entropy"}),
    )
    return tuple(found for found in made if found is not None)
