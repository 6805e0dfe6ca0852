"""Trials without a cluster: steps, checkpoints, and actors that go on to another job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow.fs import LocalFileSystem
from ray import tune

from drnas_ray.config import merged
from drnas_ray.core.errors import UserError
from drnas_ray.parsing import retrain_config, run_config
from drnas_ray.results.layout import CHECKPOINT_FILE, PASSED_OVER_FILE, RECORDS_FILE
from trainables.trial import JobTrial

BASE = {
    "method": {"name": "drnas"},
    "data": {"name": "digits", "train_images": 64},
    "epochs": 3,
    "batch_size": 16,
    "supernet": {"channels": 4, "cells": 1},
    "arch": {"lr": 0.05},
}
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|skip_connect~2|"
RECIPE = {
    "genotype": CELL,
    "data": {"name": "digits", "train_images": 64},
    "epochs": 2,
    "batch_size": 16,
    "channels": 4,
    "cells": 1,
}
DARTS2 = merged(BASE, {"method": {"name": "darts", "order": 2}, "seed": 5})
UNIFORM = {"method": "uniform", "data": {"name": "digits"}, "seed": 3}
TIMES = {
    "wall_s", "data_s", "arch_step_s", "weight_step_s", "val_s", "date", "timestamp",
    "reported_unix_s",
    "time_this_iter_s", "time_total_s", "time_since_restore", "iterations_since_restore",
    "trial_id", "training_iteration", "restarts",
}  # fmt: skip


def config_of(settings: dict[str, Any], kind: str = "run") -> dict[str, Any]:
    checked = (run_config if kind == "run" else retrain_config)(settings)
    job = {
        f"{kind}_id": checked.id(),
        "folder": "f",
        "settings": checked.model_dump(mode="json"),
    }
    return {"job": job, "threads": 1, "data_root": None}


def trial(settings: dict[str, Any], kind: str = "run") -> JobTrial:
    return JobTrial(config_of(settings, kind))


def finish(running: JobTrial) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    while not records or not records[-1]["done"]:
        result = running.train()
        records.append({k: v for k, v in result.items() if k not in TIMES})
    return records


_whole: dict[str, list[dict[str, Any]]] = {}


def whole_of(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a search of a trial of its own, run once for all tests: look, don't touch."""
    key = json.dumps(settings, sort_keys=True)
    if key not in _whole:
        _whole[key] = finish(trial(settings))
    return _whole[key]


def test_a_step_is_an_epoch_and_the_last_is_done() -> None:
    settings = merged(BASE, {"epochs": 2})
    first, last = finish(trial(settings))
    assert (first["epoch"], first["status"], first["done"]) == (1, "running", False)
    assert (last["epoch"], last["status"], last["done"]) == (2, "done", True)
    assert first["run_id"] == run_config(settings).id()
    assert first["threads"] == 1
    assert first["device"]


def test_a_run_without_a_supernet_takes_one_step() -> None:
    (only,) = finish(trial(UNIFORM))
    assert (only["epoch"], only["status"], only["done"]) == (1, "done", True)


def test_retraining_tests_after_its_last_epoch_only() -> None:
    first, last = finish(trial(RECIPE, "retrain"))
    assert "test_acc_pct" not in first
    assert 0 <= last["test_acc_pct"] <= 100
    assert last["retrain_id"] == retrain_config(RECIPE).id()


def test_a_batch_of_short_runs_is_one_trial(tmp_path: Path) -> None:
    configs = [run_config(merged(UNIFORM, {"seed": seed})) for seed in range(3)]
    settings = {config.id(): config.model_dump(mode="json") for config in configs}
    job = {"pack_id": "pack-0000", "folder": "pack-0000", "settings": settings}
    batch = JobTrial({"job": job, "threads": 1, "data_root": None})
    *_, last = finish(batch)
    assert [record["run_id"] for record in last["runs"]] == list(settings)
    batch.save_checkpoint(str(tmp_path))
    lines = (tmp_path / RECORDS_FILE).read_text().splitlines()
    assert [json.loads(line)["run_id"] for line in lines] == list(settings)
    fresh = JobTrial({"job": job, "threads": 1, "data_root": None})
    fresh.load_checkpoint(str(tmp_path))
    assert finish(fresh)[0]["runs"] == batch.job.records  # returned again, nothing is run


