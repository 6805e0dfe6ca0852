"""What a tuning shows: its plan before it runs, its state while it does, errors in one line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from test_live import FakeTrial
from test_tuning import SEARCH, sweep_file, tuning_of
from typer.testing import CliRunner

from drnas_ray.cli import app
from drnas_ray.sweeps.tune.view import TuningView


class PointOf(FakeTrial):
    """A trial of a point."""

    begin, until = 0, None

    @property
    def config(self) -> dict[str, Any]:
        return {"job": {"point": int(self.folder), "begin": self.begin, "until": self.until}}


def last(epoch: int, objective: float, status: str = "running") -> dict[str, Any]:
    return {"epoch": epoch, "objective": objective, "status": status, "wall_s": 2.0}


def test_the_state_in_words(tmp_path: Path) -> None:
    view = TuningView("search", tuning_of(tmp_path), 12)
    trials = [
        PointOf("0", "TERMINATED", last(9, 70.0, "done")),
        PointOf("1", "TERMINATED", last(3, 90.0)),
        PointOf("2", "RUNNING", last(4, 50.0)),
        PointOf("3", "ERROR", last(1, 10.0)),
        PointOf("4", "PENDING", {}),
    ]
    done, total, text = pickle.loads(pickle.dumps(view)).state(trials)
    assert (done, total) == (9 + 9 + 4 + 9, 12 * 9)
    assert text == (
        "2 of 12 points ended · 1 running · 1 of them stopped early · 1 failed · "
        f"at most about 2 min {2 * (108 - 31) - 120} s left · best val_mean_acc_pct 90 (point 1)"
    )


def test_generations_are_counted(tmp_path: Path) -> None:
    search = {
        "space": {"arch.lr": {"loguniform": [0.001, 0.1]}},
        "scheduler": "pbt",
        "trials": 4,
        "n_initial_points": 4,
        "interval_epochs": 3,
    }
    first, second = PointOf("0", "TERMINATED", last(3, 1.0)), PointOf("0", "RUNNING", last(4, 2.0))
    first.until, second.begin, second.until = 3, 3, 6  # type: ignore[assignment]
    done, total, text = TuningView("s", tuning_of(tmp_path, search), 12).state([first, second])
    assert (done, total) == (4, 36)
    assert text.startswith("1 of 12 generations of members ended · 1 running · at most")


def test_the_plan_says_where_points_come_from(tmp_path: Path) -> None:
    points = [{"arch.lr": 0.01, "method.penalty": "kl"}]
    source = sweep_file(tmp_path, {"points": points})
    text = CliRunner().invoke(app, ["sweep", source, "--dry-run"]).output
    assert "arch.lr: loguniform [0.001, 0.1]" in text
    assert 'method.penalty: choice ["l2", "kl"]' in text
    assert "mean over 2 seeds of val_mean_acc_pct after the last epoch, largest is best" in text
    assert "12 points: 1 given, random up to n_initial_points=4, 8 by HyperOpt's model" in text
    assert "at most 24 runs of 9 epochs; nothing was run" in text


@pytest.mark.parametrize("command", ["sweep", "search"])
def test_errors_are_one_line(command: str, tmp_path: Path) -> None:
    if command == "sweep":
        args = ["sweep", sweep_file(tmp_path, {"metric": "val_acc"}), "--out", str(tmp_path / "o")]
        message = "did you mean 'val_acc_pct'"
    else:
        args = ["search", "drnas", "--out", str(tmp_path / "o")]
        args += ["--set", f"search={json.dumps(SEARCH)}"]
        message = "a single search tunes nothing: use a sweep"
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert message in result.output
    assert not (tmp_path / "o").exists()


def test_a_folder_without_points_is_refused(tmp_path: Path) -> None:
    sweep = {"schema_version": 1, "name": "x", "protocol": "search", "runs": []}
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    result = CliRunner().invoke(app, ["tuning", str(tmp_path)])
    assert result.exit_code == 2
    assert "has no tuned points" in result.output
