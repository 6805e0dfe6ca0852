"""A given cell, without a search: the ResNet row of the paper's NAS-Bench-201 table."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from drnas_ray.blackbox.base import BlackBox
from drnas_ray.config import MethodSettings
from drnas_ray.spaces.space import Space

# NAS-Bench-201's cell 11472, the one whose figures the row has.
RESNET = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"


class FixedSettings(MethodSettings):
    """cell: a genotype of the space, ResNet's residual block if left out."""

    name: Literal["fixed"] = "fixed"
    cell: str = Field(RESNET, min_length=1)

    @property
    def label(self) -> str:
        """The paper's row for its cell, the genotype for any other."""
        return "ResNet" if self.cell == RESNET else self.cell


class Fixed(BlackBox):
    """Always the same cell, whatever the seed."""

    settings_type = FixedSettings

    def __init__(self, settings: FixedSettings, space: Space) -> None:
        self.cell, self.space = settings.cell, space

    def check(self) -> None:
        """Raise UserError where the cell is not in the space."""
        self.space.check(self.cell)

    def ask(self, rng: np.random.Generator) -> str:
        """The cell."""
        return self.cell