def test_restarts_are_counted(tmp_path: Path) -> None:
    begun = trial(merged(BASE, {"epochs": 3}))
    for restarts in range(3):
        assert begun.train()["restarts"] == restarts
        begun.save_checkpoint(str(tmp_path))
        begun = trial(merged(BASE, {"epochs": 3}))
        begun.load_checkpoint(str(tmp_path))
    assert [record["restarts"] for record in begun.job.records] == [0, 1, 2]


def test_out_of_gpu_memory_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = trial(BASE)

    def step() -> dict[str, Any]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has ...")

    monkeypatch.setattr(begun.job.computation, "step", step)
    with pytest.raises(
        RuntimeError, match=r"^out of GPU memory \(CUDA .* 2 GiB\.\): .*resources.gpu"
    ):
        begun.train()


@pytest.mark.long
@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("run", BASE),
        ("run", DARTS2),
        ("retrain", merged(RECIPE, {"epochs": 3})),
    ],
    ids=["drnas", "darts2", "retrain"],
)
def test_a_checkpoint_goes_on_bit_for_bit(
    kind: str, settings: dict[str, Any], cut: int, tmp_path: Path
) -> None:
    whole = finish(trial(settings, kind))
    begun = trial(settings, kind)
    for _ in range(cut):
        begun.train()
    begun.save_checkpoint(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT_FILE, RECORDS_FILE}
    begun.train()  # what it does afterwards must not matter
    other = trial(settings, kind)
    other.load_checkpoint(str(tmp_path))
    assert finish(other) == whole[cut:]


@pytest.mark.long
@pytest.mark.parametrize(
    "settings",
    [BASE, merged(BASE, {"seed": 1}), merged(BASE, {"method": {"penalty": "kl"}}), DARTS2, UNIFORM],
    ids=["same", "seed", "kl", "darts2", "uniform"],
)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_reused_actor_leaks_nothing(settings: dict[str, Any], steps: int) -> None:
    fresh = whole_of(settings)
    used = trial(BASE)
    for _ in range(steps):
        used.train()
    assert used.reset_config(config_of(settings))
    assert finish(used) == fresh


@pytest.mark.long
def test_a_reused_actor_leaks_nothing_into_a_restored_trial(tmp_path: Path) -> None:
    whole = whole_of(DARTS2)
    begun = trial(DARTS2)
    begun.train()
    begun.save_checkpoint(str(tmp_path))
    used = trial(BASE)
    used.train()
    used.reset_config(config_of(DARTS2))
    used.load_checkpoint(str(tmp_path))
    assert finish(used) == whole[1:]


@pytest.mark.long
def test_two_trials_in_turns_do_not_disturb_each_other() -> None:
    alone = whole_of(BASE), whole_of(DARTS2)
    one, two = trial(BASE), trial(DARTS2)
    turns: tuple[list[Any], list[Any]] = ([], [])
    for _ in range(3):
        for running, records in zip((one, two), turns, strict=True):
            records.append({k: v for k, v in running.train().items() if k not in TIMES})
    assert turns == alone


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    begun = trial(BASE)
    begun.train()
    begun.save_checkpoint(str(tmp_path))
    other = trial(merged(BASE, {"seed": 1}))
    with pytest.raises(UserError, match="other settings"):
        other.load_checkpoint(str(tmp_path))


def test_half_a_checkpoint_is_refused(tmp_path: Path) -> None:
    begun = trial(BASE)
    begun.save_checkpoint(str(tmp_path))
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        trial(BASE).load_checkpoint(str(tmp_path))


def checkpoints(folder: Path, settings: dict[str, Any], *numbers: int) -> list[Path]:
    """A checkpoint after each epoch, in folders with these numbers."""
    running = trial(settings)
    made = []
    for number in numbers:
        running.train()
        made.append(folder / "trial" / f"checkpoint_{number:06d}")
        made[-1].mkdir(parents=True)
        running.save_checkpoint(str(made[-1]))
    return made


