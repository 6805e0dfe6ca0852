"""HyperOpt without a cluster: spaces, suggestions, the searcher, refusals."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.search import Searcher
from ray.tune.search.hyperopt import HyperOptSearch

from drnas_ray.core.errors import UserError
from drnas_ray.results.journal import Journal
from drnas_ray.sweeps.plan.check import checked_plan
from drnas_ray.sweeps.spec.dimensions import dimensions
from drnas_ray.sweeps.spec.sweep import load_sweep
from drnas_ray.sweeps.tune.plan import Tuning, plan_tuning
from drnas_ray.sweeps.tune.schedulers import scheduler
from drnas_ray.sweeps.tune.searcher import PointSearcher
from drnas_ray.sweeps.tune.tpe import suggest

SPACE: dict[str, Any] = {
    "log": {"loguniform": [1e-3, 1e-1]},
    "tenths": {"quniform": [0, 1, 0.1]},
    "pick": {"choice": ["x", None, [1, 2]]},
    "count": {"randint": [2, 9]},
    "real": {"uniform": [-1, 1]},
    "even": {"qloguniform": [2, 64, 2]},
}
SEARCH: dict[str, Any] = {
    "space": {
        "arch.lr": {"loguniform": [0.001, 0.1]},
        "method.penalty": {"choice": ["l2", "kl"]},
    },
    "metric": "val_mean_acc_pct",
    "mode": "max",
    "trials": 12,
    "n_initial_points": 4,
}


def sweep_file(tmp_path: Path, search: dict[str, Any] | None = None, **over: Any) -> str:
    sweep = {
        "name": "t",
        "methods": ["drnas"],
        "datasets": ["digits"],
        "seeds": [0, 1],
        "config": {"epochs": 9},
        "search": {**SEARCH, **(search or {})},
        **over,
    }
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps(sweep))
    return str(path)


def tuning_of(tmp_path: Path, search: dict[str, Any] | None = None, **over: Any) -> Tuning:
    return plan_tuning(load_sweep(sweep_file(tmp_path, search, **over)))


def loss_of(point: dict[str, Any]) -> float:
    return (
        (math.log10(point["log"]) + 2) ** 2
        + point["tenths"]
        + (point["pick"] is not None)
        + abs(point["count"] - 5) / 10
        + point["real"] ** 2
    )


# --- suggestions --------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 7])
def test_suggestions_are_those_of_ray_tunes_own_searcher(seed: int) -> None:
    dims = dimensions(SPACE)
    pick = dims[2].options
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = HyperOptSearch(metric="m", mode="min", n_initial_points=5, random_state_seed=seed)
        theirs.set_search_properties(
            None,
            None,
            {
                "log": tune.loguniform(1e-3, 1e-1),
                "tenths": tune.quniform(0, 1, 0.1),
                "pick": tune.choice([0, 1, 2]),
                "count": tune.randint(2, 9),
                "real": tune.uniform(-1, 1),
                "even": tune.qloguniform(2, 64, 2),
            },
        )
    told: list[tuple[dict[str, Any], float | None]] = []
    for number in range(30):  # beyond 25, where TPE forgets the oldest
        ours = suggest(dims, told, seed=seed, n_initial_points=5)
        other = theirs.suggest(str(number))
        assert other is not None
        assert ours == {
            **other,
            "pick": pick[other["pick"]],
            "tenths": pytest.approx(other["tenths"], abs=1e-12),
        }
        loss = loss_of(ours)
        theirs.on_trial_complete(str(number), {"m": loss})
        told.append((ours, loss))


def test_values_keep_to_their_dimension() -> None:
    dims = dimensions({**SPACE, "whole": {"quniform": [4, 16, 4]}})
    told: list[tuple[dict[str, Any], float | None]] = []
    for _ in range(40):
        point = suggest(dims, told, seed=1, n_initial_points=30)
        told.append((point, 1.0))
        assert 1e-3 <= point["log"] <= 1e-1
        assert point["tenths"] in {round(n / 10, 1) for n in range(11)}
        assert isinstance(point["count"], int) and 2 <= point["count"] <= 8
        assert isinstance(point["whole"], int) and point["whole"] in (4, 8, 12, 16)
        assert point["even"] % 2 == 0 and 2 <= point["even"] <= 64
        json.dumps(point)  # plain values
    assert {json.dumps(point["pick"]) for point, _ in told} == {'"x"', "null", "[1, 2]"}
    assert {point["count"] for point, _ in told} == set(range(2, 9))


def test_what_failed_counts_as_the_worst() -> None:
    dims = dimensions({"x": {"uniform": [-10, 10]}})
    told: list[tuple[dict[str, Any], float | None]] = []
    for number in range(10):
        point = suggest(dims, told, seed=0, n_initial_points=8)
        told.append((point, None if number % 3 else (point["x"] - 3) ** 2))
    worst = [(point, 1e9 if loss is None else loss) for point, loss in told]
    best = [(point, -1e9 if loss is None else loss) for point, loss in told]
    nexts = [suggest(dims, one, seed=0, n_initial_points=8) for one in (told, worst, best)]
    assert nexts[0] == nexts[1] != nexts[2]


# --- the searcher -------------------------------------------------------------------------------


def answer(searcher: PointSearcher, trial: str, job: dict[str, Any], status: str = "done") -> None:
    """Report two epochs, better for a larger learning rate."""
    lr = job["job"]["runs"][0]["settings"]["arch"]["lr"]
    searcher.on_trial_result(trial, {"epoch": 1, "objective": 10 + lr})
    searcher.on_trial_complete(trial, {"epoch": 2, "objective": 20 + lr, "status": status})


def test_a_searcher_that_is_killed_and_followed_asks_the_same(tmp_path: Path) -> None:
    """At every point the journal alone carries the tuning on, one point at a time."""
    tuning = tuning_of(tmp_path)
    undisturbed = PointSearcher(tuning, Journal(tmp_path / "a.jsonl"), 1)
    for number in range(12):
        answer(undisturbed, str(number), undisturbed.suggest(str(number)))
    assert undisturbed.suggest("x") == Searcher.FINISHED
    for number in range(12):
        searcher = PointSearcher(tuning, Journal(tmp_path / "b.jsonl"), 1)
        job = searcher.suggest("t")
        if number % 3 == 1:  # killed with a point under way: the next one has it again
            searcher.on_trial_result("t", {"epoch": 1, "objective": 1.0})
            searcher = PointSearcher(tuning, Journal(tmp_path / "b.jsonl"), 1)
            assert searcher.left == 12 - number
            assert searcher.suggest("u") == job
            answer(searcher, "u", job)
        else:
            answer(searcher, "t", job)
    again = Journal(tmp_path / "b.jsonl")
    assert again.points == undisturbed.journal.points
    assert PointSearcher(tuning, again, 1).left == 0


def test_points_to_start_from_come_first_and_each_has_a_run_a_seed(tmp_path: Path) -> None:
    points = [{"arch.lr": 0.05, "method.penalty": "kl"}, {"arch.lr": 0.001, "method.penalty": "l2"}]
    tuning = tuning_of(tmp_path, {"points": points})
    searcher = PointSearcher(tuning, Journal(tmp_path / "a.jsonl"), 2)
    jobs = [searcher.suggest(name)["job"] for name in "ab"]
    assert searcher.suggest("c") is None  # two at once
    assert [point.values for point in searcher.journal.points] == points
    for job, values in zip(jobs, points, strict=True):
        assert [run["settings"]["seed"] for run in job["runs"]] == [0, 1]
        for run in job["runs"]:
            assert run["settings"]["arch"]["lr"] == values["arch.lr"]
            assert run["settings"]["method"]["penalty"] == values["method.penalty"]
            assert run["settings"]["epochs"] == 9
    assert len({run["run_id"] for job in jobs for run in job["runs"]}) == 4


def test_a_run_id_is_that_of_the_same_settings_in_a_grid(tmp_path: Path) -> None:
    tuning = tuning_of(tmp_path)
    grid = {"arch.lr": [0.05], "method.penalty": ["kl"]}
    path = tmp_path / "grid.yaml"
    path.write_text(
        json.dumps({**json.loads((tmp_path / "t.yaml").read_text()), "search": None, "grid": grid})
    )
    listed = checked_plan(load_sweep(str(path)))
    ours = tuning.runs({"arch.lr": 0.05, "method.penalty": "kl"})
    assert [run.run_id for run in ours] == [run.run_id for run in listed]
    assert [run.variant for run in ours] == [run.variant for run in listed]


def test_equal_points_run_once_and_impossible_ones_never(tmp_path: Path) -> None:
    space = {
        "weights.lr": {"choice": [0.01, 0.1]},
        "weights.lr_min": {"choice": [0.0, 0.05]},
    }
    start = {"weights.lr": 0.1, "weights.lr_min": 0.0}
    tuning = tuning_of(tmp_path, {"space": space, "trials": 30, "points": [start]})
    journal = Journal(tmp_path / "a.jsonl")
    searcher = PointSearcher(tuning, journal, 1)
    ran = []
    while (job := searcher.suggest("t")) != Searcher.FINISHED:
        ran.append(job["job"]["point"])
        answer_plain(searcher, "t")
    assert len(ran) == 3  # of four, and lr=0.01 with lr_min=0.05 is none
    assert len(journal.points) == 30
    invalid = [point for point in journal.points if point.status == "invalid"]
    assert [point.values for point in invalid] == [{"weights.lr": 0.01, "weights.lr_min": 0.05}]
    assert all(point.ended for point in journal.points)


def answer_plain(searcher: PointSearcher, trial: str) -> None:
    searcher.on_trial_complete(trial, {"epoch": 9, "objective": 1.0, "status": "done"})


def test_ends_are_told_apart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    searcher = PointSearcher(tuning_of(tmp_path), journal, 9)
    for name in "abcd":
        searcher.suggest(name)
    searcher.on_trial_complete("a", {"epoch": 9, "objective": 3.0, "status": "done"})
    searcher.on_trial_complete("b", {"epoch": 2, "objective": 2.0, "status": "running"})
    searcher.on_trial_complete("c", {"epoch": 2, "objective": math.nan, "status": "diverged"})
    searcher.on_trial_complete("d", error=True)
    assert [point.status for point in journal.points] == ["done", "stopped", "diverged", "error"]
    assert [journal.loss(point, -1.0) for point in journal.points] == [-3.0, -2.0, None, None]
    # Only what failed is tried again.
    assert PointSearcher(tuning_of(tmp_path), Journal(journal.path), 9).unfinished == [3]


# --- schedulers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_scheduler_is_told_what_an_earlier_driver_saw(name: str, tmp_path: Path) -> None:
    tuning = tuning_of(tmp_path, {"scheduler": name, "grace_epochs": 2})
    journal = Journal(tmp_path / "a.jsonl")
    for number in range(6):
        journal.add({"arch.lr": number})
        for epoch in range(1, 10):
            journal.report(number, epoch, 50.0 + number)
        journal.end(number, "done")

    class Trial:
        trial_id = "new"

    told, trial = scheduler(tuning, journal), Trial()
    told.on_trial_add(None, trial)
    bad = {"epoch": 2, "objective": 10.0}
    assert told.on_trial_result(None, trial, {**bad, "epoch": 1}) == "CONTINUE"
    assert told.on_trial_result(None, trial, bad) == "STOP"
    untold = scheduler(tuning, Journal(tmp_path / "none.jsonl"))
    untold.on_trial_add(None, trial)
    assert untold.on_trial_result(None, trial, bad) == "CONTINUE"


# --- refusals -----------------------------------------------------------------------------------


def space(**key: Any) -> dict[str, Any]:
    return {"space": {"arch.lr": key}}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"space": {}}, "search.space: empty: name at least one"),
        ({"space": {"arch.lrr": {"uniform": [0, 1]}}}, "unknown setting 'arch.lrr': did you mean"),
        ({"space": {"seed": {"randint": [0, 9]}}}, "'seed': methods, datasets and seeds have keys"),
        ({"space": {"method.name": {"choice": ["a", "b"]}}}, "'method.name': methods, datasets"),
        ({"space": {"benchmark.table": {"choice": ["a", "b"]}}}, "method drnas have no such"),
        (space(uniform=[0.1, 0.01]), "low=0.1 and high=0.01 need low < high"),
        (space(uniform=[0.1, 0.1]), "need low < high"),
        (space(loguniform=[0, 0.1]), "low=0 has no logarithm"),
        (space(uniform=[0.1]), r"should be \[low, high\]"),
        (space(quniform=[0.1, 0.3]), r"should be \[low, high, step\]"),
        (space(quniform=[0.1, 0.35, 0.1]), "multiples of step=0.1"),
        (space(quniform=[0.1, 0.3, 0]), "multiples of step=0"),
        (space(uniform=[True, 2]), "True is not a finite number"),
        (space(uniform=["a", 2]), "'a' is not a finite number"),
        (space(randint=[1, 2]), r"need low \+ 2 <= high"),
        (space(randint=[1, 2.5]), "randint .* needs whole numbers"),
        (space(choice=[]), "leaves nothing to choose"),
        (space(choice=[0.1]), "leaves nothing to choose"),
        (space(choice=[0.1, 0.1]), "lists an option twice"),
        (space(uniforn=[0, 1]), "'uniforn': did you mean 'uniform'"),
        (space(uniform=[0.1, 0.2], choice=[1, 2]), "should be one kind"),
        (space(uniform=[-0.1, 0.1]), "arch.lr=-0.1: input should be greater than 0"),
        (space(choice=[0.1, "fast"]), "arch.lr='fast'"),
        ({"metric": "val_acc"}, "did you mean 'val_acc_pct'"),
        ({"metric": "genotype"}, "can't be optimised by runs of method drnas"),
        ({"metric": "retrain_test_acc_pct"}, "are never used to choose"),
        ({"metric": "test_acc_pct"}, "are never used to choose"),
        ({"mode": "best"}, "search.mode='best'"),
        ({"trials": 0}, "search.trials=0"),
        ({"n_initial_points": None}, "search.n_initial_points"),
        ({"seeds_at_once": 2}, "unknown setting 'search.seeds_at_once'"),
        ({"points": [{"arch.lr": 0.01}]}, "a point must set every key of the space"),
        ({"points": [{"arch.lr": 9.0, "method.penalty": "l2"}]}, "not a value of its dimension"),
        ({"points": [{"arch.lr": 0.01, "method.penalty": "l3"}]}, "not one of its options"),
        ({"scheduler": "hyperband"}, "search.scheduler='hyperband'"),
        ({"grace_epochs": 2}, "it is a setting of asha and median"),
        ({"scheduler": "median", "reduction_factor": 2}, "it is a setting of asha"),
        ({"scheduler": "asha", "grace_epochs": 9}, "grace_epochs=9 of epochs=9 leaves no epoch"),
        ({"scheduler": "asha", "space": {"epochs": {"randint": [2, 9]}}}, "take epochs out"),
    ],
)
def test_bad_searches_are_refused(search: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        tuning_of(tmp_path, search)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"methods": ["drnas", "darts"]}, "methods: 2 are listed, and `search` tunes one"),
        ({"resources": {"retry_oom": 1}}, "resources.retry_oom=1 with `search`"),
        ({"resources": {"gpu_free_mib": 500}}, "resources.gpu_free_mib=500.0 with `search`"),
        ({"datasets": ["digits", "cifar10"]}, "datasets: 2 are listed"),
        ({"grid": {"arch.betas": [[0.5, 0.9]]}}, "HyperOpt refuses a grid"),
        ({"retrain": {"epochs": 1}}, "retrain with `search`"),
        ({"protocol": "transfer"}, "protocol transfer with `search`"),
        ({"methods": ["uniform"]}, "unknown setting|no such setting"),
    ],
)
def test_sweeps_that_search_does_not_go_with(
    over: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        tuning_of(tmp_path, **over)


def test_runs_that_report_once_have_nothing_to_stop(tmp_path: Path) -> None:
    search = {
        "space": {"queries": {"randint": [2, 9]}},
        "metric": "val_acc_pct",
        "scheduler": "asha",
    }
    over = {"methods": ["random"], "config": {"benchmark": {"table": "/nowhere.parquet"}}}
    with pytest.raises(UserError, match="report once"):
        tuning_of(tmp_path, search, **over)
    assert tuning_of(tmp_path, {**search, "scheduler": "none"}, **over).epochs == 1


def test_the_preset_is_what_it_says(tmp_path: Path) -> None:
    tuning = plan_tuning(load_sweep("digits-tuning"))
    assert {dim.key for dim in tuning.dims} == {"arch.lr", "method.penalty_scale"}
    assert (tuning.spec.trials, tuning.label) == (24, "DrNAS")
