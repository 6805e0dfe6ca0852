"""What is measured of the loss while a search runs, and stopping the search by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from drnas_ray.config.base import Settings
from drnas_ray.core.errors import UserError

if TYPE_CHECKING:
    from drnas_ray.config.search import SearchConfig

LAST = "last"
"""Due after the last epoch only."""


class EarlyStopSettings(Settings):
    """RobustDARTS's early stopping (Zela et al., ICLR 2020, arXiv:1909.09656).

    factor: the search stops once the largest eigenvalue, smoothed, is more than `factor` times what
    it was `back` epochs before; the cell is that earlier epoch's. 1.3 is the authors' code's, the
    paper prints 0.75 for the inverse.
    window: epochs around each over which it is smoothed. first_epoch: no earlier one's cell is
    returned (the authors' code's 10).
    """

    factor: float = Field(1.3, gt=1)
    back: int = Field(5, ge=1)
    window: int = Field(5, ge=1)
    first_epoch: int = Field(10, ge=1)

    @field_validator("window")
    @classmethod
    def _centred(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError("a window around an epoch has an odd number of epochs")
        return window


class DiagnosticSettings(Settings):
    """When each is measured: every so many epochs, or `last`, after the last one; null: never.

    hessian: of the validation loss by the architecture parameter: largest eigenvalue and trace.
    landscape: that loss on a square grid around the architecture parameter.
    proposition1: both sides of DrNAS's proposition 1.
    images: of the fixed validation batch that all of them are measured on.
    landscape_points, landscape_radius: along each of two directions, from -radius to radius.
    proposition1_draws: architectures drawn for the sampled side.
    """

    hessian: int | str | None = None
    landscape: int | str | None = None
    proposition1: int | str | None = None
    images: int = Field(128, ge=2)
    landscape_points: int = Field(11, ge=3, le=201)
    landscape_radius: float = Field(3.0, gt=0)
    proposition1_draws: int = Field(100, ge=2)
    early_stop: EarlyStopSettings | None = None

    @field_validator("hessian", "landscape", "proposition1", mode="before")
    @classmethod
    def _when(cls, value: object) -> object:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if value is None or value == LAST or whole:
            return value
        raise ValueError("give a number of epochs, 1 or more, or 'last'; null measures nothing")

    @field_validator("landscape_points")
    @classmethod
    def _has_a_middle(cls, points: int) -> int:
        if points % 2 == 0:
            raise ValueError("the middle of the grid is what was learnt: give an odd number")
        return points

    def deciding(self) -> dict[str, Any]:
        """Those that decide what a search comes to; the rest only look on. Empty without a stop."""
        if self.early_stop is None:
            return {}
        return self.model_dump(mode="json", include={"hessian", "images", "early_stop"})

    def check(self, config: SearchConfig) -> None:
        """Raise UserError where something can't be measured of this search."""
        name = config.method.name
        for key in ("hessian", "landscape"):
            if getattr(self, key) is not None and not config.method.mixes:
                raise UserError(
                    f"diagnostics.{key}={getattr(self, key)} with method {name}: what it runs are "
                    "single paths, so its loss is no smooth function of what it learns; leave "
                    f"diagnostics.{key} out"
                )
        if self.proposition1 is not None and not config.method.dirichlet:
            raise UserError(
                f"diagnostics.proposition1={self.proposition1} with method {name}: the proposition "
                "is about a learnt Dirichlet, which it has none of; leave diagnostics.proposition1 "
                "out"
            )
        if self.early_stop is not None:
            self._check_stop(self.early_stop, config.epochs)

    def _check_stop(self, stop: EarlyStopSettings, epochs: int) -> None:
        if not isinstance(self.hessian, int):
            raise UserError(
                f"diagnostics.early_stop with diagnostics.hessian={self.hessian}: it goes by the "
                "Hessian's largest eigenvalue over the epochs, give diagnostics.hessian=1"
            )
        if stop.back % self.hessian:
            raise UserError(
                f"diagnostics.early_stop.back={stop.back} with diagnostics.hessian={self.hessian}: "
                "nothing is measured that many epochs before, give a multiple"
            )
        if stop.first_epoch + stop.back > epochs:
            raise UserError(
                f"diagnostics.early_stop with epochs={epochs}: first_epoch={stop.first_epoch} and "
                f"back={stop.back} leave no epoch to stop in, give fewer or a longer search"
            )
