"""From a sweep to its runs: every combination once, all checked before any trial starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import BaseModel

from drnas_ray.config import (
    DataSettings,
    MethodSettings,
    QueryConfig,
    RetrainConfig,
    RunSettings,
    SearchConfig,
    group_of,
    merged,
    nested,
)
from drnas_ray.core.distribution import Distribution
from drnas_ray.core.errors import UserError, did_you_mean
from drnas_ray.methods.base import Method
from drnas_ray.parsing import (
    config_type,
    method_class,
    method_names,
    method_settings,
    retrain_config,
    run_config,
)
from drnas_ray.results.manifest import RunEntry
from drnas_ray.spaces import space_named
from drnas_ray.sweeps.spec.sweep import SweepConfig

MethodEntry = tuple[MethodSettings, str | None, dict[str, Any]]
"""A method of a sweep file: its settings, its label if given, its runs' own settings."""


@dataclass(frozen=True)
class PlannedRun:
    """One trial of a sweep. variant: the grid's settings in force for it."""

    label: str
    variant: dict[str, Any]
    config: RunSettings

    @property
    def run_id(self) -> str:
        """The hash of its settings."""
        return self.config.id()

    @property
    def distribution(self) -> Distribution | None:
        """What the strengths that it learns parametrise; None for a method without a supernet."""
        kind = method_class(self.config.method.name)
        return kind.distribution if issubclass(kind, Method) else None

    @property
    def epochs(self) -> int:
        """Steps it takes."""
        return self.config.steps

    @property
    def short(self) -> bool:
        """One step of milliseconds: worth less than a trial of its own."""
        return self.epochs == 1 and not self.config.needs_images

    @property
    def entry(self) -> RunEntry:
        """What the results folder says of it."""
        return RunEntry.of(self.config, self.label, self.variant, self.distribution)

    @property
    def folder(self) -> str:
        """A readable, unique folder name."""
        config = self.config
        return f"{config.method.name}-{config.data.name}-s{config.seed}-{self.run_id}"


def plan_runs(sweep: SweepConfig, axes: str = "grid over") -> list[PlannedRun]:
    """All runs in the order method, data set, grid, seed. Raises UserError for the first wrong.

    axes: what an error calls the grid.
    """
    _check_protocol(sweep)
    methods = [_method(entry) for entry in _listed(sweep.methods)]
    every = [settings for settings, _, _ in methods]
    _check_keys("config", _config_keys(sweep.config), every)
    _check_keys(axes, list(sweep.grid), every)
    for settings, _, own in methods:
        _check_keys(f"config of method {settings.name}:", _config_keys(own), [settings])
    runs = [
        _run(sweep, entry, dataset, values, seed)
        for entry, dataset in product(methods, sweep.datasets)
        for values, seed in product(_grid(sweep, entry[0]), sweep.seeds)
    ]
    _check_distinct(runs)
    return runs


def _check_protocol(sweep: SweepConfig) -> None:
    """Raise UserError where cells could not be told to be looked up elsewhere."""
    if sweep.protocol != "transfer":
        return
    if len(sweep.datasets) != 1:
        raise UserError(
            f"protocol transfer searches one data set and looks its cells up on others: "
            f"{len(sweep.datasets)} are listed, list one"
        )
    if sweep.retrain is not None:
        raise UserError(
            "protocol transfer with retrain: cells are looked up in a benchmark table, not "
            "trained; set retrain to null"
        )


def _grid(sweep: SweepConfig, method: MethodSettings) -> Iterator[dict[str, Any]]:
    """The grid's points, without the axes that the method's runs have no setting for."""
    axes = {k: v for k, v in sweep.grid.items() if k in _known_paths(method)}
    return (dict(zip(axes, values, strict=True)) for values in product(*axes.values()))


def _run(
    sweep: SweepConfig,
    entry: MethodEntry,
    dataset: str | dict[str, Any],
    variant: dict[str, Any],
    seed: int,
) -> PlannedRun:
    """One combination. A method's own settings go over the sweep's, the grid's over both."""
    settings, label, own = entry
    data = dataset if isinstance(dataset, Mapping) else {"name": dataset}
    if "name" not in data:
        raise UserError(f"data set {dict(data)} has no name: give one, such as name: digits")
    shared = merged(_applicable(sweep.config, settings), own)
    method: dict[str, Any] = settings.model_dump(exclude_unset=True)
    method |= {"name": settings.name, **shared.get("method", {})}
    raw = merged(shared, {"data": data, "seed": seed, "method": method})
    for key, value in variant.items():
        raw = merged(raw, nested(key, value))
    config = run_config(raw)
    return PlannedRun(label or config.label, variant, config)


