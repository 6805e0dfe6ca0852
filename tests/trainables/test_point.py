"""A point of a tuning without a cluster: its mean, its checkpoints, copies of other points."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trials import BASE, TIMES, checkpoints, finish, trial

from drnas_ray.config import merged
from drnas_ray.core.errors import UserError
from drnas_ray.jobs.group import objective
from drnas_ray.parsing import run_config
from drnas_ray.results.layout import CHECKPOINT_FILE
from trainables.trial import JobTrial

pytestmark = pytest.mark.long

METRIC = "val_mean_loss"


def job_of(over: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    runs = []
    for seed in (0, 1):
        config = run_config(merged(merged(BASE, over or {}), {"seed": seed}))
        runs.append({"run_id": config.id(), "settings": config.model_dump(mode="json")})
    job = {"point": 0, "folder": "f", "runs": runs, "begin": 0, "until": None, "parent": None}
    job["metric"] = METRIC
    return {**job, "earlier": [], **more}


def point(over: dict[str, Any] | None = None, **more: Any) -> JobTrial:
    return JobTrial(config_of(over, **more))


def config_of(over: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"threads": 1, "data_root": None, "job": job_of(over, **more)}


def plain(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    left_out = {*TIMES, "config"}
    return [{k: v for k, v in record.items() if k not in left_out} for record in records]


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "runs": plain(record["runs"])} for record in plain(records)]


def saved(running: JobTrial, folder: Path) -> str:
    """The trial folder in which its checkpoint is now."""
    place = folder / "checkpoint_000003"
    place.mkdir(parents=True)
    running.save_checkpoint(str(place))
    return str(folder)


def test_a_point_is_the_mean_of_its_runs() -> None:
    records = without_times(finish(point()))
    alone = [finish(trial(merged(BASE, {"seed": seed}))) for seed in (0, 1)]
    for record, runs in zip(records, zip(*alone, strict=True), strict=True):
        assert record["objective"] == pytest.approx(sum(run[METRIC] for run in runs) / 2)
        for ours, theirs in zip(record["runs"], runs, strict=True):
            assert ours == {key: theirs[key] for key in ours}
    assert [record["status"] for record in records] == ["running", "running", "done"]


def test_the_mean_of_what_is_no_number() -> None:
    assert objective([1.0, 2.0]) == 1.5
    assert math.isnan(objective([1.0, None]))
    assert math.isnan(objective([1.0, math.inf]))


def test_a_diverged_seed_ends_the_point() -> None:
    (only,) = finish(point({"weights": {"lr": 1e30}}))
    assert (only["status"], only["done"]) == ("diverged", True)
    assert math.isnan(only["objective"])


def test_a_checkpoint_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = without_times(finish(point()))
    begun = point()
    begun.train()
    begun.save_checkpoint(str(tmp_path))
    begun.train()
    other = point()
    other.load_checkpoint(str(tmp_path))
    assert without_times(finish(other)) == whole[1:]


def test_a_driver_that_follows_goes_on_from_the_newest_folder(tmp_path: Path) -> None:
    whole = without_times(finish(point()))
    begun, folders = point(), []
    for number in (1, 2):
        begun.train()
        folders.append(saved(begun, tmp_path / f"search-{number}"))
    folders.append(str(tmp_path / "search-3"))  # killed before its first checkpoint
    assert without_times(finish(point(earlier=folders))) == whole[2:]
    (tmp_path / "search-2" / "checkpoint_000003" / CHECKPOINT_FILE).write_bytes(b"cut")
    assert without_times(finish(point(earlier=folders))) == whole[1:]


def test_a_reused_actor_leaks_nothing() -> None:
    other = {"arch": {"lr": 0.01}}
    fresh = without_times(finish(point(other)))
    used = point()
    used.train()
    assert used.reset_config(config_of(other))
    assert without_times(finish(used)) == fresh


# --- copies -------------------------------------------------------------------------------------


def parent_of(folder: str, epoch: int = 1, over: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"runs": job_of(over)["runs"], "earlier": [folder], "epoch": epoch}


def test_a_trial_ends_at_its_generation(tmp_path: Path) -> None:
    begun = point(until=2)
    assert [record["epoch"] for record in finish(begun)] == [1, 2]
    folder = saved(begun, tmp_path / "a")
    # Killed before that was noted: its record is returned again, and no further epoch is run.
    assert [record["epoch"] for record in finish(point(until=2, earlier=[folder]))] == [2]
    assert [record["epoch"] for record in finish(point(until=3, earlier=[folder]))] == [3]


def test_a_copy_with_the_same_values_goes_on_as_its_parent_would(tmp_path: Path) -> None:
    whole = without_times(finish(point()))
    begun = point()
    begun.train()
    folder = saved(begun, tmp_path / "parent")
    copy = point(parent=parent_of(folder), until=3)
    assert without_times(finish(copy)) == whole[1:]


def test_a_copy_has_its_parents_state_and_its_own_rates(tmp_path: Path) -> None:
    begun = point()
    begun.train()
    folder = saved(begun, tmp_path / "parent")
    over = {
        "arch": {"lr": 0.02},
        "weights": {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01},
        "method": {"penalty_scale": 0.5},
    }
    copy = point(over, parent=parent_of(folder), until=3)
    ours, theirs = (one.job.runs[1].computation.run for one in (copy, begun))
    assert ours.epoch == 1
    (arch,), (weights,) = ours.arch_optimizer.param_groups, ours.weight_optimizer.param_groups
    assert (arch["lr"], arch["weight_decay"]) == (0.02, 0.5)  # DrNAS's l2 penalty is this decay
    assert (weights["momentum"], weights["weight_decay"]) == (0.5, 0.01)
    for name, tensor in theirs.net.state_dict().items():
        assert torch.equal(ours.net.state_dict()[name], tensor)
    mine, other = (one.arch_optimizer.state_dict()["state"] for one in (ours, theirs))
    assert torch.equal(mine[0]["exp_avg"], other[0]["exp_avg"])
    records = finish(copy)
    assert [record["epoch"] for record in records] == [2, 3]
    rate = records[0]["runs"][0]["lr"] / 0.1
    assert rate == pytest.approx(begun.train()["runs"][0]["lr"] / 0.025, abs=0.05)
    assert {run["run_id"] for run in records[0]["runs"]} == {
        run["run_id"] for run in job_of(over)["runs"]
    }


def test_only_the_parents_own_checkpoint_of_that_epoch_will_do(tmp_path: Path) -> None:
    begun = point()
    begun.train()
    folder = saved(begun, tmp_path / "parent")
    for parent in (parent_of(folder, 2), parent_of(folder, 1, {"arch": {"lr": 0.5}})):
        with pytest.raises(UserError, match="no checkpoint of epoch"):
            point(parent=parent, until=3)
    # A checkpoint of a single search is not one of a point.
    (other,) = checkpoints(tmp_path, BASE, 0)
    with pytest.raises(UserError, match="no checkpoint of epoch"):
        point(parent=parent_of(str(other.parent)), until=3)
    assert json.loads((other / "epochs.jsonl").read_text())["epoch"] == 1
