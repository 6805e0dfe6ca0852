"""Settings for measuring the loss during a search, and for early stopping."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from drnas_ray.config.base import Settings

LAST = "last"
"""Due after the last epoch only."""


class EarlyStopSettings(Settings):
    """RobustDARTS's early stopping (Zela et al., ICLR 2020, arXiv:1909.09656).

    factor: the search stops once the smoothed largest eigenvalue is more than `factor` times what
    it was `back` epochs before; the answer is that earlier epoch's cell. 1.3 is from the authors'
    code, the paper prints 0.75 for the inverse.
    window: epochs over which it is smoothed, centred. first_epoch: no cell of an earlier epoch is
    returned (10 in the authors' code).
    """

    factor: float = Field(1.3, gt=1)
    back: int = Field(5, ge=1)
    window: int = Field(5, ge=1)
    first_epoch: int = Field(10, ge=1)

    @field_validator("window")
    @classmethod
    def _centred(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError("a window centred on an epoch needs an odd number of epochs")
        return window


class DiagnosticSettings(Settings):
    """When each is measured: every so many epochs, or `last` (after the last one); null: never.

    hessian: largest eigenvalue and trace, of the validation loss in the architecture parameter.
    landscape: that loss on a square grid around the architecture parameter.
    proposition1: both sides of DrNAS's proposition 1.
    images: size of the fixed validation batch that all of them are measured on.
    landscape_points, landscape_radius: grid along each of two directions, from -radius to radius.
    proposition1_draws: architectures drawn for the left side, an expectation.
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
            raise ValueError("the middle of the grid is the learnt parameter: give an odd number")
        return points

    def deciding(self) -> dict[str, Any]:
        """Those that influence the result; others only observe. Empty without early stopping."""
        if self.early_stop is None:
            return {}
        return self.model_dump(mode="json", include={"hessian", "images", "early_stop"})

    def check_early_stop(self, epochs: int) -> None:
        """Raise ValueError where early stopping can't work in a search of this many epochs."""
        stop = self.early_stop
        if stop is None:
            return
        if not isinstance(self.hessian, int):
            raise ValueError(
                f"diagnostics.early_stop with diagnostics.hessian={self.hessian}: it needs the "
                "Hessian's largest eigenvalue over the epochs, give diagnostics.hessian=1"
            )
        if stop.back % self.hessian:
            raise ValueError(
                f"diagnostics.early_stop.back={stop.back} with diagnostics.hessian={self.hessian}: "
                "nothing was measured that many epochs earlier, give a multiple"
            )
        if stop.first_epoch + stop.back > epochs:
            raise ValueError(
                f"diagnostics.early_stop with epochs={epochs}: first_epoch={stop.first_epoch} and "
                f"back={stop.back} leave no epoch to stop in, give smaller ones or a longer search"
            )
