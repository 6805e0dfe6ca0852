"""Results folders: what is written down first, whose folder it is, and reading a part of one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sweep_runs import EPOCHS, RUNS, SWEEP, TIMES, reference, rows
from typer.testing import CliRunner

from analysis.records.collect import collect, export
from drnas_ray.cli import app
from drnas_ray.config import validated
from drnas_ray.core.errors import UserError
from drnas_ray.sweeps.folder import check_folder, make_folder
from drnas_ray.sweeps.plan.runs import plan_runs
from drnas_ray.sweeps.ray_tune import session
from drnas_ray.sweeps.ray_tune.session import trial_resources
from drnas_ray.sweeps.ray_tune.snapshot import can_be_restored, forget_decisions
from drnas_ray.sweeps.spec.sweep import Resources, SweepConfig

__all__ = ["reference"]  # a fixture


def sweep_of(**over: Any) -> SweepConfig:
    base = {"name": "s", "methods": ["drnas", "uniform"], "datasets": ["digits"], "seeds": [0, 1]}
    return validated(SweepConfig, {**base, **over})


def made(out: Path, sweep: SweepConfig) -> None:
    make_folder(out, sweep, plan_runs(sweep))


# Whose folder it is ----------------------------------------------------------------------------


def test_sweep_json_says_what_is_planned(tmp_path: Path) -> None:
    sweep = sweep_of(grid={"method.penalty": ["l2", "kl"]})
    made(tmp_path / "deep" / "out", sweep)
    assert [path.name for path in (tmp_path / "deep" / "out").iterdir()] == ["sweep.json"]
    told = json.loads((tmp_path / "deep" / "out" / "sweep.json").read_text())
    assert (told["schema_version"], told["name"], told["protocol"]) == (1, "s", "search")
    assert set(told["versions"]) == {"drnas_ray", "python", "torch", "ray"}
    assert all(told["versions"].values())
    runs = plan_runs(sweep)
    assert [run["run_id"] for run in told["runs"]] == [run.run_id for run in runs]
    assert [run["variant"] for run in told["runs"]] == [run.variant for run in runs]
    assert [run["epochs"] for run in told["runs"]] == [100] * 4 + [1] * 2
    # It can be planned again from what is written there.
    again = plan_runs(validated(SweepConfig, told["sweep"]))
    assert [run.run_id for run in again] == [run.run_id for run in runs]


def test_a_planned_folder_can_be_exported_before_anything_ran(tmp_path: Path) -> None:
    made(tmp_path / "out", sweep_of())
    found = collect(tmp_path / "out")
    assert list(found.runs["status"]) == ["pending"] * 4
    assert (len(found.epochs), len(found.retrains)) == (0, 0)
    assert found.warnings == ()


def test_a_free_folder_is_fine(tmp_path: Path) -> None:
    sweep = sweep_of()
    runs = plan_runs(sweep)
    for resume in (False, True):
        check_folder(tmp_path / "none", sweep, runs, resume=resume)
        check_folder(tmp_path, sweep, runs, resume=resume)  # there, and empty
    assert not list(tmp_path.iterdir())


def test_its_own_folder_only_to_resume(tmp_path: Path) -> None:
    sweep = sweep_of()
    made(tmp_path, sweep)
    check_folder(tmp_path, sweep, plan_runs(sweep), resume=True)
    with pytest.raises(UserError, match="already holds this sweep: add --resume"):
        check_folder(tmp_path, sweep, plan_runs(sweep), resume=False)


@pytest.mark.parametrize(
    ("over", "named"),
    [
        ({"max_concurrent": 1}, "max_concurrent=None, not 1"),
        ({"max_failures": 0}, "max_failures=3, not 0"),
        ({"resources": {"cpu": 2}}, "resources="),
        ({"retrain": {"epochs": 3}}, "retrain="),
        ({"config": {"diagnostics": {"hessian": 2}}}, "diagnostics=.*'hessian': None"),
    ],
)
def test_a_sweep_is_resumed_as_it_was_begun(
    over: dict[str, Any], named: str, tmp_path: Path
) -> None:
    made(tmp_path, sweep_of())
    other = sweep_of(**over)
    with pytest.raises(UserError, match=f"was started with {named}"):
        check_folder(tmp_path, other, plan_runs(other), resume=True)


@pytest.mark.parametrize("text", ["", "[]", '{"jobs": 3}', '{"jobs": [{}]}'])
def test_a_damaged_retrain_json_is_refused_before_anything_runs(text: str, tmp_path: Path) -> None:
    sweep = sweep_of()
    made(tmp_path, sweep)
    (tmp_path / "retrain.json").write_text(text)
    with pytest.raises(UserError, match=r"retrain\.json is damaged"):
        check_folder(tmp_path, sweep, plan_runs(sweep), resume=True)


def test_resuming_leaves_what_was_written_down(tmp_path: Path) -> None:
    made(tmp_path, sweep_of())
    before = (tmp_path / "sweep.json").read_bytes()
    made(tmp_path, sweep_of(max_concurrent=1))
    assert (tmp_path / "sweep.json").read_bytes() == before


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("over", [{"seeds": [0]}, {"seeds": [1, 0]}, {"methods": ["darts"]}])
def test_another_sweeps_folder_is_refused(
    over: dict[str, Any], resume: bool, tmp_path: Path
) -> None:
    made(tmp_path, sweep_of())
    with pytest.raises(UserError, match=r"holds the results of another sweep \(4 runs\)"):
        check_folder(tmp_path, sweep_of(**over), plan_runs(sweep_of(**over)), resume=resume)


@pytest.mark.parametrize("resume", [False, True])
def test_somebody_elses_folder_or_a_file_is_refused(resume: bool, tmp_path: Path) -> None:
    runs = plan_runs(sweep_of())
    (tmp_path / "thesis.tex").write_text("mine")
    for out in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(UserError, match="holds no sweep"):
            check_folder(out, sweep_of(), runs, resume=resume)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"runs": 3}', '{"runs": [{}]}', "\x00"])
def test_a_damaged_sweep_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(UserError, match=r"sweep\.json is damaged"):
        check_folder(tmp_path, sweep_of(), plan_runs(sweep_of()), resume=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/out can't be written: Not a directory"):
        made(tmp_path / "file" / "out", sweep_of())


# What a whole sweep leaves ---------------------------------------------------------------------


def test_the_sweep_trains_equal_cells_once(reference: Path) -> None:
    told = json.loads((reference / "retrain.json").read_text())["jobs"]
    runs = {run["run_id"]: run for run in rows(reference, "runs")}
    assert sorted(key for entry in told for key in entry["run_ids"]) == sorted(runs)
    wanted = {(run["canonical"], run["seed"]) for run in runs.values()}
    assert {(entry["config"]["genotype"], entry["config"]["seed"]) for entry in told} == wanted
    assert len(told) == len(wanted) == len(list((reference / "retrain").glob("*/result.json")))
    # Both values of a setting without effect led to the same cell, under each seed.
    drnas = [run for run in runs.values() if run["method"] == "drnas"]
    for seed in (0, 1):
        same = [run for run in drnas if run["seed"] == seed]
        assert len(same) == 2
        assert len({run["retrain_id"] for run in same}) == 1
        assert len({run["retrain_test_acc_pct"] for run in same}) == 1


def test_runs_carry_variant_epochs_and_figures(reference: Path) -> None:
    runs = rows(reference, "runs", times=True)
    assert [run["method"] for run in runs] == ["drnas"] * 4 + ["darts"] * 2 + ["uniform"] * 2
    variants = [json.loads(run["variant"]) for run in runs]
    assert variants == [
        *[{"method.penalty_scale": scale} for scale in (0.001, 0.001, 0.01, 0.01)],
        *[{}] * 4,
    ]
    assert [run["epochs_done"] for run in runs] == [EPOCHS] * 6 + [1] * 2
    assert [run["seed"] for run in runs] == [0, 1] * 4
    for run in runs:
        assert json.loads(run["config"])["seed"] == run["seed"]
        assert 0 <= run["retrain_test_acc_pct"] <= 100
        assert run["retrain_s"] > 0
        assert run["threads"] == 1
        assert (reference / run["trial_dir"] / "result.json").is_file()


def test_everything_promised_is_there(reference: Path) -> None:
    for name in ("runs.parquet", "epochs.parquet", "retrains.parquet", "table.md", "table.csv"):
        assert (reference / name).stat().st_size > 0
    assert list((reference / "cells").glob("*.svg"))
    assert "uniform cell" in (reference / "table.md").read_text()


def test_search_in_this_process_is_the_same_run(reference: Path, tmp_path: Path) -> None:
    run = next(run for run in rows(reference, "runs") if run["method"] == "drnas" and run["seed"])
    sets = [
        *("--set", "method.penalty=none", "--set", "arch.lr=0.05", "--set", "batch_size=64"),
        *("--set", f"epochs={EPOCHS}", "--set", "supernet={channels: 4, cells: 1}"),
        *("--set", "data.train_images=200"),
    ]
    out = str(tmp_path / "out")
    done = CliRunner().invoke(app, ["search", "drnas", "--seed", "1", "--out", out, *sets])
    assert done.exit_code == 0, done.output
    export(tmp_path / "out")
    (alone,) = rows(tmp_path / "out", "runs")
    assert alone["run_id"] == run["run_id"]
    theirs = [row for row in rows(reference, "epochs") if row["run_id"] == run["run_id"]]
    assert theirs == rows(tmp_path / "out", "epochs")
    assert len(theirs) == EPOCHS


def test_a_cut_folder_can_be_exported(reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "cut"
    shutil.copytree(reference, out)
    ids = [run["run_id"] for run in rows(reference, "runs")]
    folders = {path.name.rpartition("-")[2]: path for path in (out / "search").glob("*-s*-*/")}
    assert set(folders) == set(ids[:-2])  # the uniform runs share a batch
    shutil.rmtree(folders[ids[0]])  # never begun
    lines = (folders[ids[1]] / "result.json").read_text().splitlines(keepends=True)
    (folders[ids[1]] / "result.json").write_text("".join(lines[:3]) + lines[3][:40])  # killed
    (folders[ids[2]] / "result.json").write_text("")  # begun, nothing reported
    for run_id in ids[1:3]:  # the records of all epochs are in the checkpoints too
        for path in folders[run_id].glob("checkpoint_*"):
            shutil.rmtree(path)
    shutil.rmtree(out / "retrain")
    for path in out.glob("*.parquet"):
        path.unlink()
    done = CliRunner().invoke(app, ["export", str(out)])
    assert done.exit_code == 0, done.output
    runs = rows(out, "runs")
    assert len(runs) == RUNS
    statuses = [run["status"] for run in runs]
    assert statuses == ["pending", "running", "pending"] + ["done"] * (RUNS - 3)
    assert [run["epochs_done"] for run in runs] == [0, 3, 0, EPOCHS, EPOCHS, EPOCHS, 1, 1]
    assert {run["retrain_status"] for run in runs if run["status"] == "done"} == {"pending"}
    whole = {(row["run_id"], row["epoch"]): row for row in rows(reference, "epochs")}
    part = rows(out, "epochs")
    assert len(part) == 3 + 3 * EPOCHS + 2
    # The same numbers; nothing is made up for an unfinished run.
    assert all(row == whole[row["run_id"], row["epoch"]] for row in part)
    assert runs[1]["genotype"] == whole[ids[1], 3]["genotype"]


def test_an_export_elsewhere_is_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(reference), "--out", str(tmp_path / "a")])
    assert done.exit_code == 0, done.output
    for kind in TIMES:
        name = f"{kind}.parquet"
        assert (tmp_path / "a" / name).read_bytes() == (reference / name).read_bytes()
        metadata = pq.read_schema(tmp_path / "a" / name).metadata
        assert metadata[b"drnas_ray.schema_version"] == b"3"


def test_the_reference_is_the_sweep_it_says(reference: Path) -> None:
    told = json.loads((reference / "sweep.json").read_text())["sweep"]
    assert told == validated(SweepConfig, SWEEP).model_dump(mode="json")


# What a trial asks for -------------------------------------------------------------------------


def node(alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "wanted", "asked"),
    [
        ([node(CPU=2)], Resources(), {"cpu": 1}),
        ([node(CPU=2)], Resources(cpu=0.5, gpu=0.5), {"cpu": 0.5}),
        ([node(CPU=2, GPU=1)], Resources(cpu=2, gpu=0.5), {"cpu": 2, "gpu": 0.5}),
        ([node(CPU=2, GPU=1)], Resources(gpu=0), {"cpu": 1}),
        ([node(CPU=2), node(CPU=8, GPU=4)], Resources(cpu=4), {"cpu": 4, "gpu": 1}),
        # A GPU that is gone is no GPU.
        ([node(CPU=2), node(alive=False, CPU=8, GPU=4)], Resources(), {"cpu": 1}),
        # A head without CPUs.
        ([node(), node(CPU=4)], Resources(cpu=4), {"cpu": 4}),
    ],
)
def test_a_gpu_share_is_asked_for_only_where_there_are_gpus(
    nodes: list[Any], wanted: Resources, asked: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.ray, "nodes", lambda: nodes)
    assert trial_resources(wanted) == asked


@pytest.mark.parametrize(
    ("nodes", "wanted", "named"),
    [
        ([node(CPU=2)], Resources(cpu=3), ["'cpu': 3", "(2 CPUs, 0 GPUs)"]),
        # Both are there, but on no single node.
        (
            [node(CPU=8), node(CPU=1, GPU=2)],
            Resources(cpu=4),
            ["'cpu': 4", "'gpu': 1", "(8 CPUs, 0 GPUs; 1 CPUs, 2 GPUs)"],
        ),
        ([node(CPU=8, GPU=1)], Resources(gpu=2), ["'gpu': 2", "(8 CPUs, 1 GPUs)"]),
        ([], Resources(), ["'cpu': 1"]),
    ],
)
def test_what_no_node_has_is_refused(
    nodes: list[Any], wanted: Resources, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.ray, "nodes", lambda: nodes)
    with pytest.raises(UserError, match="lower resources") as caught:
        trial_resources(wanted)
    assert all(text in str(caught.value) for text in named), str(caught.value)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def growing(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A head of two CPUs that a GPU node joins after 30 s; the list has what it was asked for."""
    clock, asked = Clock(), []

    def nodes() -> list[Any]:
        return [node(CPU=2)] + ([node(CPU=8, GPU=1)] if clock.now >= 30 else [])

    monkeypatch.setattr(session, "time", clock)
    monkeypatch.setattr(session.ray, "nodes", nodes)
    monkeypatch.setattr(session, "request_resources", lambda *, bundles: asked.append(bundles))
    return asked