@pytest.mark.long
@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
@pytest.mark.parametrize("known", [0, 1, 7])
def test_restoring_goes_on_from_the_newest_checkpoint(
    numbers: tuple[int, ...], known: int, tmp_path: Path
) -> None:
    whole = whole_of(BASE)
    checkpoints(tmp_path, BASE, *numbers)
    # Tune knows one of them, or one that is deleted since.
    told = tmp_path / "trial" / f"checkpoint_{known:06d}"
    again = trial(BASE)
    again.restore(tune.Checkpoint.from_directory(str(told)))
    assert (again.iteration, finish(again)) == (2, whole[2:])


@pytest.mark.long
@pytest.mark.parametrize("damage", ["cut", "gone", "empty"])
def test_restoring_passes_over_a_damaged_checkpoint(damage: str, tmp_path: Path) -> None:
    whole = whole_of(BASE)
    first, second = checkpoints(tmp_path, BASE, 0, 1)
    path = second / CHECKPOINT_FILE
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 1000 if damage == "cut" else 0])
    again = trial(BASE)
    again.restore(tune.Checkpoint.from_directory(str(second)))
    assert (again.iteration, finish(again)) == (1, whole[1:])
    (first / CHECKPOINT_FILE).write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        trial(BASE).restore(tune.Checkpoint.from_directory(str(second)))


class Storage:
    """As much of Tune's as a trial asks for."""

    def __init__(self, folder: Path) -> None:
        self.trial_fs_path, self.storage_filesystem = str(folder), LocalFileSystem()
        self.trial_working_directory = str(folder)

    def persist_artifacts(self) -> None:
        """There are none."""


@pytest.fixture
def stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune would change to the trial's folder."""
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", str(Path.cwd()))


@pytest.mark.long
@pytest.mark.usefixtures("stay_here")
def test_a_new_trial_goes_on_from_what_its_folder_holds(tmp_path: Path) -> None:
    whole = whole_of(BASE)
    _, second = checkpoints(tmp_path, BASE, 0, 1)
    storage: Any = Storage(tmp_path / "trial")
    again = JobTrial(config_of(BASE), storage)
    assert finish(again) == whole[2:]
    # Its newest checkpoint is damaged: the one before, and a line that says so.
    (second / CHECKPOINT_FILE).write_bytes(b"")
    assert finish(JobTrial(config_of(BASE), storage)) == whole[1:]
    again = JobTrial(config_of(BASE), storage)
    again.restore(tune.Checkpoint.from_directory(str(second)))
    lines = (tmp_path / "trial" / PASSED_OVER_FILE).read_text().splitlines()
    (said,) = map(json.loads, lines)  # once, however often it is met
    assert said["problem"].startswith(f"checkpoint {second.name}/{CHECKPOINT_FILE} is damaged: ")
    assert (said["used"], said["epoch"]) == ("checkpoint_000000", 1)


@pytest.mark.usefixtures("stay_here")
def test_a_new_trial_with_nothing_but_damage_begins_anew(tmp_path: Path) -> None:
    whole = whole_of(BASE)
    for damaged in checkpoints(tmp_path, BASE, 0, 1):
        (damaged / CHECKPOINT_FILE).write_bytes(b"")
    storage: Any = Storage(tmp_path / "trial")
    assert finish(JobTrial(config_of(BASE), storage)) == whole
    assert len((tmp_path / "trial" / PASSED_OVER_FILE).read_text().splitlines()) == 2


def test_a_trial_restored_after_its_last_epoch_repeats_its_record(tmp_path: Path) -> None:
    whole = whole_of(BASE)
    *_, last = checkpoints(tmp_path, BASE, 0, 1, 2)
    again = trial(BASE)
    again.restore(tune.Checkpoint.from_directory(str(last)))
    assert finish(again) == whole[2:]


def test_bad_settings_are_refused_in_the_trial_too() -> None:
    config = config_of(BASE)
    config["job"]["settings"]["epohs"] = 3
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        JobTrial(config)


def test_a_search_that_diverges_stops() -> None:
    (only,) = finish(trial(merged(BASE, {"weights": {"lr": 1e30}})))
    assert (only["status"], only["done"]) == ("diverged", True)
