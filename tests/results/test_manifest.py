"""sweep.json and retrain.json: what is written is what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drnas_ray.config import RetrainConfig
from drnas_ray.core.errors import UserError
from drnas_ray.parsing import retrain_config, run_config
from drnas_ray.results.manifest import (
    RunEntry,
    load_retrain,
    load_sweep,
    note_retrains,
    write_sweep,
)

CELL = "|none~0|+|none~0|none~1|+|none~0|none~1|{}~2|"


def test_a_sweep_is_read_as_it_was_written(tmp_path: Path) -> None:
    config = run_config({"method": "drnas", "seed": 3, "epochs": 7})
    entry = RunEntry.of(config, "ours", {"arch.lr": 0.1}, "dirichlet")
    assert (entry.run_id, entry.epochs, entry.seed) == (config.id(), 7, 3)
    write_sweep(tmp_path, "s", "transfer", {"name": "s", "retrain": None}, [entry])
    told = json.loads((tmp_path / "sweep.json").read_text())
    assert list(told) == sorted(told)
    assert set(told["runs"][0]) == {
        "run_id", "label", "method", "space", "dataset", "seed", "epochs", "variant",
        "distribution", "config",
    }  # fmt: skip
    assert told["runs"][0]["config"] == config.model_dump(mode="json")
    read = load_sweep(tmp_path)
    assert read.runs == (entry,)
    assert (read.name, read.protocol, read.sweep) == ("s", "transfer", told["sweep"])
    assert read.to_dict() == {**told, "runs": tuple(told["runs"])}


def test_keys_of_a_later_version_are_left_alone(tmp_path: Path) -> None:
    write_sweep(tmp_path, "s", "search", {}, [])
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "green"}))
    assert load_sweep(tmp_path).name == "s"


def job(op: str, *runs: str) -> tuple[RetrainConfig, list[str]]:
    data = {"name": "digits"}
    return retrain_config({"genotype": CELL.format(op), "data": data}), list(runs)


def noted(out: Path) -> list[tuple[str, str, list[str]]]:
    told = json.loads((out / "retrain.json").read_text())
    assert told["schema_version"] == 1
    return [(each["retrain_id"], each["folder"], each["run_ids"]) for each in told["jobs"]]


def test_new_retrainings_get_a_folder_of_their_own(tmp_path: Path) -> None:
    one = {"k1": job("none", "r1"), "k2": job("skip_connect", "r2")}
    assert note_retrains(tmp_path, one) == {"retrain": ["k1", "k2"]}
    assert noted(tmp_path) == [("k1", "retrain", ["r1"]), ("k2", "retrain", ["r2"])]
    assert note_retrains(tmp_path, one) == {"retrain": ["k1", "k2"]}
    more = {"k0": job("nor_conv_1x1", "r0"), **one}
    assert note_retrains(tmp_path, more) == {"retrain-1": ["k0"], "retrain": ["k1", "k2"]}
    last = {**more, "k3": job("nor_conv_3x3", "r3")}
    folders = note_retrains(tmp_path, last)
    assert folders == {"retrain-1": ["k0"], "retrain": ["k1", "k2"], "retrain-2": ["k3"]}
    assert note_retrains(tmp_path, last) == folders


def test_jobs_are_read_as_they_were_noted(tmp_path: Path) -> None:
    config, runs = job("none", "r1", "r2")
    note_retrains(tmp_path, {"k1": (config, runs)})
    (read,) = load_retrain(tmp_path)
    assert (read.retrain_id, read.run_ids) == ("k1", ("r1", "r2"))
    assert read.config == config.model_dump(mode="json")
    assert (read.recipe.genotype, read.recipe.epochs) == (config.genotype, config.epochs)
    assert read.recipe.data == config.data
    told = json.loads((tmp_path / "retrain.json").read_text())["jobs"]
    assert set(told[0]) == {"retrain_id", "folder", "config", "run_ids"}


def test_nothing_is_noted_over_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "retrain.json").write_text('{"schema_version": 1, "jobs": [{}]}')
    with pytest.raises(UserError, match=r"retrain\.json is damaged: jobs\.0\.retrain_id"):
        note_retrains(tmp_path, {"k1": job("none", "r1")})
