"""SNAS's own numbers: the Concrete distribution, its gradient, and the single level."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from reference import nb201 as reference
from scipy.integrate import quad
from scipy.stats import kstest
from torch import Tensor

from drnas_ray.core.errors import UserError
from drnas_ray.methods.relax import gumbel_softmax
from tests.shapes import SHAPE

F64 = torch.float64
ALPHA = torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))
DRAWS = 20000


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def make(tiny_run, **method):
    run = tiny_run({"name": "snas", **method}, dtype=F64)
    with torch.no_grad():
        run.arch.alpha.copy_(ALPHA)
    return run


def concrete(logits: Tensor, tau: float) -> Tensor:
    torch.manual_seed(4)
    return gumbel_softmax(logits.expand(DRAWS, *logits.shape), tau)


@pytest.mark.parametrize("tau", [1.0, 3.0, 10.0])
def test_two_operations_have_the_concrete_distribution(tau):
    """Two Gumbel variables differ by a logistic one, so tau * logit(share) is logistic too."""
    a, b = 0.7, -0.4
    share = concrete(torch.tensor([a, b], dtype=F64), tau)[:, 0]

    def cdf(x):
        return 1 / (1 + np.exp(-(tau * np.log(x / (1 - x)) - (a - b))))

    assert kstest(share.numpy(), cdf).pvalue > 1e-4

    def integrand(x: float) -> float:  # share times the logistic density at x
        return (
            1
            / (1 + math.exp(-(a - b + x) / tau))
            * math.exp(-abs(x))
            / (1 + math.exp(-abs(x))) ** 2
        )

    expected = quad(integrand, -60, 60)[0]
    standard_error = float(share.std()) / math.sqrt(DRAWS)
    assert abs(float(share.mean()) - expected) < 4 * standard_error


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_three_operations_have_the_printed_density(tau):
    """Moments by numeric integration of the density of Maddison et al., 2017 (their eq. 10)."""
    logits = torch.tensor([0.5, -0.3, 0.1], dtype=F64)
    shares = concrete(logits, tau).numpy()
    weights = np.exp(logits.numpy())
    n = 400
    # Softmax coordinates spread the corners of the simplex; the Jacobian is the product of shares.
    grid = np.linspace(-30, 30, n) / tau
    u, v = np.meshgrid(grid, grid, indexing="ij")
    x = np.stack([u, v, np.zeros_like(u)], -1)
    x = np.exp(x - x.max(-1, keepdims=True))
    x /= x.sum(-1, keepdims=True)
    terms = weights * x**-tau
    density = 2 * tau**2 * np.prod(weights * x ** (-tau - 1), -1) / terms.sum(-1) ** 3
    mass = density * np.prod(x, -1) * (grid[1] - grid[0]) ** 2
    assert mass.sum() == pytest.approx(1, abs=1e-3)
    for op in range(3):
        for power in (1, 2):
            expected = (mass * x[..., op] ** power).sum()
            drawn = shares[:, op] ** power
            assert abs(drawn.mean() - expected) < 4 * drawn.std() / math.sqrt(DRAWS) + 1e-3


@pytest.mark.long
@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("pruned", [False, True])
def test_gradient_by_differences_with_fixed_noise(tiny_run, monkeypatch, epoch, pruned):
    run = make(tiny_run)
    run.epoch = epoch
    if pruned:
        run.active = torch.ones(SHAPE, dtype=torch.bool)
        run.active[0, 0, 1] = run.active[0, 4, 3] = run.active[0, 4, 0] = False
    seen: list[tuple[Tensor, ...]] = []
    monkeypatch.setattr(run, "step_arch", seen.append)
    val = batch(2)
    torch.manual_seed(3)
    run.method.arch_step(run, batch(1), val)
    numbers = torch.zeros(SHAPE, dtype=F64)
    width = 1e-6
    for place in range(30):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                run.arch.alpha.view(-1)[place] += sign * width
                torch.manual_seed(3)
                values.append(run.loss(run.method.sample(run), val).item())
                run.arch.alpha.view(-1)[place] -= sign * width
        numbers.view(-1)[place] = (values[0] - values[1]) / (2 * width)
    assert numbers.abs().max() > 1e-4
    torch.testing.assert_close(seen[0][0], numbers, rtol=1e-4, atol=1e-8)
    if pruned:
        assert (seen[0][0][~run.active] == 0).all()


def test_alpha_is_used_as_logits(tiny_run):
    run = make(tiny_run)
    run.epoch = 2  # tau = 1 in the last of three epochs
    torch.manual_seed(5)
    ours = run.method.sample(run).weights
    torch.manual_seed(5)
    noise = -torch.empty(SHAPE, dtype=F64).exponential_().log()
    torch.testing.assert_close(ours[0], reference.softmax((ALPHA + noise)[0]))


def test_the_temperature_of_an_epoch_is_recorded(tiny_run):
    run = tiny_run("snas", epochs=100)
    seen = {}
    for run.epoch in (1, 51, 100):
        seen[run.epoch] = run.method.notes(run)["temperature"]
    assert seen == pytest.approx({1: 10, 51: 10 - 9 * 50 / 99, 100: 1})


def test_one_pass_of_the_single_level_moves_both(tiny_run, monkeypatch):
    """Both gradients are of the same loss under the same draw."""
    run, other = (make(tiny_run, bilevel=False) for _ in range(2))
    seen: list[tuple[Tensor, ...]] = []
    monkeypatch.setattr(run, "step_arch", seen.append)
    calls = 0
    logits = run.logits

    def counted(*args):
        nonlocal calls
        calls += 1
        return logits(*args)

    monkeypatch.setattr(run, "logits", counted)
    train = batch(6)
    before = [w.detach().clone() for w in run.net.parameters()]
    torch.manual_seed(7)
    run.method.weight_step(run, train)
    assert calls == 1
    assert all((a != b).any() for a, b in zip(before, run.net.parameters(), strict=True))
    torch.manual_seed(7)
    loss = other.loss(other.method.sample(other), train)
    (expected,) = torch.autograd.grad(loss, other.arch.alpha)
    torch.testing.assert_close(seen[0][0], expected)


def test_the_single_level_leaves_alpha_alone_in_the_warm_up(tiny_run):
    run = tiny_run({"name": "snas", "bilevel": False}, arch={"warmup_epochs": 1}, dtype=F64)
    alpha = run.arch.alpha.detach().clone()
    run.method.weight_step(run, batch(0))
    assert torch.equal(run.arch.alpha, alpha)
    run.epoch = 1
    run.method.weight_step(run, batch(0))
    assert not torch.equal(run.arch.alpha, alpha)


def test_perturbing_the_step_that_moves_alpha_is_refused(tiny_config):
    with pytest.raises(UserError, match="bilevel"):
        tiny_config({"name": "snas", "bilevel": False}, perturb={"kind": "random"})
    tiny_config("snas", perturb={"kind": "random"})


def test_defaults(tiny_config):
    config = tiny_config("snas")
    assert not config.weights.nesterov
    assert config.label == "SNAS"
    assert tiny_config({"name": "snas", "bilevel": False}).label != "SNAS"
