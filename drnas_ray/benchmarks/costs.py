"""Parameters and multiply-adds of derived networks, by formula: no table, no torch.

Counted as in NAS-Bench-201's files (Dong & Yang, arXiv:2001.00326): all parameters; multiply-adds
of convolutions and of the classifier, including its bias, for one image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drnas_ray.data.facts import DataShape
from drnas_ray.spaces.nb201 import OPS

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class NetSize:
    """The network around a cell; the defaults are NAS-Bench-201's own C and N.

    channels: of the stem, C. cells: per stage, N.
    """

    images: DataShape
    channels: int = 16
    cells: int = 5


def nb201_costs(choices: NDArray[np.integer], size: NetSize) -> tuple[Counts, Counts]:
    """Parameters and multiply-adds, each (n,), of cells given as operation indices (n, 1, 6)."""
    c, images = size.channels, size.images
    convolutions = [(chosen_area, _edges_with(choices, op)) for op, chosen_area in _AREA.items()]
    pixels = images.side**2
    params = np.full(len(choices), 9 * images.channels * c + 2 * c)
    flops = np.full(len(choices), 9 * images.channels * c * pixels)
    side = images.side
    for stage in range(3):
        width = c * 2**stage
        if stage:  # the residual block: two 3x3 convolutions and a 1x1 shortcut
            side = (side + 1) // 2
            weights = 9 * (width // 2) * width + 9 * width**2 + (width // 2) * width
            params += weights + 4 * width
            flops += weights * side**2
        for area, edges in convolutions:
            params += size.cells * edges * (area * width**2 + 2 * width)
            flops += size.cells * edges * area * width**2 * side**2
    features = 4 * c
    params += 2 * features + (features + 1) * images.classes
    flops += (features + 1) * images.classes
    return params, flops


_AREA = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}


def _edges_with(choices: NDArray[np.integer], op: str) -> Counts:
    """(n,): on how many edges the operation is."""
    count: Counts = (choices == OPS.index(op)).sum((1, 2))
    return count


COSTS: Mapping[str, Callable[[NDArray[np.integer], NetSize], tuple[Counts, Counts]]] = {
    "nb201": nb201_costs
}
"""Space -> function from (choices (n, T, E), size) to parameters and multiply-adds of n cells."""
