"""Warnings about what is compared or averaged though it is not alike."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd

from analysis.report.names import (
    GROUP,
    MOST_EXAMPLES,
    Doubt,
    doubt,
    group_name,
    groups,
    plural,
    run_name,
)

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


def _settings(config: str) -> str:
    settings = json.loads(config)
    settings.pop("seed", None)
    return json.dumps(settings, sort_keys=True)


def _unlike(runs: pd.DataFrame) -> Iterator[Doubt]:
    """Runs of one row of the table whose settings differ in more than the seed."""
    settings = runs["config"].map(_settings)
    kinds = settings.groupby([runs[name] for name in GROUP], sort=False).nunique()
    if (kinds > 1).any():
        found = [
            f"{group_name(group.iloc[0])}: {count} sets of settings"
            for group, count in zip(groups(runs), kinds, strict=True)
            if count > 1
        ]
        yield doubt(
            "Unlike runs in one row",
            "Runs of one method and data set differ in more than their seed, and are averaged all "
            "the same: give them labels of their own.",
            found,
        )


def _twice(runs: pd.DataFrame) -> Iterator[Doubt]:
    twice = runs[runs.duplicated("run_id")]
    if len(twice):
        yield doubt(
            "Counted twice",
            f"{plural(len(twice), 'run is', 'runs are')} in more than one of the folders.",
            [run_name(row) for _, row in twice.head(MOST_EXAMPLES).iterrows()],
            len(twice),
        )


def mixtures(runs: pd.DataFrame, retrains: pd.DataFrame) -> list[Doubt]:
    """What is counted twice, unlike within a row, or mixed between rows."""
    return [*_twice(runs), *_unlike(runs), *_mixed(runs), *_recipes(retrains)]
