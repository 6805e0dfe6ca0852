"""Trackers: TensorBoard reads the results folder, MLflow and W&B get the same figures."""

from __future__ import annotations

import sqlite3

import pytest
from sweep_runs import drnas, reference, rows, write_sweep
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drnas_ray.core.errors import UserError
from drnas_ray.sweeps.ray_tune import track as module
from drnas_ray.sweeps.spec.sweep import Tracking

__all__ = ["reference"]  # a fixture

ONE = {
    "methods": [{"name": "drnas"}], "seeds": "0", "grid": {}, "retrain": None,
    "config": {"epochs": 2, "batch_size": 64, "supernet": {"channels": 4, "cells": 1}},
}  # fmt: skip


def test_tensorboard_reads_the_results_folder(reference):
    run = next(row for row in rows(reference, "runs") if row["method"] == "drnas")
    events = EventAccumulator(str(reference / run["trial_dir"]))
    events.Reload()
    found = {event.step: event.value for event in events.Scalars("ray/tune/val_mean_acc_pct")}
    told = {
        row["epoch"]: row["val_mean_acc_pct"]
        for row in rows(reference, "epochs")
        if row["run_id"] == run["run_id"]
    }
    assert found == pytest.approx(told)


@pytest.mark.process
def test_mlflow_and_wandb_by_one_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    store = tmp_path / "mlflow.db"
    write_sweep(tmp_path, track={"mlflow": f"sqlite:///{store}", "wandb": "tiny"}, **ONE)
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out")
    assert code == 0, text
    last = rows(tmp_path / "out", "epochs")[-1]
    # Its own reader takes seconds to load, and warns.
    with sqlite3.connect(store) as found:
        named = "SELECT value FROM latest_metrics WHERE key = 'val_mean_acc_pct'"
        assert found.execute(named).fetchall() == [(pytest.approx(last["val_mean_acc_pct"]),)]
        assert ("out",) in found.execute("SELECT name FROM experiments").fetchall()
    found.close()
    assert list(tmp_path.glob("**/offline-run-*/*.wandb"))


def test_a_missing_package_is_named_before_anything_runs(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"track.wandb=mine: .* pip install 'drnas-ray\[wandb\]'"):
        module.check_tracking(Tracking(wandb="mine"))
    module.check_tracking(Tracking())
