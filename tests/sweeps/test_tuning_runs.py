"""A real tuning through Ray Tune: undisturbed, killed and resumed, and as a population."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sweep_runs import driver, drnas, rows, write_sweep

from analysis.records.collect import export
from analysis.tuning.results import best, tunings

TUNED: dict[str, Any] = {
    "methods": ["drnas"],
    "datasets": [{"name": "digits", "train_images": 100}],
    "config": {
        "epochs": 6,
        "batch_size": 16,
        "supernet": {"channels": 4, "cells": 1},
    },
    "grid": {},
    "retrain": None,
    # One point at a time: what HyperOpt knows at each point then depends on the seed alone.
    "max_concurrent": 1,
    "search": {
        "space": {
            "arch.lr": {"loguniform": [0.001, 0.5]},
            "weights.momentum": {"choice": [0.0, 0.9]},
        },
        "metric": "val_mean_acc_pct",
        "mode": "max",
        "trials": 7,
        "n_initial_points": 3,
        "points": [{"arch.lr": 0.01, "weights.momentum": 0.9}],
        "scheduler": "asha",
        "grace_epochs": 2,
    },
}
TRIALS, SEEDS, EPOCHS = 7, 2, 6

_undisturbed: list[Path] = []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not _undisturbed:
        folder = tmp_path_factory.mktemp("tuned")
        write_sweep(folder, **TUNED)
        code, text = drnas(folder, "sweep", "tiny.yaml", "--out", "out")
        assert code == 0, text
        (folder / "text").write_text(text)
        _undisturbed.append(folder / "out")
    return _undisturbed[0]


def journal(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "points.jsonl").read_text().splitlines()]


def what_came_of_it(out: Path) -> dict[str, Any]:
    """Each run without its place on the disk, each epoch; equal for equal results."""
    runs = [{k: v for k, v in row.items() if k != "trial_dir"} for row in rows(out, "runs")]
    return {"runs": runs, "epochs": rows(out, "epochs")}


def test_every_point_has_its_runs_and_their_mean(undisturbed: Path) -> None:
    runs = rows(undisturbed, "runs")
    assert len({run["run_id"] for run in runs}) == len(runs) == TRIALS * SEEDS
    by_point: dict[int, list[dict[str, Any]]] = {}
    for run in runs:
        by_point.setdefault(run["point"], []).append(run)
    assert list(by_point) == list(range(TRIALS))
    for members in by_point.values():
        assert [run["seed"] for run in members] == [0, 1]
        mean = sum(run["val_mean_acc_pct"] for run in members) / SEEDS
        assert all(run["objective"] == pytest.approx(mean, abs=1e-9) for run in members)
        assert len({(run["variant"], run["status"], run["epochs_done"]) for run in members}) == 1
    assert json.loads(runs[0]["variant"]) == {"arch.lr": 0.01, "weights.momentum": 0.9}
    assert json.loads(runs[0]["config"])["arch"]["lr"] == 0.01
    assert json.loads(runs[0]["tuning"])["n_initial_points"] == 3


def test_a_stopped_point_is_not_a_failure(undisturbed: Path) -> None:
    runs = rows(undisturbed, "runs", times=True)
    assert {run["status"] for run in runs} == {"done", "stopped"}
    for run in runs:
        whole = run["status"] == "done"
        assert run["epochs_done"] == EPOCHS if whole else 2 <= run["epochs_done"] < EPOCHS
        assert run["error"] is None
        assert run["finished_unix_s"] is not None
    counted = Counter(row["run_id"] for row in rows(undisturbed, "epochs"))
    assert counted == {run["run_id"]: run["epochs_done"] for run in runs}
    text = (undisturbed.parent / "text").read_text()
    assert "Not ranked, of " in text and " stopped early." in text
    assert "random until 3, then HyperOpt (TPE) until 7" in text


def test_the_best_points_are_those_of_the_runs(undisturbed: Path) -> None:
    runs = pd.read_parquet(undisturbed / "runs.parquet")
    (tuning,) = tunings(runs)
    done = runs[runs["status"] == "done"]
    assert best(tuning)["objective"].tolist() == sorted(set(done["objective"]), reverse=True)
    assert (undisturbed / "best.csv").exists()
    assert (undisturbed / "tuning-parallel.png").exists()


def test_a_killed_tuning_resumes_with_the_same_results(undisturbed: Path, tmp_path: Path) -> None:
    write_sweep(tmp_path, **TUNED)
    out = tmp_path / "out"
    with driver(tmp_path, "sweep", "tiny.yaml", "--out", "out") as running:

        def in_the_middle() -> bool:
            known = journal(out) if (out / "points.jsonl").exists() else []
            ended = {line["point"] for line in known if "status" in line}
            begun = {line["point"] for line in known if line.get("epoch", 0) >= 1}
            return len(ended) >= 4 and len(begun - ended) == 1

        running.wait_for(in_the_middle)
        running.kill(running.process.pid)
        running.process.wait()
    export(out)
    before = {run["run_id"]: run for run in rows(out, "runs", times=True)}
    ended = {"done", "stopped"}
    assert Counter(run["status"] in ended for run in before.values())[True] >= 4 * SEEDS
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume")
    assert code == 0, text
    assert what_came_of_it(out) == what_came_of_it(undisturbed)
    # What had ended was not run again, and the running point continued from its checkpoint.
    after = {run["run_id"]: run for run in rows(out, "runs", times=True)}
    for run_id, run in before.items():
        if run["status"] in ended:
            assert after[run_id]["finished_unix_s"] == run["finished_unix_s"]
            assert after[run_id]["trial_dir"].startswith("search/")
    again = {path.parent.name for path in out.glob("search-1/*/result.json")}
    assert len(again) <= TRIALS - 4
    assert [line for line in journal(out) if "values" in line] == [
        line for line in journal(undisturbed) if "values" in line
    ]
    # More points may be asked for later.
    code, text = drnas(
        tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume", "--set", "search.trials=8"
    )
    assert code == 0, text
    assert len(rows(out, "runs")) == 8 * SEEDS
    # Other settings are another tuning.
    code, text = drnas(
        tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume", "--set", "search.seed=1"
    )
    assert code == 2
    assert "was started with search=" in text


PBT = {
    "space": {"arch.lr": {"loguniform": [0.001, 0.5]}},
    "metric": "val_mean_loss",
    "mode": "min",
    "trials": 4,
    "n_initial_points": 4,
    "scheduler": "pbt",
    "interval_epochs": 2,
}


@pytest.mark.slow
def test_a_killed_population_resumes_with_the_same_results(tmp_path: Path) -> None:
    over = {**TUNED, "search": PBT, "max_concurrent": 2}
    (tmp_path / "whole").mkdir()
    write_sweep(tmp_path, **over)
    write_sweep(tmp_path / "whole", **over)
    code, text = drnas(tmp_path / "whole", "sweep", "tiny.yaml", "--out", "out", timeout_s=540)
    assert code == 0, text
    out, whole = tmp_path / "out", tmp_path / "whole" / "out"
    with driver(tmp_path, "sweep", "tiny.yaml", "--out", "out") as running:

        def after_the_first_copy() -> bool:
            known = journal(out) if (out / "points.jsonl").exists() else []
            copies = {line["point"] for line in known if line.get("fork", {}).get("epoch")}
            return any(line.get("point") in copies and "objective" in line for line in known)

        running.wait_for(after_the_first_copy, timeout_s=240)
        running.kill(running.process.pid)
        running.process.wait()
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume", timeout_s=540)
    assert code == 0, text
    assert what_came_of_it(out) == what_came_of_it(whole)
    runs = {run["run_id"]: run for run in rows(out, "runs")}
    copies = [run for run in runs.values() if run["parent_run_id"] is not None]
    assert len(copies) == 2 * SEEDS
    for copy in copies:
        assert runs[copy["parent_run_id"]]["seed"] == copy["seed"]
        own = [row["epoch"] for row in rows(out, "epochs") if row["run_id"] == copy["run_id"]]
        assert own == list(range(copy["from_epoch"] + 1, copy["epochs_done"] + 1))
    assert Counter(run["status"] for run in runs.values()) == {"done": 8, "stopped": 4}
