"""The groups of a weight-sharing search's settings. Defaults are those of NAS-Bench-201 searches in
the DrNAS paper (Chen et al., ICLR 2021, arXiv:2006.10355)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from drnas_ray.config.base import Decay, Settings, check_nesterov


class SupernetSettings(Settings):
    """Size of the NAS-Bench-201 supernet: stem width C, N cells per stage, partial channels 1/K."""

    channels: int = Field(16, ge=1, le=4096)
    cells: int = Field(5, ge=1, le=100)
    partial: int = Field(1, ge=1)
    fused: bool = True
    """Stack the convolutions that share an input, for speed; False runs the plain cell."""

    @model_validator(mode="after")
    def _partial_divides(self) -> Self:
        if self.channels % self.partial:
            raise ValueError(
                f"channels={self.channels} can't be split into partial={self.partial} equal parts: "
                "choose channels divisible by partial"
            )
        return self


class WeightSettings(Settings):
    """SGD for the network's weights, with a cosine schedule from lr to lr_min over all epochs."""

    lr: float = Field(0.025, gt=0)
    lr_min: float = Field(0.001, ge=0)
    schedule: Literal["epoch", "step"] = "epoch"
    cycle_epochs: int | None = Field(None, ge=1)
    """Go back to lr every so many epochs (SGDR's warm restarts); None: one cosine."""
    at_stage: Literal["scheduled", "first_epoch", "chained", "anew"] = "scheduled"
    """What a new stage does to the one cosine over all epochs. `scheduled`: nothing. `first_epoch`:
    one epoch at lr, as DrNAS's official restart does under torch 1.3. `chained`: the cosine
    continues from lr, as it does under later versions. `anew`: each stage has its own cosine
    (P-DARTS)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(3e-4, ge=0)
    clip: float = Field(5.0, gt=0)
    """Largest norm of the gradient of a weight step."""
    clip_over_arch: bool = False
    """Include the architecture's gradient in that norm, as in the authors' NAS-Bench-201 script."""

    @model_validator(mode="after")
    def _compatible(self) -> Self:
        if self.lr_min > self.lr:
            raise ValueError(f"lr_min={self.lr_min} is above lr={self.lr}: give lr_min <= lr")
        if self.cycle_epochs is not None and self.at_stage != "scheduled":
            raise ValueError(
                f"cycle_epochs={self.cycle_epochs} and at_stage={self.at_stage} both change the "
                "cosine: give one of them"
            )
        check_nesterov(self.nesterov, self.momentum)
        return self


class ArchSettings(Settings):
    """Adam for the architecture parameter, fixed for the first `warmup_epochs` of a stage."""

    lr: float = Field(3e-4, gt=0)
    betas: tuple[Decay, Decay] = (0.5, 0.999)
    weight_decay: float | None = Field(None, ge=0)
    """None: the method's own (DrNAS's l2 penalty is this decay)."""
    warmup_epochs: int = Field(0, ge=0)


class PerturbSettings(Settings):
    """SDARTS (Chen & Hsieh, ICML 2020, arXiv:2002.05283): weight steps with perturbed shares.

    kind: `random` adds uniform noise to the shares (SDARTS-RS), `adversarial` the change within
    the L-infinity ball that raises the training loss most (SDARTS-ADV).
    epsilon_first, epsilon: radius of the ball, growing linearly over the epochs.
    steps: steps of projected gradient ascent.
    """

    kind: Literal["none", "random", "adversarial"] = "none"
    epsilon_first: float = Field(0.03, ge=0)
    epsilon: float = Field(0.3, gt=0)
    steps: int = Field(7, ge=1)

    @model_validator(mode="after")
    def _growing(self) -> Self:
        if self.epsilon_first > self.epsilon:
            raise ValueError(
                f"epsilon_first={self.epsilon_first} is above epsilon={self.epsilon}: the radius "
                "grows, give epsilon_first <= epsilon"
            )
        return self


class Stage(Settings):
    """One stage of a progressive search. None keeps the value of the stage before.

    epochs: None means an equal share of the epochs that the other stages leave.
    keep_ops: operations kept on each edge when this stage begins, the strongest ones; the first
        stage has all of them, because nothing has been learnt yet.
    partial: 1/partial of the channels go through the mixed operation from this stage on.
    cells: depth N; a change needs `restart`.
    restart: begin with new weights, architecture parameter and optimisers (P-DARTS).
    """

    epochs: int | None = Field(None, ge=1)
    keep_ops: int | None = Field(None, ge=1)
    partial: int | None = Field(None, ge=1)
    cells: int | None = Field(None, ge=1, le=100)
    restart: bool = False
