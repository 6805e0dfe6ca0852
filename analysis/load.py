"""Several results folders as one data set, for tables, figures and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.collect import Collected, collect
from drnas_ray.errors import UserError


def load(folders: Sequence[Path]) -> Collected:
    """The runs of all folders, with a column `sweep` (the folder) in each of the three tables.

    Raises UserError as `collect` does, or where a folder is given twice.
    """
    parts: list[Collected] = []
    for folder in folders:
        found = collect(folder)
        for frame in (found.runs, found.epochs, found.retrains):
            frame.insert(0, "sweep", str(folder))
        parts.append(found)
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise UserError("a results folder is given twice: its runs would count double")
    return Collected(
        runs=pd.concat([part.runs for part in parts], ignore_index=True),
        epochs=pd.concat([part.epochs for part in parts], ignore_index=True),
        retrains=pd.concat([part.retrains for part in parts], ignore_index=True),
        warnings=tuple(text for part in parts for text in part.warnings),
    )
