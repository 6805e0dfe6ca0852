from __future__ import annotations

import json
import math

import pyarrow.parquet as pq
import pytest

from analysis.records import schema
from analysis.records.collect import collect, export, read_runs
from drnas_ray.core.errors import UserError
from drnas_ray.spaces import SPACES


def by_id(frame, key="run_id"):
    return {row[key]: row for row in frame.to_dict("records")}


def test_every_status(mixed):
    got = collect(mixed.write())
    status = {key: row["status"] for key, row in by_id(got.runs).items()}
    assert status == {
        "d0": "done",
        "d1": "done",
        "d2": "done",
        "d3": "pending",
        "a0": "done",
        "a1": "diverged",
        "a2": "error",
        "a3": "running",
    }
    assert list(got.runs["run_id"]) == [run["run_id"] for run in mixed.runs]
    assert got.warnings == ()


def test_run_columns(mixed):
    runs = by_id(collect(mixed.write()).runs)
    row = runs["d1"]
    assert (row["label"], row["method"], row["seed"]) == ("DrNAS", "drnas", 1)
    assert (row["epochs_done"], row["epochs_total"]) == (3, 3)
    assert row["arch_index"] == 9930
    assert row["canonical"] == SPACES["nb201"].canonical(SPACES["nb201"].cell(9930))
    assert row["skip_count"] == 1
    assert (row["val_acc_pct"], row["val_mean_acc_pct"]) == (43.0, 44.0)
    assert row["entropy_nats"] == pytest.approx(1.6 / 3)
    assert row["search_s"] == pytest.approx(3 * 1.5 + (1 + 2 + 3) / 8)
    assert math.isnan(row["gpu_peak_mib"])
    assert (row["device"], row["threads"], row["host"]) == ("cpu (fake)", 2, "box")
    assert (row["torch_version"], row["git_commit"]) == ("2.9", "abc")
    assert row["trial_dir"] == "search/search_d1"
    assert json.loads(row["config"])["seed"] == 1
    assert runs["a2"]["error"] == "x: out of memory"
    assert runs["d3"]["epochs_done"] == 0
    assert runs["a0"]["finished_unix_s"] > runs["d0"]["finished_unix_s"]
    assert math.isnan(runs["a3"]["finished_unix_s"])


def test_repeated_epochs_keep_the_last_row(mixed):
    got = collect(mixed.write())
    rows = got.epochs[got.epochs["run_id"] == "a3"]
    assert list(rows["epoch"]) == [1, 2]
    assert list(rows["val_acc_pct"]) == [41.0, 12.5]
    assert by_id(got.runs)["a3"]["arch_index"] == 77
    assert len(got.epochs) == 4 * 3 + 2 + 1 + 2


def test_diverged_rows_keep_nan_and_inf(mixed, tmp_path):
    path = export(mixed.write(), tmp_path / "out").epochs
    rows = [row for row in pq.read_table(path).to_pylist() if row["run_id"] == "a1"]
    assert math.isnan(rows[1]["train_loss"])
    assert rows[1]["val_loss"] == math.inf
    assert rows[1]["strengths"][0][5][4] == pytest.approx(0.4 + 5 + 2)


def test_retrainings_are_shared_and_only_done_ones_have_figures(mixed):
    mixed.complete("d4", cell=500, seed=4)
    mixed.job("r3", ["d4"], cell=500, epochs=5)
    mixed.trial("r3", [mixed.retrain_line("r3", 1, 88.0)], kind="retrain", name="r3")
    mixed.job("r4", [], cell=501)
    got = collect(mixed.write())
    runs, jobs = by_id(got.runs), by_id(got.retrains, "retrain_id")
    assert runs["d0"]["retrain_id"] == runs["d1"]["retrain_id"] == "r0"
    assert runs["d1"]["retrain_test_acc_pct"] == 97.25
    assert runs["d1"]["retrain_s"] == 4.5
    assert runs["d1"]["retrain_params_m"] == 1.25
    assert (runs["d4"]["retrain_status"], runs["d4"]["retrain_epochs"]) == ("running", 5)
    assert math.isnan(runs["d4"]["retrain_test_acc_pct"])
    assert (jobs["r3"]["epochs_done"], jobs["r3"]["epochs_total"]) == (1, 5)
    assert math.isnan(jobs["r3"]["test_acc_pct"])
    assert jobs["r4"]["status"] == "pending"
    assert jobs["r0"]["test_acc_pct"] == 97.25
    assert list(jobs["r0"]["run_ids"]) == ["d0", "d1"]


