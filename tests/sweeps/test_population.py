"""Population-based training without a cluster: which member continues which, from the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.tune.search import Searcher
from test_tuning import tuning_of

from drnas_ray.core.errors import UserError
from drnas_ray.results.journal import Journal
from drnas_ray.sweeps.spec.dimensions import dimensions
from drnas_ray.sweeps.tune.population import FACTORS, PopulationSearcher, perturbed

PBT: dict[str, Any] = {
    "space": {
        "arch.lr": {"loguniform": [0.001, 0.1]},
        "weights.momentum": {"choice": [0.0, 0.5, 0.9]},
    },
    "scheduler": "pbt",
    "trials": 8,
    "n_initial_points": 8,
    "interval_epochs": 4,
}


def population(tmp_path: Path, name: str = "a", **over: Any) -> PopulationSearcher:
    tuning = tuning_of(tmp_path, {**PBT, **over})  # of 9 epochs: generations end at 4, 8, 9
    return PopulationSearcher(tuning, Journal(tmp_path / f"{name}.jsonl"), 3)


def train(searcher: PopulationSearcher, trial: str, job: dict[str, Any]) -> None:
    """A trial's epochs; the objective is 1000 times the learning rate, plus the epoch."""
    lr = job["runs"][0]["settings"]["arch"]["lr"]
    # A trial that had reached its last epoch when its driver was killed returns it again.
    for epoch in range(min(job["begin"], job["until"] - 1) + 1, job["until"] + 1):
        status = "done" if epoch == 9 else "running"
        result = {"epoch": epoch, "objective": 1000 * lr + epoch, "status": status}
        if epoch < job["until"]:
            searcher.on_trial_result(trial, result)
        else:
            searcher.on_trial_complete(trial, result)


def run_all(searcher: PopulationSearcher) -> list[dict[str, Any]]:
    """Three members at a time, until nothing is left; the jobs in order."""
    jobs: list[dict[str, Any]] = []
    under_way: list[tuple[str, dict[str, Any]]] = []
    while True:
        told = searcher.suggest(str(len(jobs)))
        if told == Searcher.FINISHED:
            return jobs
        if told is None:
            train(searcher, *under_way.pop(0))
            continue
        under_way.append((str(len(jobs)), told["job"]))
        jobs.append(told["job"])


def test_the_worst_quarter_goes_on_from_the_best(tmp_path: Path) -> None:
    searcher = population(tmp_path)
    assert searcher.left == 8 * 3
    jobs = run_all(searcher)
    assert [job["until"] for job in jobs] == [4] * 8 + [8] * 8 + [9] * 8
    assert searcher.left == 0
    points = searcher.journal.points
    first = {point.number: point.curve[4] for point in points[:8]}
    order = sorted(first, key=lambda number: -first[number])
    copies = [point for point in points if point.fork and point.fork["epoch"] == 4]
    assert {point.fork["member"] for point in copies if point.fork} == set(order[-2:])
    assert {point.fork["parent"] for point in copies if point.fork} <= set(order[:2])
    assert len(points) == 8 + 2 + 2
    for number in order[-2:]:
        assert points[number].status == "stopped"
    assert [point.status for point in points].count("done") == 8
    # A copy is a run of its own, which names the run that it continues.
    for point in copies:
        assert point.fork is not None
        parent = points[point.fork["parent"]]
        assert [run.parent_run_id for run in point.runs] == [r.run_id for r in parent.runs]
        assert {run.from_epoch for run in point.runs} == {4}
    ids = [run.run_id for point in points for run in point.runs]
    assert len(set(ids)) == len(ids)
    job = next(job for job in jobs if job["point"] == copies[0].number)
    assert (job["begin"], job["until"], job["parent"]["epoch"]) == (4, 8, 4)
    assert job["folder"] == f"{copies[0].folder}-e0008"


@pytest.mark.parametrize("lines", range(20, 110, 9))
def test_a_driver_that_follows_decides_the_same(lines: int, tmp_path: Path) -> None:
    whole = population(tmp_path)
    run_all(whole)
    text = whole.journal.path.read_text().splitlines(keepends=True)
    (tmp_path / "b.jsonl").write_text("".join(text[:lines]))
    run_all(again := population(tmp_path, "b"))
    values = [(point.values, point.fork, point.runs) for point in again.journal.points]
    assert values == [(point.values, point.fork, point.runs) for point in whole.journal.points]
    assert [p.status for p in again.journal.points] == [p.status for p in whole.journal.points]


def test_a_member_that_failed_is_replaced(tmp_path: Path) -> None:
    searcher = population(tmp_path)
    job = searcher.suggest("t")["job"]
    searcher.on_trial_complete("t", error=True)
    run_all(searcher)
    members = [p for p in searcher.journal.points if p.fork and p.fork["member"] == job["point"]]
    assert [point.status for point in members[:1]] == ["error"]
    assert members[1].fork is not None
    assert members[1].fork["epoch"] == 4


@pytest.mark.long
def test_changed_values() -> None:
    space = {
        "lr": {"loguniform": [0.01, 1.0]},
        "pick": {"choice": ["a", "b", "c"]},
        "even": {"quniform": [2, 20, 2]},
    }
    dims, rng = dimensions(space), np.random.default_rng(0)
    parent = {"lr": 0.1, "pick": "b", "even": 10}
    found = [perturbed(dims, parent, rng) for _ in range(400)]
    moved = [point for point in found if point["lr"] in [0.1 * factor for factor in FACTORS]]
    assert 260 < len(moved) < 340  # three quarters of them; the rest are resampled
    assert all(0.01 <= point["lr"] <= 1.0 for point in found)
    assert {point["even"] for point in found} <= set(range(2, 21, 2))
    assert sum(point["pick"] == "b" for point in found) < 80  # a neighbour, unless resampled
    low = [perturbed(dims, {**parent, "lr": 0.011}, rng)["lr"] for _ in range(50)]
    assert min(low) == 0.01  # not beyond the space


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"space": {"batch_size": {"choice": [16, 32]}}}, "it can't change while a search runs"),
        ({"space": {"supernet.channels": {"randint": [4, 9]}}}, "settings that can: arch.lr, "),
        ({"n_initial_points": 4}, "HyperOpt can't choose any .Ray refuses the pair too"),
        ({"trials": 3, "n_initial_points": 3}, "give at least 4"),
        ({"interval_epochs": None}, "give the epochs between comparisons, fewer than epochs=9"),
        ({"interval_epochs": 9}, "give the epochs between comparisons, fewer than epochs=9"),
        ({"grace_epochs": 2}, "it is a setting of asha and median"),
    ],
)
def test_populations_that_make_no_sense(over: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        population(tmp_path, **over)


def test_runs_without_a_supernet_have_nothing_to_copy(tmp_path: Path) -> None:
    over = {"methods": ["random"], "config": {"benchmark": {"train": {"epochs": 2}}}}
    search = {**PBT, "space": {"queries": {"randint": [9, 20]}}, "metric": "val_acc_pct"}
    with pytest.raises(UserError, match="method random: a copy continues another's supernet"):
        tuning_of(tmp_path, search, **over)
