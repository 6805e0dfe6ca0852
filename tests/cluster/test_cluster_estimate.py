"""drnas cluster check --estimate: counts from the plan, hours only from what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from typer.testing import CliRunner

from analysis.progress.epoch_times import epoch_times
from drnas_ray.cli import app
from drnas_ray.cluster.capacity import Workers, workers
from drnas_ray.core.errors import UserError
from drnas_ray.sweeps.plan.estimate import estimate
from drnas_ray.sweeps.plan.runs import plan_runs
from drnas_ray.sweeps.spec.sweep import SweepConfig

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "name": "tiny",
    "methods": ["drnas", "uniform"],
    "datasets": [{"name": "digits", "train_images": 64}],
    "seeds": "0:3",
    "config": {"epochs": 4, "batch_size": 16, "supernet": {"channels": 4, "cells": 1}},
    "retrain": {"epochs": 2, "batch_size": 16, "channels": 4, "cells": 1},
    "resources": {"cpu": 1, "gpu": 0.5},
}


class Measured(NamedTuple):
    """As much of a measured run as the estimate reads."""

    config: str
    epoch_s: float
    device: str
    on_gpu: bool


def sweep(**over: object) -> SweepConfig:
    return SweepConfig(**{**TINY, **over})


def config_of(planned: SweepConfig, method: str, **over: object) -> str:
    run = next(run for run in plan_runs(planned) if run.config.method.name == method)
    return json.dumps({**run.config.model_dump(mode="json"), **over})


def cluster(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["cluster", "check", *map(str, args)], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_counts_need_no_measurement() -> None:
    planned = sweep()
    found = estimate(planned, plan_runs(planned), [])
    assert [(row.label, row.runs, row.epochs) for row in found.searches] == [
        ("DrNAS", 3, 12),
        ("uniform cell", 3, 3),
    ]
    assert [(row.runs, row.epochs) for row in found.trainings] == [(6, 12)]
    assert found.trials == 12
    assert len(found.unmeasured) == 3
    assert found.gpu_hours is None
    assert found.wall_hours(4) is None


def test_hours_by_hand() -> None:
    planned = sweep(retrain=None)
    gpu = [
        Measured(config_of(planned, "drnas", seed=9, epochs=1), 100.0, "A GPU", True),
        Measured(config_of(planned, "drnas", seed=8, epochs=2), 300.0, "A GPU", True),
        Measured(config_of(planned, "uniform", seed=7), 36.0, "A GPU", True),
    ]
    found = estimate(planned, plan_runs(planned), gpu)
    # DrNAS: 3 runs of 4 epochs of 200 s; uniform: 3 of one step of 36 s; half a GPU each.
    assert found.trial_hours == pytest.approx((3 * 4 * 200 + 3 * 36) / 3600)
    assert found.gpu_hours == pytest.approx(0.5 * (3 * 4 * 200 + 3 * 36) / 3600)
    # Two places: 800 | 800, then 800 | 36 36 36.
    assert found.wall_hours(2) == pytest.approx(1600 / 3600)
    assert found.wall_hours(1) == pytest.approx((2400 + 108) / 3600)
    assert found.wall_hours(100) == pytest.approx(800 / 3600)


def test_max_concurrent_limits_the_places() -> None:
    planned = sweep(retrain=None, methods=["drnas"], max_concurrent=1)
    known = [Measured(config_of(planned, "drnas"), 10.0, "A GPU", True)]
    assert estimate(planned, plan_runs(planned), known).wall_hours(8) == pytest.approx(120 / 3600)


@pytest.mark.parametrize("changed", ["supernet", "batch_size", "data"])
def test_another_cost_does_not_count(changed: str) -> None:
    planned = sweep(retrain=None, methods=["drnas"])
    other = {
        "supernet": {"channels": 8, "cells": 1, "partial": 1, "fused": True},
        "batch_size": 32,
        "data": {"name": "digits"},
    }
    known = [
        Measured(config_of(planned, "drnas", **{changed: other[changed]}), 10.0, "A GPU", True)
    ]
    assert estimate(planned, plan_runs(planned), known).unmeasured


def test_seconds_on_a_cpu_are_not_gpu_hours() -> None:
    planned = sweep(retrain=None, methods=["drnas"])
    known = [Measured(config_of(planned, "drnas"), 10.0, "A CPU", False)]
    found = estimate(planned, plan_runs(planned), known)
    assert found.gpu_hours is None
    assert found.trial_hours == pytest.approx(120 / 3600)


def test_workers_of_our_files() -> None:
    assert workers(ROOT / "cluster.yaml") == [Workers("gpu", 4, 4, 1)]
    assert workers(ROOT / "clusters/kuberay.yaml") == [Workers("gpu", 4, 4.0, 1.0)]
    assert workers(ROOT / "clusters/onprem.yaml") == [Workers("machines", 2, None, None)]


def test_places_for_trials() -> None:
    four = Workers("gpu", 4, 4, 1)
    assert four.slots(1, 1) == 4
    assert four.slots(1, 0.25) == 16
    assert four.slots(2, 0.25) == 8  # CPUs run out first
    assert four.slots(1, 2) == 0
    assert Workers("machines", 2, None, None).slots(1, 1) is None
    assert Workers("cpus", 2, 8, None).slots(1, 0) == 16


@pytest.mark.long
def test_a_measured_folder_gives_the_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real short search on this machine, then the estimate of a longer sweep like it."""
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "short"
    words = ["search", "drnas", "--seed", "5", "--out", str(folder), "--set", "epochs=2"]
    for key, value in {
        "batch_size": 16, "supernet.channels": 4, "supernet.cells": 1, "data.train_images": 64,
    }.items():  # fmt: skip
        words += ["--set", f"{key}={value}"]
    assert CliRunner().invoke(app, words).exit_code == 0
    (pace,) = epoch_times(folder)
    assert pace.epoch_s > 0
    assert not pace.on_gpu
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump({**TINY, "methods": ["drnas"], "retrain": None}))
    code, out, err = cluster("cluster.yaml", "--estimate", file, "--measured", folder)
    assert code == 0, err
    assert f"{pace.epoch_s:.3g}" in out
    assert "3 trials (trainings from scratch: an upper bound), 12 epochs" in out
    assert "on the devices that they were measured on" in out
    assert "GPU hours" not in out
    assert "8 trials at once" in out
    code, _, err = cluster(
        "cluster.yaml", "--estimate", file, "--measured", folder, "--gpu-hours", 1
    )
    assert code == 2
    assert "not every row was measured on a GPU" in err


def test_rows_without_measurements_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    code, out, _ = cluster("clusters/onprem.yaml", "--estimate", "demo", "--node", "8,0")
    assert code == 0
    assert "no hours for " in out
    assert "16 trials at once\n" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--estimate", "demo", "--node", "8"), "--node 8: write CPUs,GPUs"),
        (("--estimate", "dmeo"), "unknown preset 'dmeo': did you mean 'demo'"),
        (("--estimate", "demo", "--set", "resources.cpu=64", "--node", "8,1"), "no worker of"),
        (("--estimate", "demo", "--measured", "nowhere"), "nowhere"),
    ],
)
def test_a_wrong_estimate_is_one_line(
    args: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    code, _, err = cluster("clusters/onprem.yaml", *args)
    assert code == 2
    assert said in err
    assert len([row for row in err.splitlines() if row.startswith("error:")]) == 1


def test_a_folder_without_epochs_measures_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        epoch_times(tmp_path)
