"""From a sweep to its runs: every combination once, all checked before any trial starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from drnas_ray.config import DataSettings, MethodSettings, RunSettings, merged, nested
from drnas_ray.core.distribution import Distribution
from drnas_ray.core.errors import UserError
from drnas_ray.methods.base import Method
from drnas_ray.parsing import method_class, method_names, method_settings, run_config
from drnas_ray.results.manifest import RunEntry
from drnas_ray.sweeps.plan.keys import applicable, check_keys, config_keys, known_paths
from drnas_ray.sweeps.spec.sweep import SweepConfig

MethodEntry = tuple[MethodSettings, str | None, dict[str, Any]]
"""A method of a sweep file: its settings, its label if given, its runs' own settings."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep. variant: the grid values that it has."""

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
        """How many steps it takes."""
        return self.config.steps

    @property
    def short(self) -> bool:
        """One step of milliseconds: not worth a trial of its own."""
        return self.epochs == 1 and not self.config.needs_images

    @property
    def entry(self) -> RunEntry:
        """Its entry in the results folder."""
        return RunEntry.of(self.config, self.label, self.variant, self.distribution)

    @property
    def folder(self) -> str:
        """A readable, unique folder name."""
        config = self.config
        return f"{config.method.name}-{config.data.name}-s{config.seed}-{self.run_id}"


def plan_runs(sweep: SweepConfig, axes: str = "grid over") -> list[PlannedRun]:
    """All runs in the order method, data set, grid, seed.

    axes: the grid's name in errors. Raises UserError for the first invalid run.
    """
    _check_protocol(sweep)
    methods = [_method(entry) for entry in _listed(sweep.methods)]
    every = [settings for settings, _, _ in methods]
    check_keys("config", config_keys(sweep.config), every)
    check_keys(axes, list(sweep.grid), every)
    for settings, _, own in methods:
        check_keys(f"config of method {settings.name}:", config_keys(own), [settings])
    runs = [
        _run(sweep, entry, dataset, values, seed)
        for entry, dataset in product(methods, sweep.datasets)
        for values, seed in product(_grid(sweep, entry[0]), sweep.seeds)
    ]
    _check_distinct(runs)
    return runs


def _check_protocol(sweep: SweepConfig) -> None:
    """Raise UserError for a transfer whose cells could not be looked up elsewhere."""
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
    """The grid's points, without axes of settings that the method's runs do not have."""
    axes = {k: v for k, v in sweep.grid.items() if k in known_paths(method)}
    return (dict(zip(axes, values, strict=True)) for values in product(*axes.values()))


def _run(
    sweep: SweepConfig,
    entry: MethodEntry,
    dataset: str | dict[str, Any],
    variant: dict[str, Any],
    seed: int,
) -> PlannedRun:
    """One combination. A method's own settings override the sweep's, the grid's override both."""
    settings, label, own = entry
    data = dataset if isinstance(dataset, Mapping) else {"name": dataset}
    if "name" not in data:
        raise UserError(f"data set {dict(data)} has no name: give one, such as name: digits")
    shared = merged(applicable(sweep.config, settings), own)
    method: dict[str, Any] = settings.model_dump(exclude_unset=True)
    method |= {"name": settings.name, **shared.get("method", {})}
    raw = merged(shared, {"data": data, "seed": seed, "method": method})
    for key, value in variant.items():
        raw = merged(raw, nested(key, value))
    config = run_config(raw)
    return PlannedRun(label or config.label, variant, config)


def _check_distinct(runs: list[PlannedRun]) -> None:
    """Raise UserError where two runs are equal, or would share a cell of the table."""
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


def _listed(methods: Sequence[str | dict[str, Any]]) -> Iterator[str | dict[str, Any]]:
    """The entries of `methods`, with `all` replaced by every method that is not listed by name."""
    names = {entry if isinstance(entry, str) else entry.get("name") for entry in methods}
    for entry in methods:
        if entry == "all":
            yield from (name for name in method_names() if name not in names)
        else:
            yield entry


def _method(entry: str | dict[str, Any]) -> MethodEntry:
    """Raises UserError for an invalid name, setting, label or `config`."""
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
