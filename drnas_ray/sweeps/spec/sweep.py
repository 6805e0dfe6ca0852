"""What a sweep file says (YAML), read and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator

from drnas_ray.config import Settings, merged, nested, validated
from drnas_ray.core.errors import UserError, unknown_name
from drnas_ray.sweeps.spec.tuning import TuningSpec


class Resources(Settings):
    """What one trial takes. A GPU share is asked for only where the cluster has GPUs.

    retry_oom: how often a trial that ran out of GPU memory gets twice its share of the GPU when it
    is tried again, which leaves it fewer neighbours. gpu_free_mib: a trial starts once its GPU has
    so much free memory, and fails after gpu_wait_s seconds without. scale: nodes come as trials
    wait for them, so a GPU share is asked for whatever nodes there are now; refused where none that
    holds a trial has come within scale_wait_s.
    """

    cpu: float = Field(1.0, gt=0)
    gpu: float = Field(1.0, ge=0)
    retry_oom: int = Field(0, ge=0)
    gpu_free_mib: float | None = Field(None, gt=0)
    gpu_wait_s: float = Field(600.0, ge=0)
    scale: bool = False
    scale_wait_s: float = Field(1800.0, ge=0)

    @property
    def threads(self) -> int:
        """Threads a trial computes with: its whole CPUs, so concurrent trials don't fight."""
        return max(1, int(self.cpu))


class Tracking(Settings):
    """Where trials are reported to as well, beside the results folder; null: nowhere.

    wandb: a project's name (log in with `wandb login`, or set WANDB_MODE=offline). mlflow: a
    tracking URI, such as sqlite:////tmp/mlflow.db or http://host:5000; experiments are named as
    sweeps.
    """

    wandb: str | None = None
    mlflow: str | None = None


class SweepConfig(Settings):
    """methods x datasets x grid x seeds, every combination one trial.

    methods: names, or mappings of a method's settings with `name`; a mapping may also hold `label`
    (the row in tables) and `config` (settings of this method's runs alone). `all` is every method
    that is not listed otherwise, with its defaults.
    datasets: names, or mappings of data settings. config: settings of every run.
    protocol: `search`: each data set is searched itself. `transfer`: the only one listed is
    searched, and tables look its cells up on all data sets of a benchmark.
    grid: dotted setting -> values; an axis is left out for methods that have no such setting.
    retrain: recipe with which derived cells are trained from scratch; null trains none.
    search: settings that HyperOpt chooses, in place of a grid.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    methods: tuple[str | dict[str, Any], ...] = Field(min_length=1)
    datasets: tuple[str | dict[str, Any], ...] = Field(min_length=1)
    seeds: tuple[int, ...]
    protocol: Literal["search", "transfer"] = "search"
    config: dict[str, Any] = Field({})
    grid: dict[str, list[Any]] = Field({})
    retrain: dict[str, Any] | None = None
    search: TuningSpec | None = None
    resources: Resources = Resources()
    max_concurrent: int | None = Field(None, ge=1)
    max_failures: int = Field(3, ge=0)
    """How often a trial whose process died is started again from its newest checkpoint."""
    track: Tracking = Tracking()

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: object) -> object:
        return parse_seeds(value)

    @field_validator("grid")
    @classmethod
    def _grid(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in grid.items():
            if not values:
                raise UserError(f"grid axis '{key}' has no values: list at least one")
        return grid


def parse_seeds(value: object) -> tuple[int, ...]:
    """`0:10` (0 to 9), `3`, `1,5,7` or a list of numbers. Raises UserError if it holds none."""
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
        raise UserError(f"seeds={value!r} holds no seed: write 0:10 for seeds 0 to 9")
    for seed in result:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
            raise UserError(f"seed {seed!r} is no whole number from 0 to 2147483647")
    if len(set(result)) < len(result):
        raise UserError(f"seeds={value!r} names a seed twice: each seed once")
    return result


def presets() -> dict[str, str]:
    """The sweeps that come with the package: name -> YAML text."""
    folder = files("drnas_ray.sweeps.spec").joinpath("presets")
    return {
        entry.name.removesuffix(".yaml"): entry.read_text()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    }


def load_sweep(source: str, overrides: Iterable[str] = (), seeds: str | None = None) -> SweepConfig:
    """The sweep of a preset's name or a file's path, with `key=value` overrides put over it.

    Raises UserError, one line, for a source that is neither or for anything wrong in it.
    """
    known = presets()
    if source in known:
        raw = _parse(known[source], f"preset {source}")
    elif Path(source).is_file():
        try:
            raw = _parse(Path(source).read_text(), source)
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"sweep file {source} can't be read: {error}") from error
    elif "/" in source or source.endswith((".yaml", ".yml")):
        raise UserError(f"sweep file {source} does not exist; presets: {', '.join(known)}")
    else:
        raise unknown_name("preset", source, known)
    given = settings_of(overrides)
    raw = _overridden(merged(raw, given), given.get("config", {}))
    if seeds is not None:
        raw["seeds"] = seeds
    return validated(SweepConfig, raw)


def _overridden(raw: dict[str, Any], config: Any) -> dict[str, Any]:
    """The sweep with overrides of `config` put over what its methods and data sets set themselves.

    Otherwise a method's own `config`, or a data set's own entry, would silently win.
    """
    if not isinstance(config, dict):
        return raw
    shared = {key: value for key, value in config.items() if key != "method"}
    data = config.get("data", {})

    def methods(entry: Any) -> Any:
        own = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(own, dict):
            return entry
        return {**entry, "config": merged(own, _overlap(shared, own))}

    def datasets(entry: Any) -> Any:
        if isinstance(entry, dict) and isinstance(data, dict):
            return merged(entry, data)
        return entry

    result = dict(raw)
    for key, change in (("methods", methods), ("datasets", datasets)):
        if isinstance(raw.get(key), list):
            result[key] = [change(entry) for entry in raw[key]]
    return result


def _overlap(over: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """What of `over` is set in `below` too: the rest reaches a run by the sweep's own `config`."""
    result: dict[str, Any] = {}
    for key, value in over.items():
        there = below.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            result[key] = _overlap(value, there)
        elif key in below:
            result[key] = value
    return result


def settings_of(overrides: Iterable[str]) -> dict[str, Any]:
    """`arch.lr=0.01` and the like as one nested mapping; values are read as YAML.

    A key that starts with no part of a sweep is a setting of every run, under `config`.
    """
    result: dict[str, Any] = {}
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UserError(f"'{text}' sets nothing: write key=value, such as arch.lr=0.01")
        if key.split(".")[0] not in SweepConfig.model_fields:
            key = f"config.{key}"
        result = merged(result, nested(key, _yaml(value, f"value of {key}")))
    return result


def _parse(text: str, where: str) -> dict[str, Any]:
    raw = _yaml(text, where)
    if not isinstance(raw, dict):
        raise UserError(f"{where} should map names to values (name:, methods:, datasets:, seeds:)")
    return raw


class _Loader(yaml.SafeLoader):
    """YAML as people write it: a key twice is an error, and 1:20 is no number of base 60."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a repeated key: the first one's settings would be lost without a word."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"key '{key}' stands twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1:20 as 1 * 60 + 20, so the seeds 1 to 19 would become seed 80, and 1e-3 as text.
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag != _INT]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_SIGNS_AND_DIGITS = list("-+0123456789")
_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), _SIGNS_AND_DIGITS)
_Loader.add_implicit_resolver(
    _FLOAT, re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), _SIGNS_AND_DIGITS
)


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{where} is no YAML: {' '.join(str(error).split())}") from error