@pytest.mark.parametrize("wrong", ["cell", "dataset"])
def test_a_retraining_of_something_else_is_not_joined(fake, wrong):
    fake.complete("d0")
    other = {"cell": {"cell": 500}, "dataset": {"dataset": "cifar10"}}[wrong]
    fake.retrained("r0", ["d0"], 97.0, **other)
    got = collect(fake.write())
    assert by_id(got.runs)["d0"]["retrain_id"] is None or got.runs["retrain_id"].isna().all()
    assert got.runs["retrain_test_acc_pct"].isna().all()
    assert got.warnings == ("run d0: retraining r0 trains another cell or data set: not joined",)


def test_an_isomorphic_cells_retraining_is_joined(fake):
    space = SPACES["nb201"]
    index = next(i for i in range(15_625) if space.canonical(space.cell(i)) != space.cell(i))
    fake.complete("d0", cell=index)
    fake.retrained("r0", ["d0"], 97.0, cell=index)
    runs = collect(fake.write()).runs
    assert runs["genotype"][0] != runs["canonical"][0]
    assert runs["retrain_test_acc_pct"][0] == 97.0


def test_a_resume_behind_half_a_line(fake):
    fake.run("d0")
    half = json.dumps(fake.epoch("d0", 2))[:150]
    whole = json.dumps(fake.epoch("d0", 2, val_acc_pct=7.0))
    fake.trial("d0", [fake.epoch("d0", 1), half + whole, fake.epoch("d0", 3, status="done")])
    got = collect(fake.write())
    assert list(got.epochs["val_acc_pct"]) == [41.0, 7.0, 43.0]
    assert got.runs["status"][0] == "done"
    assert got.warnings == ()


def test_damaged_lines_are_counted(fake):
    fake.run("d0")
    bad = [
        "no json",
        "[1]",
        fake.epoch("d0", 1, val_acc_pct=1.0) | {"epoch": 0},
        fake.epoch("d0", 1, val_acc_pct="high"),
        fake.epoch("another", 1),
    ]
    fake.trial("d0", [*bad, fake.epoch("d0", 1)])
    got = collect(fake.write())
    assert len(got.epochs) == 1
    assert got.warnings == ("run d0: 5 lines of its result.json are not reports: skipped",)


def test_folders_of_one_run_are_merged_in_order_of_time(fake):
    fake.run("d0", epochs=4)
    fake.trial("d0", [fake.epoch("d0", e) for e in (1, 2, 3)], name="z_first", error="killed")
    later = [fake.epoch("d0", 3, val_acc_pct=5.0), fake.epoch("d0", 4, status="done")]
    fake.trial("d0", later, name="a_later")
    got = collect(fake.write())
    assert list(got.epochs["val_acc_pct"]) == [41.0, 42.0, 5.0, 44.0]
    assert got.runs["status"][0] == "done"
    assert got.runs["error"].isna().all()
    assert got.runs["trial_dir"][0] == "search/a_later"


@pytest.mark.parametrize(
    ("occurred", "status"), [("2023-01-01_00-00-00", "running"), ("2025-01-01_00-00-00", "error")]
)
def test_a_failure_that_was_overcome_is_none(fake, occurred, status):
    fake.run("d0")
    error = f"Failure # 1 (occurred at {occurred})\nOSError: disk full\n"
    fake.trial("d0", [fake.epoch("d0", 1)], error=error)
    assert collect(fake.write()).runs["status"][0] == status


def test_a_run_that_failed_at_once(fake):
    fake.run("d0")
    fake.trial("d0", [], error="boom\n")
    row = by_id(collect(fake.write()).runs)["d0"]
    assert (row["status"], row["error"], row["epochs_done"]) == ("error", "boom", 0)


def test_methods_without_a_supernet(fake):
    fake.run("u0", label="Random", epochs=1)
    keys = ("run_id", "epoch", "genotype", "wall_s", "device")
    full = fake.epoch("u0", 1)
    fake.trial("u0", [{key: full[key] for key in keys} | {"status": "done"}])
    row = by_id(collect(fake.write()).runs)["u0"]
    assert (row["status"], row["skip_count"], row["arch_index"]) == ("done", 1, 9930)
    assert math.isnan(row["val_acc_pct"])


