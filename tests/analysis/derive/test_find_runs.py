"""Runs found by a folder, a trial's folder, an id; and why some have nothing to derive from."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from analysis.derive.find_runs import find_runs
from analysis.records.collect import export
from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError


@pytest.fixture
def two(fake):
    """Two done runs whose ids start alike, and one of three epochs planned, two of them done."""
    fake.complete("abc1", seed=0)
    fake.complete("abd2", label="DARTS", seed=1)
    fake.run("x3", seed=2)
    fake.trial("x3", [fake.epoch("x3", 1), fake.epoch("x3", 2)])
    fake.retrained("r0", ["abc1"], 97.0)
    fake.write()
    return fake


def ids(found) -> list[str]:
    return [run.run_id for run in found.runs]


def test_a_results_folder_gives_every_run_at_its_last_epoch(two):
    found = find_runs(two.root)
    assert ids(found) == ["abc1", "abd2", "x3"]
    assert found.folder == two.root
    assert found.left_out == ()
    done, darts, running = found.runs
    assert (done.epoch, done.ended, running.epoch, running.ended) == (3, True, 2, False)
    assert (darts.method, darts.seed, darts.data) == ("darts", 1, DataSettings(name="digits"))
    for run in found.runs:  # FakeSweep's strengths depend on the epoch
        expected = [[[0.1 * o + e + run.epoch for o in range(5)] for e in range(6)]]
        np.testing.assert_array_equal(run.strengths, expected)
        np.testing.assert_allclose(run.means.sum(-1), 1.0)
    assert [job.retrain_id for job in done.retrains] == ["r0"]
    canonical = done.retrains[0].config["genotype"]
    assert done.retraining(canonical) is done.retrains[0]
    assert done.retraining("another") is None
    assert darts.retrains == ()


def test_an_id_in_a_folder_may_be_abbreviated(two):
    assert ids(find_runs(two.root / "abd2")) == ["abd2"]
    assert ids(find_runs(two.root / "abd")) == ["abd2"]
    assert find_runs(two.root / "abd").folder == two.root
    with pytest.raises(UserError, match=r"'ab' matches 2 runs .*abc1.*abd2.*give more of the id"):
        find_runs(two.root / "ab")
    with pytest.raises(UserError, match="no run or folder 'q'"):
        find_runs(two.root / "q")
    with pytest.raises(UserError, match="no run at"):
        find_runs(two.root / "nothing" / "abc1")


def test_an_id_that_starts_another_is_itself(fake):
    fake.complete("abc")
    fake.complete("abcd", seed=1)
    fake.write()
    assert ids(find_runs(fake.root / "abc")) == ["abc"]


def test_an_id_alone_is_looked_for_under_results(two, monkeypatch):
    monkeypatch.chdir(two.root.parent)
    two.root.rename(two.root.with_name("sweep"))
    (two.root).mkdir()
    two.root.with_name("sweep").rename(two.root / "sweep")
    assert ids(find_runs("abd")) == ["abd2"]
    with pytest.raises(UserError, match="no run or folder 'zz'"):
        find_runs("zz")


def test_a_trials_folder_is_its_run(two):
    trial = two.root / "search" / "search_abd2"
    found = find_runs(trial)
    assert ids(found) == ["abd2"]
    assert found.folder == two.root.absolute()


def test_a_trials_folder_alone(two, tmp_path):
    trial = tmp_path / "copied"
    shutil.copytree(two.root / "search" / "search_abd2", trial)
    settings = {
        "method": {"name": "gdas"}, "space": "nb201", "seed": 7, "data": {"name": "cifar10"}
    }  # fmt: skip
    (trial / "params.json").write_text(
        json.dumps({"job": {"run_id": "abd2", "settings": settings}})
    )
    (run,) = find_runs(trial).runs
    assert (run.run_id, run.method, run.seed, run.data.name) == ("abd2", "gdas", 7, "cifar10")
    assert run.epoch == 3
    (trial / "params.json").write_text("{")
    with pytest.raises(UserError, match="not the trial folder of a search"):
        find_runs(trial)


def test_exported_files_alone_say_the_same(two, tmp_path):
    export(two.root, tmp_path / "parquet")
    for run, other in zip(
        find_runs(two.root).runs, find_runs(tmp_path / "parquet").runs, strict=True
    ):
        np.testing.assert_array_equal(run.strengths, other.strengths)
        for name in ("run_id", "label", "method", "space", "seed", "data", "epoch", "ended"):
            assert getattr(run, name) == getattr(other, name), name
        assert run.genotype == other.genotype
    assert ids(find_runs(tmp_path / "parquet" / "abd")) == ["abd2"]


def test_runs_without_strengths_are_left_out_with_the_reason(two):
    for number in range(3):
        ident = f"u{number}"
        two.run(ident, label="uniform", seed=number)
        two.trial(ident, [two.epoch(ident, 1, status="done", strengths=None)])
    two.run("late", seed=9)
    two.run("nan", seed=10)
    nan = [[[float("nan")] * 5] * 6]
    two.trial("nan", [two.epoch("nan", 1, status="diverged", strengths=nan)])
    two.run("zero", seed=11)
    two.trial("zero", [two.epoch("zero", 1, strengths=[[[0.0] * 5] * 6])])
    two.run("shape", seed=12)
    two.trial("shape", [two.epoch("shape", 1, strengths=[[[1.0] * 4] * 6])])
    two.write()
    found = find_runs(two.root)
    assert ids(found) == ["abc1", "abd2", "x3"]
    text = "\n".join(found.left_out)
    assert "run u0 (uniform) has no strengths" in text
    assert "(and 2 more runs)" in text
    assert "run late has not reported an epoch yet" in text
    assert "run nan has no valid strengths at epoch 1" in text
    assert "run shape has strengths whose shape is not (1, 6, 5), that of nb201" in text
    assert "u1" not in text
    with pytest.raises(UserError, match=r"run u1 \(uniform\) has no strengths"):
        find_runs(two.root / "u1")


def test_paths_without_runs(tmp_path):
    with pytest.raises(UserError, match="has no runs: give a results folder"):
        find_runs(tmp_path)
    with pytest.raises(UserError, match="no run at"):
        find_runs(tmp_path / "none" / "x")
