"""A tuning's points, the best of them, what mattered, and their pictures, from made-up runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.figures import FIGURES, Missing
from analysis.records.collect import Collected, collect
from analysis.tuning.importance import importance
from analysis.tuning.results import best, tuning_notes, tunings
from drnas_ray.core.errors import UserError

SEARCH: dict[str, Any] = {
    "space": {
        "arch.lr": {"loguniform": [0.001, 0.1]},
        "weights.momentum": {"uniform": [0.0, 1.0]},
        "method.penalty": {"choice": ["l2", "kl", None]},
    },
    "metric": "val_loss",
    "mode": "min",
    "trials": 40,
    "n_initial_points": 10,
    "points": [],
    "seed": 3,
    "scheduler": "asha",
}


ONE_KEY = {**SEARCH, "space": {"arch.lr": {"uniform": [0.0, 9.0]}}}


def runs_of(points: list[dict[str, Any]], **search: Any) -> pd.DataFrame:
    """Two runs a point. A point: values, objective, status."""
    rows = [
        {
            "run_id": f"{number}-{seed}",
            "label": "DrNAS",
            "dataset": "digits",
            "seed": seed,
            "point": number,
            "objective": point["objective"],
            "status": point.get("status", "done"),
            "epochs_done": 9 if point.get("status", "done") == "done" else 2,
            "tuning": json.dumps({**SEARCH, **search}),
            "variant": json.dumps(point["values"]),
        }
        for number, point in enumerate(points)
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


def random_points(count: int, noise: float = 0.0) -> list[dict[str, Any]]:
    """The objective follows the learning rate's logarithm, and the momentum a little."""
    rng = np.random.default_rng(0)
    points = []
    for _ in range(count):
        lr, momentum = float(10 ** rng.uniform(-3, -1)), float(rng.uniform())
        penalty = ("l2", "kl", None)[rng.integers(3)]
        points.append(
            {
                "values": {
                    "arch.lr": lr, "weights.momentum": momentum, "method.penalty": penalty
                },
                "objective": np.log10(lr) + 0.3 * momentum + noise * rng.normal(),
            }
        )  # fmt: skip
    return points


def data(runs: pd.DataFrame) -> Collected:
    return Collected(runs, pd.DataFrame(), pd.DataFrame(), ())


def test_the_best_are_done_and_smallest_first() -> None:
    points = random_points(12)
    points[4] |= {"status": "stopped", "objective": -99.0}
    (tuning,) = tunings(runs_of(points))
    table = best(tuning, 5)
    done = [point["objective"] for place, point in enumerate(points) if place != 4]
    assert table["objective"].tolist() == sorted(done)[:5]
    first = points[int(table["point"][0])]["values"]
    assert {key: table[key][0] for key in first} == first
    assert table["seeds"].tolist() == [2] * 5
    (largest,) = tunings(runs_of(points, mode="max"))
    assert best(largest, 5)["objective"].tolist() == sorted(done, reverse=True)[:5]


def test_a_point_is_as_its_worst_run() -> None:
    runs = runs_of(random_points(3))
    runs.loc[[0, 1], "status"] = ["diverged", "stopped"]
    runs.loc[[2, 3], "status"] = ["done", "error"]
    (tuning,) = tunings(runs)
    assert tuning.points["status"].tolist() == ["diverged", "error", "done"]


def test_two_folders_are_two_tunings() -> None:
    runs = pd.concat([runs_of(random_points(3)), runs_of(random_points(4))], ignore_index=True)
    runs.insert(0, "sweep", ["a"] * 6 + ["b"] * 8)
    assert [len(tuning.points) for tuning in tunings(runs)] == [3, 4]
    assert tunings(runs.assign(tuning=None)) == []


@pytest.mark.long
def test_importance_finds_what_the_objective_follows() -> None:
    (tuning,) = tunings(runs_of(random_points(40)))
    found = importance(tuning)
    assert list(found.share) == list(SEARCH["space"])
    lr, momentum, penalty = found.share.values()
    # Shuffling a key that explains a share s of the variance raises the error by about 2 s.
    values = pd.DataFrame([point["values"] for point in random_points(40)])
    share = np.log10(values["arch.lr"]).var() / tuning.points["objective"].var()
    assert lr == pytest.approx(2 * share, rel=0.35)
    assert lr > 5 * abs(momentum)
    assert abs(penalty) < 0.05
    assert found.r2 > 0.7
    assert importance(tuning) == found


@pytest.mark.long
def test_of_noise_nothing_matters_and_it_says_so() -> None:
    points = random_points(40)
    rng = np.random.default_rng(1)
    for point in points:
        point["objective"] = rng.normal()
    found = importance(tunings(runs_of(points))[0])
    assert found.r2 < 0.1
    assert max(found.share.values()) < 0.5


def test_too_little_for_importance() -> None:
    points = random_points(12)
    for point in points[:5]:
        point["status"] = "stopped"
    with pytest.raises(UserError, match="7 points are done"):
        importance(tunings(runs_of(points))[0])
    with pytest.raises(UserError, match="same objective"):
        importance(tunings(runs_of([{**p, "objective": 1.0} for p in random_points(9)]))[0])


def test_the_note_says_how_points_came_and_what_is_left_out() -> None:
    points = random_points(12)
    points[0]["status"] = "stopped"
    points[1]["status"] = "diverged"
    note = " ".join(tuning_notes(tunings(runs_of(points))[0]))
    assert "mean over 2 seeds of val_loss after 9 epochs; smallest is best" in note
    assert "random until 10, then HyperOpt (TPE) until 40, seed 3; early stopping: asha" in note
    assert "Not ranked, of 12 points: 1 diverged, 1 stopped early." in note


