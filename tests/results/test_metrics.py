"""The registry of figures, and all that follows from an entry in it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from analysis.records import rows
from analysis.records.schema import ARROW, read_frame, schemas
from drnas_ray.cli import app
from drnas_ray.core.errors import UserError
from drnas_ray.jobs.records import check_record
from drnas_ray.results.export_schema import FILES, SCHEMA_VERSION, file_columns, record_columns
from drnas_ray.results.export_schema import schema_version as version_of
from drnas_ray.results.kinds import INTEGER, REAL, STRENGTHS, TEXT
from drnas_ray.results.metrics import METRICS, SUPERNET, Metric, RunKind, Summary, tunable
from drnas_ray.results.metrics_page import markdown, text
from drnas_ray.results.records import Record
from drnas_ray.sweeps.spec.sweep import load_sweep
from drnas_ray.sweeps.tune.plan import plan_tuning

ROOT = Path(__file__).resolve().parents[2]
VERSION_2 = ROOT / "tests/previous_version/sweep"
UNITS = {"pct": "%", "s": "s", "mib": "MiB", "nats": "nats", "m": "million"}
FILE_NAMES = ("runs", "epochs", "retrains")

NOISE = Metric(
    "noise_nats",
    REAL,
    "nats",
    "Made up",
    since=SCHEMA_VERSION + 1,
    in_runs=Summary("max", "noise_max_nats"),
    tuned_by=SUPERNET,
)
MORE = (*METRICS, NOISE)


# --- one entry is enough -------------------------------------------------------------------------


def test_an_entry_becomes_columns_of_a_new_schema_version():
    made = schemas(file_columns(MORE))
    assert {name: set(made[name].names) - {c.name for c in FILES[name]} for name in FILES} == {
        "runs": {"noise_max_nats"},
        "epochs": {"noise_nats"},
        "retrains": set(),
    }
    assert made["epochs"].field("noise_nats").type == ARROW[REAL]
    assert version_of(file_columns(MORE)) == SCHEMA_VERSION + 1
    for name in FILES:  # all else stands where it stood
        assert [n for n in made[name].names if "noise" not in n] == [c.name for c in FILES[name]]


def test_an_entry_is_read_from_records_and_summed_up():
    assert record_columns(training=False, metrics=MORE)["noise_nats"] is REAL
    assert "noise_nats" not in record_columns(training=True, metrics=MORE)
    record = Record(tuple({"noise_nats": value} for value in (1.0, 3.0, None)))
    assert rows.summed_up(record, [(NOISE, NOISE.in_runs)]) == {"noise_max_nats": 3.0}


def test_an_entry_can_be_reported():
    check_record({"noise_nats": 1.5}, "x", training=False, metrics=MORE)
    with pytest.raises(UserError, match="x reports 'noise_nats', which has no entry in "):
        check_record({"noise_nats": 1.5}, "x", training=False)
    with pytest.raises(UserError, match="reports 'noise_nats'"):
        check_record({"noise_nats": 1.5}, "x", training=True, metrics=MORE)


def test_an_entry_can_be_tuned(monkeypatch):
    sweep = load_sweep("digits-tuning")
    tuned = sweep.search.model_copy(update={"metric": NOISE.name})
    sweep = sweep.model_copy(update={"search": tuned})
    with pytest.raises(UserError, match="metric=noise_nats can't be optimised by runs of method"):
        plan_tuning(sweep)
    monkeypatch.setattr("drnas_ray.sweeps.tune.plan.tunable", partial(tunable, metrics=MORE))
    assert plan_tuning(sweep).spec.metric == NOISE.name


def test_an_entry_is_described():
    assert f"| `noise_nats` | real | nats | Made up | {SCHEMA_VERSION + 1} |" in markdown(MORE)
    assert "| `noise_max_nats` | real | nats | Made up (largest of all epochs)" in markdown(MORE)
    assert "`wall_s`, `noise_nats` |" in markdown(MORE)
    assert ("  noise_nats", " (real, nats)  Made up") in list(text(MORE))


@pytest.mark.parametrize(
    ("kind", "over", "message"),
    [
        (REAL, {"in_retrains": Summary("last")}, "summarised where no epoch reports it"),
        (REAL, {"searching": False, "in_runs": Summary("last")}, "summarised where no epoch"),
        (REAL, {"searching": False, "training": True, "tuned_by": SUPERNET}, "can't be tuned"),
        (TEXT, {"tuned_by": SUPERNET}, "can't be tuned: text is not a number"),
    ],
)
def test_entries_that_contradict_themselves(kind, over, message):
    with pytest.raises(ValueError, match=message):
        Metric("x", kind, "", "Made up", **over)


@pytest.mark.parametrize("name", ["test_acc_pct", "retrain_s", "bench_test_acc_pct"])
def test_what_is_held_out_can_never_be_tuned(name):
    with pytest.raises(ValueError, match="can't be tuned: not a figure of the search itself"):
        Metric(name, REAL, "%", "Made up", tuned_by=SUPERNET)


def test_a_name_stands_once_in_a_file():
    for again in (METRICS[0], Metric("host", TEXT, "", "Made up")):
        with pytest.raises(ValueError, match=f"column '{again.name}' occurs twice in epochs"):
            file_columns((*METRICS, again))


# --- the registry as it is -----------------------------------------------------------------------


@pytest.mark.parametrize("file", FILE_NAMES)
def test_version_2_has_its_columns_in_order_and_of_their_types(file):
    kept = pq.read_schema(VERSION_2 / f"{file}.parquet")
    old = [column for column in FILES[file] if column.since <= 2]
    assert [(c.name, ARROW[c.kind]) for c in old] == [(f.name, f.type) for f in kept]


@pytest.mark.parametrize("file", FILE_NAMES)
def test_an_export_of_version_2_is_read(file):
    path = VERSION_2 / f"{file}.parquet"
    frame = read_frame(file, path)
    later = [column.name for column in FILES[file] if column.since > 2]
    assert list(frame.columns) == [column.name for column in FILES[file]]
    assert frame[later].isna().all().all()
    assert len(frame) == pq.read_metadata(path).num_rows


def test_version_3_adds_what_strengths_parametrise():
    added = {file: [c.name for c in columns if c.since == 3] for file, columns in FILES.items()}
    assert (SCHEMA_VERSION, added) == (3, {"runs": ["distribution"], "epochs": [], "retrains": []})


@pytest.mark.parametrize("file", FILE_NAMES)
def test_every_column_is_described_and_has_the_unit_that_its_name_says(file):
    for column in FILES[file]:
        assert column.meaning.strip(), column
        assert not column.meaning.endswith("."), column
        _, _, suffix = column.name.rpartition("_")
        if suffix in UNITS and column.kind is not TEXT:
            assert column.unit == UNITS[suffix], column


def test_what_can_be_tuned():
    assert tunable(RunKind.supernet) == (
        "train_loss", "train_acc_pct", "val_loss", "val_acc_pct", "val_mean_loss",
        "val_mean_acc_pct", "entropy_nats", "skip_count", "wall_s",
    )  # fmt: skip
    assert tunable(RunKind.multi_trial) == ("val_acc_pct", "skip_count", "queries", "wall_s")
    assert tunable(RunKind.no_feedback) == ("skip_count",)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (TEXT, "x", [1]),
        (INTEGER, 3, [3.5, "3", True, float("inf")]),
        (REAL, 3, ["3", True, [1.0]]),
        (STRENGTHS, [[[0.1, None]]], [[[0.1]], 3, [[["x"]]]]),
    ],
)
def test_types_read_their_own_values_only(kind, good, bad):
    assert kind.read(good) == good
    for value in bad:
        with pytest.raises((TypeError, ValueError, OverflowError)):
            kind.read(value)


def test_the_page_is_up_to_date():
    page = (ROOT / "docs/metrics.md").read_text()
    assert page == markdown(), "run: drnas metrics --markdown > docs/metrics.md"
    done = CliRunner().invoke(app, ["metrics", "--markdown"])
    assert (done.exit_code, done.stdout) == (0, page)


def test_the_command_describes_every_column():
    done = CliRunner().invoke(app, ["metrics"])
    assert done.exit_code == 0
    for columns in FILES.values():
        for column in columns:
            assert f"  {column.name} ({column.kind.name}" in done.stdout