def _check_distinct(runs: list[PlannedRun]) -> None:
    """Raise UserError where two runs are the same, or would be one figure of the table."""
    labels: dict[str, DataSettings] = {}
    rows: set[tuple[str, str, str, int]] = set()
    ids: set[str] = set()
    for run in runs:
        data = run.config.data
        if labels.setdefault(data.label, data) != data:
            raise UserError(
                f"two data sets would both be '{data.label}' in the table: give their folders or "
                "files different names"
            )
        if run.run_id in ids:
            raise UserError(f"{run.folder} is planned twice: list each method and value once")
        row = (run.label, str(run.variant), data.label, run.config.seed)
        if row in rows:
            raise UserError(
                f"two methods would both be the row '{run.label}' of the table: give each a "
                "`label` of its own"
            )
        ids.add(run.run_id)
        rows.add(row)


def plan_retrains(
    sweep: SweepConfig, finished: Mapping[str, str], runs: list[PlannedRun]
) -> dict[str, tuple[RetrainConfig, list[str]]]:
    """Trainings from scratch: id -> (settings, the run ids that wait for it).

    finished: run id -> derived genotype. Equal canonical cells under one seed are trained once,
    as the canonical cell, so the result does not depend on which run came first.
    """
    if sweep.retrain is None:
        return {}
    jobs: dict[str, tuple[RetrainConfig, list[str]]] = {}
    for run in runs:
        if run.run_id not in finished:
            continue
        config = retrain_of(sweep, run.config, finished[run.run_id])
        jobs.setdefault(config.id(), (config, []))[1].append(run.run_id)
    return jobs


def retrain_of(sweep: SweepConfig, run: RunSettings, genotype: str) -> RetrainConfig:
    """The recipe of the sweep for one derived cell. Raises UserError for a wrong recipe."""
    recipe = sweep.retrain or {}
    for key in ("genotype", "space", "seed", "data.name", "data.path"):
        if key in recipe or key in _leaves(recipe):
            raise UserError(f"retrain.{key} follows from each run: take it out of the recipe")
    given = {
        "genotype": space_named(run.space).canonical(genotype),
        "space": run.space,
        "seed": run.seed,
        "data": run.data.model_dump(),
    }
    return retrain_config(merged(given, recipe))


def _listed(methods: Sequence[str | dict[str, Any]]) -> Iterator[str | dict[str, Any]]:
    """The entries of `methods`, with `all` replaced by every method not listed otherwise."""
    names = {entry if isinstance(entry, str) else entry.get("name") for entry in methods}
    for entry in methods:
        if entry == "all":
            yield from (name for name in method_names() if name not in names)
        else:
            yield entry


def _method(entry: str | dict[str, Any]) -> MethodEntry:
    """Raises UserError for a wrong name, setting, label or `config`."""
    if isinstance(entry, str):
        return method_settings(entry), None, {}
    settings = {k: v for k, v in entry.items() if k not in ("label", "config")}
    own = entry.get("config", {})
    if not isinstance(own, dict):
        raise UserError(f"config={own!r} of method {entry.get('name')} should be a mapping")
    label = entry.get("label")
    if label is not None and (not isinstance(label, str) or not label.strip()):
        raise UserError(f"label={label!r} of method {entry.get('name')} should be text")
    return method_settings(settings), label, own


def _applicable(config: dict[str, Any], method: MethodSettings) -> dict[str, Any]:
    """The shared settings that this method's runs have: one without a supernet has fewer."""
    fields = config_type(method).model_fields
    kept = {k: v for k, v in config.items() if k in fields}
    own = kept.get("method")
    if isinstance(own, Mapping):
        kept["method"] = {k: v for k, v in own.items() if k in type(method).model_fields}
    return kept


def _config_keys(config: Mapping[str, Any]) -> list[str]:
    """Dotted names of what a `config` mapping sets. Raises UserError for a dotted key in it."""
    for group in _groups(config):
        for key in group:
            if "." in str(key):
                raise UserError(f"config '{key}': write groups as {nested(str(key), '...')}")
    return _leaves(config)


def _check_keys(where: str, keys: list[str], methods: list[MethodSettings]) -> None:
    """Every key is a setting of at least one of the methods' runs."""
    known = set().union(*(_known_paths(method) for method in methods))
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


def _known_paths(method: MethodSettings) -> set[str]:
    return _paths(config_type(method), "") | _paths(type(method), "method.")


def _paths(kind: type[BaseModel], prefix: str) -> set[str]:
    """Dotted names of all settings in a model, groups left out."""
    found: set[str] = set()
    for name, field in kind.model_fields.items():
        below = group_of(field.annotation)
        if below is not None:
            # `method` stands for another class in each run; its settings are added by the caller.
            found |= set() if name == "method" else _paths(below, f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{name}")
    return found


def _leaves(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            keys += _leaves(value, f"{prefix}{key}.")
        else:
            keys.append(f"{prefix}{key}")
    return keys


def _groups(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _groups(value)
