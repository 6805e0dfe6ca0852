"""Settings: frozen pydantic models whose hash is a run's id, and the groups that all runs share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationInfo, field_validator

from drnas_ray.core.errors import UserError

Decay = Annotated[float, Field(ge=0, lt=1)]
"""How much of a running mean is kept at each step."""


class Settings(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_mistaken_type(cls, value: object, info: ValidationInfo) -> object:
        """Refuse yes/no and text where a number is meant; pydantic would convert them.

        Text is accepted for fractions, because YAML 1.1 reads 3e-4 as text.
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
        """12 hex digits that identify these settings."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:12]


class MethodSettings(Settings):
    """What one method lets a user set; subclassed in the method's own file.

    What a method can do (`Method.mixes` and the like) is on the method's class, not here.
    """

    name: str
    shared_defaults: ClassVar[Mapping[str, Any]] = {}
    """Shared settings whose published default differs for this method, as a nested mapping."""

    @property
    def label(self) -> str:
        """How tables name the method with these settings: the paper's row, where it has one."""
        return self.name

    def arch_weight_decay(self) -> float:
        """The decay that Adam applies to the architecture parameter unless the user sets one."""
        return 1e-3


class DataSettings(Settings):
    """The images, and how training batches are augmented (None: the data set's usual way)."""

    name: str = "cifar10"
    path: str | None = None
    """Where a `folder` or `parquet` data set is; other data sets take no path."""
    image_size: int | None = Field(None, ge=4, le=1024)
    """Side in pixels to which images of a `folder` or `parquet` data set are resized; None: 32."""
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
        """How tables name the data set: with its folder or file, and what differs from defaults."""
        given = self.model_dump(exclude={"name", "path"}, exclude_defaults=True)
        extra = ", ".join(f"{key}={value}" for key, value in given.items())
        where = "" if self.path is None else f":{Path(self.path).name}"
        return f"{self.name}{where}" + (f" ({extra})" if extra else "")


class RunSettings(Settings):
    """What every run has, with or without a supernet."""

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
        """Steps that the run takes, one record each; where there are epochs, these."""
        return 1

    @property
    def needs_images(self) -> bool:
        """Whether the search itself reads the data set."""
        return True


def check_nesterov(nesterov: bool, momentum: float) -> None:
    """Raise ValueError for a pair that SGD would refuse."""
    if nesterov and momentum == 0:
        raise ValueError("nesterov=true needs momentum above 0, got momentum=0")


def is_uri(place: str | Path) -> bool:
    """Whether it is the address of a store, such as s3://bucket/path, rather than a local path."""
    return "://" in str(place)


def absolute(path: str | None) -> str | None:
    """The path made absolute, so that a process in another folder can use it; a URI unchanged.

    Raises ValueError for the home folder (~name) of a user who does not exist.
    """
    try:
        return path if path is None or is_uri(path) else str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError(f"it can't be found: {error}") from error


def group_of(annotation: Any, *, listed: bool = False) -> type[Settings] | None:
    """The group of settings that a field holds, or may hold; None for a field that holds a value.

    listed: also the group that a list holds.
    """
    around = (Union, UnionType, tuple) if listed else (Union, UnionType)
    inside = get_args(annotation) if get_origin(annotation) in around else ()
    for kind in (annotation, *inside):
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` in place of its own; mappings are merged key by key."""
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
        raise UserError(f"'{path}' is not a setting's name: write dotted names such as arch.lr")
    for part in reversed(parts):
        value = {part: value}
    return value  # type: ignore[no-any-return]
