"""Training one cell from scratch: it repeats, resumes, learns, and tests once at the end."""

from __future__ import annotations

import math

import pytest
import torch

from drnas_ray.config import RetrainConfig
from drnas_ray.core.errors import UserError
from drnas_ray.data.catalog import load_test, load_train
from drnas_ray.jobs import checkpoint
from drnas_ray.parsing import retrain_config
from drnas_ray.search.training import Training
from drnas_ray.spaces.nb201 import NB201

CELL = NB201().cell(9930)


@pytest.fixture
def training():
    def make(**over) -> Training:
        raw = {
            "genotype": CELL,
            "data": {"name": "digits", "train_images": 100},
            "channels": 4,
            "cells": 1,
            "epochs": 3,
            "batch_size": 32,
            **over,
        }
        config = retrain_config(raw)
        assert isinstance(config, RetrainConfig)
        info, train = load_train(config.data, None)
        return Training(config, (info, train, load_test(config.data, None)), torch.device("cpu"))

    return make


def finish(training: Training) -> list[dict]:
    records = []
    while not training.finished:
        record = training.step()
        assert record.pop("wall_s") >= 0
        records.append(record)
    return records


@pytest.mark.long
def test_the_seed_decides_and_the_process_keeps_its_random_state(training):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = finish(training(seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert finish(training(seed=1)) == first
    assert finish(training(seed=2)) != first


@pytest.mark.long
@pytest.mark.parametrize("k", [0, 1, 2])
def test_resume_after_k_epochs_is_the_same_training(training, tmp_path, k):
    whole = training()
    expected = finish(whole)
    first = training()
    for _ in range(k):
        first.step()
    path = tmp_path / "state.pt"
    checkpoint.save(first.state_dict(), path)
    second = training()
    second.load_state_dict(checkpoint.load(path, second.config.canonical_json()))
    assert second.epoch == k
    assert finish(second) == expected[k:]
    for name, value in whole.net.state_dict().items():
        assert torch.equal(second.net.state_dict()[name], value), name


def test_the_test_images_are_read_once_after_the_last_epoch(training, monkeypatch):
    run = training()
    asked = []
    whole = run._test
    monkeypatch.setattr(run, "_test", lambda: asked.append(run.epoch) or whole())
    images, run.test = run.test, None  # nothing may touch them before
    first, second = run.step(), run.step()
    run.test = images
    last = run.step()
    assert asked == [3]
    assert [r["status"] for r in (first, second, last)] == ["running", "running", "done"]
    for record in (first, second):
        assert not [key for key in record if "test" in key]
    assert {"test_loss", "test_acc_pct"} <= last.keys()
    assert len(images) == 360


@pytest.mark.long
def test_it_learns_the_digits(training):
    run = training(
        data={"name": "digits", "train_images": 500}, channels=8, epochs=6, batch_size=50, lr=0.1
    )
    records = finish(run)
    assert records[-1]["train_loss"] < records[0]["train_loss"]
    assert records[-1]["test_acc_pct"] > 70  # chance: 10


def test_learning_rate_falls_to_0_at_every_step(training, monkeypatch):
    run = training(lr=0.2)
    seen = []
    whole = run.optimizer.step
    monkeypatch.setattr(
        run.optimizer,
        "step",
        lambda: seen.append(run.optimizer.param_groups[0]["lr"]) or whole(),
    )
    finish(run)
    steps = 4  # 100 images in batches of 32: three and a short one
    expected = [0.1 * (1 + math.cos(math.pi * t / (3 * steps))) for t in range(3 * steps)]
    assert seen == pytest.approx(expected, rel=1e-12)


def test_parameters_are_reported_in_millions(training):
    run = training()
    assert run.step()["params_m"] == sum(p.numel() for p in run.net.parameters()) / 1e6


def test_a_loss_that_is_not_finite_ends_as_diverged(training):
    run = training(epochs=1)
    with torch.no_grad():
        run.net.classifier.bias.fill_(float("nan"))
    record = run.step()
    assert record["status"] == "diverged"
    assert "test_acc_pct" not in record


@pytest.mark.parametrize(
    ("over", "match"),
    [
        ({"genotype": "|a~0|"}, "not a NAS-Bench-201 cell"),
        ({"space": "nb202"}, "did you mean 'nb201'"),
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"data": {"name": "digit"}}, "did you mean 'digits'"),
        ({"genotype": None}, "genotype"),
    ],
)
def test_bad_settings_are_refused(training, over, match):
    with pytest.raises(UserError, match=match):
        training(**over)
