"""The `search:` section of a sweep file: which settings are tuned, for what, and how."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from drnas_ray.config import Settings
from drnas_ray.sweeps.spec.dimensions import dimensions


class TuningSpec(Settings):
    """HyperOpt (TPE, Bergstra et al., NeurIPS 2011) over the settings of a sweep's runs.

    A point is one value for each key of `space`. One trial runs it under every seed of the sweep,
    an epoch of each in turn; its objective is the mean over them of `metric` after the last epoch.

    space: dotted setting -> one of {uniform: [low, high]}, {loguniform: [low, high]},
        {quniform: [low, high, step]}, {qloguniform: [low, high, step]}, {randint: [low, high]}
        (high excluded), {choice: [...]}.
    trials: points in all, those of `points` included.
    n_initial_points: how many come before HyperOpt's model chooses: `points`, then random ones.
    seed: of HyperOpt's choices, not of the runs.
    scheduler: `asha` and `median` stop bad points early; `pbt` copies good ones and changes their
        values as they train.
    grace_epochs: with `asha` and `median`, epochs before a point may be stopped.
    reduction_factor: with `asha`, the best 1/reduction_factor of the points continue at each rung.
    interval_epochs: with `pbt`, epochs between copies.
    """

    space: dict[str, dict[str, list[Any]]]
    metric: str
    mode: Literal["max", "min"]
    trials: int = Field(ge=1)
    n_initial_points: int = Field(ge=1)
    points: tuple[dict[str, Any], ...] = ()
    seed: int = Field(0, ge=0, lt=2**31)
    scheduler: Literal["none", "asha", "median", "pbt"] = "none"
    grace_epochs: int | None = Field(None, ge=1)
    reduction_factor: int | None = Field(None, ge=2)
    interval_epochs: int | None = Field(None, ge=1)

    @field_validator("space")
    @classmethod
    def _readable(cls, space: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Any]]]:
        dimensions(space)
        return space

    @property
    def sign(self) -> float:
        """The factor that turns an objective into a loss."""
        return -1.0 if self.mode == "max" else 1.0
