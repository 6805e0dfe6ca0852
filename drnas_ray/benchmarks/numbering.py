"""Cells to the benchmark's numbers, 0 to 15,624."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drnas_ray.benchmarks.columns import CELLS
from drnas_ray.core.errors import UserError
from drnas_ray.spaces.nb201 import NB201

Cells = str | int | Sequence[str] | Sequence[int] | NDArray[Any]
"""One cell or many, as official strings or official numbers."""
_SPACE = NB201()


def cell_numbers(cells: Cells) -> NDArray[np.intp]:
    """Official numbers of cells, of shape () for one. Raises UserError for anything else."""
    if isinstance(cells, str):
        return np.array(_SPACE.index(cells), dtype=np.intp)
    # A list of strings stays a list: in an array every string would be as wide as the widest.
    if isinstance(cells, list | tuple) and cells and isinstance(cells[0], str):
        return np.array(_of_strings(cells), dtype=np.intp)
    found = np.asarray(cells)
    if found.dtype.kind in "UO":
        numbers = _of_strings(found.ravel().tolist())
        return np.array(numbers, dtype=np.intp).reshape(found.shape)
    if found.size == 0:
        return np.zeros(found.shape, dtype=np.intp)
    if found.dtype.kind not in "iu":
        raise UserError(f"cells must be official strings or whole numbers, not {found.dtype}")
    wrong = (found < 0) | (found >= CELLS)
    if wrong.any():
        _SPACE.cell(int(found[wrong].flat[0]))  # raises
    return found.astype(np.intp, copy=False)


@cache
def _known() -> dict[str, int]:
    return {_SPACE.cell(index): index for index in range(CELLS)}


def _of_strings(cells: Sequence[Any]) -> list[int]:
    known = _known()
    try:
        return [known[cell] for cell in cells]
    except (KeyError, TypeError):
        return [_SPACE.index(str(cell)) for cell in cells]  # names the one that is not a cell
