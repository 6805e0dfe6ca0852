"""Which dotted settings the runs of a method have, and the check of those that a sweep names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from drnas_ray.config import MethodSettings, QueryConfig, SearchConfig, group_of, nested
from drnas_ray.core.errors import UserError, did_you_mean
from drnas_ray.parsing import config_type


def applicable(config: dict[str, Any], method: MethodSettings) -> dict[str, Any]:
    """Those shared settings that this method's runs have: fewer for one without a supernet."""
    fields = config_type(method).model_fields
    kept = {k: v for k, v in config.items() if k in fields}
    own = kept.get("method")
    if isinstance(own, Mapping):
        kept["method"] = {k: v for k, v in own.items() if k in type(method).model_fields}
    return kept


def config_keys(config: Mapping[str, Any]) -> list[str]:
    """Dotted names of what a `config` mapping sets. Raises UserError for a dotted key in it."""
    for group in _groups(config):
        for key in group:
            if "." in str(key):
                raise UserError(f"config '{key}': write groups as {nested(str(key), '...')}")
    return leaves(config)


def check_keys(where: str, keys: list[str], methods: list[MethodSettings]) -> None:
    """Raise UserError for a key that is not a setting of any of the methods' runs."""
    known = set().union(*(known_paths(method) for method in methods))
    # A mistyped setting of supernet runs should not pass because only `uniform` was listed.
    known |= _paths(SearchConfig, "") | _paths(QueryConfig, "")
    for key in keys:
        if key in ("seed", "method", "data.name", "method.name") or key.startswith("config."):
            raise UserError(f"{where} '{key}': methods, datasets and seeds have keys of their own")
        parent = key.rpartition(".")[0]
        if parent in known:
            raise UserError(f"{where} '{key}': '{parent}' is a value or a list, not a group")
        if key not in known:
            hint = did_you_mean(key, known) or f"known: {', '.join(sorted(known))}"
            raise UserError(f"{where} unknown setting '{key}': {hint.strip()}")


def known_paths(method: MethodSettings) -> set[str]:
    """Dotted names of all settings that runs of the method have."""
    return _paths(config_type(method), "") | _paths(type(method), "method.")


def _paths(kind: type[BaseModel], prefix: str) -> set[str]:
    """Dotted names of all settings in a model, without the groups themselves."""
    found: set[str] = set()
    for name, field in kind.model_fields.items():
        below = group_of(field.annotation)
        if below is not None:
            # The class of `method` depends on the run; the caller adds its settings.
            found |= set() if name == "method" else _paths(below, f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{name}")
    return found


def leaves(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of all values in nested mappings."""
    keys = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            keys += leaves(value, f"{prefix}{key}.")
        else:
            keys.append(f"{prefix}{key}")
    return keys


def _groups(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _groups(value)
