"""How long an epoch took, run by run: what an estimate of a larger sweep goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.records.collect import collect
from drnas_ray.core.errors import UserError


@dataclass(frozen=True)
class EpochTime:
    """config: JSON. epoch_s: mean over the epochs that were done. device: its name."""

    config: str
    epoch_s: float
    device: str
    on_gpu: bool


def paces(results: Path) -> list[EpochTime]:
    """Of all runs and trainings with at least one epoch. Raises UserError where there is none."""
    collected = collect(results)
    runs = collected.runs[collected.runs["epochs_done"] > 0]
    gpus = set(runs.loc[runs["gpu_peak_mib"].notna(), "device"].dropna())
    found = _of(runs, "search_s", gpus)
    trained = collected.retrains[collected.retrains["epochs_done"] > 0]
    found += _of(trained, "retrain_s", gpus)
    if not found:
        raise UserError(f"{results} holds no measured epoch: run at least one there")
    return found


def _of(frame: pd.DataFrame, seconds: str, gpus: set[str]) -> list[EpochTime]:
    return [
        EpochTime(
            row["config"], row[seconds] / row["epochs_done"], row["device"], row["device"] in gpus
        )
        for row in frame.dropna(subset=["config", seconds, "device"]).to_dict("records")
    ]
