"""Every shared setting of a run, as frozen pydantic models; a run's id is the hash of their JSON.

A method's own settings are declared in the method's own file, as a subclass of `MethodSettings`;
`drnas_ray.door` turns names into them. Defaults are those of NAS-Bench-201 searches in the
DrNAS paper (Chen et al., ICLR 2021, arXiv:2006.10355); a method with other published defaults
names them in `MethodSettings.shared_defaults`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from drnas_ray.errors import UserError
from drnas_ray.spaces import space_named

Decay = Annotated[float, Field(ge=0, lt=1)]
"""How much of a running mean is kept at each step."""


class Settings(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_mistaken_type(cls, value: object, info: ValidationInfo) -> object:
        """Refuse yes/no and text where a number is meant; pydantic would convert them.

        Text is let through for fractions: YAML 1.1 reads 3e-4 as text.
        """
        kind = cls.model_fields[str(info.field_name)].annotation
        kinds = set(get_args(kind)) if get_origin(kind) in (Union, UnionType) else {kind}
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise ValueError("give a number, not yes or no")
        if isinstance(value, str) and int in kinds and not kinds & {str, float}:
            raise ValueError("give a whole number, not text")
        return value

    def canonical_json(self) -> str:
        """The settings as JSON with sorted keys: equal settings give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def id(self) -> str:
        """12 hex digits that stand for exactly these settings."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:12]


class MethodSettings(Settings):
    """What one method lets a user set. Subclassed next to the method it belongs to."""

    name: str
    shared_defaults: ClassVar[Mapping[str, Any]] = {}
    """Shared settings whose published default differs for this method, as a nested mapping."""
    mixes: ClassVar[bool] = True
    """Every kept operation runs in each pass, weighted; False where a pass runs drawn ones only."""
    ranks: ClassVar[bool] = True
    """Strengths say before the end which operations are better: what pruning goes by."""
    queries_benchmark: ClassVar[bool] = False
    """Without a supernet: it is told the figures of the cells that it asks for."""

    @property
    def label(self) -> str:
        """How tables name the method with these settings: the paper's row, where it has one."""
        return self.name

    def check(self, config: SearchConfig) -> None:
        """Raise UserError, naming both values, where these settings can't go with the rest."""

    def check_run(self, config: RunSettings) -> None:
        """The same for a method without a supernet."""

    def arch_weight_decay(self) -> float:
        """The decay that Adam applies to the architecture parameter unless the user sets one."""
        return 1e-3


class DataSettings(Settings):
    """Which images, and how training batches are augmented (None: the data set's own habit)."""

    name: str = "cifar10"
    path: str | None = None
    """Where a `folder` or `parquet` data set lies; other data sets take none."""
    image_size: int | None = Field(None, ge=4, le=1024)
    """Side in pixels to which a `folder` or `parquet` data set is brought; None: 32."""
    train_images: int | None = Field(None, ge=4)
    """Use only this many training images, drawn evenly per class with a fixed seed; None: all."""
    crop_padding: int | None = Field(None, ge=0, le=1024)
    flip: bool | None = None
    cutout: int = Field(0, ge=0)
    """Side in pixels of the square that Cutout (DeVries & Taylor 2017) blanks; 0 turns it off."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return absolute(path)

    @property
    def label(self) -> str:
        """How tables name the data set: with its folder or file, and what is not as usual."""
        given = self.model_dump(exclude={"name", "path"}, exclude_defaults=True)
        extra = ", ".join(f"{key}={value}" for key, value in given.items())
        where = "" if self.path is None else f":{Path(self.path).name}"
        return f"{self.name}{where}" + (f" ({extra})" if extra else "")


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
        _check_nesterov(self.nesterov, self.momentum)
        return self


def _check_nesterov(nesterov: bool, momentum: float) -> None:
    if nesterov and momentum == 0:
        raise ValueError("nesterov=true needs momentum above 0, got momentum=0")


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
    keep_ops: operations that the change to this stage leaves on each edge, the strongest ones.
    partial: 1/partial of the channels go through the mixed operation from here on.
    cells: depth N; another one than before needs `restart`.
    restart: begin with new weights, architecture parameter and optimisers (P-DARTS).
    """

    epochs: int | None = Field(None, ge=1)
    keep_ops: int | None = Field(None, ge=1)
    partial: int | None = Field(None, ge=1)
    cells: int | None = Field(None, ge=1, le=100)
    restart: bool = False


