"""Whole sweeps with a full disk, a full GPU, a damaged checkpoint, a run that diverges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_runs import driver, drnas, rows, write_sweep

FAULTY = (sys.executable, Path(__file__).resolve().parents[1] / "faulty_drnas.py")
ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 4
TINY: dict[str, Any] = {
    "methods": [{"name": "drnas", "penalty": "none"}],
    "datasets": [{"name": "digits", "train_images": 64}],
    "config": {
        "epochs": EPOCHS,
        "batch_size": 32,
        "supernet": {"channels": 4, "cells": 1},
        "arch": {"lr": 0.05},
    },
    "grid": {},
    "retrain": None,
}


def faulty(folder: Path, fault: str, *args: object) -> tuple[int, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    more = {"program": FAULTY, "FAULT": fault, "PYTHONPATH": path, "FAULT_FOLDER": str(folder)}
    return drnas(folder, "sweep", "tiny.yaml", "--out", "out", *args, **more)


def by_seed(out: Path, kind: str = "runs") -> dict[int, Any]:
    """Seed -> the run's row, or its epochs without times."""
    runs = rows(out, "runs", times=True)
    assert len({run["run_id"] for run in runs}) == len(runs)
    if kind == "runs":
        return {run["seed"]: run for run in runs}
    epochs = rows(out, kind)
    return {run["seed"]: [e for e in epochs if e["run_id"] == run["run_id"]] for run in runs}


@pytest.mark.process
def test_out_of_gpu_memory_is_tried_again_with_fewer_neighbours(tmp_path: Path) -> None:
    share = {"cpu": 1, "gpu": 0.5}
    write_sweep(tmp_path, **TINY, resources={**share, "retry_oom": 1}, max_failures=1)
    code, text = faulty(tmp_path, "oom")
    assert code == 0, text
    runs, epochs = by_seed(tmp_path / "out"), by_seed(tmp_path / "out", "epochs")
    assert {seed: (run["status"], run["restarts"]) for seed, run in runs.items()} == {
        0: ("done", 1), 1: ("done", 0),
    }  # fmt: skip
    assert [row["epoch"] for row in epochs[0]] == [1, 2, 3, 4]


@pytest.mark.slow
def test_out_of_gpu_memory_without_a_larger_share_is_an_error(tmp_path: Path) -> None:
    write_sweep(tmp_path, **TINY, resources={"cpu": 1, "gpu": 0.5}, max_failures=1)
    code, text = faulty(tmp_path, "oom")
    assert code == 1, text
    runs = by_seed(tmp_path / "out")
    assert {run["status"] for run in runs.values()} == {"done", "error"}
    assert "out of GPU memory (CUDA" in runs[0]["error"]
    assert runs[0]["restarts"] == 1
    assert runs[0]["epochs_done"] == 2


@pytest.mark.slow
def test_a_process_that_dies_before_its_trial_begins_is_tried_again(tmp_path: Path) -> None:
    # Tune itself gives such a trial up at once, with all its failures to spare.
    write_sweep(tmp_path, **TINY, max_failures=2, max_concurrent=1)
    code, text = faulty(tmp_path, "start")
    assert (tmp_path / "died").exists()
    assert code == 0, text
    assert {run["status"] for run in by_seed(tmp_path / "out").values()} == {"done"}


@pytest.mark.slow
def test_a_full_disk_costs_no_earlier_checkpoint(tmp_path: Path) -> None:
    write_sweep(tmp_path, **TINY, max_failures=0)
    code, text = faulty(tmp_path, "full")
    assert code == 1, text
    before = by_seed(tmp_path / "out")
    assert (before[0]["status"], before[1]["status"]) == ("error", "done")
    assert "the disk is full: no checkpoint can be written to " in before[0]["error"]
    assert "MiB free" in before[0]["error"]
    code, text = faulty(tmp_path, "none", "--resume")
    assert code == 0, text
    after = by_seed(tmp_path / "out")
    assert {run["status"] for run in after.values()} == {"done"}
    restarts = [row["restarts"] for row in epochs_with_times(tmp_path / "out", after[0]["run_id"])]
    assert restarts == [0, 0, 1, 1]  # the two epochs that had their checkpoint were not done again


