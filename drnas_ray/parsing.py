"""Plain mappings, as read from YAML, become checked settings, or one clear error.

Everything that runs gets its settings here; `run_config` also makes the method's own checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drnas_ray.blackbox import BLACKBOX
from drnas_ray.blackbox.base import BlackBox
from drnas_ray.config import (
    BlackBoxConfig,
    MethodSettings,
    QueryConfig,
    RetrainConfig,
    RunSettings,
    SearchConfig,
    merged,
    validated,
)
from drnas_ray.core.errors import UserError, unknown_name
from drnas_ray.data.catalog import check_data
from drnas_ray.methods import METHODS
from drnas_ray.methods.base import Method
from drnas_ray.methods.compatibility import check_compatible
from drnas_ray.spaces import space_named


def method_names() -> tuple[str, ...]:
    """All methods: weight-sharing ones, then those without a supernet."""
    return (*METHODS, *BLACKBOX)


def method_class(name: object) -> type[Method] | type[BlackBox]:
    """A method's class, which declares what it can do. Raises UserError for an unknown name."""
    table: dict[str, type[Method] | type[BlackBox]] = {**METHODS, **BLACKBOX}
    if not isinstance(name, str) or name not in table:
        raise unknown_name("method", name, table)
    return table[name]


def method_settings(raw: object) -> MethodSettings:
    """Settings of `drnas`, or of `{name: drnas, penalty: kl}`, with the method's own defaults."""
    given: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {"name": raw}
    return validated(method_class(given.get("name")).settings_type, given, "method")


def config_type(method: MethodSettings) -> type[RunSettings]:
    """The settings class for runs of this method."""
    kind = method_class(method.name)
    if issubclass(kind, Method):
        return SearchConfig
    return QueryConfig if kind.queries_benchmark else BlackBoxConfig


def run_config(raw: Mapping[str, Any]) -> RunSettings:
    """The settings of one run; what `raw` leaves out is the method's or the paper's default.

    Raises UserError, one line that names the value and what would be right.
    """
    method = method_settings(raw.get("method", "drnas"))
    kind = config_type(method)
    for key in sorted(SearchConfig.model_fields.keys() & raw.keys() - kind.model_fields.keys()):
        raise UserError(
            f"{key} with method {method.name}: it applies to a supernet only, leave {key} out"
        )
    given = {key: value for key, value in raw.items() if key != "method"}
    defaults = method.shared_defaults if kind is SearchConfig else {}
    config = validated(kind, {**merged(defaults, given), "method": method})
    _check_method(config)
    check_data(config.data)
    return config


def _check_method(config: RunSettings) -> None:
    """Raise UserError where a run's other settings don't fit its method."""
    if isinstance(config, SearchConfig):
        check_compatible(METHODS[config.method.name](config.method), config)
    elif isinstance(config, BlackBoxConfig):
        space = space_named(config.space)
        BLACKBOX[config.method.name](config.method, space).check()


def retrain_config(raw: Mapping[str, Any]) -> RetrainConfig:
    """The settings of one training from scratch. Raises UserError as `run_config` does."""
    config = validated(RetrainConfig, raw, "retrain")
    space_named(config.space).check(config.genotype)
    check_data(config.data)
    return config
