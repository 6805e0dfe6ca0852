"""Types of figures in records and exports, and how a value is read from JSON.

The same reader reads a figure from a trial's files and checks it when it is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Kind:
    """A type of column."""

    name: str
    """The name shown to users."""
    read: Callable[[Any], Any]
    """The value as this type. Raises TypeError, ValueError or OverflowError for any other."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _integer(value: Any) -> int:
    if _real(value) != int(value):
        raise ValueError
    return int(value)


def _texts(value: Any) -> list[str]:
    return [_text(x) for x in value]


def _reals(value: Any) -> list[float | None]:
    # Tune may write null for nan; the shape is kept either way.
    return [None if x is None else _real(x) for x in value]


def _grid(value: Any) -> list[list[float | None]]:
    return [_reals(row) for row in value]


def _strengths(value: Any) -> list[list[list[float | None]]]:
    return [_grid(edges) for edges in value]


TEXT = Kind("text", _text)
INTEGER = Kind("integer", _integer)
REAL = Kind("real", _real)
TEXTS = Kind("list of text", _texts)
LIST = Kind("list of reals", _reals)
GRID = Kind("grid of reals", _grid)
"""A list of rows."""
STRENGTHS = Kind("strengths", _strengths)
"""(cell types, edges, operations), as nested lists."""
