"""GDAS's own numbers: what is drawn, what runs, and the straight-through gradient."""

from __future__ import annotations

import pytest
import torch
from masks import MIXED as KEPT
from reference import nb201 as reference
from scipy.stats import chisquare
from torch import Tensor

from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.relax import gumbel_softmax, masked
from tests.shapes import SHAPE

F64 = torch.float64
ALPHA = torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def make(tiny_run, **over):
    run = tiny_run("gdas", dtype=F64, **over)
    with torch.no_grad():
        run.arch.alpha.copy_(ALPHA)
    return run


@pytest.mark.parametrize("kept", [None, KEPT], ids=["all", "pruned"])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_the_choice_has_the_softmaxs_probabilities(temperature, kept):
    draws = 20000
    torch.manual_seed(1)
    logits = masked(ALPHA, kept).expand(draws, 6, 5)
    chosen = gumbel_softmax(logits, temperature).argmax(-1)
    for edge in range(6):
        alive = slice(None) if kept is None else kept[0, edge]
        expected = reference.softmax(ALPHA[0, edge][alive]) * draws
        counts = torch.bincount(chosen[:, edge], minlength=5)
        assert counts.sum() == counts[alive].sum()
        if len(expected) > 1:
            assert chisquare(counts[alive].numpy(), expected.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("partial", [1, 2])
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_running_one_path_is_running_all_with_the_same_weights(tiny_run, fused, partial):
    run = make(tiny_run, supernet={"fused": fused, "partial": partial})
    images = batch(0)[0]
    for seed in range(5):
        torch.manual_seed(seed)
        sample = run.method.sample(run)
        hard = sample.weights.detach()
        assert torch.equal(hard, sample.active.to(F64))  # exactly 0 and 1
        assert (hard.sum(-1) == 1).all()
        one, all_ = run.net(images, sample), run.net(images, ArchSample(hard))
        torch.testing.assert_close(one, all_)


def cotangents(run, hard: Tensor, active: Tensor, val) -> Tensor:
    """(6,): the loss's derivative by the drawn operation's weight, by differences."""
    width, slopes = 1e-6, []
    for edge in range(6):
        values = []
        for sign in (1, -1):
            moved = hard.clone()
            moved[0, edge, int(hard[0, edge].argmax())] += sign * width
            values.append(run.loss(ArchSample(moved, active), val).item())
        slopes.append((values[0] - values[1]) / (2 * width))
    return torch.tensor(slopes, dtype=F64)


@pytest.mark.parametrize("epoch", [0, 1])
def test_the_gradient_goes_through_the_drawn_entry_of_the_softmax(tiny_run, monkeypatch, epoch):
    run = make(tiny_run)
    run.epoch = epoch
    tau = (10.0, 5.05)[epoch]  # halfway to 0.1 in the second of three epochs
    seen: list[tuple[Tensor, ...]] = []
    monkeypatch.setattr(run, "step_arch", seen.append)
    val = batch(3)
    torch.manual_seed(11)
    run.method.arch_step(run, batch(2), val)
    torch.manual_seed(11)
    noisy = ALPHA.log_softmax(-1) - torch.empty(SHAPE, dtype=F64).exponential_().log()
    soft = reference.softmax(noisy[0] / tau)
    chosen = noisy[0].argmax(-1)
    hard = torch.eye(5, dtype=F64)[chosen][None]
    slopes = cotangents(run, hard, hard.bool(), val)
    assert slopes.abs().max() > 1e-3
    share = soft.gather(-1, chosen[:, None])
    expected = slopes[:, None] * share * (hard[0] - soft) / tau
    torch.testing.assert_close(seen[0][0][0], expected, rtol=1e-4, atol=1e-9)


def test_the_temperature_falls_from_first_to_last(tiny_run):
    run = tiny_run("gdas", epochs=250)
    seen = {}
    for run.epoch in (1, 101, 250):  # epochs completed: the record is of the one before
        seen[run.epoch] = run.method.notes(run)["temperature"]
    assert seen == pytest.approx({1: 10, 101: 10 - 9.9 * 100 / 249, 250: 0.1})


def test_defaults_are_those_of_its_authors(tiny_config):
    config = tiny_config("gdas")
    assert (config.weights.nesterov, config.weights.schedule) == (True, "step")
    assert (config.weights.weight_decay, config.arch_weight_decay()) == (5e-4, 1e-3)
    assert config.label == "GDAS"
