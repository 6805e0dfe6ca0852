"""One row of runs.parquet or retrains.parquet, from what was planned and what was reported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drnas_ray.core.errors import UserError
from drnas_ray.results.journal import Point
from drnas_ray.results.manifest import RetrainJob, RunEntry, SweepFile
from drnas_ray.results.metrics import METRICS, How, Metric, Summary
from drnas_ray.results.records import Record
from drnas_ray.results.status import ENDED, Status
from drnas_ray.results.trial import Row
from drnas_ray.spaces import SPACES
from drnas_ray.spaces.nb201 import NB201


def _json_text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def cell_columns(space_name: str, genotype: str | None) -> Row:
    """canonical, arch_index (nb201 only) and skip_count of a genotype.

    Empty without a genotype or where this version does not know the space. Raises UserError if
    the genotype is not in the space.
    """
    space = SPACES.get(space_name)
    if space is None or genotype is None:
        return {}
    row: Row = {
        "canonical": space.canonical(genotype),
        "skip_count": space.op_count(genotype, space.skip_op),
    }
    if isinstance(space, NB201):
        row["arch_index"] = space.index(genotype)
    return row


def _trial_columns(results: Path, record: Record) -> Row:
    """The columns that runs and retrainings share."""
    last = record.last
    finished = record.status in ENDED
    return {
        "status": record.status,
        "epochs_done": last.get("epoch", 0),
        "device": last.get("device"),
        "threads": last.get("threads"),
        "host": last.get("host"),
        "error": record.error,
        "trial_dir": record.folder and record.folder.relative_to(results).as_posix(),
        "finished_unix_s": last.get("reported_unix_s") if finished else None,
    }


def summed_up(record: Record, summaries: Iterable[tuple[Metric, Summary | None]]) -> Row:
    """One value for all epochs, for each metric with a summary."""
    return {
        how.name or metric.name: _summary(record, metric.name, how.how)
        for metric, how in summaries
        if how is not None
    }


def _summary(record: Record, name: str, how: How) -> Any:
    match how:
        case "last":
            return record.last.get(name)
        case "answer":
            return record.answer.get(name)
        case "done":
            return record.last.get(name) if record.status == Status.done else None
        case "max":
            return max((row[name] for row in record.rows if row[name] is not None), default=None)
        case "sum":
            return record.total(name)


def retrain_row(results: Path, job: RetrainJob, record: Record) -> Row:
    """The row of a job; its accuracies and losses are None until it is done."""
    recipe = job.recipe
    return {
        "retrain_id": job.retrain_id,
        "genotype": recipe.genotype,
        "space": recipe.space,
        "dataset": recipe.data.label,
        "seed": recipe.seed,
        "config": _json_text(job.config),
        "run_ids": list(job.run_ids),
        "epochs_total": recipe.epochs,
        **summed_up(record, ((metric, metric.in_retrains) for metric in METRICS)),
        **_trial_columns(results, record),
    }


def run_row(
    results: Path, sweep: SweepFile, entry: RunEntry, record: Record, point: Point | None = None
) -> Row:
    """The row of a run, without its retraining. Raises UserError if its genotype is invalid.

    point: the one that the run belongs to, in a tuning.
    """
    last = record.last
    versions = ("drnas_ray", "python", "torch", "ray")
    return {
        "run_id": entry.run_id,
        "label": entry.label,
        "method": entry.method,
        "space": entry.space,
        "dataset": entry.dataset,
        "protocol": sweep.protocol,
        "seed": entry.seed,
        "variant": _json_text(entry.variant),
        "config": _json_text(entry.config),
        "parent_run_id": entry.parent_run_id,
        "from_epoch": entry.from_epoch,
        # A failure before the first checkpoint leaves no trace in the records.
        "restarts": max(last.get("restarts") or 0, record.restarts),
        "epochs_total": entry.epochs,
        "distribution": entry.distribution,
        **summed_up(record, ((metric, metric.in_runs) for metric in METRICS)),
        **{f"{name}_version": sweep.versions.get(name) for name in versions},
        "git_commit": sweep.git_commit,
        **_trial_columns(results, record),
        **cell_columns(entry.space, last.get("genotype")),
        **({} if point is None else _point_columns(sweep, point)),
    }


def _point_columns(sweep: SweepFile, point: Point) -> Row:
    return {
        "point": point.number,
        "objective": point.objective,
        "tuning": _json_text(sweep.sweep.get("search") or {}),
    }


def _images(row: Row) -> tuple[str | None, str | None]:
    """Name and path of a row's data set; augmentation may differ between search and retraining."""
    data = json.loads(row["config"]).get("data", {})
    return data.get("name"), data.get("path")


def _same_cell(run: Row, job: Row) -> bool:
    """Whether the job trains this run's cell on this run's data set."""
    if run["space"] != job["space"] or _images(run) != _images(job):
        return False
    try:
        canonical = cell_columns(job["space"], job["genotype"]).get("canonical", job["genotype"])
    except UserError:
        return False
    return bool(canonical == run.get("canonical", run["genotype"]))


def retrain_columns(run: Row, jobs: Sequence[Row]) -> tuple[Row, list[str]]:
    """The retrain_* columns of a run and warnings; `jobs` are retrain rows that name the run.

    The first job that trains the run's own cell on its own data set counts: accuracies on another
    data set, or of a cell that the run no longer derives, do not belong to it.
    """
    if not jobs:
        return {}, []
    fitting = [job for job in jobs if _same_cell(run, job)]
    warnings = []
    if len(fitting) < len(jobs):
        bad = next(job["retrain_id"] for job in jobs if job not in fitting)
        warnings.append(
            f"run {run['run_id']}: retraining {bad} trains another cell or data set: not joined"
        )
    if not fitting:
        return {}, warnings
    if len(fitting) > 1:
        warnings.append(
            f"run {run['run_id']} has {len(fitting)} retrainings: {fitting[0]['retrain_id']} counts"
        )
    job = fitting[0]
    return {
        "retrain_id": job["retrain_id"],
        "retrain_status": job["status"],
        "retrain_epochs": job["epochs_total"],
        "retrain_train_acc_pct": job["train_acc_pct"],
        "retrain_test_acc_pct": job["test_acc_pct"],
        "retrain_params_m": job["params_m"],
        "retrain_s": job["retrain_s"],
    }, warnings
