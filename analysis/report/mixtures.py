"""Warnings of what differs between the runs of a page (`analysis.records.merge`: within a row)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd

from analysis.report.names import Doubt, doubt, plural

_MIXED = (
    ("protocol", "Mixed protocols", "The runs follow different protocols; compare within one only"),
    ("drnas_ray_version", "Mixed versions", "The runs come from different versions of drnas-ray"),
    ("git_commit", "Mixed commits", "The runs come from different commits"),
    ("torch_version", "Mixed versions", "The runs come from different versions of PyTorch"),
    ("python_version", "Mixed versions", "The runs come from different versions of Python"),
    ("ray_version", "Mixed versions", "The runs come from different versions of Ray"),
    ("device", "Mixed devices", "Search times and the last digits depend on the device"),
    ("threads", "Mixed threads", "The last digits may depend on the number of threads"),
)


def _mixed(runs: pd.DataFrame) -> Iterator[Doubt]:
    for column, title, text in _MIXED:
        counts = runs[column].dropna().value_counts(sort=False)
        if len(counts) > 1:
            found = [f"{name}: {plural(count, 'run', 'runs')}" for name, count in counts.items()]
            yield doubt(title, f"{text}.", found)


def _recipe(config: str) -> str:
    """A retraining's settings but for what differs from run to run."""
    settings = json.loads(config)
    return json.dumps(
        {key: settings[key] for key in sorted(settings) if key not in ("genotype", "seed", "data")}
    )


def _recipes(retrains: pd.DataFrame) -> Iterator[Doubt]:
    recipes = retrains["config"].map(_recipe)
    if recipes.nunique() > 1:
        found = [
            f"{plural(len(same), 'retraining', 'retrainings')} of "
            f"{same['epochs_total'].iloc[0]} epochs: {recipe}"
            for recipe, same in retrains.groupby(recipes, sort=False)
        ]
        yield doubt("Mixed recipes", "Cells were retrained with different settings.", found)


def mixtures(runs: pd.DataFrame, retrains: pd.DataFrame) -> list[Doubt]:
    """What differs between runs that stand on one page."""
    return [*_mixed(runs), *_recipes(retrains)]
