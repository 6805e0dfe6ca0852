"""The files that a sweep leaves beside Tune's own: sweep.json, retrain.json, trial folders.

Those of a tuning's points are read by `analysis.records.points`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drnas_ray.config import DataSettings
from drnas_ray.core.distribution import Distribution
from drnas_ray.core.errors import UserError


class _File(BaseModel):
    """Keys that a later version adds are none of our business; those we read are checked."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RunEntry(_File):
    """One planned run of sweep.json."""

    run_id: str
    label: str
    method: str
    space: str
    dataset: str
    seed: int
    epochs: int = Field(ge=1)
    variant: dict[str, Any] = {}
    distribution: Distribution | None = None
    """What strengths parametrise; None without strengths, and in files of earlier versions."""
    config: dict[str, Any]
    parent_run_id: str | None = None
    from_epoch: int | None = None


class SweepFile(_File):
    """sweep.json: what was to be run, and with which versions."""

    schema_version: Literal[1]
    name: str
    protocol: str
    versions: dict[str, str | None] = {}
    git_commit: str | None = None
    sweep: dict[str, Any] = {}
    runs: tuple[RunEntry, ...]


class _Recipe(_File):
    """What we read of a RetrainConfig."""

    genotype: str
    space: str = "nb201"
    data: DataSettings
    seed: int
    epochs: int = Field(ge=1)


class RetrainJob(_File):
    """One training from scratch of retrain.json, and the runs whose cell it trains."""

    retrain_id: str
    config: dict[str, Any]
    run_ids: tuple[str, ...]
    recipe: _Recipe


class _RetrainFile(_File):
    schema_version: Literal[1]
    jobs: tuple[RetrainJob, ...]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise UserError(f"{path} can't be read ({err}): it must be the JSON of a sweep") from err


def _first_problem(path: Path, err: ValidationError) -> UserError:
    problem = err.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    value = problem["input"]
    got = "" if isinstance(value, dict | list) else f", got {value!r}"
    return UserError(f"{path}: {place}: {problem['msg']}{got}")


def load_sweep(results: Path) -> SweepFile:
    """sweep.json of a results folder. Raises UserError if it is no such folder, or damaged."""
    path = results / "sweep.json"
    if not results.is_dir():
        raise UserError(f"no folder {results}: give the folder that a sweep wrote")
    if not path.is_file():
        raise UserError(f"{results} is no results folder: it has no sweep.json")
    try:
        return SweepFile.model_validate(_json(path))
    except ValidationError as err:
        raise _first_problem(path, err) from err


def load_retrain(results: Path) -> tuple[RetrainJob, ...]:
    """The jobs of retrain.json, none without that file. Raises UserError if it is damaged."""
    path = results / "retrain.json"
    if not path.is_file():
        return ()
    data = _json(path)
    jobs = data.get("jobs") if isinstance(data, dict) else None
    for job in jobs if isinstance(jobs, list) else ():
        if isinstance(job, dict):  # the same object twice: once typed, once kept as it is
            job["recipe"] = job.get("config")
    try:
        return _RetrainFile.model_validate(data).jobs
    except ValidationError as err:
        raise _first_problem(path, err) from err


def trial_folders(results: Path, kind: str, key: str) -> tuple[dict[str, list[Path]], list[str]]:
    """The trial folders of a kind, by the id that their params.json has under `job.key`.

    kind: `search` or `retrain`; a resumed sweep may have `retrain-1` and so on beside `retrain`.

    A folder without params.json holds no trial; one that can't be read gives a warning.
    """
    found: dict[str, list[Path]] = {}
    warnings: list[str] = []
    for folder in sorted([*results.glob(f"{kind}/*"), *results.glob(f"{kind}-*/*")]):
        path = folder / "params.json"
        if not path.is_file():
            continue
        try:
            params = json.loads(path.read_text(encoding="utf-8"))
            # A trial of a tuning holds several runs.
            for job in params["job"].get("runs", [params["job"]]):
                found.setdefault(str(job[key]), []).append(folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            warnings.append(
                f"{folder.parent.name}/{folder.name}: no {key} in its params.json: left out"
            )
    return found, warnings
