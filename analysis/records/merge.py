"""Several results folders merged into one: repeated runs, and rows that only look the same.

- A run (run_id and protocol) in several folders counts once: the finished one, else the one with
  more epochs, else the first. A search and a transfer sweep may share a run: it is in both tables.
- Rows of one label, variant, data set and protocol whose settings differ are never averaged: the
  settings that differ become part of their variant. Not compared are the seed, folders of files,
  diagnostics that only observe, and settings that one of two versions of the program lacks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from analysis.records.collect import Collected
from drnas_ray.results.status import BEST_FIRST, Status

_RANK = {status.value: rank for rank, status in enumerate(BEST_FIRST)}
_ROW = ["protocol", "label", "variant", "dataset", "space"]


def merged(parts: Sequence[Collected]) -> Collected:
    """The folders' tables, which have the column `sweep`, as one."""
    warnings = [text for part in parts for text in part.warnings]
    runs = _concatenated([part.runs for part in parts])
    runs, dropped, repeated = _without_repetitions(runs)
    runs, differing = _with_differences(runs)
    epochs = _concatenated([part.epochs for part in parts])
    if not dropped.empty and "run_id" in epochs:
        keys = pd.MultiIndex.from_frame(dropped[["sweep", "run_id"]])
        here = pd.MultiIndex.from_frame(epochs[["sweep", "run_id"]])
        epochs = epochs[~here.isin(keys)].reset_index(drop=True)
    retrains = _concatenated([part.retrains for part in parts])
    return Collected(runs, epochs, retrains, (*warnings, *repeated, *differing))


def _concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The frames concatenated; empty ones must not change the types of columns."""
    some = [frame for frame in frames if len(frame)]
    return pd.concat(some, ignore_index=True) if some else frames[0]


def _without_repetitions(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The runs without repetitions, the dropped ones, and a warning."""
    key = ["run_id", "protocol"]
    if not runs.duplicated(key).any():
        return runs, runs.iloc[:0], []
    order = pd.DataFrame(
        {
            "status": runs["status"].map(_RANK).fillna(len(_RANK)),
            "retrained": runs["retrain_status"].ne(Status.done.value).fillna(True),
            "left": -runs["epochs_done"],
        }
    )
    best = runs.loc[order.sort_values(["status", "retrained", "left"], kind="stable").index]
    kept = ~best.duplicated(key)
    chosen = best[kept].sort_index()
    dropped = best[~kept].sort_index()
    first = dropped.iloc[0]
    where = chosen[
        (chosen["run_id"] == first["run_id"]) & (chosen["protocol"] == first["protocol"])
    ]["sweep"].iloc[0]
    warning = (
        f"{len(dropped)} runs are in more than one folder and count once, the finished one or "
        f"the one with more epochs: {first['run_id']} is taken from {where}, not from "
        f"{first['sweep']}"
    )
    return chosen.reset_index(drop=True), dropped, [warning]


def differences(one: Any, other: Any, prefix: str = "") -> Iterator[str]:
    """The dotted names of settings in which two configs differ, among those that both have."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        if one != other:
            yield prefix
        return
    for key in one:
        if key in other:
            yield from differences(one[key], other[key], f"{prefix}.{key}" if prefix else str(key))


def _compared_settings(config: str) -> dict[str, Any]:
    """The settings that are compared; files by their names only."""
    settings: dict[str, Any] = json.loads(config)
    settings.pop("seed", None)
    if isinstance(settings.get("diagnostics"), dict):
        settings["diagnostics"] = {"early_stop": settings["diagnostics"].get("early_stop")}
    benchmark, data = settings.get("benchmark"), settings.get("data")
    if isinstance(benchmark, dict):
        benchmark.pop("cache", None)
        if benchmark.get("table"):
            benchmark["table"] = PurePath(benchmark["table"]).name
    if isinstance(data, dict) and data.get("path"):
        data["path"] = PurePath(data["path"]).name
    return settings


def _value(settings: Mapping[str, Any], name: str) -> Any:
    value: Any = settings
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _with_differences(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The runs, with settings that differ added to their variants, and a warning for each row."""
    warnings: list[str] = []
    variants = runs["variant"].copy()
    for row, group in runs.groupby(_ROW, sort=False):
        if group["sweep"].nunique() < 2:
            continue
        settings = {index: _compared_settings(text) for index, text in group["config"].items()}
        first = next(iter(settings.values()))
        differing: dict[str, None] = {}
        for other in settings.values():
            differing |= dict.fromkeys(differences(first, other))
        if not differing:
            continue
        for index, own in settings.items():
            variant = json.loads(str(runs.at[index, "variant"]))
            variant |= {name: _value(own, name) for name in differing}
            variants.at[index] = json.dumps(variant, sort_keys=True, separators=(",", ":"))
        _, label, _, dataset, _ = row
        warnings.append(
            f"{label} on {dataset} was run with different settings in these folders "
            f"({', '.join(differing)}): kept as separate rows"
        )
    return runs.assign(variant=variants), warnings
