"""Folders and exports that the version before wrote are read, and say the same numbers.

`tests/previous_version` holds a sweep with retrainings and a batch of short runs, and a tuning,
each with the export that its own version made of it.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from analysis.derive.find_runs import find_runs
from analysis.progress.status import sweep_progress
from analysis.records.collect import Collected, collect, export
from analysis.records.load import load
from analysis.report import render
from analysis.tables.comparison import table, to_csv
from analysis.tuning.results import best, tunings
from drnas_ray.cli import app
from drnas_ray.parsing import run_config, validated
from drnas_ray.results.journal import Journal, PointStatus
from drnas_ray.results.manifest import load_retrain, load_sweep
from drnas_ray.sweeps.folder import check_folder
from drnas_ray.sweeps.plan.runs import plan_runs
from drnas_ray.sweeps.spec.sweep import SweepConfig

pytestmark = pytest.mark.long

KEPT = Path(__file__).resolve().parents[1] / "previous_version"
KINDS = ("runs", "epochs", "retrains")


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


@pytest.fixture(params=["sweep", "tuning"])
def folder(request: pytest.FixtureRequest) -> Path:
    return KEPT / str(request.param)


@pytest.fixture
def alone(folder: Path, tmp_path: Path) -> Path:
    """Only the export."""
    for kind in KINDS:
        shutil.copy(folder / f"{kind}.parquet", tmp_path)
    return tmp_path


def test_an_export_made_now_says_what_the_kept_one_says(folder: Path, tmp_path: Path) -> None:
    exported = export(folder, tmp_path)
    assert exported.warnings == ()
    for kind, path in zip(KINDS, exported.paths, strict=True):
        kept = rows(folder / f"{kind}.parquet")
        now = [{name: row[name] for name in kept[0]} for row in rows(path)] if kept else rows(path)
        assert now == kept, kind


def test_the_kept_export_is_of_the_schema_before(folder: Path) -> None:
    for kind in KINDS:
        metadata = pq.read_schema(folder / f"{kind}.parquet").metadata
        assert metadata[b"drnas_ray.schema_version"] == b"2"


def test_an_export_alone_is_loaded_as_its_trials_are(folder: Path, alone: Path) -> None:
    trials, exported = collect(folder), load([alone])
    for one, other in zip(frames(trials), frames(exported), strict=True):
        pd.testing.assert_frame_equal(one, other.drop(columns="sweep"))


def frames(collected: Collected) -> tuple[pd.DataFrame, ...]:
    return collected.runs, collected.epochs, collected.retrains


def test_the_table_has_the_same_numbers() -> None:
    def read(text: str) -> pd.DataFrame:
        return pd.read_csv(io.StringIO(text)).drop(columns=["source", "note"])

    kept = read((KEPT / "sweep" / "table.csv").read_text())
    made = read(to_csv(table(load([KEPT / "sweep"]).runs)))
    pd.testing.assert_frame_equal(made[list(kept.columns)], kept)


def test_status_counts_every_run(folder: Path) -> None:
    found = sweep_progress(load([folder]))
    kept = [row["status"] for kind in ("runs", "retrains") for row in rows_of(folder, kind)]
    for name in ("done", "stopped", "diverged", "error", "running", "pending"):
        assert found.groups[name].sum() == kept.count(name)
    assert found.errors == ()
    told = CliRunner().invoke(app, ["status", str(folder), "--json"])
    assert told.exit_code == 0 and json.loads(told.stdout)["warnings"] == []


def rows_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    return rows(folder / f"{kind}.parquet")


def test_cells_can_be_derived_from_the_trials_and_from_the_export(tmp_path: Path) -> None:
    for kind in KINDS:
        shutil.copy(KEPT / "sweep" / f"{kind}.parquet", tmp_path)
    by_trials, by_export = find_runs(KEPT / "sweep"), find_runs(tmp_path)
    kept = {row["run_id"]: row for row in rows_of(KEPT / "sweep", "runs")}
    last = {row["run_id"]: row for row in rows_of(KEPT / "sweep", "epochs")}
    assert [run.run_id for run in by_trials.runs] == [run.run_id for run in by_export.runs]
    for found in (by_trials, by_export):
        for run in found.runs:
            assert run.strengths.tolist() == last[run.run_id]["strengths"]
            assert (run.genotype, run.ended) == (kept[run.run_id]["genotype"], True)
    for run in by_trials.runs:
        job = run.retraining(kept[run.run_id]["canonical"])
        assert job is not None and job.retrain_id == kept[run.run_id]["retrain_id"]
        assert len(job.folders) == 1
    assert len(by_trials.left_out) == 1  # the uniform cells have no strengths


def test_the_journal_says_what_its_lines_say() -> None:
    path = KEPT / "tuning" / "points.jsonl"
    before = path.read_bytes()
    lines = [json.loads(line) for line in before.decode().splitlines()]
    points = Journal(path).points
    asked = [line for line in lines if "values" in line]
    assert [point.values for point in points] == [line["values"] for line in asked]
    assert [[run.to_dict() for run in point.runs] for point in points] == [
        line["runs"] for line in asked
    ]
    ended = {line["point"]: line["status"] for line in lines if "status" in line}
    assert {point.number: point.status for point in points} == ended
    assert {point.status for point in points} == {PointStatus.done, PointStatus.stopped}
    curves: list[dict[int, float]] = [{} for _ in points]
    for line in lines:
        if "epoch" in line:
            curves[line["point"]][line["epoch"]] = line["objective"]
    assert [point.curve for point in points] == curves
    assert path.read_bytes() == before


def test_a_tuning_has_its_points() -> None:
    (tuned,) = tunings(load([KEPT / "tuning"]).runs)
    kept = pd.DataFrame(rows_of(KEPT / "tuning", "runs"))
    points = kept.groupby("point").first()
    assert tuned.points["objective"].tolist() == points["objective"].tolist()
    (first,) = best(tuned, 1).to_dict("records")
    done = points[points["status"] == "done"]
    assert first["objective"] == done["objective"].max()


def test_the_report_shows_every_run(folder: Path) -> None:
    page = render(load([folder]))
    for row in rows_of(folder, "runs"):
        assert row["run_id"] in page
    for row in rows_of(folder, "retrains"):
        assert f"{row['test_acc_pct']:.2f}" in page


def test_the_manifests_are_read_whole(folder: Path) -> None:
    told = json.loads((folder / "sweep.json").read_text())
    assert load_sweep(folder).to_dict() == {**told, "runs": tuple(told["runs"])}
    jobs = load_retrain(folder)
    if (folder / "retrain.json").exists():
        noted = json.loads((folder / "retrain.json").read_text())["jobs"]
        assert [{**job.to_dict(), "run_ids": list(job.run_ids)} for job in jobs] == noted


def test_the_sweep_can_be_resumed_under_the_same_ids() -> None:
    stored = load_sweep(KEPT / "sweep")
    sweep = validated(SweepConfig, stored.sweep)
    runs = plan_runs(sweep)
    check_folder(KEPT / "sweep", sweep, runs, resume=True)
    for run, was in zip(runs, stored.runs, strict=True):
        written = run.entry.to_dict()
        written.pop("distribution")  # not written down then
        assert written == was.to_dict()
    assert [run_config(run.config).id() for run in stored.runs] == [r.run_id for r in stored.runs]
