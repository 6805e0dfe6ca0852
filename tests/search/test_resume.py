"""Resuming: in another process, from what a crash leaves, and the random state that goes along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from drnas_ray.blackbox.run import BlackBoxRun
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.start import start
from drnas_ray.parsing import retrain_config, run_config
from drnas_ray.search.loop import SearchJob
from drnas_ray.search.rng import RandomState
from drnas_ray.search.training import Training
from drnas_ray.spaces.nb201 import NB201
from tests.shapes import SHAPE

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]

CONTINUE = """
import json, sys, torch
from pathlib import Path
from drnas_ray.parsing import run_config
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.start import start
torch.set_num_threads(1)
torch.rand(17)
config = run_config(json.loads(sys.argv[1]))
job = start(config, None, torch.device("cpu"))
job.load_state_dict(checkpoint.load(Path(sys.argv[2]), config.canonical_json()))
while (record := job.step())["status"] == "running":
    pass
print(json.dumps(record))
"""


@pytest.mark.process
def test_another_process_resumes_to_the_same_bits(tiny_config, tmp_path):
    config = tiny_config("drnas", weights={"schedule": "step"})
    whole = start(config, None, CPU)
    records = [whole.step() for _ in range(3)]
    part = start(config, None, CPU)
    part.step()
    path = tmp_path / "state.pt"
    checkpoint.save(part.state_dict(), path)
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, config.canonical_json(), str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    other = json.loads(done.stdout)
    for key, value in records[-1].items():
        if not key.endswith("_s"):
            assert other[key] == value, key


def test_a_state_is_tensors_numbers_and_text_only(tiny_run):
    def plain(value) -> bool:
        if isinstance(value, dict):
            return all(isinstance(k, str | int) and plain(v) for k, v in value.items())
        if isinstance(value, list | tuple):
            return all(map(plain, value))
        return value is None or isinstance(value, torch.Tensor | str | int | float | bool)

    run = tiny_run()
    SearchJob(run).step()
    assert plain(run.state_dict())


def test_the_active_operations_are_part_of_the_state(tiny_run, tmp_path):
    run = tiny_run("drnas")
    run.active = torch.rand(SHAPE) < 2
    path = tmp_path / "state.pt"
    checkpoint.save(run.state_dict(), path)
    other = tiny_run("drnas")
    other.load_state_dict(checkpoint.load(path, other.config.canonical_json()))
    assert torch.equal(other.active, run.active)


def test_a_crash_while_writing_leaves_the_old_checkpoint(tiny_run, tmp_path, monkeypatch):
    run = tiny_run()
    path = tmp_path / "state.pt"
    checkpoint.save(run.state_dict(), path)
    old = path.read_bytes()

    def crash(state, file):
        file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(run.state_dict(), path)
    assert path.read_bytes() == old


def test_a_checkpoint_is_on_the_disk_before_it_gets_its_name(tiny_run, tmp_path, monkeypatch):
    order = []
    real_sync, real_replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: order.append("sync") or real_sync(fd))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: order.append("rename") or real_replace(self, to)
    )
    checkpoint.save(tiny_run().state_dict(), tmp_path / "state.pt")
    assert order[:2] == ["sync", "rename"]


# --- the random state ---------------------------------------------------------------------------


def test_a_random_state_is_its_seeds_stream_and_restores_the_process_state():
    torch.manual_seed(99)
    outside = torch.get_rng_state()
    state = RandomState(5, CPU)
    assert torch.equal(torch.get_rng_state(), outside)
    with state.in_use():
        first = torch.rand(3)
    torch.rand(4)
    with state.in_use():
        second = torch.rand(3)
    g = torch.Generator().manual_seed(5)
    assert torch.equal(first, torch.rand(3, generator=g))
    assert torch.equal(second, torch.rand(3, generator=g))


def test_the_process_state_is_restored_after_an_error():
    state = RandomState(5, CPU)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="stop"), state.in_use():
        torch.rand(3)
        raise RuntimeError("stop")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_random_state_goes_on_from_its_copy():
    one, two = RandomState(5, CPU), RandomState(6, CPU)
    with one.in_use():
        torch.rand(3)
    two.load_state_dict(one.state_dict())
    with one.in_use():
        expected = torch.rand(3)
    with two.in_use():
        assert torch.equal(torch.rand(3), expected)


# --- jobs ---------------------------------------------------------------------------------------


def test_settings_become_the_right_job(tiny_config):
    assert isinstance(start(tiny_config(), None, CPU), SearchJob)
    retrain = retrain_config(
        {"genotype": NB201().cell(1835), "data": {"name": "digits"}, "channels": 4, "cells": 1}
    )
    assert isinstance(start(retrain, None, CPU), Training)
    uniform = run_config({"method": "uniform", "data": {"name": "digits"}})
    assert isinstance(start(uniform, None, CPU), BlackBoxRun)


@pytest.mark.long
def test_jobs_share_images_and_nothing_that_changes(tiny_config):
    one, two = (start(tiny_config(seed=1), None, CPU) for _ in range(2))
    one.step()
    assert two.epoch == 0
    record, other = one.step(), [two.step() for _ in range(2)][1]
    assert record["strengths"] == other["strengths"]


def test_a_uniform_cell_is_decided_by_the_seed_and_uniform_over_seeds():
    def cell(seed: int) -> str:
        config = run_config({"method": "uniform", "seed": seed, "data": {"name": "digits"}})
        run = start(config, None, CPU)
        record = run.step()
        assert record["status"] == "done"
        assert record["epoch"] == run.epoch == 1
        assert record["skip_count"] == record["genotype"].count("skip_connect")
        resumed = start(config, None, CPU)
        resumed.load_state_dict(run.state_dict())
        assert resumed.epoch == 1
        return record["genotype"]

    found = [cell(seed) for seed in range(60)]
    assert [cell(seed) for seed in range(60)] == found
    assert len(set(found)) > 50
