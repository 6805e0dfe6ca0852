"""The preset of every method and composition, through Ray Tune: all end, all are in the export."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_runs import drnas, rows

from drnas_ray.blackbox import BLACKBOX
from drnas_ray.config import QueryConfig
from drnas_ray.methods import METHODS
from drnas_ray.spaces.nb201 import NB201
from drnas_ray.sweeps.plan.runs import plan_runs
from drnas_ray.sweeps.spec.sweep import load_sweep

IMAGES = 128  # two steps an epoch in the batches of the preset


@pytest.mark.process
def test_every_method_ends_and_is_present(tmp_path: Path) -> None:
    fewer = f"data.train_images={IMAGES}"
    args = ("sweep", "nb201-smoke", "--out", "out", "--set", fewer)
    code, text = drnas(tmp_path, *args, timeout_s=540)
    assert code == 0, text
    found = {row["run_id"]: row for row in rows(tmp_path / "out", "runs")}
    planned = plan_runs(load_sweep("nb201-smoke", [fewer]))
    assert list(found) == [run.run_id for run in planned]
    assert {row["method"] for row in found.values()} == {*METHODS, *BLACKBOX}
    for run in planned:
        row = found[run.run_id]
        assert (row["status"], row["retrain_status"]) == ("done", "done"), run.label
        assert row["label"] == run.label
        assert row["epochs_done"] == run.epochs
        assert NB201().check(row["genotype"])
        assert row["retrain_test_acc_pct"] is not None
        assert (row["queries"] is not None) == isinstance(run.config, QueryConfig)
    assert len({row["label"] for row in found.values()}) == len(found)
    assert text.count(" (1) ") == len(found)  # each has its row in the table
