"""Names on the page: of a run, and of the runs that a table averages."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.cells.draw import run_name
from analysis.report.page_tables import ranges

GROUP = ["protocol", "label", "variant", "dataset"]
"""The columns whose values all runs averaged in one table cell share."""


def group_name(row: pd.Series[str]) -> str:
    """`DrNAS, arch.lr=0.01 on digits`."""
    return f"{run_name(row, protocols=False)} on {row['dataset']}"


def run_title(row: pd.Series[str]) -> str:
    """`DrNAS on digits, seed 3`."""
    return f"{group_name(row)}, seed {row['seed']}"


def seeds_text(group: pd.DataFrame) -> str:
    """`seed 3` or `seeds 0 to 4, 7`."""
    return f"seed{'s' if group['seed'].nunique() > 1 else ''} {ranges(group['seed'])}"


def plural(count: int, one: str, many: str) -> str:
    """`1 run`, `2,000 runs`."""
    return f"{count:,} {one if count == 1 else many}"


def groups(runs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The runs averaged in each row of the tables, in order of first appearance."""
    return (group for _, group in runs.groupby(GROUP, sort=False))
