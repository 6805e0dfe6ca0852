"""A sweep's results folder: what was planned is written down before anything runs.

sweep.json              the sweep, its runs, versions, commit
points.jsonl            of a tuning: its points and their runs, known only as it goes (ledger.py)
search/, retrain/       Ray Tune's own folders: params.json, result.json, checkpoints a trial
packed/                 the same for short runs, a hundred a trial
retrain.json            which cells are trained from scratch, and for which runs
*.parquet, table.*      what `drnas export` and `drnas table` make of them
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from drnas_ray import __version__
from drnas_ray.config import RetrainConfig
from drnas_ray.core.errors import UserError
from drnas_ray.sweeps.plan.runs import PlannedRun
from drnas_ray.sweeps.spec.sweep import SweepConfig

SCHEMA_VERSION = 1
MANIFEST = "sweep.json"


def write_json(path: Path, content: Any) -> None:
    """Write aside and rename: `path` is the old file or the new one, never half."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    aside.replace(path)


def check_folder(out: Path, sweep: SweepConfig, runs: list[PlannedRun], *, resume: bool) -> None:
    """See that the folder is free, or holds this very sweep and is to be resumed.

    Raises UserError where it holds another sweep, this one without `resume`, or is damaged. Ray
    Tune goes on with the resources and limits a sweep began with, so other ones are refused.
    """
    path = out / MANIFEST
    if path.exists():
        stored = _stored(path)
        if [run["run_id"] for run in stored["runs"]] != [run.run_id for run in runs]:
            raise UserError(
                f"{out} holds the results of another sweep ({len(stored['runs'])} runs): name "
                "another folder with --out"
            )
        now = sweep.model_dump(mode="json")
        fixed = ["protocol", "retrain", "resources", "max_concurrent", "max_failures", "track"]
        if sweep.search is not None:
            # Its runs are not listed, so what they follow from is compared instead.
            fixed += ["methods", "datasets", "seeds", "config", "search"]
            now["search"].pop("trials")  # more of them may be asked for later
            (stored["sweep"].get("search") or {}).pop("trials", None)
        for key in fixed:
            if stored["sweep"].get(key) != now[key]:
                raise UserError(
                    f"{out} was begun with {key}={stored['sweep'].get(key)}, not {now[key]}: "
                    "resume with the same, or name another folder with --out"
                )
        _same_diagnostics(out, stored, runs)
        _noted_retrains(out)
        if not resume:
            raise UserError(f"{out} already holds this sweep: go on with --resume, or name another")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty and holds no sweep: name another folder with --out")


def _same_diagnostics(out: Path, stored: dict[str, Any], runs: list[PlannedRun]) -> None:
    """Raise UserError where runs were begun with others: no part of a run's id shows them."""
    for entry, run in zip(stored["runs"], runs, strict=True):
        begun = (entry.get("config") or {}).get("diagnostics")
        now = run.config.model_dump(mode="json").get("diagnostics")
        if begun is not None and begun != now:
            raise UserError(
                f"{out} was begun with diagnostics={begun}, not {now}: resume with the same, or "
                "name another folder with --out"
            )


def make_folder(out: Path, sweep: SweepConfig, runs: list[PlannedRun]) -> None:
    """Write down what is planned, once. Raises UserError where the folder can't be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / MANIFEST).exists():
            write_json(out / MANIFEST, manifest(sweep, runs))
    except OSError as error:
        raise UserError(f"{out} can't be written: {error.strerror}") from error


def _stored(path: Path) -> dict[str, Any]:
    """What `sweep.json` says. Raises UserError where it is damaged."""
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        if not all(isinstance(run["run_id"], str) for run in stored["runs"]):
            raise TypeError("a run_id is no text")
        stored["sweep"].get("retrain")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged, it lists no runs ({error}): name another") from error
    return stored


def _noted_retrains(out: Path) -> dict[str, str]:
    """retrain id -> folder, of `retrain.json` if there is one. Raises UserError if damaged."""
    path = out / "retrain.json"
    if not path.exists():
        return {}
    try:
        return {job["retrain_id"]: job["folder"] for job in json.loads(path.read_text())["jobs"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): delete it to retrain anew") from error


def manifest(sweep: SweepConfig, runs: list[PlannedRun]) -> dict[str, Any]:
    """What `sweep.json` says."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": sweep.name,
        "protocol": sweep.protocol,
        "sweep": sweep.model_dump(mode="json"),
        "versions": {
            "drnas_ray": __version__,
            "python": platform.python_version(),
            "torch": version("torch"),
            "ray": version("ray"),
        },
        "git_commit": _git_commit(),
        "runs": [run_entry(run) for run in runs],
    }


def run_entry(run: PlannedRun) -> dict[str, Any]:
    """What `sweep.json`, or a tuning's `points.jsonl`, says of a run."""
    return {
        "run_id": run.run_id,
        "label": run.label,
        "method": run.config.method.name,
        "space": run.config.space,
        "dataset": run.config.data.label,
        "seed": run.config.seed,
        "epochs": run.epochs,
        "variant": run.variant,
        "distribution": run.distribution,
        "config": run.config.model_dump(mode="json"),
    }


def note_retrains(
    out: Path, jobs: Mapping[str, tuple[RetrainConfig, list[str]]]
) -> dict[str, list[str]]:
    """Note in `retrain.json` which cells are trained, and for which runs; folder -> retrain ids.

    Ids that an earlier call noted stay in the folder they were given; new ones (of runs that
    failed then and are done now) get a folder of their own, for an experiment of Ray Tune's is
    resumed with the trials it began with.
    """
    folder_of = _noted_retrains(out)
    names = ("retrain", *(f"retrain-{number}" for number in range(1, len(folder_of) + 2)))
    fresh = next(name for name in names if name not in folder_of.values())
    folders: dict[str, list[str]] = {}
    for key in jobs:
        folders.setdefault(folder_of.get(key, fresh), []).append(key)
    entries = [
        {
            "retrain_id": key,
            "folder": folder_of.get(key, fresh),
            "config": config.model_dump(mode="json"),
            "run_ids": waiting,
        }
        for key, (config, waiting) in jobs.items()
    ]
    write_json(out / "retrain.json", {"schema_version": SCHEMA_VERSION, "jobs": entries})
    return folders


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
