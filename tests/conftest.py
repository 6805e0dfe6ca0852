"""What many tests share: the NAS-Bench-201 table, tiny settings, tiny runs on the digits; and which
tests belong to the tiers `process` and `long`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
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


# --- tiers and workers --------------------------------------------------------------------------

# Fixtures that start Ray, an interpreter or a browser: who asks for one is of the tier `process`.
PROCESS_FIXTURES = {"reference", "undisturbed", "browser", "read_elsewhere"}
LONG_FIXTURES = {"whole"}
MAY_START = {"process", "slow", "cluster"}
FREE_COMMANDS = {"git"}  # milliseconds: a results folder notes its commit


@pytest.hookimpl(tryfirst=True)  # before -m reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start processes first: they take longest, and the rest then fills the gaps."""
    for item in items:
        asked = getattr(item, "fixturenames", ())
        for mark, fixtures in (("process", PROCESS_FIXTURES), ("long", LONG_FIXTURES)):
            if not fixtures.isdisjoint(asked):
                item.add_marker(mark)
    items.sort(key=lambda item: item.get_closest_marker("process") is None)


_running: pytest.Item | None = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    global _running  # noqa: PLW0603  one test runs at a time
    _running = item
    try:
        return (yield)
    finally:
        _running = None


def _refuse_unmarked_process(event: str, args: tuple[Any, ...]) -> None:
    """Fail a test that starts a program and isn't marked so: `make test-fast` would run it."""
    if event != "subprocess.Popen" or _running is None:
        return
    program = Path(os.fsdecode(args[0])).name
    marked = any(mark.name in MAY_START for mark in _running.iter_markers())
    if not marked and program not in FREE_COMMANDS:
        pytest.fail(f"this test starts {program!r}: mark it with @pytest.mark.process")


sys.addaudithook(_refuse_unmarked_process)


# --- settings and runs --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def nb201_path() -> Path:
    """The real NAS-Bench-201 table, or a skip that says why."""
    given = os.environ.get("DRNAS_NB201_TABLE")
    path = Path(given) if given else ROOT.parent / "shared" / "data" / "nb201.parquet"
    if not path.is_file():
        pytest.skip(f"no NAS-Bench-201 table at {path}: set DRNAS_NB201_TABLE to one")
    return path


@pytest.fixture(scope="session")
def nb201_table(nb201_path: Path) -> pd.DataFrame:
    """One row a cell, in the benchmark's order."""
    return pd.read_parquet(nb201_path)


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
