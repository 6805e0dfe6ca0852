"""The progress of a sweep, from its files alone: while it runs, or after it died."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import pandas as pd

from analysis.records.collect import Collected
from analysis.records.labels import full_label
from drnas_ray.results.status import ENDED, Status

QUIET_EPOCHS = 5.0
"""A sweep may be dead if it has reported nothing for this many of its longest epochs, and at least
a minute."""


@dataclass(frozen=True)
class SweepProgress:
    """The progress of a sweep."""

    groups: pd.DataFrame
    """A row per kind of work (search, retrain), label and data set: a column for each `Status`
    with its count, epochs, epochs_total, and left_s, seconds of trials still to run (NaN if no
    epoch was timed)."""
    running: int
    """Trials that have begun and not ended."""
    left_s: float
    """Seconds until the end, with as many trials at once as now; NaN if unknown."""
    quiet_s: float
    """Seconds since the last report, NaN if there was none."""
    alive: bool
    """Whether the last report is recent, measured by how long epochs take."""
    errors: tuple[str, ...]
    """The last error of each failed run."""


def sweep_progress(collected: Collected, now_unix_s: float | None = None) -> SweepProgress:
    """The progress of a sweep. now_unix_s: the time to compare reports with; by default, now."""
    now = time.time() if now_unix_s is None else now_unix_s
    work = pd.concat([_searches(collected), _retrains(collected)], ignore_index=True)
    groups = _groups(work)
    running = int((work["status"] == Status.running).sum())
    reports = pd.concat([collected.epochs["reported_unix_s"], work["finished_unix_s"]])
    quiet = now - float(reports.max()) if reports.notna().any() else math.nan
    slowest = work["epoch_s"].max()
    patience = max(60.0, QUIET_EPOCHS * (0.0 if pd.isna(slowest) else float(slowest)))
    failed = work[work["error"].notna()]
    return SweepProgress(
        groups,
        running,
        float(groups["left_s"].sum(skipna=False)) / max(running, 1),
        quiet,
        quiet <= patience,
        tuple(f"{n}: {e}" for n, e in zip(failed["name"], failed["error"], strict=True)),
    )


_SHARED = ("dataset", "status", "epochs_done", "epochs_total", "error", "finished_unix_s")


def _searches(collected: Collected) -> pd.DataFrame:
    runs = collected.runs
    per_epoch = collected.epochs.groupby("run_id")["wall_s"].mean()
    labels = pd.Series(
        [full_label(*pair) for pair in zip(runs["label"], runs["variant"], strict=True)],
        dtype=object,
    )
    return pd.DataFrame(
        {
            "work": "search",
            "name": labels + ", seed " + runs["seed"].astype(str) + ", run " + runs["run_id"],
            "label": labels,
            "epoch_s": runs["run_id"].map(per_epoch).astype(float),
            **{name: runs[name] for name in _SHARED},
        }
    )


def _retrains(collected: Collected) -> pd.DataFrame:
    jobs = collected.retrains
    done = jobs["epochs_done"].astype(float)
    return pd.DataFrame(
        {
            "work": "retrain",
            "name": [f"retraining {ident}" for ident in jobs["retrain_id"]],
            "label": "cells from scratch",
            "epoch_s": jobs["retrain_s"] / done.where(done > 0),
            **{name: jobs[name] for name in _SHARED},
        }
    )


def _groups(work: pd.DataFrame) -> pd.DataFrame:
    rows = []
    overall = work["epoch_s"].mean()  # for groups without a timed epoch
    for (kind, label, dataset), group in work.groupby(["work", "label", "dataset"], sort=False):
        left = group["epochs_total"] - group["epochs_done"]
        left = left.where(~group["status"].isin(ENDED), 0).astype(float)
        mean = group["epoch_s"].mean() if group["epoch_s"].notna().any() else overall
        rows.append(
            {
                "work": kind,
                "label": label,
                "dataset": dataset,
                **{str(status): int((group["status"] == status).sum()) for status in Status},
                "epochs": int(group["epochs_done"].sum()),
                "epochs_total": int(group["epochs_total"].sum()),
                "left_s": float((left * group["epoch_s"].fillna(mean)).sum(skipna=False))
                if left.sum()
                else 0.0,
            }
        )
    return pd.DataFrame(rows)
