"""Settings of a weight-sharing search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from drnas_ray.config.base import RunSettings
from drnas_ray.config.diagnostics import DiagnosticSettings
from drnas_ray.config.groups import (
    ArchSettings,
    PerturbSettings,
    Stage,
    SupernetSettings,
    WeightSettings,
)
from drnas_ray.spaces import space_named


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
        """As for all settings, without diagnostics that only observe: they don't make it another
        run."""
        raw = self.model_dump(mode="json")
        raw["diagnostics"] = self.diagnostics.deciding()
        if not raw["diagnostics"]:
            raw.pop("diagnostics")
        return json.dumps(raw, sort_keys=True, separators=(",", ":"))

    @property
    def label(self) -> str:
        """The method's, and what it is combined with."""
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
        """The checks that need no method; the others are in `drnas_ray.methods.compatibility`."""
        shortest = min(self.stage_epochs())
        if self.arch.warmup_epochs >= shortest:
            what = "the shortest stage's epochs" if self.stages else "epochs"
            raise ValueError(
                f"arch.warmup_epochs={self.arch.warmup_epochs} leaves no epoch of {what}="
                f"{shortest} to search in: give fewer warm-up epochs"
            )
        if self.weights.at_stage != "scheduled" and len(self.stages) < 2:
            raise ValueError(
                f"weights.at_stage={self.weights.at_stage} needs two or more stages, got "
                f"{len(self.stages)}: give more, or leave it out"
            )
        for number in range(1, len(self.stages)):
            self._check_change(number)
        for number in range(len(self.stages)):
            self.supernet_at(number)
        self._check_first_stage()
        self._check_pruning()
        self.diagnostics.check_early_stop(self.epochs)
        return self

    def _check_change(self, number: int) -> None:
        """Raise ValueError where stage `number` (from 0) can't follow the one before it."""
        old, new = self.supernet_at(number - 1), self.supernet_at(number)
        if self.stages[number].restart:
            return
        if new.cells != old.cells:
            raise ValueError(
                f"stages: cells={new.cells} after cells={old.cells} is another network: "
                "give that stage restart: true"
            )
        if new.partial > old.partial:
            raise ValueError(
                f"stages: partial={new.partial} after partial={old.partial} would narrow the "
                "network: stages can only widen it, give a smaller one or restart: true"
            )

    def _check_first_stage(self) -> None:
        """Raise ValueError where the first stage restarts or prunes."""
        first, ops = self.stages[0] if self.stages else Stage(), len(space_named(self.space).ops)
        if first.restart or (first.keep_ops or ops) < ops:
            what = "restart=true" if first.restart else f"keep_ops={first.keep_ops}"
            raise ValueError(
                f"stages: {what} in the first stage: nothing has been learnt before it, move that "
                "to a later one"
            )

    def _check_pruning(self) -> None:
        """Raise ValueError where a stage would keep more operations than are left."""
        kept = len(space_named(self.space).ops)
        for stage in self.stages:
            keep = stage.keep_ops or kept
            if keep > kept:
                raise ValueError(
                    f"stages: keep_ops={keep} where {kept} operations are left: pruned ones don't "
                    f"come back, give {kept} or fewer"
                )
            kept = keep

    def stage_epochs(self) -> tuple[int, ...]:
        """Epochs of each stage, one without stages. Raises ValueError if they don't fit."""
        if not self.stages:
            return (self.epochs,)
        open_ = [i for i, stage in enumerate(self.stages) if stage.epochs is None]
        lengths = [stage.epochs or 0 for stage in self.stages]
        left = self.epochs - sum(lengths)
        if left < len(open_) or (left > 0 and not open_):
            raise ValueError(
                f"epochs={self.epochs} can't be split into these {len(lengths)} stages: their own "
                f"epochs add up to {sum(lengths)}"
                + (f", and {len(open_)} need at least one each" if open_ else "")
            )
        for position, index in enumerate(open_):
            # Earlier stages get one more where the epochs don't divide evenly.
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
