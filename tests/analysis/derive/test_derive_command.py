"""`drnas derive`: tables, JSON, files with the weights of retrainings, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from drnas_ray.benchmarks.costs import NetSize
from drnas_ray.cli import app
from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.catalog import load_train
from drnas_ray.data.facts import shape_of
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.networks import fresh, trained
from drnas_ray.jobs.start import start
from drnas_ray.parsing import retrain_config
from drnas_ray.spaces import SPACES

DIGITS = shape_of(DataSettings(name="digits"))
NB201 = SPACES["nb201"]
PEAKED = [[[0.5, 0.5, 0.5, 9.0, 0.5]] * 4 + [[9.0, 0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5, 9.0]]]
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|"


def invoke(*args: object, code: int = 0):
    result = CliRunner().invoke(app, ["derive", *map(str, args)])
    assert result.exit_code == code, (result.exception, result.output)
    return result


def refused(*args: object) -> str:
    result = invoke(*args, code=2)
    (line,) = result.stderr.splitlines()
    assert result.stdout == ""
    return line


@pytest.fixture
def one(fake) -> Path:
    """A done run, whose best cell is BEST."""
    fake.run("abc1")
    fake.trial("abc1", [fake.epoch("abc1", 3, BEST, "done", strengths=PEAKED)])
    return fake.write()


@pytest.fixture
def retrained(fake):
    """The same with a retraining of its canonical cell, really begun and then checkpointed."""
    fake.run("abc1")
    fake.trial("abc1", [fake.epoch("abc1", 3, BEST, "done", strengths=PEAKED)])
    raw = {
        "genotype": NB201.canonical(BEST), "space": "nb201", "seed": 3, "epochs": 2,
        "data": {"name": "digits"}, "channels": 4, "cells": 1,
    }  # fmt: skip
    config = retrain_config({**raw, "data": {"name": "digits", "train_images": 64}})
    job = start(config, None, torch.device("cpu"))
    job.step()
    fake.jobs.append(
        {"retrain_id": "r0", "config": config.model_dump(mode="json"), "run_ids": ["abc1"]}
    )
    fake.trial("r0", [fake.retrain_line("r0", 1, 50.0)], kind="retrain", name="digits-s3-r0")
    folder = fake.root / "retrain" / "digits-s3-r0"
    for name, damaged in (("checkpoint_000000", False), ("checkpoint_000001", True)):
        (folder / name).mkdir()
        checkpoint.save({**job.state_dict(), "records": "[]"}, folder / name / "run.pt")
        if damaged:
            (folder / name / "run.pt").write_bytes(b"half")
    fake.write()
    return fake, config, job


def test_one_run_prints_its_five_best(one):
    text = invoke(one).stdout
    assert f"#1  {BEST}" in text
    assert "#5" in text
    assert "#6" not in text
    assert "the run's own" in text
    assert "15,625 cells have a probability above 0." in text
    assert "C=16, N=5 for 1x8x8 images of 10 classes" in text


def test_json_and_sizes(one):
    found = json.loads(invoke(one, "--json", "--top", 2, "--channels", 8, "--cells", 2).stdout)
    (run,) = found["runs"]
    assert found["files"] == []
    assert [cell["rank"] for cell in run["cells"]] == [1, 2]
    assert run["cells"][0]["genotype"] == BEST
    assert run["network"] == {
        "channels": 8, "cells": 2, "in_channels": 1, "classes": 10, "side": 8
    }  # fmt: skip
    other = json.loads(invoke(one / "abc", "--json", "--dataset", "cifar100").stdout)["runs"][0]
    assert (other["searched"], other["dataset"]) == ("digits", "cifar100")
    assert other["network"]["classes"] == 100
    limited = json.loads(invoke(one, "--json", "--max-params", 0.2).stdout)["runs"][0]
    assert all(cell["params_m"] <= 0.2 for cell in limited["cells"])


def test_many_runs_give_one_cell_each_and_say_what_is_left_out(mixed):
    root = mixed.write()
    result = invoke(root)
    assert "d0 DrNAS" in result.stdout
    assert "a0 DARTS" in result.stdout
    assert "d0 #1  |" in result.stdout
    assert "#2" not in result.stdout
    assert "run d3 has not reported an epoch yet" in result.stderr
    assert "run a3 has not ended: these are the strengths of epoch 2" in result.stderr


def test_a_benchmark_adds_accuracies_of_the_data_set(one, made_up_table):
    args = (one, "--json", "--top", 1, "--benchmark", made_up_table)
    known = json.loads(invoke(*args, "--dataset", "cifar100").stdout)["runs"][0]["cells"][0]
    assert known["valid_acc_pct"] == NB201.index(BEST) / 200 + 1
    result = invoke(*args)
    assert "no figures for 'digits': give --dataset" in result.stderr
    assert json.loads(result.stdout)["runs"][0]["cells"][0]["valid_acc_pct"] is None


def test_where_all_operations_are_alike_the_order_says_nothing(fake):
    fake.run("abc1", label="rsps")
    flat = [[[0.2] * 5] * 6]
    fake.trial("abc1", [fake.epoch("abc1", 3, BEST, "done", strengths=flat)])
    assert "ranks no operations: the order means nothing" in invoke(fake.write()).stderr


def test_limits_that_some_runs_cannot_keep(fake):
    only = [[[0.0, 0.0, 0.0, 1.0, 0.0]] * 6]
    for name, strengths in (("abc1", PEAKED), ("bcd2", only)):
        fake.run(name, seed=len(fake.runs))
        fake.trial(name, [fake.epoch(name, 3, BEST, "done", strengths=strengths)])
    result = invoke(fake.write(), "--max-params", 1.0, code=1)
    assert f"#1  {BEST}" not in result.stdout  # it has more than a million
    assert "#1  |" in result.stdout
    assert "run bcd2: no cell has at most 1 million parameters: the smallest is 1." in result.stderr
    line = refused(fake.root / "bcd2", "--max-params", 1.0)
    assert line.startswith("error: run bcd2: no cell has at most 1 million parameters")


def test_errors_are_one_line_and_nothing_is_written(one, tmp_path):
    assert "write DEVICE=MS" in refused(one, "--max-latency", "edgegpu")
    assert "give --hardware TABLE" in refused(one, "--max-latency", "edgegpu=3")
    assert "give one above 0" in refused(one, "--max-params", 0)
    assert "no run or folder 'zz'" in refused(one / "zz")
    assert "needs its number of classes" in refused(one, "--dataset", "folder")
    assert "nothing is written without --export" in refused(one, "--out", tmp_path / "x")
    both = ("--export", "torch", "--export", "genotype", "--out", tmp_path / "x.pt2")
    assert "1 x *.pt2 and *.json are to be written" in refused(one, *both)
    assert "*.pt2" in refused(one, "--export", "torch", "--out", tmp_path / "x.pt")
    assert not (one / "derived").exists()
    assert not list(tmp_path.glob("x*"))


def test_a_genotype_as_a_file(one, tmp_path):
    invoke(one, "--export", "genotype", "--out", tmp_path / "best.json")
    facts = json.loads((tmp_path / "best.json").read_text())
    assert facts["genotype"] == BEST
    assert (facts["run_id"], facts["space"], facts["dataset"]) == ("abc1", "nb201", "digits")
    result = invoke(one, "--export", "genotype")
    assert str(one / "derived" / "abc1.json") in result.stdout


def loaded(path: Path) -> tuple[torch.nn.Module, dict]:
    facts = {"drnas_ray.json": ""}
    net = torch.export.load(path, extra_files=facts).module()
    return net, json.loads(facts["drnas_ray.json"])


@pytest.mark.long
def test_a_network_without_a_retraining_starts_as_one_would(one, tmp_path):
    path = tmp_path / "net.pt2"
    args = (one, "--channels", 4, "--cells", 1, "--export", "torch", "--out", path)
    assert "weights untrained, initialised with seed 0" in invoke(*args).stdout
    net, facts = loaded(path)
    config = retrain_config(
        {"genotype": BEST, "data": {"name": "digits"}, "seed": 0, "channels": 4, "cells": 1}
    )
    expected = start(config, None, torch.device("cpu")).net.eval()
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(images), expected(images), rtol=1e-4, atol=1e-5)
    assert facts["input"]["shape"] == ["batch", 1, 8, 8]
    assert facts["params_m"] == sum(p.numel() for p in expected.parameters()) / 1e6


@pytest.mark.long
def test_a_retrained_network_has_its_weights(retrained, tmp_path):
    fake, config, job = retrained
    path = tmp_path / "net.pt2"
    result = invoke(fake.root, "--export", "torch", "--out", path)
    assert "weights of retraining r0 after epoch 1 of 2" in result.stdout
    net, facts = loaded(path)
    assert facts["genotype"] == config.genotype
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = job.net.eval()(images)
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-5)
    started = start(config, None, torch.device("cpu")).net.eval()(images)
    assert (started - expected).abs().max() > 0.01
    info, _ = load_train(config.data, None)
    assert (tuple(facts["input"]["mean"]), tuple(facts["input"]["std"])) == (info.mean, info.std)


def test_a_checkpoint_that_is_gone_or_of_another_size(retrained):
    fake, config, _ = retrained
    folder = fake.root / "retrain" / "digits-s3-r0"
    size = NetSize(DIGITS, channels=4, cells=1)
    assert trained(config, size, [folder])[1] == 1
    with pytest.raises(UserError, match="does not have C=6, N=1"):
        trained(config, NetSize(DIGITS, channels=6, cells=1), [folder])
    (folder / "checkpoint_000000" / "run.pt").unlink()
    with pytest.raises(UserError, match="is damaged"):
        trained(config, size, [folder])
    with pytest.raises(UserError, match="no checkpoint of"):
        trained(config, size, [])


def test_fresh_networks_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fresh("nb201", BEST, NetSize(DIGITS, 4, 1), 1)
    assert torch.equal(before, torch.get_rng_state())