def epochs_with_times(out: Path, run_id: str) -> list[dict[str, Any]]:
    return [row for row in rows(out, "epochs", times=True) if row["run_id"] == run_id]


@pytest.mark.process
def test_a_run_that_diverges_is_reported_and_never_tried_again(tmp_path: Path) -> None:
    write_sweep(tmp_path, **TINY | {"grid": {"weights.lr": [0.025, 1e30]}, "seeds": "0:1"})
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out")
    assert code == 0, text
    runs = {run["variant"]: run for run in rows(tmp_path / "out", "runs", times=True)}
    diverged, done = runs['{"weights.lr":1e+30}'], runs['{"weights.lr":0.025}']
    assert (diverged["status"], diverged["restarts"]) == ("diverged", 0)
    assert diverged["epochs_done"] < EPOCHS
    assert (done["status"], done["epochs_done"]) == ("done", EPOCHS)
    assert "1 diverged" in (tmp_path / "out" / "table.md").read_text()
    (lines,) = (tmp_path / "out").glob(f"search/*{diverged['run_id']}/result.json")
    assert len(lines.read_text().splitlines()) == diverged["epochs_done"]
    before = lines.read_bytes()
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume")
    assert code == 0, text
    assert lines.read_bytes() == before


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path: Path) -> None:
    write_sweep(tmp_path, **TINY | {"seeds": "0:1", "config": {**TINY["config"], "epochs": 8}})
    out = tmp_path / "out"
    with driver(tmp_path, "sweep", "tiny.yaml", "--out", "out") as running:
        running.wait_for(lambda: sorted(out.glob("search/*/checkpoint_000002/epochs.jsonl")))
        running.kill(running.process.pid)
        running.process.wait()
    newest = max(
        (path for path in out.glob("search/*/checkpoint_*") if (path / "epochs.jsonl").is_file()),
        key=lambda path: len((path / "epochs.jsonl").read_text().splitlines()),
    )
    (newest / "run.pt").write_bytes((newest / "run.pt").read_bytes()[:500])
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume")
    assert code == 0, text
    said = f"checkpoint {newest.name}/run.pt is damaged: "
    assert said in " ".join(text.split()), text
    _, text = drnas(tmp_path, "status", "out")
    assert said in " ".join(text.split()), text
    (run,) = rows(out, "runs", times=True)
    assert (run["status"], run["epochs_done"], run["restarts"]) == ("done", 8, 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_results_disk_that_is_really_full(small_disk: Path, tmp_path: Path) -> None:
    write_sweep(tmp_path, **TINY | {"seeds": "0:1", "config": {**TINY["config"], "epochs": 30}})
    out = small_disk / "out"
    with driver(tmp_path, "sweep", "tiny.yaml", "--out", out, "--set", "max_failures=0") as running:
        running.wait_for(lambda: sorted(out.glob("search/*/checkpoint_000002/epochs.jsonl")))
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 4096)
        assert running.process.wait(240) != 0, running.text()
        text = running.text()
    ballast.unlink()
    assert "No space left" in text or "the disk is full" in text
    again = ["sweep", "tiny.yaml", "--out", out, "--set", "max_failures=0", "--resume"]
    code, text = drnas(tmp_path, *again)
    assert code == 0, text
    (run,) = rows(out, "runs", times=True)
    assert (run["status"], run["epochs_done"]) == ("done", 30)
    restarts = [row["restarts"] for row in epochs_with_times(out, run["run_id"])]
    assert json.dumps(restarts[:2]) == "[0, 0]"
    assert restarts[-1] == 1