def test_a_line_a_point_in_its_place() -> None:
    points = random_points(10)
    points[0]["status"] = "stopped"
    figure = FIGURES["tuning-parallel"].draw(data(runs_of(points)), None)
    lines = [line for line in figure.axes[0].lines if len(line.get_ydata()) == 4]
    assert len(lines) == 10
    assert sum(line.get_linestyle() == "--" for line in lines) == 1
    objectives = np.array([point["objective"] for point in points])
    top = max(lines, key=lambda line: line.get_ydata()[-1])
    values = points[int(objectives.argmax())]["values"]
    lr = (np.log10(values["arch.lr"]) + 3) / 2
    penalty = ("l2", "kl", None).index(values["method.penalty"]) / 2
    expected = [lr, values["weights.momentum"], penalty, 1.0]
    assert list(top.get_ydata()) == pytest.approx(expected)


@pytest.mark.long
def test_a_bar_a_key() -> None:
    runs = runs_of(random_points(20))
    figure = FIGURES["tuning-importance"].draw(data(runs), None)
    assert len(figure.axes[0].patches) == 3
    assert "20 points" in figure.axes[0].get_title()


def test_figures_say_what_is_missing() -> None:
    nothing = runs_of(random_points(2)).assign(tuning=None)
    for name in ("tuning-parallel", "tuning-importance"):
        with pytest.raises(Missing, match="search:"):
            FIGURES[name].draw(data(nothing), None)
    with pytest.raises(Missing, match="3 points are done"):
        FIGURES["tuning-importance"].draw(data(runs_of(random_points(3))), None)


# --- from the files of a results folder ---------------------------------------------------------


@pytest.fixture
def tuned(fake: Any) -> Any:
    """Point 0 done, 1 stopped, 2 diverged in one seed, 3 under way, 4 as 0, 5 invalid."""
    ends = {0: "done", 1: "stopped", 2: "diverged"}
    lines: list[dict[str, Any]] = []
    for number in range(4):
        runs = []
        for seed in (0, 1):
            fake.run(f"p{number}s{seed}", seed=seed, variant={"arch.lr": number + 1.0})
            runs.append(fake.runs.pop())
        folder = f"point-{number:04d}-p{number}s0"
        values = {"arch.lr": number + 1.0}
        lines.append({"point": number, "values": values, "runs": runs, "folder": folder})
        last = 3 if number == 0 else 2
        reports = []
        for epoch in range(1, last + 1):
            status = ["running", "running"]
            if epoch == last and number in (0, 2):
                status = ["done", "done"] if number == 0 else ["diverged", "running"]
            inside = [
                fake.epoch(run["run_id"], epoch, status=one)
                for run, one in zip(runs, status, strict=True)
            ]
            objective = None if "diverged" in status else 40.0 + epoch
            reports.append({"epoch": epoch, "date": inside[0]["date"], "runs": inside})
            lines.append({"point": number, "epoch": epoch, "objective": objective})
        place = fake.root / ("search-1" if number == 3 else "search") / folder
        place.mkdir(parents=True)
        text = "".join(json.dumps(report) + "\n" for report in reports)
        if number == 1:  # killed before Tune's own files reached the folder
            (place / "checkpoint_000000").mkdir()
            (place / "checkpoint_000000" / "epochs.jsonl").write_text(text)
        else:
            (place / "result.json").write_text(text)
        if number in ends:
            lines.append({"point": number, "status": ends[number]})
    lines.append({"point": 4, "values": {"arch.lr": 1.0}, "same_as": 0})
    lines.append({"point": 5, "values": {"arch.lr": 9.0}, "runs": []})
    lines.append({"point": 5, "status": "invalid", "error": "no"})
    fake.write(sweep={"search": ONE_KEY})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (fake.root / "points.jsonl").write_text(text + '{"point": 3, "ep')
    return fake


def test_points_are_read_with_their_runs(tuned: Any) -> None:
    found = collect(tuned.root)
    assert found.warnings == ()
    runs = found.runs.set_index("run_id")
    assert runs["status"].to_dict() == {
        "p0s0": "done", "p0s1": "done",
        "p1s0": "stopped", "p1s1": "stopped",
        "p2s0": "diverged", "p2s1": "stopped",
        "p3s0": "running", "p3s1": "running",
    }  # fmt: skip
    assert runs["point"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert runs["objective"].tolist()[:4] == [43.0, 43.0, 42.0, 42.0]
    assert runs["objective"][4:6].isna().all()
    assert json.loads(runs["tuning"].iloc[0]) == ONE_KEY
    assert runs["trial_dir"]["p3s0"] == "search-1/point-0003-p3s0"
    assert runs["epochs_done"].tolist() == [3, 3, 2, 2, 2, 2, 2, 2]
    assert found.epochs["run_id"].value_counts().to_dict() == runs["epochs_done"].to_dict()
    assert runs["finished_unix_s"]["p1s0"] > 0
    (tuning,) = tunings(found.runs)
    assert tuning.points["status"].tolist() == ["done", "stopped", "diverged", "running"]


def test_a_damaged_list_of_points_is_refused(tuned: Any, tmp_path: Path) -> None:
    path = tuned.root / "points.jsonl"
    path.write_text(path.read_text().replace('"values"', '"value"', 1))
    with pytest.raises(UserError, match=r"line 1 of .*points\.jsonl is damaged"):
        collect(tuned.root)
