"""Runs step by step, their records without times, so that equal runs have equal records."""

from __future__ import annotations

from typing import Any

from drnas_ray.search.loop import SearchJob
from drnas_ray.search.steps import Run

Record = dict[str, Any]


def untimed(record: Record) -> Record:
    """Without what is measured in seconds."""
    return {key: value for key, value in record.items() if not key.endswith("_s")}


def step(run: Run) -> Record:
    """An epoch's record."""
    return untimed(SearchJob(run).step())


def finish(run: Run) -> list[Record]:
    """The records of all epochs that are left."""
    records = []
    while not run.finished:
        records.append(step(run))
    return records
