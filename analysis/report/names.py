"""How runs, and the rows of tables that average them, are called on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cells.draw import run_name
from analysis.report.grids import ranges

MOST_EXAMPLES = 8
GROUP = ["protocol", "label", "variant", "dataset"]
"""Runs that a table averages."""


def group_name(row: pd.Series[str]) -> str:
    """`DrNAS, arch.lr=0.01 on digits`."""
    return f"{run_name(row, protocols=False)} on {row['dataset']}"


def story_name(row: pd.Series[str]) -> str:
    """`DrNAS on digits, seed 3`."""
    return f"{group_name(row)}, seed {row['seed']}"


def seeds_text(group: pd.DataFrame) -> str:
    """`seed 3` or `seeds 0 to 4, 7`."""
    return f"seed{'s' if group['seed'].nunique() > 1 else ''} {ranges(group['seed'])}"


def plural(count: int, one: str, many: str) -> str:
    """`1 run`, `2,000 runs`."""
    return f"{count:,} {one if count == 1 else many}"


def groups(runs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The runs of each row of the tables, in order of first appearance."""
    return (group for _, group in runs.groupby(GROUP, sort=False))


@dataclass(frozen=True)
class Doubt:
    """One kind of trouble, in a sentence, with examples."""

    title: str
    text: str
    examples: tuple[str, ...] = ()
    more: int = 0
    """Examples that are left out."""


def doubt(title: str, text: str, examples: Sequence[str] = (), total: int = 0) -> Doubt:
    """A Doubt with the first few examples; `total` says how many there are if not all are given."""
    kept = tuple(examples[:MOST_EXAMPLES])
    return Doubt(title, text, kept, max(total, len(examples)) - len(kept))