def test_strangers_are_ignored_with_a_warning(fake):
    fake.complete("d0")
    fake.trial("zz", [fake.epoch("zz", 1)])
    (fake.root / "search" / "no_params").mkdir()
    broken = fake.root / "search" / "broken"
    broken.mkdir()
    (broken / "params.json").write_text('{"run_')
    fake.runs.append(fake.runs[0])
    got = collect(fake.write())
    assert list(got.runs["run_id"]) == ["d0"]
    assert got.warnings == (
        "search/broken: no run_id in its params.json: left out",
        "1 trial folders have ids that sweep.json lacks ('zz' in search_zz): ignored",
        "run d0 is listed twice in sweep.json: only the first counts",
    )


def test_a_bad_genotype_costs_only_its_own_run(fake):
    fake.complete("d0")
    fake.run("d1", seed=1)
    fake.trial("d1", [fake.epoch("d1", 1) | {"genotype": "|what~0|"}])
    got = collect(fake.write())
    assert got.runs["genotype"].isna().tolist() == [False, True]
    assert got.warnings[0].startswith("run d1: '|what~0|' is not a NAS-Bench-201 cell")


def test_parquet_types_and_version(mixed, tmp_path):
    done = export(mixed.write(), tmp_path / "new" / "out")
    assert [path.name for path in done.paths] == [
        "runs.parquet",
        "epochs.parquet",
        "retrains.parquet",
    ]
    for path in done.paths:
        read = pq.read_schema(path)
        assert read.equals(schema.SCHEMAS[path.stem])
        assert read.metadata[b"drnas_ray.schema_version"] == b"3"
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == sorted(
        path.name for path in done.paths
    )


def test_export_is_the_same_twice_and_beside_the_results_by_default(mixed, tmp_path):
    root = mixed.write()
    first = export(root)
    assert first.runs == root / "runs.parquet"
    second = export(root, tmp_path / "again")
    for one, other in zip(first.paths, second.paths, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_export_in_several_chunks_is_the_same_table(mixed, tmp_path, monkeypatch):
    root = mixed.write()
    whole = export(root, tmp_path / "whole")
    monkeypatch.setattr("analysis.records.collect._CHUNK_ROWS", 2)
    parts = export(root, tmp_path / "parts")
    for one, other in zip(whole.paths, parts.paths, strict=True):
        # as text: nan is not equal to nan
        assert str(pq.read_table(one).to_pylist()) == str(pq.read_table(other).to_pylist())


def test_export_of_a_sweep_that_has_not_begun(fake):
    fake.run("d0")
    done = export(fake.write())
    assert read_runs(done.runs)["status"].tolist() == ["pending"]
    assert pq.read_table(done.epochs).num_rows == 0


def test_read_runs_equals_collect(mixed, tmp_path):
    root = mixed.write()
    export(root)
    assert read_runs(root).equals(collect(root).runs)
    assert str(read_runs(root)["seed"].dtype) == "Int64"


def test_read_runs_refuses(mixed, tmp_path):
    root = mixed.write()
    with pytest.raises(UserError, match=r"no file .*runs\.parquet"):
        read_runs(root)
    path = export(root).runs
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({schema.VERSION_KEY: b"99"}), path)
    with pytest.raises(UserError, match="schema version 99, this drnas-ray reads 1 to 3"):
        read_runs(path)
    pq.write_table(table.drop_columns(["device"]), path)
    with pytest.raises(UserError, match="lacks the column 'device'"):
        read_runs(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"runs\.parquet can't be read"):
        read_runs(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a results folder: it has no sweep.json"),
        ("{", r"sweep\.json is damaged, or not the JSON of a sweep"),
        (
            '{"schema_version": 2}',
            r"sweep\.json is damaged: schema_version=2: input should be 1",
        ),
        ('{"schema_version": 1}', r"sweep\.json is damaged: name is missing"),
    ],
)
@pytest.mark.parametrize("call", [collect, export])
def test_bad_folders_are_refused_in_one_line(tmp_path, text, message, call):
    if text is not None:
        (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no folder"):
        call(tmp_path / "nowhere")
    assert {path.name for path in tmp_path.iterdir()} <= {"sweep.json"}


def test_a_damaged_retrain_file_is_refused(fake):
    fake.complete("d0")
    root = fake.write()
    (root / "retrain.json").write_text('{"schema_version": 1, "jobs": [{"retrain_id": "r"}]}')
    with pytest.raises(UserError, match=r"retrain\.json is damaged: jobs\.0\.config is missing"):
        collect(root)
