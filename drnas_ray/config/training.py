"""Settings of training cells from scratch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from drnas_ray.config.base import DataSettings, Settings, check_nesterov


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
    """A recipe, the cell to train with it, and the data set to train it on."""

    genotype: str
    space: str = "nb201"
    data: DataSettings = DataSettings()
    seed: int = Field(0, ge=0, lt=2**31)


class ShortRecipe(Recipe):
    """NAS-Bench-201's short schedule, with which its multi-trial searches evaluate cells."""

    epochs: int = Field(12, ge=1)


class CellRecipe(Settings):
    """All that a trained cell's validation figures depend on except cell and seed: its id is their
    key in a cache. Trained on the weights' half, evaluated on the other half."""

    space: str = "nb201"
    data: DataSettings = DataSettings()
    train: ShortRecipe = ShortRecipe()