class RunSettings(Settings):
    """What every run has, whether it trains a supernet or only asks and tells."""

    method: SerializeAsAny[MethodSettings]
    space: str = "nb201"
    data: DataSettings = DataSettings()
    seed: int = Field(0, ge=0, lt=2**31)

    @property
    def label(self) -> str:
        """The row in tables unless a sweep names another."""
        return self.method.label

    @property
    def steps(self) -> int:
        """Records that the run makes: epochs, or what stands for them."""
        return 1

    @property
    def needs_images(self) -> bool:
        """Whether the search itself looks at the data set."""
        return True


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
        return " + ".join(parts)

    @property
    def steps(self) -> int:
        """Epochs."""
        return self.epochs

    @model_validator(mode="after")
    def _compatible(self) -> Self:
        shortest = min(self.stage_epochs())
        if self.arch.warmup_epochs >= shortest:
            what = "the shortest stage's epochs" if self.stages else "epochs"
            raise ValueError(
                f"arch.warmup_epochs={self.arch.warmup_epochs} leaves nothing of {what}={shortest} "
                "to search in: give fewer warm-up epochs"
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
        method.check(self)

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
        _check_nesterov(self.nesterov, self.momentum)
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


class BenchmarkSettings(Settings):
    """What a multi-trial method asks: a table, or cells trained as they are asked for.

    table: a NAS-Bench-201 table in Parquet, whose `*_valid_acc_12` columns are read.
    train: a recipe, for trainings on the weights' half that are judged on the other one.
    """

    table: str | None = None
    train: ShortRecipe | None = None

    @field_validator("table")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return absolute(path)


class QueryConfig(BlackBoxConfig):
    """One whole run of a method that asks for cells and is told their validation accuracy.

    queries: cells asked for; None: 100, or as many as the budget allows.
    budget_s: simulated seconds of training and validation, 12,000 in NAS-Bench-201's own runs.
    """

    benchmark: BenchmarkSettings = BenchmarkSettings()
    queries: int | None = Field(None, ge=1)
    budget_s: float | None = Field(None, gt=0)

    @property
    def limit(self) -> int | None:
        """Cells asked for at most; None: the budget alone decides."""
        return 100 if self.queries is None and self.budget_s is None else self.queries

    @property
    def steps(self) -> int:
        """One on a table, else one a query."""
        return 1 if self.benchmark.train is None else self.limit or 1

    @property
    def needs_images(self) -> bool:
        """To train the cells on."""
        return self.benchmark.train is not None

    @model_validator(mode="after")
    def _one_benchmark(self) -> Self:
        table, train = self.benchmark.table, self.benchmark.train
        if (table is None) == (train is None):
            raise ValueError(
                f"method {self.method.name} needs one benchmark to ask: give either "
                "benchmark.table=FILE.parquet or benchmark.train.epochs=12"
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


def absolute(path: str | None) -> str | None:
    """The path for a process in another folder. Raises ValueError for a ~name of nobody."""
    try:
        return None if path is None else str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError(f"it can't be found: {error}") from error


def group_of(annotation: Any) -> type[Settings] | None:
    """The group of settings that a field holds, also where it may be None; None for a value."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` put over it, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result


def nested(path: str, value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` for the dotted path "a.b". Raises UserError on an empty part."""
    parts = path.split(".")
    if not all(parts):
        raise UserError(f"'{path}' is no setting: write dotted names such as arch.lr")
    for part in reversed(parts):
        value = {part: value}
    return value  # type: ignore[no-any-return]
