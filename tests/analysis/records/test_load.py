"""Several folders as one, exports that stand for trials, older versions, and damage."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.records import load as load_module
from analysis.records import schema
from analysis.records.collect import collect, export
from analysis.records.freshness import source_digest
from analysis.records.load import load, load_runs
from analysis.records.merge import differences
from analysis.tables.comparison import table
from drnas_ray.core.errors import UserError


@pytest.fixture
def no_trials(monkeypatch):
    """From here on reading trials is a failure."""

    def refuse(*args):
        raise AssertionError("trials were read")

    def arm():
        monkeypatch.setattr(load_module, "collect", refuse)

    return arm


def same(one, other):
    pd.testing.assert_frame_equal(one.drop(columns="sweep"), other)


# --- an export stands for its trials -----------------------------------------------------------


def test_a_fresh_export_is_read_and_equals_the_trials(mixed, no_trials):
    root = mixed.write()
    mixed.trial("zz", [mixed.epoch("zz", 1)])
    want = collect(root)
    export(root)
    no_trials()
    got = load([root])
    same(got.runs, want.runs)
    same(got.retrains, want.retrains)
    assert got.epochs.drop(columns="sweep").astype(str).equals(want.epochs.astype(str))
    assert got.warnings == want.warnings
    assert len(got.warnings) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda fake: fake.trial("d3", [fake.epoch("d3", 1)]),
        lambda fake: _append(fake.root / "search/search_a3/result.json"),
        lambda fake: (fake.root / "search/search_a3/error.txt").write_text("boom"),
        lambda fake: (fake.root / "search/search_a1/error.txt").write_text("boom"),
        lambda fake: fake.write(git_commit="abd"),
        lambda fake: (fake.root / "retrain.json").unlink(),
        lambda fake: (fake.root / "search/search_a2/error.txt").unlink(),
        lambda fake: _passed_over(fake.root / "search/search_a3"),
        lambda fake: fake.trial(
            "d1", [fake.epoch("d1", e) for e in (1, 2)], kind="search-1", name="again"
        ),
        lambda fake: _checkpoint(fake, "search_a3"),
        lambda fake: fake.trial("p", [fake.epoch("d3", 1)], kind="packed-1", name="pack-0000"),
    ],
)
def test_any_change_of_a_trial_makes_it_stale(mixed, change):
    root = mixed.write()
    export(root)
    before = source_digest(root)
    change(mixed)
    assert source_digest(root) != before
    same(load([root]).runs, collect(root).runs)


def _append(path):
    path.write_text(path.read_text() + "{}\n")


def _passed_over(trial):
    line = {"problem": "checkpoint_000002 is damaged", "used": "checkpoint_000001", "epoch": 1}
    (trial / "passed_over.jsonl").write_text(json.dumps(line) + "\n")


def test_a_damaged_checkpoint_is_told_after_an_export_too(mixed):
    root = mixed.write()
    export(root)
    _passed_over(root / "search/search_a3")
    assert any("resumed from checkpoint_000001" in text for text in load([root]).warnings)


def _checkpoint(fake, name):
    folder = fake.root / "search" / name / "checkpoint_000003"
    folder.mkdir()
    (folder / "epochs.jsonl").write_text(json.dumps(fake.epoch("a3", 3)) + "\n")


def test_same_length_and_other_content_is_stale(fake):
    fake.complete("d0")
    root = fake.write()
    export(root)
    path = root / "search/search_d0/result.json"
    path.write_text(path.read_text().replace('"val_acc_pct": 43.0', '"val_acc_pct": 48.0'))
    assert load([root]).runs["val_acc_pct"][0] == 48.0


def test_what_other_programs_leave_does_not_matter(mixed, no_trials):
    root = mixed.write()
    export(root)
    (root / "table.md").write_text("x")
    (root / "search/search_d0/events.out.tfevents").write_text("x")
    no_trials()
    load([root])


def test_the_program_of_another_version_reads_anew(mixed, monkeypatch):
    root = mixed.write()
    before = source_digest(root)
    monkeypatch.setattr("analysis.records.freshness.__version__", "99")
    assert source_digest(root) != before


def test_an_export_alone_is_a_folder(mixed, tmp_path):
    root = mixed.write()
    export(root, tmp_path / "alone")
    runs, warnings = load_runs([tmp_path / "alone"])
    same(runs, collect(root).runs)
    assert warnings == ()
    assert set(runs["sweep"]) == {str(tmp_path / "alone")}


def test_a_copy_of_a_folder_is_read_anew(mixed, tmp_path):
    root = mixed.write()
    export(root)
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    same(load([tmp_path / "copy"]).runs, collect(root).runs)


@pytest.mark.parametrize("exported", [False, True])
def test_epochs_by_column(mixed, exported):
    root = mixed.write()
    whole = load([root])
    if exported:
        export(root)
    some = load([root], epoch_columns=("val_acc_pct", "epoch"))
    assert list(some.epochs.columns) == ["sweep", "run_id", "val_acc_pct", "epoch"]
    for name in some.epochs.columns:
        assert some.epochs[name].equals(whole.epochs[name])
    none = load([root], epoch_columns=())
    assert none.epochs.empty
    same(none.runs, collect(root).runs)
    with pytest.raises(UserError, match=r"epochs\.parquet has no column 'val_acc'"):
        load([root], epoch_columns=("val_acc",))


def test_only_the_runs_are_opened(mixed, tmp_path):
    root = mixed.write()
    export(root, tmp_path / "out")
    (tmp_path / "out" / "epochs.parquet").write_bytes(b"")
    assert len(load_runs([tmp_path / "out"])[0]) == 8
    with pytest.raises(UserError, match=r"epochs\.parquet can't be read"):
        load([tmp_path / "out"])


# --- damage and versions -----------------------------------------------------------------------


def test_a_damaged_export_beside_its_trials_is_named_and_passed_over(mixed):
    root = mixed.write()
    path = export(root).runs
    path.write_bytes(path.read_bytes()[:500])
    got = load([root])
    same(got.runs, collect(root).runs)
    (warning,) = got.warnings
    assert str(path) in warning
    assert warning.endswith("(its trials were read instead)")


def test_damage_inside_a_column_is_named(mixed, tmp_path):
    root = mixed.write()
    path = export(root, tmp_path / "out").runs
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"runs\.parquet can't be read"):
        load([tmp_path / "out"])


def rewritten(path, version, change):
    made = change(pq.read_table(path))
    pq.write_table(made.replace_schema_metadata({schema.VERSION_KEY: version}), path)


def test_a_version_1_export_is_read_with_nulls(mixed, tmp_path):
    root = mixed.write()
    done = export(root, tmp_path / "old")
    names = schema.SCHEMAS["epochs"].names
    later = [n for n in names if n.startswith(("hessian", "propos", "landscape"))]
    assert len(later) == 9
    rewritten(done.epochs, b"1", lambda t: t.drop_columns(later))
    for path in (done.runs, done.retrains):
        rewritten(path, b"1", lambda t: t)
    got = load([tmp_path / "old"]).epochs
    want = collect(root).epochs
    assert list(got.columns) == ["sweep", *want.columns]
    assert got[later].isna().all().all()
    assert got["val_acc_pct"].equals(want["val_acc_pct"])
    some = load([tmp_path / "old"], epoch_columns=("hessian_trace",)).epochs
    assert list(some.columns) == ["sweep", "run_id", "hessian_trace"]


def test_other_versions_and_types_are_refused(mixed, tmp_path):
    done = export(mixed.write(), tmp_path / "out")
    for version in (b"0", b"4", b"x"):
        rewritten(done.runs, version, lambda t: t)
        with pytest.raises(UserError, match="reads 1 to 3"):
            load([tmp_path / "out"])
    rewritten(done.runs, b"1", lambda t: t.drop_columns(["seed"]))
    with pytest.raises(UserError, match="lacks the column 'seed'"):
        load([tmp_path / "out"])
    export(mixed.root, tmp_path / "out")
    text = pa.array(["x"] * 8)
    rewritten(done.runs, b"2", lambda t: t.set_column(t.column_names.index("seed"), "seed", text))
    with pytest.raises(UserError, match="column 'seed' is string, not int64"):
        load([tmp_path / "out"])


def test_what_is_no_folder(tmp_path):
    with pytest.raises(UserError, match="no results folder: give one"):
        load([])
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        load([tmp_path / "nowhere"])
    with pytest.raises(UserError, match=r"it has no sweep\.json, and no runs\.parquet"):
        load([tmp_path])


# --- several -----------------------------------------------------------------------------------


def test_folders_below_each_other(fakes):
    one, two = fakes("one"), fakes("two")
    one.complete("a", seed=0)
    two.complete("b", seed=1, label="DARTS")
    got = load([one.write(), two.write()])
    assert list(got.runs["run_id"]) == ["a", "b"]
    assert list(got.runs["sweep"]) == [str(one.root), str(two.root)]
    assert len(got.epochs) == 6
    assert got.warnings == ()
    with pytest.raises(UserError, match="given twice"):
        load([one.root, one.root / ".." / "one"])


def test_a_run_in_two_folders_counts_once_and_the_finished_one(fakes):
    one, two, three = fakes("one"), fakes("two"), fakes("three")
    one.run("a")
    one.trial("a", [one.epoch("a", 1), one.epoch("a", 2)])
    two.complete("a", cell=77)
    three.run("a")
    got = load([one.write(), two.write(), three.write()])
    assert list(got.runs["arch_index"]) == [77]
    assert set(got.epochs["sweep"]) == {str(two.root)}
    (warning,) = got.warnings
    assert warning.startswith("2 runs are in more than one folder")
    assert f"a is taken from {two.root}, not from {one.root}" in warning


def test_the_retrained_one_counts_of_two_finished(fakes):
    one, two = fakes("one"), fakes("two")
    one.complete("a")
    two.complete("a")
    two.retrained("r", ["a"], 97.0)
    assert load([one.write(), two.write()]).runs["retrain_test_acc_pct"].tolist() == [97.0]


def test_a_run_of_two_protocols_is_in_both(fakes):
    one, two = fakes("one", "search"), fakes("two", "transfer")
    one.complete("a", dataset="cifar10")
    two.complete("a", dataset="cifar10")
    got = load([one.write(), two.write()])
    assert list(got.runs["protocol"]) == ["search", "transfer"]
    assert len(got.epochs) == 6
    assert got.warnings == ()


def settings(fake, change):
    for run in fake.runs:
        run["config"] = run["config"] | change
    return fake.write()


def test_rows_of_other_settings_are_told_apart(fakes):
    one, two = fakes("one"), fakes("two")
    for seed in (0, 1):
        one.complete(f"a{seed}", seed=seed)
        one.retrained(f"ra{seed}", [f"a{seed}"], 97.0)
    two.complete("b", seed=2)
    two.retrained("rb", ["b"], 90.0)
    first = settings(one, {"arch": {"lr": 0.1, "wd": 1.0}})
    second = settings(two, {"arch": {"lr": 0.2, "wd": 1.0}})
    got = load([first, second])
    assert [json.loads(text) for text in got.runs["variant"]] == [
        {"arch.lr": 0.1},
        {"arch.lr": 0.1},
        {"arch.lr": 0.2},
    ]
    assert got.warnings == (
        "DrNAS on digits was run with different settings in these folders (arch.lr): kept "
        "as separate rows",
    )
    made = table(got.runs)
    assert [(label, cells[0].text()) for label, cells in made.rows] == [
        ("DrNAS, arch.lr=0.1", "97.00 ± 0.00 (2)"),
        ("DrNAS, arch.lr=0.2", "90.00 (1)"),
    ]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {"diagnostics": {"hessian": 5, "early_stop": None}}),
        ({"diagnostics": {"hessian": 1}}, {"diagnostics": {"hessian": 5}}),
        ({"benchmark": {"table": "/a/t.parquet", "cache": "/x"}},
         {"benchmark": {"table": "/b/t.parquet", "cache": "/y"}}),
        ({"data": {"name": "digits", "path": "/a/d"}},
         {"data": {"name": "digits", "path": "/b/d"}}),
        ({}, {"something_new": 3}),
    ],
)  # fmt: skip
def test_what_decides_nothing_tells_no_rows_apart(fakes, one, two):
    fakes_ = [fakes("one"), fakes("two")]
    for seed, fake in enumerate(fakes_):
        fake.complete(f"a{seed}", seed=seed)
    got = load([settings(fakes_[0], one), settings(fakes_[1], two)])
    assert set(got.runs["variant"]) == {"{}"}
    assert got.warnings == ()


def test_early_stopping_does_decide(fakes):
    fakes_ = [fakes("one"), fakes("two")]
    for seed, fake in enumerate(fakes_):
        fake.complete(f"a{seed}", seed=seed)
    stops = [{"diagnostics": {"early_stop": value}} for value in ({"factor": 1.3}, {"factor": 2})]
    got = load([settings(f, s) for f, s in zip(fakes_, stops, strict=True)])
    assert '{"diagnostics.early_stop.factor":1.3}' in set(got.runs["variant"])


def test_differences():
    one = {"a": 1, "b": {"c": 2, "d": None}, "e": [1], "only": 1}
    other = {"a": 1, "b": {"c": 3, "d": {"x": 1}}, "e": [2]}
    assert list(differences(one, other)) == ["b.c", "b.d", "e"]
    assert list(differences(one, one)) == []
