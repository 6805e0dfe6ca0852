"""Killed workers and killed drivers: the sweep still ends, with the same numbers."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sweep_runs import (
    EPOCHS,
    RUNS,
    assert_same,
    driver,
    drnas,
    final_strengths,
    reference,
    rows,
    trial_lines,
    write_sweep,
)

from analysis.records.collect import export

__all__ = ["reference"]  # a fixture


def assert_whole(out: Path, *, retrained: bool = True) -> None:
    """Every planned run once and done, one row for each of its epochs."""
    runs = rows(out, "runs")
    assert len({run["run_id"] for run in runs}) == len(runs) == RUNS
    assert {run["status"] for run in runs} == {"done"}
    assert {run["retrain_status"] for run in runs} == {"done" if retrained else None}
    counted = Counter((row["run_id"], row["epoch"]) for row in rows(out, "epochs"))
    steps = {run["run_id"]: 1 if run["method"] == "uniform" else EPOCHS for run in runs}
    assert counted == {(run, e): 1 for run, n in steps.items() for e in range(1, n + 1)}


def test_undisturbed_sweep_is_whole(reference: Path) -> None:
    assert_whole(reference)
    # The two uniform runs are over in a moment and share a trial, which is not among these.
    assert sum(len(lines) for lines in trial_lines(reference).values()) == 6 * EPOCHS
    assert [path.name for path in reference.glob("packed/pack-*")] == ["pack-0000"]


def test_killed_worker_changes_nothing(reference: Path, tmp_path: Path) -> None:
    write_sweep(tmp_path, retrain=None)
    with driver(tmp_path, "sweep", "tiny.yaml", "--out", "out") as running:

        def somewhere_inside() -> tuple[str, int] | None:
            for lines in running.records().values():
                if 3 <= len(lines) <= EPOCHS - 4:
                    return lines[-1]["run_id"], lines[-1]["pid"]
            return None

        run_id, pid = running.wait_for(somewhere_inside)
        running.kill(pid)
        assert running.process.wait(240) == 0, running.text()
    out = tmp_path / "out"
    assert_whole(out, retrained=False)
    assert final_strengths(out) == final_strengths(reference)
    assert rows(out, "epochs") == rows(reference, "epochs")
    # The run was really interrupted, and its second half continued from a checkpoint.
    lines = trial_lines(out)[run_id]
    pids = list(dict.fromkeys(line["pid"] for line in lines))
    assert len(pids) == 2
    assert pids[0] == pid
    reached = max(line["epoch"] for line in lines if line["pid"] == pid)
    first = next(line["epoch"] for line in lines if line["pid"] == pids[1])
    assert first >= max(reached, 2)  # at most one epoch was done again


def test_killed_driver_is_resumed(reference: Path, tmp_path: Path) -> None:
    write_sweep(tmp_path)
    out = tmp_path / "out"
    with driver(tmp_path, "sweep", "tiny.yaml", "--out", "out") as running:

        def second_wave() -> bool:
            epochs = [len(lines) for lines in running.records().values()]
            return len(epochs) > 2 and max(epochs) == EPOCHS and 3 <= min(epochs) <= EPOCHS - 4

        running.wait_for(second_wave)
        running.kill(running.process.pid)
        running.process.wait()
    # Its Ray is gone, and with it (as after a reboot) all that was not yet in the results folder.
    export(out)
    before = {run["run_id"]: run for run in rows(out, "runs", times=True)}
    assert len(before) == RUNS
    assert {run["status"] for run in before.values()} <= {"done", "running", "pending"}
    assert "pending" in {run["status"] for run in before.values()}
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume")
    assert code == 0, text
    assert_whole(out)
    assert final_strengths(out) == final_strengths(reference)
    assert_same(out, reference)
    # What was done before was not done again.
    after = {run["run_id"]: run for run in rows(out, "runs", times=True)}
    for run_id, run in before.items():
        if run["status"] == "done":
            assert after[run_id]["finished_unix_s"] == run["finished_unix_s"]


@pytest.mark.slow
def test_the_same_sweep_twice(reference: Path, tmp_path: Path) -> None:
    write_sweep(tmp_path)
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out")
    assert code == 0, text
    assert_same(tmp_path / "out", reference)


@pytest.mark.slow
def test_trials_at_once_change_nothing(reference: Path, tmp_path: Path) -> None:
    write_sweep(tmp_path, max_concurrent=1, retrain=None)
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out")
    assert code == 0, text
    assert rows(tmp_path / "out", "epochs") == rows(reference, "epochs")


@pytest.mark.slow
def test_interrupted_sweep_is_resumed(reference: Path, tmp_path: Path) -> None:
    write_sweep(tmp_path, retrain=None)
    with driver(tmp_path, "sweep", "tiny.yaml", "--out", "out") as running:
        running.wait_for(lambda: any(len(lines) >= 3 for lines in running.records().values()))
        running.process.send_signal(signal.SIGINT)  # Ctrl-C
        assert running.process.wait(120) == 130, running.text()
        *_, last = running.text().splitlines()
        assert last.startswith("stopped; what was done is kept")
        assert "--resume" in last
        assert running.ended(), "a stopped sweep leaves no process behind"
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume")
    assert code == 0, text
    assert_whole(tmp_path / "out", retrained=False)
    assert rows(tmp_path / "out", "epochs") == rows(reference, "epochs")


@pytest.mark.slow
def test_worker_that_dies_too_often_is_an_error_and_can_be_resumed(
    reference: Path, tmp_path: Path
) -> None:
    write_sweep(tmp_path, max_failures=0, retrain=None)
    out = tmp_path / "out"
    with driver(tmp_path, "sweep", "tiny.yaml", "--out", "out") as running:

        def somewhere_inside() -> int | None:
            for lines in running.records().values():
                if 3 <= len(lines) <= EPOCHS - 4:
                    return int(lines[-1]["pid"])
            return None

        running.kill(running.wait_for(somewhere_inside))
        assert running.process.wait(240) == 1, running.text()
        assert f"1 of {RUNS} runs are not done (1 error; the first: " in running.text()
    statuses = Counter(run["status"] for run in rows(out, "runs"))
    assert statuses == {"error": 1, "done": RUNS - 1}
    (failed,) = (run for run in rows(out, "runs") if run["status"] == "error")
    assert failed["error"]
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume")
    assert code == 0, text
    assert_whole(out, retrained=False)
    assert rows(out, "epochs") == rows(reference, "epochs")


def test_resuming_a_finished_sweep_runs_nothing(reference: Path, tmp_path: Path) -> None:
    # In another place, too: a results folder may be moved.
    shutil.copytree(reference, tmp_path / "out")
    write_sweep(tmp_path)
    kept = ("search/*/result.json", "retrain/*/result.json", "*.parquet", "*.json", "table.*")
    files = sorted(path for form in kept for path in (tmp_path / "out").glob(form))
    assert len(files) > 2 * RUNS

    def content(path: Path) -> object:
        # An export also notes the times of the files that it was made of, which Tune renews.
        return pq.read_table(path) if path.suffix == ".parquet" else path.read_bytes()

    before = {path: content(path) for path in files}
    code, text = drnas(tmp_path, "sweep", "tiny.yaml", "--out", "out", "--resume")
    assert code == 0, text
    for path in files:
        assert content(path) == before[path], path
    assert not list((tmp_path / "out").glob("retrain-*"))
