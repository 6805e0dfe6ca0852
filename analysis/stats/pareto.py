"""The accuracy-cost Pareto front of cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto(cost: NDArray[np.floating], accuracy: NDArray[np.floating]) -> NDArray[np.intp]:
    """Places of the cells that no other beats: none is as cheap and better, or cheaper and as good.

    cost, accuracy: (n,); a cell without a figure (nan) counts not. By rising cost, so by rising
    accuracy too; of cells alike in both, the first.
    """
    known = np.flatnonzero(np.isfinite(cost) & np.isfinite(accuracy))
    order = known[np.lexsort((known, -accuracy[known], cost[known]))]
    best = np.maximum.accumulate(accuracy[order]) if len(order) else accuracy[order]
    before = np.concatenate([[-np.inf], best[:-1]]) if len(order) else best
    return order[accuracy[order] > before]
