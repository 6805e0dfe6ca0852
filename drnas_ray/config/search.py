"""Settings of a weight-sharing search. Defaults are those of NAS-Bench-201 searches in the DrNAS
paper (Chen et al., ICLR 2021, arXiv:2006.10355)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from drnas_ray.config.base import Decay, RunSettings, Settings, check_nesterov
from drnas_ray.config.diagnostics import DiagnosticSettings
from drnas_ray.core.errors import UserError
from drnas_ray.spaces import space_named


class SupernetSettings(Settings):
    """Size of the NAS-Bench-201 supernet: stem width C, N cells a stage, partial channels 1/K."""

    channels: int = Field(16, ge=1, le=4096)
    cells: int = Field(5, ge=1, le=100)
    partial: int = Field(1, ge=1)
    fused: bool = True
    """Stack the convolutions that share an input; False runs the plain, readable cell."""

    @model_validator(mode="after")
    def _partial_divides(self) -> Self:
        if self.channels % self.partial:
            raise ValueError(
                f"channels={self.channels} can't be split into partial={self.partial} equal parts: "
                f"choose channels divisible by partial"
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
    one epoch at lr, as DrNAS's official restart does under torch 1.3. `chained`: the cosine goes on
    from lr, as it does under later versions. `anew`: each stage has its own cosine (P-DARTS)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(3e-4, ge=0)
    clip: float = Field(5.0, gt=0)
    """Largest norm of the gradient of a weight step."""
    clip_over_arch: bool = False
    """Count the architecture's gradient in that norm, as the authors' NAS-Bench-201 script does."""

    @model_validator(mode="after")
    def _compatible(self) -> Self:
        if self.lr_min > self.lr:
            raise ValueError(f"lr_min={self.lr_min} is above lr={self.lr}: give lr_min <= lr")
        if self.cycle_epochs is not None and self.at_stage != "scheduled":
            raise ValueError(
                f"cycle_epochs={self.cycle_epochs} and at_stage={self.at_stage} both bend the "
                "cosine: give one of them"
            )
        check_nesterov(self.nesterov, self.momentum)
        return self


class ArchSettings(Settings):
    """Adam for the architecture parameter, on hold for `warmup_epochs` of each stage."""

    lr: float = Field(3e-4, gt=0)
    betas: tuple[Decay, Decay] = (0.5, 0.999)
    weight_decay: float | None = Field(None, ge=0)
    """None: the method's own (DrNAS's l2 penalty is this decay)."""
    warmup_epochs: int = Field(0, ge=0)


class PerturbSettings(Settings):
    """SDARTS (Chen & Hsieh, ICML 2020, arXiv:2002.05283): weight steps under perturbed shares.

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
    """One part of a progressive search. What is None stays as it was in the stage before.

    epochs: None: an equal share of the epochs that other stages leave.
    keep_ops: operations that the change to this stage leaves on each edge, the strongest ones;
        the first stage has all, for nothing is learnt yet.
    partial: 1/partial of the channels go through the mixed operation from here on.
    cells: depth N; another one than before needs `restart`.
    restart: begin with new weights, architecture parameter and optimisers (P-DARTS).
    """

    epochs: int | None = Field(None, ge=1)
    keep_ops: int | None = Field(None, ge=1)
    partial: int | None = Field(None, ge=1)
    cells: int | None = Field(None, ge=1, le=100)
    restart: bool = False


