"""What many tests share: the NAS-Bench-201 table, tiny settings, tiny runs on the digits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from drnas_ray.config import DataSettings, SearchConfig, merged
from drnas_ray.data.catalog import search_halves
from drnas_ray.parsing import run_config
from drnas_ray.search.steps import Run

ROOT = Path(__file__).resolve().parents[1]
torch.set_num_threads(1)

TINY = {
    "data": {"name": "digits", "train_images": 64},
    "epochs": 3,
    "batch_size": 16,
    "supernet": {"channels": 4, "cells": 1},
    # Large enough that a few steps move alpha by more than rounding.
    "arch": {"lr": 0.05, "warmup_epochs": 0},
}


@pytest.fixture(scope="session")
def nb201_table() -> pd.DataFrame:
    """The real table, one row a cell, in the benchmark's order."""
    given = os.environ.get("DRNAS_NB201_TABLE")
    path = Path(given) if given else ROOT.parent / "shared" / "data" / "nb201.parquet"
    if not path.is_file():
        pytest.skip(f"no NAS-Bench-201 table at {path}: set DRNAS_NB201_TABLE to one")
    return pd.read_parquet(path)


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., SearchConfig]:
    """`tiny_config(method, **over)`: settings of a search that takes well under a second."""

    def make(method: object = "drnas", **over: Any) -> SearchConfig:
        config = run_config({"method": method, **merged(TINY, over)})
        assert isinstance(config, SearchConfig)
        return config

    return make


@pytest.fixture(scope="session")
def tiny_halves() -> Callable[[DataSettings], Any]:
    """The two halves for given data settings, read once each."""
    known: dict[DataSettings, Any] = {}

    def read(settings: DataSettings) -> Any:
        if settings not in known:
            known[settings] = search_halves(settings, None)
        return known[settings]

    return read


@pytest.fixture(scope="session")
def tiny_run(tiny_config, tiny_halves) -> Callable[..., Run]:
    """`tiny_run(method, dtype=..., **over)`: a run on the CPU at epoch 0."""

    def make(
        method: object = "drnas",
        *,
        config: SearchConfig | None = None,
        dtype: torch.dtype = torch.float32,
        **over: Any,
    ) -> Run:
        config = config or tiny_config(method, **over)
        return Run(config, tiny_halves(config.data), torch.device("cpu"), dtype)

    return make
