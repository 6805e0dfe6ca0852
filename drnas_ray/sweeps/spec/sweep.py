"""What a sweep file says (YAML), read and checked."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from drnas_ray.config import Settings, validated
from drnas_ray.config.overrides import overridden, parse_overrides, parse_seeds
from drnas_ray.core.errors import UserError, unknown_name
from drnas_ray.core.yaml_files import load_yaml
from drnas_ray.sweeps.spec.tuning import TuningSpec


class Resources(Settings):
    """What one trial takes. A GPU share is requested only where the cluster has GPUs.

    retry_oom: how often a trial that ran out of GPU memory gets twice its share of the GPU when it
    is tried again, so that fewer trials share that GPU. gpu_free_mib: a trial starts once its GPU
    has this much free memory, and fails after waiting gpu_wait_s seconds. scale: the cluster adds
    nodes as trials wait for them, so a GPU share is requested whatever nodes there are now; the
    sweep is refused if no node that can hold a trial has come within scale_wait_s.
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
        """Threads of a trial: its whole CPUs, so that concurrent trials do not compete for them."""
        return max(1, int(self.cpu))


class Tracking(Settings):
    """Trackers that trials report to besides the results folder; null: none.

    wandb: a project's name (log in with `wandb login`, or set WANDB_MODE=offline). mlflow: a
    tracking URI, such as sqlite:////tmp/mlflow.db or http://host:5000; experiments are named as
    sweeps.
    """

    wandb: str | None = None
    mlflow: str | None = None


class SweepConfig(Settings):
    """methods x datasets x grid x seeds: each combination is one trial.

    methods: names, or mappings of a method's settings with `name`; a mapping may also hold `label`
    (the row in tables) and `config` (settings of only this method's runs). `all` is every method
    that is not listed by name, with its defaults.
    datasets: names, or mappings of data settings. config: settings of every run.
    protocol: `search`: each data set is searched itself. `transfer`: only one
    is listed and searched, and tables look its cells up on all data sets of a benchmark.
    grid: dotted setting -> values; an axis is left out for methods that have no such setting.
    retrain: recipe for training derived cells from scratch; null trains none.
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
    """How often a trial whose process died is restarted from its newest checkpoint."""
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


def presets() -> dict[str, str]:
    """The sweeps that come with the package: name -> YAML text."""
    folder = files("drnas_ray.sweeps.spec").joinpath("presets")
    return {
        entry.name.removesuffix(".yaml"): entry.read_text()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    }


def load_sweep(source: str, overrides: Iterable[str] = (), seeds: str | None = None) -> SweepConfig:
    """The sweep of a preset's name or a file's path, with `key=value` overrides applied.

    Raises UserError, one line, for a source that is neither and for anything invalid in it.
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
    raw = overridden(raw, parse_overrides(overrides, SweepConfig.model_fields))
    if seeds is not None:
        raw["seeds"] = seeds
    return validated(SweepConfig, raw)


def _parse(text: str, where: str) -> dict[str, Any]:
    raw = load_yaml(text, where)
    if not isinstance(raw, dict):
        raise UserError(f"{where} should map names to values (name:, methods:, datasets:, seeds:)")
    return raw