class SearchConfig(RunSettings):
    """One weight-sharing search: everything that decides its result on a given device."""

    epochs: int = Field(100, ge=1)
    batch_size: int = Field(64, ge=2)
    supernet: SupernetSettings = SupernetSettings()
    weights: WeightSettings = WeightSettings()
    arch: ArchSettings = ArchSettings()
    stages: tuple[Stage, ...] = ()
    """Progressive search; () is one stage."""
    perturb: PerturbSettings = PerturbSettings()
    diagnostics: DiagnosticSettings = DiagnosticSettings()

    def canonical_json(self) -> str:
        """As for all settings, but for diagnostics that only look on: with and without them it is
        the same run."""
        raw = self.model_dump(mode="json")
        raw["diagnostics"] = self.diagnostics.deciding()
        if not raw["diagnostics"]:
            raw.pop("diagnostics")
        return json.dumps(raw, sort_keys=True, separators=(",", ":"))

    @property
    def label(self) -> str:
        """The method's, and what was composed with it."""
        usual = self.method.shared_defaults
        partial = usual.get("supernet", {}).get("partial", 1)
        parts = [self.method.label]
        if self.stages and "stages" not in usual:
            parts.append("progressive")
        elif self.supernet.partial != partial:
            parts.append(f"K={self.supernet.partial}")
        if self.perturb.kind != "none":
            parts.append("SDARTS-RS" if self.perturb.kind == "random" else "SDARTS-ADV")
        if self.diagnostics.early_stop is not None:
            parts.append("early stopping")
        return " + ".join(parts)

    @property
    def steps(self) -> int:
        """Epochs."""
        return self.epochs

    @model_validator(mode="before")
    @classmethod
    def _first_stage_is_the_supernet(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Put the first stage's size into `supernet`, so that equal runs have equal settings."""
        stages, supernet = given.get("stages"), given.get("supernet", {})
        first = stages[0] if isinstance(stages, list | tuple) and stages else None
        if not isinstance(first, Mapping) or not isinstance(supernet, Mapping):
            return given
        sizes = {k: first[k] for k in ("partial", "cells") if first.get(k) is not None}
        for key, value in sizes.items():
            if supernet.get(key, value) != value:
                raise ValueError(
                    f"supernet.{key}={supernet[key]} with {key}={value} in the first of stages: "
                    "give one of them, or the same"
                )
        return {**given, "supernet": {**supernet, **sizes}}

    @model_validator(mode="after")
    def _compatible(self) -> Self:
        shortest = min(self.stage_epochs())
        if self.arch.warmup_epochs >= shortest:
            what = "the shortest stage's epochs" if self.stages else "epochs"
            raise ValueError(
                f"arch.warmup_epochs={self.arch.warmup_epochs} leaves nothing of {what}={shortest} "
                "to search in: give fewer warm-up epochs"
            )
        if self.weights.at_stage != "scheduled" and len(self.stages) < 2:
            raise ValueError(
                f"weights.at_stage={self.weights.at_stage} says what a change of stages does, and "
                f"there are {len(self.stages)} stages: give two or more, or leave it out"
            )
        for before, number in zip(self.stages, range(1, len(self.stages)), strict=False):
            self._check_change(before, self.stages[number], number)
        for number in range(len(self.stages)):
            self.supernet_at(number)
        self._check_method()
        return self

    def _check_change(self, before: Stage, after: Stage, number: int) -> None:
        """Raise ValueError where stage `number` (from 0) can't follow the one before it."""
        old, new = self.supernet_at(number - 1), self.supernet_at(number)
        if after.restart:
            return
        if new.cells != old.cells:
            raise ValueError(
                f"stages: cells={new.cells} after cells={old.cells} is another network: "
                "give that stage restart: true"
            )
        if new.partial > old.partial:
            raise ValueError(
                f"stages: partial={new.partial} after partial={old.partial} would narrow the "
                "network: stages widen it, or give restart: true"
            )

    def _check_method(self) -> None:
        """Raise UserError for a method that a shared setting makes no sense for."""
        method, ops = self.method, len(space_named(self.space).ops)
        if self.perturb.kind != "none" and not method.mixes:
            raise UserError(
                f"perturb.kind={self.perturb.kind} with method {method.name}: a pass of it runs "
                "only the drawn operations, so there are no shares to perturb"
            )
        if self.weights.clip_over_arch and not method.differentiable:
            raise UserError(
                f"weights.clip_over_arch=true with method {method.name}: its weight step has no "
                "gradient for the architecture to count"
            )
        self._check_first_stage(ops)
        kept = ops
        for stage in self.stages:
            keep = stage.keep_ops or kept
            if keep > kept:
                raise UserError(
                    f"stages: keep_ops={keep} where {kept} operations are left: pruned ones don't "
                    f"come back, give {kept} or fewer"
                )
            kept = keep
        if kept < ops and not method.ranks:
            raise UserError(
                f"stages: keep_ops={kept} with method {method.name}: it doesn't rank operations "
                "before the end, so there is nothing to prune by"
            )
        self.diagnostics.check(self)
        method.check(self)

    def _check_first_stage(self, ops: int) -> None:
        first = self.stages[0] if self.stages else Stage()
        if first.restart or (first.keep_ops or ops) < ops:
            what = "restart=true" if first.restart else f"keep_ops={first.keep_ops}"
            raise UserError(
                f"stages: {what} in the first stage: nothing is learnt before it, give that to a "
                "later one"
            )

    def stage_epochs(self) -> tuple[int, ...]:
        """Epochs of each stage; a search without stages is one. Raises ValueError on a misfit."""
        if not self.stages:
            return (self.epochs,)
        open_ = [i for i, stage in enumerate(self.stages) if stage.epochs is None]
        lengths = [stage.epochs or 0 for stage in self.stages]
        left = self.epochs - sum(lengths)
        if left < len(open_) or (left > 0 and not open_):
            raise ValueError(
                f"epochs={self.epochs} can't be split into these {len(lengths)} stages: their own "
                f"epochs come to {sum(lengths)}"
                + (f", and {len(open_)} need at least one each" if open_ else "")
            )
        for position, index in enumerate(open_):
            # The earlier stages take what doesn't divide evenly.
            lengths[index] = left // len(open_) + (position < left % len(open_))
        return tuple(lengths)

    def supernet_at(self, stage: int) -> SupernetSettings:
        """The supernet in a stage (from 0). Raises ValueError where it can't be built."""
        changed: dict[str, int] = {}
        for one in self.stages[: stage + 1]:
            changed |= {
                key: value
                for key in ("partial", "cells")
                if (value := getattr(one, key)) is not None
            }
        return SupernetSettings(**{**self.supernet.model_dump(), **changed})

    def arch_weight_decay(self) -> float:
        """Adam's coupled decay of the architecture parameter towards 0."""
        own = self.arch.weight_decay
        return self.method.arch_weight_decay() if own is None else own