def test_a_growing_cluster_is_asked_and_waited_for(growing: list[Any]) -> None:
    assert trial_resources(Resources(gpu=0.5, scale=True, scale_wait_s=60)) == {
        "cpu": 1,
        "gpu": 0.5,
    }
    assert growing == [[{"CPU": 1, "GPU": 0.5}], []]


def test_a_cluster_that_grows_too_late_is_refused(growing: list[Any]) -> None:
    with pytest.raises(UserError, match=r"'gpu': 1.* has \(2 CPUs, 0 GPUs\): .* waited 20 s"):
        trial_resources(Resources(scale=True, scale_wait_s=20))
    assert growing == [[{"CPU": 1, "GPU": 1}], []]


def test_an_interrupted_wait_takes_its_request_back(
    growing: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Clock, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Clock, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trial_resources(Resources(scale=True))
    assert growing == [[{"CPU": 1, "GPU": 1}], []]


def test_a_cluster_that_is_large_enough_is_not_waited_for(growing: list[Any]) -> None:
    assert trial_resources(Resources(gpu=0, scale=True, scale_wait_s=20)) == {"cpu": 1}
    assert growing == []


# Tune's own state ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["experiment_state-*", "basic-variant-state-*", "tuner.pkl"])
def test_a_state_that_was_cut_off_is_not_restored(
    form: str, reference: Path, tmp_path: Path
) -> None:
    shutil.copytree(reference / "search", tmp_path / "search")
    assert can_be_restored(tmp_path / "search")
    (path,) = (tmp_path / "search").glob(form)
    content = path.read_bytes()
    for length in (0, len(content) // 2, len(content) - 2):
        path.write_bytes(content[:length])
        assert not can_be_restored(tmp_path / "search"), length
    path.unlink()
    assert can_be_restored(tmp_path / "search") == (form == "basic-variant-state-*")


def test_a_stop_that_a_failure_left_behind_is_forgotten(reference: Path, tmp_path: Path) -> None:
    # Ray 2.60 keeps it across a resume, and the trial would end one epoch later for good.
    shutil.copytree(reference / "search", tmp_path / "search")
    (path,) = (tmp_path / "search").glob("experiment_state-*.json")
    state = json.loads(path.read_text())
    before = path.read_bytes()
    forget_decisions(tmp_path / "search")
    assert path.read_bytes() == before  # nothing to forget: left as it is
    assert state["runner_data"]["_cached_trial_decisions"] == {}
    spoilt = json.loads(before)
    spoilt["runner_data"]["_cached_trial_decisions"] = {"abc_00000": "STOP"}
    path.write_text(json.dumps(spoilt))
    forget_decisions(tmp_path / "search")
    assert json.loads(path.read_text()) == state
    assert not list((tmp_path / "search").glob(".experiment*"))
