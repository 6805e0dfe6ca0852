"""How far a sweep is, from its files alone."""

from __future__ import annotations

import json
import math

import pytest
from typer.testing import CliRunner

from analysis.progress.status import sweep_progress
from analysis.records.collect import collect
from drnas_ray.cli import app


@pytest.fixture
def halfway(fake):
    """Two done, one running at epoch 1 of 3, one failed at 2, one not begun; one retraining."""
    fake.complete("a0", seed=0)
    fake.complete("a1", seed=1)
    fake.run("a2", seed=2)
    fake.trial("a2", [fake.epoch("a2", 1)])
    fake.run("d0", label="DARTS", epochs=4)
    fake.trial("d0", [fake.epoch("d0", e) for e in (1, 2)], error="Failure # 1\nOOM: no memory\n")
    fake.run("d1", label="DARTS", seed=1, epochs=4)
    fake.retrained("r0", ["a0"], 90.0)
    fake.job("r1", ["a1"])
    return fake.write()


def test_counts_epochs_and_time_left(halfway, fake):
    found = sweep_progress(collect(halfway), now_unix_s=fake.clock + 30)
    rows = {(row["work"], row["label"]): row for row in found.groups.to_dict("records")}
    drnas, darts = rows["search", "DrNAS"], rows["search", "DARTS"]
    assert [drnas[name] for name in ("done", "running", "error", "pending")] == [2, 1, 0, 0]
    assert [darts[name] for name in ("done", "running", "error", "pending")] == [0, 0, 1, 1]
    assert (drnas["epochs"], drnas["epochs_total"]) == (7, 9)
    assert (darts["epochs"], darts["epochs_total"]) == (2, 8)
    # An epoch e takes 1.5 + e / 8 s: a2 has had one of 1.625, d0 two of 1.6875 on average.
    assert drnas["left_s"] == pytest.approx(2 * 1.625)
    assert darts["left_s"] == pytest.approx((2 + 4) * 1.6875)
    fresh = rows["retrain", "cells from scratch"]
    assert (fresh["done"], fresh["pending"]) == (1, 1) and fresh["left_s"] == pytest.approx(4.5)
    assert found.running == 1 and found.left_s == pytest.approx(3.25 + 10.125 + 4.5)
    assert found.quiet_s == 30 and found.alive
    assert found.errors == ("DARTS, seed 0, run d0: OOM: no memory",)


def test_silence_looks_like_death(halfway, fake):
    assert not sweep_progress(collect(halfway), now_unix_s=fake.clock + 3600).alive


def test_nothing_reported_yet(fake):
    fake.run("a0")
    found = sweep_progress(collect(fake.write()))
    assert math.isnan(found.quiet_s) and math.isnan(found.left_s) and not found.alive


def test_the_command(halfway):
    run = CliRunner()
    shown = run.invoke(app, ["status", str(halfway)])
    assert shown.exit_code == 0, shown.output
    assert "silent: stopped or dead?" in shown.stdout and "--resume" in shown.stdout
    assert "failed: DARTS, seed 0, run d0: OOM: no memory" in shown.stdout
    # A status that no run has gets no column: 80 characters are too few for all of them.
    assert "running" in shown.stdout and "diverged" not in shown.stdout
    shown_json = json.loads(run.invoke(app, ["status", str(halfway), "--json"]).stdout)
    assert shown_json["running"] == 1 and shown_json["groups"][0]["label"] == "DrNAS"
    wrong = run.invoke(app, ["status", str(halfway / "nowhere")])
    assert wrong.exit_code == 2 and "no folder" in wrong.stderr
