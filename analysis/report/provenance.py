"""What was run: folders, versions, commits, devices, and settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.cells.draw import run_name
from analysis.records.collect import Collected
from analysis.report.page_tables import (
    NONE,
    Entry,
    PageTable,
    absent,
    moment,
    number,
    page_table,
    span,
    words,
)
from drnas_ray.results.status import Status

MOST_METHODS = 100
_MOST_VALUES = 4


@dataclass(frozen=True)
class Settings:
    """Settings as key and value."""

    title: str
    pairs: tuple[tuple[str, str], ...]


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (`supernet.channels`, `16`); lists and empty values as JSON."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{key}", text


def several(values: Iterable[object], most: int = _MOST_VALUES) -> str:
    """The distinct values in order of appearance; after `most`, only how many more there are."""
    known = [str(v) for v in dict.fromkeys(values) if not absent(v)]
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return (", ".join(known[:most]) + more) or NONE


def short_commits(runs: pd.DataFrame) -> list[object]:
    """The first 12 digits of every run's commit: enough to find it."""
    return [commit if absent(commit) else str(commit)[:12] for commit in runs["git_commit"]]


def once(runs: pd.DataFrame) -> pd.DataFrame:
    """One run for each retraining: runs that found the same cell share it."""
    return runs.dropna(subset=["retrain_id"]).drop_duplicates(["sweep", "retrain_id"])


def _one_sweep(folder: str, runs: pd.DataFrame) -> list[Entry]:
    ended = runs["finished_unix_s"].dropna()
    return [
        words(folder),
        words(several(runs["protocol"])),
        number(len(runs), 0),
        number(int((runs["status"] == Status.done).sum()), 0),
        span(runs["search_s"].sum() + once(runs)["retrain_s"].sum()),
        words(several(runs["device"])),
        words(several(runs["drnas_ray_version"])),
        words(several(short_commits(runs))),
        *(words(several(runs[f"{name}_version"])) for name in ("python", "torch", "ray")),
        Entry(NONE, missing=True)
        if ended.empty
        else Entry(moment(ended.max()), order=float(ended.max())),
    ]


def sweeps(runs: pd.DataFrame) -> PageTable:
    """A row for each results folder."""
    headings = ["Folder", "Protocol", "Runs", "Done", "Device time", "Searched on"]
    headings += ["drnas-ray", "Commit", "Python", "PyTorch", "Ray", "Last run ended"]
    rows = [_one_sweep(str(folder), here) for folder, here in runs.groupby("sweep", sort=False)]
    return page_table("Results folders", headings, rows)


def _values(configs: Sequence[Mapping[str, str]]) -> dict[str, dict[str, None]]:
    """Every key with its distinct values, in order of appearance."""
    found: dict[str, dict[str, None]] = {}
    for config in configs:
        for key, value in config.items():
            found.setdefault(key, {})[value] = None
    return found


def settings(runs: pd.DataFrame) -> tuple[Settings, list[Settings], int]:
    """Settings that all runs share, the other settings of each method, and methods not listed.

    The seed is left out: it is a column of the tables.
    """
    plain = runs["config"].map(lambda text: dict(flat(json.loads(text))))
    configs: list[dict[str, str]] = [
        {key: value for key, value in config.items() if key != "seed"} for config in plain
    ]
    everywhere = _values(configs)
    count = {key: sum(key in config for config in configs) for key in everywhere}
    shared = {
        key: next(iter(values))
        for key, values in everywhere.items()
        if len(values) == 1 and count[key] == len(configs)
    }
    names = [run_name(row, protocols=False) for _, row in runs.iterrows()]
    groups: dict[str, list[dict[str, str]]] = {}
    for name, config in zip(names, configs, strict=True):
        groups.setdefault(name, []).append(config)
    own = []
    for name, members in list(groups.items())[:MOST_METHODS]:
        pairs = [
            (key, several(list(values)))
            for key, values in _values(members).items()
            if key not in shared
        ]
        own.append(Settings(name, tuple(pairs)))
    common = Settings("All runs", tuple(shared.items()))
    return common, own, max(0, len(groups) - MOST_METHODS)


def newest_unix_s(collected: Collected) -> float | None:
    """When anything was last reported, None if nothing was."""
    times = [
        frame[name].max()
        for frame, name in (
            (collected.epochs, "reported_unix_s"),
            (collected.runs, "finished_unix_s"),
            (collected.retrains, "finished_unix_s"),
        )
    ]
    known = [float(time) for time in times if not pd.isna(time)]
    return max(known, default=None)
