"""sweep.json and retrain.json: what is to be run, written before anything runs.

The same models write and read them, so folders of this and of earlier versions are read alike: an
entry that an earlier version lacked gets its default here.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from drnas_ray import __version__
from drnas_ray.config import DataSettings, RetrainConfig, RunSettings, first_problem
from drnas_ray.core.distribution import Distribution
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import write_json
from drnas_ray.results.layout import RETRAIN, RETRAIN_FILE, SWEEP_FILE, experiment

SCHEMA_VERSION = 1


class _Entry(BaseModel):
    """Keys that a later version adds are ignored; those that are read are checked."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def to_dict(self) -> dict[str, Any]:
        """Its content as in the file: what was set, without defaults."""
        return self.model_dump(exclude_unset=True)


F = TypeVar("F", bound=_Entry)


class RunEntry(_Entry):
    """One planned run, of sweep.json or of a tuning's journal."""

    run_id: str
    label: str
    method: str
    space: str
    dataset: str
    seed: int
    epochs: int = Field(ge=1)
    variant: dict[str, Any] = {}
    """Its values on the grid's axes."""
    distribution: Distribution | None = None
    """What strengths parametrise; None without strengths, and in files of earlier versions."""
    config: dict[str, Any]
    parent_run_id: str | None = None
    """Population-based training: the run whose state it continues from, after `from_epoch`."""
    from_epoch: int | None = None

    @classmethod
    def of(
        cls,
        config: RunSettings,
        label: str,
        variant: Mapping[str, Any],
        distribution: Distribution | None,
    ) -> RunEntry:
        """The entry of a run with these settings."""
        return cls(
            run_id=config.id(),
            label=label,
            method=config.method.name,
            space=config.space,
            dataset=config.data.label,
            seed=config.seed,
            epochs=config.steps,
            variant=dict(variant),
            distribution=distribution,
            config=config.model_dump(mode="json"),
        )

    def forked(self, run_id: str, parent_run_id: str, from_epoch: int) -> RunEntry:
        """The entry under another id, for a run that continues from the parent's state."""
        more = {"run_id": run_id, "parent_run_id": parent_run_id, "from_epoch": from_epoch}
        return self.model_copy(update=more)


class SweepFile(_Entry):
    """sweep.json: what was to be run, and with which versions."""

    schema_version: Literal[1]
    name: str
    protocol: str
    sweep: dict[str, Any] = {}
    """The settings of the sweep file."""
    versions: dict[str, str | None] = {}
    git_commit: str | None = None
    runs: tuple[RunEntry, ...]
    """Empty for a tuning: its runs are in its journal."""


class _Recipe(_Entry):
    """The part of a RetrainConfig that is read here."""

    genotype: str
    space: str = "nb201"
    data: DataSettings
    seed: int
    epochs: int = Field(ge=1)


class RetrainJob(_Entry):
    """One training from scratch of retrain.json, and the runs whose cell it trains."""

    retrain_id: str
    folder: str = RETRAIN
    """The folder of the experiment that its trial belongs to."""
    config: dict[str, Any]
    run_ids: tuple[str, ...]
    recipe: _Recipe = Field(exclude=True)
    """The config again, typed."""

    @model_validator(mode="before")
    @classmethod
    def _typed(cls, data: Any) -> Any:
        return {**data, "recipe": data.get("config")} if isinstance(data, Mapping) else data


class _RetrainFile(_Entry):
    schema_version: Literal[1]
    jobs: tuple[RetrainJob, ...]


def write_sweep(
    folder: Path, name: str, protocol: str, sweep: Mapping[str, Any], runs: Sequence[RunEntry]
) -> None:
    """Write sweep.json; `sweep` is the sweep's own settings. Raises OSError."""
    file = SweepFile(
        schema_version=SCHEMA_VERSION,
        name=name,
        protocol=protocol,
        sweep=dict(sweep),
        versions=_versions(),
        git_commit=_git_commit(),
        runs=tuple(runs),
    )
    write_json(folder / SWEEP_FILE, file.to_dict())


def load_sweep(results: Path) -> SweepFile:
    """sweep.json of a results folder. Raises UserError if it has none, or a damaged one."""
    path = results / SWEEP_FILE
    if not results.is_dir():
        raise UserError(f"no folder {results}: give the folder that a sweep wrote")
    if not path.is_file():
        raise UserError(f"{results} is not a results folder: it has no {SWEEP_FILE}")
    return _read(path, SweepFile)


def load_retrain(results: Path) -> tuple[RetrainJob, ...]:
    """The jobs of retrain.json, none without that file. Raises UserError if it is damaged."""
    path = results / RETRAIN_FILE
    return _read(path, _RetrainFile).jobs if path.is_file() else ()


def note_retrains(
    out: Path, jobs: Mapping[str, tuple[RetrainConfig, list[str]]]
) -> dict[str, list[str]]:
    """Note in retrain.json which cells are trained for which runs; returns folder -> retrain ids.

    Ids that an earlier call noted stay in the folder they were given; new ones (of runs that failed
    then and are done now) get a folder of their own, because Ray Tune resumes an experiment with
    the trials it began with. Raises UserError where the file is damaged.
    """
    folder_of = {job.retrain_id: job.folder for job in load_retrain(out)}
    names = (experiment(RETRAIN, number) for number in range(len(folder_of) + 1))
    fresh = next(name for name in names if name not in folder_of.values())
    folders: dict[str, list[str]] = {}
    for key in jobs:
        folders.setdefault(folder_of.get(key, fresh), []).append(key)
    entries = [
        RetrainJob.model_validate(
            {
                "retrain_id": key,
                "folder": folder_of.get(key, fresh),
                "config": config.model_dump(mode="json"),
                "run_ids": waiting,
            }
        )
        for key, (config, waiting) in jobs.items()
    ]
    file = _RetrainFile(schema_version=SCHEMA_VERSION, jobs=tuple(entries))
    write_json(out / RETRAIN_FILE, file.to_dict())
    return folders


def _read(path: Path, kind: type[F]) -> F:
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise UserError(f"{path} is damaged: {first_problem(kind, error)}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged, or not the JSON of a sweep: {error}") from error


def _versions() -> dict[str, str | None]:
    return {
        "drnas_ray": __version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "ray": version("ray"),
    }


def _git_commit() -> str | None:
    """The commit of the program's own checkout; None where it was installed without one."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
