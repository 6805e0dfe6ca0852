"""Settings of runs without a supernet, and of training cells from scratch."""

from __future__ import annotations

import json
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from drnas_ray.config.base import DataSettings, RunSettings, Settings, absolute, check_nesterov


class BlackBoxConfig(RunSettings):
    """One cell of a method that holds no supernet and is told nothing."""

    @property
    def needs_images(self) -> bool:
        """Nothing is trained."""
        return False

    @model_validator(mode="after")
    def _method_fits(self) -> Self:
        self.method.check_run(self)
        return self


class Recipe(Settings):
    """Training one cell from scratch. Defaults: NAS-Bench-201's 200-epoch recipe
    (Dong & Yang 2020, arXiv:2001.00326, table 1), cosine to 0 at every step."""

    channels: int = Field(16, ge=1, le=4096)
    cells: int = Field(5, ge=1, le=100)
    epochs: int = Field(200, ge=1)
    batch_size: int = Field(256, ge=2)
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        check_nesterov(self.nesterov, self.momentum)
        return self


class RetrainConfig(Recipe):
    """A recipe, and the cell that it trains on a data set."""

    genotype: str
    space: str = "nb201"
    data: DataSettings = DataSettings()
    seed: int = Field(0, ge=0, lt=2**31)


class ShortRecipe(Recipe):
    """NAS-Bench-201's short schedule, by which its multi-trial searches judge cells."""

    epochs: int = Field(12, ge=1)


class CellRecipe(Settings):
    """All that a trained cell's validation figures depend on, but the cell and the seed: its id is
    what they are cached by. Trained on the weights' half, judged on the other one."""

    space: str = "nb201"
    data: DataSettings = DataSettings()
    train: ShortRecipe = ShortRecipe()


class BenchmarkSettings(Settings):
    """What a multi-trial method asks: a table, or cells trained as they are asked for.

    table: a NAS-Bench-201 table in Parquet, whose `*_valid_acc_12` columns are read.
    train: a recipe, for trainings on the weights' half that are judged on the other one.
    cache: a folder where trained cells are kept and looked up by all runs; None: each run trains
    its own. It decides nothing that comes out, so it is no part of a run's id.
    """

    table: str | None = None
    train: ShortRecipe | None = None
    cache: str | None = None

    @field_validator("table", "cache")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return absolute(path)


class QueryConfig(BlackBoxConfig):
    """One whole run of a method that asks for cells and is told their validation accuracy.

    queries: cells asked for, 100 unless there is a budget; None: as many as that allows.
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
        """As for all settings, but for where trained cells are kept."""
        raw = self.model_dump(mode="json")
        raw["benchmark"].pop("cache")
        return json.dumps(raw, sort_keys=True, separators=(",", ":"))

    @property
    def steps(self) -> int:
        """One on a table, else one a query."""
        return 1 if self.benchmark.train is None else self.queries or 1

    @property
    def needs_images(self) -> bool:
        """To train the cells on."""
        return self.benchmark.train is not None

    @model_validator(mode="after")
    def _one_benchmark(self) -> Self:
        table, train = self.benchmark.table, self.benchmark.train
        if table is not None and train is not None:
            raise ValueError(
                f"benchmark.table={table} and benchmark.train are two benchmarks: set one of them "
                "to null"
            )
        if table is None and train is None:
            raise ValueError(
                f"method {self.method.name} needs one benchmark to ask: give either "
                "benchmark.table=FILE.parquet or benchmark.train.epochs=12"
            )
        if train is None and self.benchmark.cache is not None:
            raise ValueError(
                f"benchmark.cache={self.benchmark.cache} with benchmark.table: it keeps cells that "
                "are trained, leave it out"
            )
        if train is not None and self.budget_s is not None:
            raise ValueError(
                f"budget_s={self.budget_s:g} with benchmark.train: real seconds would differ from "
                "run to run, give queries"
            )
        if table is not None and self.data != DataSettings(name=self.data.name):
            raise ValueError(
                f"benchmark.table with data '{self.data.label}': a table's figures are of the "
                "whole data set, give its name alone"
            )
        return self
