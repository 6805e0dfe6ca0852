"""Settings of runs without a supernet."""

from __future__ import annotations

import json
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from drnas_ray.config.base import DataSettings, RunSettings, Settings, absolute
from drnas_ray.config.training import ShortRecipe


class BlackBoxConfig(RunSettings):
    """A run of a method that names one cell, without a supernet and without evaluating anything."""

    @property
    def needs_images(self) -> bool:
        """Nothing is trained."""
        return False


class BenchmarkSettings(Settings):
    """How cells are evaluated for a multi-trial method: looked up in a table, or trained.

    table: a NAS-Bench-201 table in Parquet, whose `*_valid_acc_12` columns are read.
    train: a recipe, for training on the weights' half and evaluating on the other half.
    cache: a folder where trained cells are kept and looked up by all runs; None: each run trains
    its own. It doesn't influence results, so it is not part of a run's id.
    """

    table: str | None = None
    train: ShortRecipe | None = None
    cache: str | None = None

    @field_validator("table", "cache")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return absolute(path)


class QueryConfig(BlackBoxConfig):
    """One whole run of a method that proposes cells and gets their validation accuracy.

    queries: cells to evaluate, 100 unless there is a budget; None: as many as the budget allows.
    budget_s: simulated seconds, 12,000 in NAS-Bench-201's own runs.
    """

    benchmark: BenchmarkSettings = BenchmarkSettings()
    queries: int | None = Field(None, ge=1)
    budget_s: float | None = Field(None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _some_limit(cls, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("queries") is None and given.get("budget_s") is None:
            return {**given, "queries": 100}
        return given

    def canonical_json(self) -> str:
        """As for all settings, without the folder of trained cells."""
        raw = self.model_dump(mode="json")
        raw["benchmark"].pop("cache")
        return json.dumps(raw, sort_keys=True, separators=(",", ":"))

    @property
    def steps(self) -> int:
        """One with a table, else one per query."""
        return 1 if self.benchmark.train is None else self.queries or 1

    @property
    def needs_images(self) -> bool:
        """Whether cells are trained."""
        return self.benchmark.train is not None

    @model_validator(mode="after")
    def _one_benchmark(self) -> Self:
        table, train = self.benchmark.table, self.benchmark.train
        if table is not None and train is not None:
            raise ValueError(
                f"benchmark.table={table} with benchmark.train: a run has one benchmark, set one "
                "of them to null"
            )
        if table is None and train is None:
            raise ValueError(
                f"method {self.method.name} needs a benchmark to evaluate cells with: give either "
                "benchmark.table=FILE.parquet or benchmark.train.epochs=12"
            )
        if train is None and self.benchmark.cache is not None:
            raise ValueError(
                f"benchmark.cache={self.benchmark.cache} with benchmark.table: a cache is for "
                "cells that are trained, leave it out"
            )
        if train is not None and self.budget_s is not None:
            raise ValueError(
                f"budget_s={self.budget_s:g} with benchmark.train: training times differ from run "
                "to run, so results would too; give queries instead"
            )
        if table is not None and self.data != DataSettings(name=self.data.name):
            raise ValueError(
                f"benchmark.table with data '{self.data.label}': a table's figures are for the "
                "whole data set, give its name alone"
            )
        return self
