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

    @property
    def label(self) -> str:
        """How tables name the method with these settings: the paper's row, where it has one."""
        return self.name

    def check(self, config: SearchConfig) -> None:
        """Raise UserError, naming both values, where these settings can't go with the rest."""

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
        # Trials run in other folders than the command that started them.
        try:
            return None if path is None else str(Path(path).expanduser().absolute())
        except RuntimeError as error:  # a ~name of nobody
            raise ValueError(f"it can't be found: {error}") from error

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
        _check_nesterov(self.nesterov, self.momentum)
        return self


def _check_nesterov(nesterov: bool, momentum: float) -> None:
    if nesterov and momentum == 0:
        raise ValueError("nesterov=true needs momentum above 0, got momentum=0")


class ArchSettings(Settings):
    """Adam for the architecture parameter, on hold during the first `warmup_epochs`."""

    lr: float = Field(3e-4, gt=0)
    betas: tuple[Decay, Decay] = (0.5, 0.999)
    weight_decay: float | None = Field(None, ge=0)
    """None: the method's own (DrNAS's l2 penalty is this decay)."""
    warmup_epochs: int = Field(0, ge=0)


class RunSettings(Settings):
    """What every run has, whether it trains a supernet or only asks and tells."""

    method: SerializeAsAny[MethodSettings]
    space: str = "nb201"
    data: DataSettings = DataSettings()
    seed: int = Field(0, ge=0, lt=2**31)


class SearchConfig(RunSettings):
    """One weight-sharing search: everything that decides its result on a given device."""

    epochs: int = Field(100, ge=1)
    batch_size: int = Field(64, ge=2)
    supernet: SupernetSettings = SupernetSettings()
    weights: WeightSettings = WeightSettings()
    arch: ArchSettings = ArchSettings()

    @model_validator(mode="after")
    def _compatible(self) -> Self:
        if self.arch.warmup_epochs >= self.epochs:
            raise ValueError(
                f"arch.warmup_epochs={self.arch.warmup_epochs} leaves nothing of epochs="
                f"{self.epochs} to search in: give fewer warm-up epochs"
            )
        self.method.check(self)
        return self

    def arch_weight_decay(self) -> float:
        """Adam's coupled decay of the architecture parameter towards 0."""
        own = self.arch.weight_decay
        return self.method.arch_weight_decay() if own is None else own


class BlackBoxConfig(RunSettings):
    """One whole run of a method that holds no supernet: it asks for cells and is told scores."""


class RetrainConfig(Settings):
    """Training one derived cell from scratch. Defaults: NAS-Bench-201's 200-epoch recipe
    (Dong & Yang 2020, arXiv:2001.00326, table 1), cosine to 0 at every step."""

    genotype: str
    space: str = "nb201"
    data: DataSettings = DataSettings()
    seed: int = Field(0, ge=0, lt=2**31)
    channels: int = Field(16, ge=1, le=4096)
    cells: int = Field(5, ge=1, le=100)
    epochs: int = Field(200, ge=1)
    batch_size: int = Field(256, ge=2)
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)

    @model_validator(mode="after")
    def _compatible(self) -> Self:
        _check_nesterov(self.nesterov, self.momentum)
        return self


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
