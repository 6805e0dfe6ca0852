"""A folder of cells that were trained here (`benchmarks.cache`) as columns of a benchmark table.

Such a folder has one row per training of a canonical cell; here isomorphic cells share a figure,
and the trainings of a cell under several seeds become mean, std, n and a list, as in the official
tables. There are no test figures: cells were evaluated on held-out training images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from drnas_ray.benchmarks.cache import CellCache, Row
from drnas_ray.benchmarks.columns import CELLS, column_of, prefix_of, validation_network
from drnas_ray.core.errors import UserError
from drnas_ray.results.status import Status
from drnas_ray.spaces.nb201 import NB201

_SPACE = NB201()
Seeds = Mapping[int, Row]
"""The finished trainings of one canonical cell, by seed."""


def is_trained(source: Path) -> bool:
    """Whether it is a folder that `drnas bench build` or `benchmark.cache` filled."""
    return source.is_dir() and any(source.glob("part-*.parquet"))


def trained_columns(
    source: Path, recipe: str | None
) -> tuple[dict[str, pa.Array], int, dict[str, str]]:
    """Columns of (15625,), how many cells have a figure, and the table's metadata.

    recipe: an id or its beginning; None where the folder has a single recipe. Raises UserError
    where that does not name one recipe, or its cells are not of nb201.
    """
    rows = _of_recipe(CellCache(source).rows(), recipe, source)
    first = rows[0]
    if first["space"] != _SPACE.name:
        raise UserError(f"{source} has cells of space '{first['space']}': tables need nb201")
    cells: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row["status"] == Status.done:
            cells.setdefault(row["arch"], {})[row["seed"]] = row
    groups = [cells.get(_SPACE.canonical(_SPACE.cell(index)), {}) for index in range(CELLS)]
    dataset = str(json.loads(first["recipe"])["data"]["name"])
    facts = {
        "recipe_id": first["recipe_id"],
        "recipe": first["recipe"],
        "dataset": dataset,
        "epochs": str(first["epochs"]),
        "judged_on": "held-out half of the training images; no test figures",
    }
    return (
        _columns(groups, dataset, int(first["epochs"])),
        sum(map(bool, groups)),
        facts,
    )


def _of_recipe(rows: Sequence[Row], recipe: str | None, source: Path) -> list[Row]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if recipe is None or row["recipe_id"].startswith(recipe):
            found.setdefault(row["recipe_id"], []).append(row)
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        known = sorted({row["recipe_id"] for row in rows})
        raise UserError(
            f"{source} has no cell of recipe '{recipe}': known: {', '.join(known) or 'none'}"
        )
    texts = [
        f"{name} ({of[0]['dataset']}, {of[0]['epochs']} epochs, {len(of)} trainings)"
        for name, of in sorted(found.items())
    ]
    raise UserError(f"{source} has several recipes: give --recipe, one of {'; '.join(texts)}")


def _columns(groups: Sequence[Seeds], dataset: str, epochs: int) -> dict[str, pa.Array]:
    network = validation_network(dataset)
    acc = column_of(dataset, "valid", epochs)
    figures = [_values(group, "val_acc_pct") for group in groups]
    return {
        acc: _means(figures),
        f"{acc}_std": pa.array(
            [float(np.std(v, ddof=1)) if len(v) > 1 else None for v in figures], pa.float64()
        ),
        f"{acc}_n": pa.array([float(len(v)) or None for v in figures], pa.float64()),
        f"{acc}_by_seed": pa.array([v or None for v in figures], pa.list_(pa.float64())),
        f"{network}_seeds_{epochs}": pa.array(
            [sorted(group) or None for group in groups], pa.list_(pa.int64())
        ),
        column_of(dataset, "valid", epochs, "loss"): _means(
            [_values(group, "val_loss") for group in groups]
        ),
        f"{network}_train_acc_{epochs}": _means(
            [_values(group, "train_acc_pct") for group in groups]
        ),
        f"{network}_train_time_s_{epochs}": _means([_values(group, "train_s") for group in groups]),
        f"{prefix_of(dataset)}_params_mb": _means([_values(group, "params_m") for group in groups]),
    }


def _values(group: Seeds, name: str) -> list[float]:
    """A figure of each training, ordered by seed."""
    return [float(group[seed][name]) for seed in sorted(group)]


def _means(values: Sequence[Any]) -> pa.Array:
    return pa.array([float(np.mean(v)) if v else None for v in values], pa.float64())
