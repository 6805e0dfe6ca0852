"""Finds runs by a results folder, a trial's folder, a run id, or the start of one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.derive.searched_run import NoStrengthsError, Retraining, SearchedRun, searched_run
from analysis.records.schema import read_frame
from drnas_ray.core.errors import UserError
from drnas_ray.results.export_schema import SEARCH_COLUMNS
from drnas_ray.results.layout import PARAMS_FILE, RETRAIN, SEARCH, SWEEP_FILE, export_file
from drnas_ray.results.manifest import RetrainJob, load_retrain, load_sweep
from drnas_ray.results.records import Record, folders_by_id, read_batches, read_record
from drnas_ray.results.trial import read_job

_HELP = "give a results folder, a trial's folder, FOLDER/RUN-ID, or the start of an id"

_FACTS = ("run_id", "label", "method", "space", "seed")


@dataclass(frozen=True)
class FoundRuns:
    """Runs with strengths, and one line per reason why other runs have none.

    folder: the folder that was read, of results or of a single trial.
    """

    folder: Path
    runs: tuple[SearchedRun, ...]
    left_out: tuple[str, ...]


def find_runs(place: Path | str) -> FoundRuns:
    """All runs of a results folder, or the run of a trial's folder or an id.

    A results folder was written by a sweep or a search, or has exported Parquet files. An id may be
    abbreviated; without a folder, it is looked for in all folders under `results`. Raises UserError
    if nothing is found, if an abbreviated id matches several runs, or if no run has strengths.
    """
    place = Path(place)
    folder, wanted = _located(place)
    runs: list[SearchedRun] = []
    reasons: dict[str, list[str]] = {}
    for run_id, run in _read(folder, wanted):
        if isinstance(run, SearchedRun):
            runs.append(run)
        else:
            reasons.setdefault(str(run), []).append(run_id)
    left_out = tuple(
        f"run {ids[0]} {why}" + (f" (and {len(ids) - 1} more runs)" if len(ids) > 1 else "")
        for why, ids in reasons.items()
    )
    if not runs:
        raise UserError(left_out[0] if left_out else f"{folder} has no runs")
    return FoundRuns(folder, tuple(runs), left_out)


def _located(place: Path) -> tuple[Path, str | None]:
    """The folder to read, and the id of the run to take from it, None for all."""
    if _is_results(place):
        return place, None
    if (place / PARAMS_FILE).is_file():
        return _of_trial(place)
    if place.exists():
        raise UserError(f"{place} has no runs: {_HELP}")
    if len(place.parts) > 1:
        if not _is_results(place.parent):
            raise UserError(f"no run at {place}: {_HELP}")
        return place.parent, _only(place.name, [(place.parent, i) for i in _ids(place.parent)])[1]
    under = sorted(folder for folder in Path("results").glob("*") if _is_results(folder))
    return _only(place.name, [(folder, i) for folder in under for i in _ids(folder)])


def _is_results(folder: Path) -> bool:
    return (folder / SWEEP_FILE).is_file() or export_file(folder, "runs").is_file()


def _of_trial(trial: Path) -> tuple[Path, str | None]:
    params = _params(trial)
    results = trial.absolute().parent.parent
    run_id = params["run_id"]
    if (results / SWEEP_FILE).is_file() and run_id in _ids(results):
        return results, run_id
    return trial, run_id


def _params(trial: Path) -> dict[str, Any]:
    """The job of the trial whose folder this is. Raises UserError if it is not a search's."""
    try:
        job = read_job(trial)
        job["run_id"] = str(job["run_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{trial} is not the trial folder of a search ({error!r}): {_HELP}"
        ) from error
    return job


def _ids(folder: Path) -> list[str]:
    if (folder / SWEEP_FILE).is_file():
        return [run.run_id for run in load_sweep(folder).runs]
    return list(read_frame("runs", export_file(folder, "runs"))["run_id"])


def _only(start: str, known: list[tuple[Path, str]]) -> tuple[Path, str]:
    """The run whose id is `start`, or the only one whose id begins with it."""
    fitting = [pair for pair in known if pair[1].startswith(start)]
    exact = [pair for pair in fitting if pair[1] == start]
    chosen = exact or fitting
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise UserError(f"no run or folder '{start}': {_HELP}")
    some = ", ".join(f"{folder / run_id}" for folder, run_id in chosen[:4])
    raise UserError(f"'{start}' matches {len(chosen)} runs ({some}, ...): give more of the id")


def _read(folder: Path, wanted: str | None) -> Iterator[tuple[str, SearchedRun | NoStrengthsError]]:
    """(run id, the run or why it has no strengths) of the wanted run, or of all."""
    if (folder / SWEEP_FILE).is_file():
        rows = _of_sweep(folder, wanted)
    elif export_file(folder, "runs").is_file():
        rows = _of_parquet(folder, wanted)
    else:
        rows = _of_lone_trial(folder)
    for facts, last in rows:
        try:
            yield facts["run_id"], searched_run(facts, last)
        except NoStrengthsError as why:
            yield facts["run_id"], why


_Rows = Iterable[tuple[dict[str, Any], Mapping[str, Any]]]
"""(run_id, label, method, space, seed, data and retrains of a run; its row of an epoch)."""


def _answer(record: Record) -> Mapping[str, Any]:
    """The row of the epoch whose cell is the answer: after an early stop, not the last."""
    return record.answer | {"status": record.status} if record.rows else {}


def _of_sweep(folder: Path, wanted: str | None) -> _Rows:
    jobs = load_retrain(folder)
    retrained, _ = folders_by_id(folder, RETRAIN, "retrain_id")
    trials, _ = folders_by_id(folder, SEARCH, "run_id")
    in_batches, _ = read_batches(folder, SEARCH_COLUMNS)
    for run in load_sweep(folder).runs:
        if wanted not in (None, run.run_id):
            continue
        record = in_batches.get(run.run_id) or read_record(
            trials.get(run.run_id, []), "run_id", run.run_id, SEARCH_COLUMNS
        )
        facts = run.model_dump(include={*_FACTS, "distribution"})
        facts["data"] = run.config.get("data", {})
        facts["retrains"] = tuple(
            _retrained(job, retrained) for job in jobs if run.run_id in job.run_ids
        )
        yield facts, _answer(record)


def _retrained(job: RetrainJob, folders: Mapping[str, list[Path]]) -> Retraining:
    return Retraining(job.retrain_id, job.config, tuple(folders.get(job.retrain_id, ())))


def _of_parquet(folder: Path, wanted: str | None) -> _Rows:
    runs = read_frame("runs", export_file(folder, "runs"))
    epochs = read_frame("epochs", export_file(folder, "epochs")).sort_values("epoch", kind="stable")
    lasts = epochs.drop_duplicates("run_id", keep="last").set_index("run_id")
    # After an early stop, the answer is from an epoch before the last.
    answers = epochs["run_id"].map(lasts["answer_epoch"])
    stopped = epochs[epochs["epoch"] == answers].set_index("run_id")
    rows = pd.concat([lasts.drop(index=stopped.index), stopped])
    for row in runs.to_dict("records"):
        if wanted not in (None, row["run_id"]):
            continue
        facts = {name: row[name] for name in _FACTS} | {"distribution": row.get("distribution")}
        facts["data"] = json.loads(row["config"]).get("data", {})
        known = row["run_id"] in rows.index
        yield facts, _plain(rows.loc[row["run_id"]]) | {"status": row["status"]} if known else {}


def _plain(row: pd.Series[Any]) -> dict[str, Any]:
    """A row of epochs.parquet as in a trial's own file: lists, and None for null."""
    strengths, genotype = row["strengths"], row["genotype"]
    return {
        "epoch": row["epoch"],
        "genotype": genotype if isinstance(genotype, str) else None,
        "strengths": None
        if strengths is None
        else [[list(ops) for ops in edges] for edges in strengths],
    }


def _of_lone_trial(trial: Path) -> _Rows:
    """A single trial's folder without its sweep: settings come from params.json."""
    job = _params(trial)
    settings = job.get("settings", {})
    try:
        name = str(settings["method"]["name"])
        facts = {
            "run_id": job["run_id"],
            "label": name,
            "method": name,
            "space": settings["space"],
            "seed": settings["seed"],
            "data": settings["data"],
        }
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{trial} is not the trial folder of a search ({error!r}): {_HELP}"
        ) from error
    yield facts, _answer(read_record([trial], "run_id", job["run_id"], SEARCH_COLUMNS))
