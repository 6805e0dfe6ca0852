"""Overrides of a sweep file on the command line: `key=value` and seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from drnas_ray.config.base import merged, nested
from drnas_ray.core.errors import UserError
from drnas_ray.core.yaml_files import load_yaml


def parse_overrides(
    texts: Iterable[str], sections: Collection[str] | None = None
) -> dict[str, Any]:
    """`arch.lr=0.01` and the like as one nested mapping; values are read as YAML.

    sections: the top-level keys of a sweep file; any other key is a setting of every run and goes
    under `config`. None: keys stay as they are. Raises UserError.
    """
    result: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UserError(f"'{text}' sets nothing: write key=value, such as arch.lr=0.01")
        if sections is not None and key.split(".")[0] not in sections:
            key = f"config.{key}"
        result = merged(result, nested(key, load_yaml(value, f"value of {key}")))
    return result


def overridden(raw: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A sweep file's mapping with overrides applied.

    Overrides of `config` also replace what its methods and data sets set themselves; otherwise a
    method's own `config`, or a data set's own entry, would silently win.
    """
    result = merged(raw, overrides)
    config = overrides.get("config", {})
    if not isinstance(config, dict):
        return result
    shared = {key: value for key, value in config.items() if key != "method"}
    data = config.get("data", {})

    def method(entry: Any) -> Any:
        own = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(own, dict):
            return entry
        return {**entry, "config": merged(own, _overlap(shared, own))}

    def dataset(entry: Any) -> Any:
        both = isinstance(entry, dict) and isinstance(data, dict)
        return merged(entry, data) if both else entry

    for key, change in (("methods", method), ("datasets", dataset)):
        if isinstance(result.get(key), list):
            result[key] = [change(entry) for entry in result[key]]
    return result


def _overlap(over: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """The part of `over` that `below` sets too; the sweep's `config` brings the rest to a run."""
    result: dict[str, Any] = {}
    for key, value in over.items():
        there = below.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            result[key] = _overlap(value, there)
        elif key in below:
            result[key] = value
    return result


def parse_seeds(value: object) -> tuple[int, ...]:
    """`0:10` (0 to 9), `3`, `1,5,7` or a list of numbers. Raises UserError if there are none."""
    seeds = value
    if isinstance(seeds, str):
        try:
            if ":" in seeds:
                first, last = seeds.split(":")
                seeds = range(int(first), int(last))
            else:
                seeds = [int(part) for part in seeds.split(",") if part.strip()]
        except ValueError:
            raise UserError(f"seeds={value!r}: write 0:10, or a list such as 1,5,7") from None
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seeds = [seeds]
    if not isinstance(seeds, Iterable) or isinstance(seeds, Mapping):
        raise UserError(f"seeds={value!r}: write 0:10, or a list such as [1, 5, 7]")
    result = tuple(seeds)
    if not result:
        raise UserError(f"seeds={value!r} contains no seed: write 0:10 for seeds 0 to 9")
    for seed in result:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
            raise UserError(f"seed {seed!r} is not a whole number from 0 to 2147483647")
    if len(set(result)) < len(result):
        raise UserError(f"seeds={value!r} lists a seed twice: list each seed once")
    return result
