"""How long an epoch took in each run: what an estimate of a larger sweep is based on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.records.collect import collect
from drnas_ray.core.errors import UserError


@dataclass(frozen=True)
class RunEpochTime:
    """How long an epoch of a run or a retraining took."""

    config: str
    """The settings as JSON."""
    epoch_s: float
    """Mean over its epochs, in seconds."""
    device: str
    """Name of the CPU or GPU."""
    on_gpu: bool


def epoch_times(results: Path) -> list[RunEpochTime]:
    """Of all runs and retrainings with at least one epoch. Raises UserError if there are none."""
    collected = collect(results)
    runs = collected.runs[collected.runs["epochs_done"] > 0]
    gpus = set(runs.loc[runs["gpu_peak_mib"].notna(), "device"].dropna())
    found = _times(runs, "search_s", gpus)
    trained = collected.retrains[collected.retrains["epochs_done"] > 0]
    found += _times(trained, "retrain_s", gpus)
    if not found:
        raise UserError(f"{results} has no measured epochs: run at least one there")
    return found


def _times(frame: pd.DataFrame, seconds: str, gpus: set[str]) -> list[RunEpochTime]:
    return [
        RunEpochTime(
            row["config"], row[seconds] / row["epochs_done"], row["device"], row["device"] in gpus
        )
        for row in frame.dropna(subset=["config", seconds, "device"]).to_dict("records")
    ]
