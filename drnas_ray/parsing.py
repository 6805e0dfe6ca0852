"""The door: plain mappings with names in them become checked settings, or one clear error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from drnas_ray.blackbox import BLACKBOX
from drnas_ray.blackbox.base import BlackBox
from drnas_ray.config import (
    BlackBoxConfig,
    MethodSettings,
    QueryConfig,
    RetrainConfig,
    RunSettings,
    SearchConfig,
    group_of,
    merged,
)
from drnas_ray.core.errors import UserError, did_you_mean, unknown_name
from drnas_ray.data.catalog import check_data
from drnas_ray.methods import METHODS
from drnas_ray.methods.base import Method
from drnas_ray.spaces import space_named

S = TypeVar("S", bound=BaseModel)


def method_settings(raw: object) -> MethodSettings:
    """Settings of `drnas`, or of `{name: drnas, penalty: kl}`, with the method's own defaults."""
    given: Mapping[str, Any]
    given = raw if isinstance(raw, Mapping) else {"name": raw}
    name = given.get("name")
    table: dict[str, type[Method] | type[BlackBox]] = {**METHODS, **BLACKBOX}
    if not isinstance(name, str) or name not in table:
        raise unknown_name("method", name, table)
    return validated(table[name].settings_type, given, "method")


def config_type(method: MethodSettings) -> type[RunSettings]:
    """Which settings a run of this method has."""
    if method.name in METHODS:
        return SearchConfig
    return QueryConfig if method.queries_benchmark else BlackBoxConfig


def run_config(raw: Mapping[str, Any]) -> RunSettings:
    """The settings of one run; what `raw` leaves out is the method's or the paper's default.

    Raises UserError, one line that names the value and what would be right.
    """
    method = method_settings(raw.get("method", "drnas"))
    kind = config_type(method)
    for key in sorted(SearchConfig.model_fields.keys() & raw.keys() - kind.model_fields.keys()):
        raise UserError(
            f"{key} with method {method.name}: it has no supernet to set that for, leave {key} out"
        )
    given = {key: value for key, value in raw.items() if key != "method"}
    defaults = method.shared_defaults if kind is SearchConfig else {}
    config = validated(kind, {**merged(defaults, given), "method": method})
    space_named(config.space)
    check_data(config.data)
    return config


def retrain_config(raw: Mapping[str, Any]) -> RetrainConfig:
    """The settings of one training from scratch. Raises UserError as `run_config` does."""
    config = validated(RetrainConfig, raw, "retrain")
    space_named(config.space).check(config.genotype)
    check_data(config.data)
    return config


def validated(kind: type[S], raw: object, where: str = "") -> S:
    """A model from a mapping; the first thing wrong becomes a one-line UserError."""
    if not isinstance(raw, Mapping):
        raise UserError(f"{where or 'settings'}: {raw!r} should be a mapping of names to values")
    try:
        return kind.model_validate(dict(raw))
    except ValidationError as error:
        raise UserError(_line(kind, error, where)) from error


def _line(kind: type[BaseModel], error: ValidationError, where: str) -> str:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join([where, *path] if where else path)
    if first["type"] == "extra_forbidden":
        known = sorted(_fields_at(kind, path[:-1]))
        hint = did_you_mean(path[-1], known)
        return f"unknown setting '{name}': {hint}known here: {', '.join(known)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        value = first["input"]
        scalar = isinstance(value, str | int | float) and repr(value) not in message
        shown = f"{name}={value!r}" if scalar else name
        return f"{shown}: {message}" if name else message
    if first["type"] == "missing":
        return f"{name or where} is missing"
    message = message.replace("a valid tuple", "a list")
    return f"{name}={first['input']!r}: {message[0].lower()}{message[1:]}"


def _fields_at(kind: type[BaseModel], path: list[str]) -> set[str]:
    """Names of the settings in the group that the path leads to."""
    for part in path:
        if part.isdigit():  # a place in a list
            continue
        field = kind.model_fields.get(part)
        below = group_of(field.annotation, listed=True) if field else None
        if below is None:
            return set()
        kind = below
    return set(kind.model_fields)
