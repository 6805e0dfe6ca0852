"""The Pareto front of cells: accuracy against cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto(cost: NDArray[np.floating], accuracy: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices of the cells that no other cell dominates, by rising cost (and so accuracy).

    A cell dominates another if it is as cheap and more accurate, or cheaper and as accurate. cost,
    accuracy: (n,); cells where either is not finite are left out; of equal cells, the first stays.
    """
    known = np.flatnonzero(np.isfinite(cost) & np.isfinite(accuracy))
    order = known[np.lexsort((known, -accuracy[known], cost[known]))]
    best = np.maximum.accumulate(accuracy[order]) if len(order) else accuracy[order]
    before = np.concatenate([[-np.inf], best[:-1]]) if len(order) else best
    return order[accuracy[order] > before]
