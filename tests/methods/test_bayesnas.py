"""BayesNAS's own numbers: the reweighting, the Hessian's diagonal, the penalty, what is pruned."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.errors import UserError
from drnas_ray.methods.bayesnas import SMALLEST_OMEGA, reweighted
from drnas_ray.search.loop import SearchJob
from tests.shapes import SHAPE

F64 = torch.float64
NONE, SKIP, CONV1, CONV3, POOL = range(5)


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def with_switches(run, seed: int = 0) -> Tensor:
    switch = torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(seed)) / 2
    with torch.no_grad():
        run.arch.switch.copy_(switch)
    return switch


# --- reweighting --------------------------------------------------------------------------------


@pytest.mark.parametrize("sparsity", [0.005, 0.01, 1.0])
def test_reweighting_is_the_published_formula(sparsity):
    rng = np.random.default_rng(0)
    s, omega = rng.standard_normal(SHAPE), rng.uniform(0.1, 3, SHAPE)
    hessian = rng.uniform(0.01, 2, SHAPE)
    gamma = np.abs(s) / omega
    c = 1 / (1 / gamma + hessian / sparsity)
    expected = np.sqrt(np.abs(-c / gamma**2 + 1 / gamma))
    ours = reweighted(*map(torch.tensor, (s, omega, hessian)), sparsity)
    np.testing.assert_allclose(ours[0], gamma, rtol=1e-12)
    np.testing.assert_allclose(ours[1], expected, rtol=1e-7)


def test_reweighting_at_its_limits():
    """A switch at 0 pays sqrt(H / lambda); one without curvature, or with negative, the least."""
    s, omega = torch.tensor([0.0, 1.0, 1.0, 1e30]), torch.ones(4)
    gamma, ours = reweighted(s, omega, torch.tensor([4.0, 0.0, -3.0, 4.0]), 0.01)
    torch.testing.assert_close(ours[:3], torch.tensor([20.0, SMALLEST_OMEGA, SMALLEST_OMEGA]))
    assert ours.isfinite().all()
    assert gamma.isfinite().all()


# --- curvature ----------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("partial", [1, 2])
def test_curvature_is_the_hessians_diagonal(tiny_run, monkeypatch, fused, partial):
    """Against differences of the gradient, with tanh for ReLU, whose kinks have no curvature."""
    monkeypatch.setattr(torch, "relu", torch.tanh)
    run = tiny_run("bayesnas", dtype=F64, supernet={"fused": fused, "partial": partial})
    run.net.train()
    switch, data = with_switches(run), batch(1)
    run.active = torch.ones(SHAPE, dtype=torch.bool)
    run.active[0, 3, CONV3] = False
    ours = run.method.curvature(run, data)

    def gradient(moved: Tensor) -> Tensor:
        leaf = moved.clone().requires_grad_()
        loss = run.loss_at(run.weights(), ArchSample(leaf * run.mask, run.active), data)
        return torch.autograd.grad(loss, leaf)[0]

    width = 1e-5
    for place in range(30):
        step = torch.zeros(30, dtype=F64)
        step[place] = width
        step = step.view(SHAPE)
        slope = (gradient(switch + step) - gradient(switch - step)).flatten()[place] / (2 * width)
        torch.testing.assert_close(ours.flatten()[place], slope, rtol=1e-5, atol=1e-9)
    assert ours.abs().max() > 1e-3
    assert (ours[..., NONE] == 0).all()
    assert ours[0, 3, CONV3] == 0


@pytest.mark.long
def test_the_end_of_an_epoch_moves_only_the_prior(tiny_run):
    run = tiny_run("bayesnas")
    run.net.train()
    before = copy.deepcopy((run.net.state_dict(), run.arch.state_dict()))
    with run.random.in_use():
        run.method.end_epoch(run)
    for name, value in run.net.state_dict().items():  # weights, running statistics, counts
        assert torch.equal(value, before[0][name]), name
    assert all(weight.grad is None for weight in run.net.parameters())
    after = run.arch.state_dict()
    assert torch.equal(after["switch"], before[1]["switch"])
    torch.testing.assert_close(after["gamma"], before[1]["switch"].abs())  # omega was 1
    assert not torch.equal(after["omega"], before[1]["omega"])
    assert (after["omega"] >= SMALLEST_OMEGA * (1 - 1e-6)).all()


@pytest.mark.long
def test_nothing_is_reweighted_while_the_weights_train_alone(tiny_run):
    run = tiny_run("bayesnas", arch={"warmup_epochs": 2})
    SearchJob(run).step()
    assert (run.arch.omega == 1).all()
    assert run.active is None
    SearchJob(run).step()
    SearchJob(run).step()
    assert (run.arch.omega != 1).any()


# --- penalty ------------------------------------------------------------------------------------


def test_penalty_and_its_gradient(tiny_run, monkeypatch):
    run = tiny_run({"name": "bayesnas", "sparsity": 0.3}, dtype=F64)
    switch = with_switches(run)
    omega = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=F64)
    run.arch.omega.copy_(omega)
    run.active = torch.ones(SHAPE, dtype=torch.bool)
    run.active[0, 2, CONV1] = False
    expected = 0.3 * sum(
        omega[0, e, o] * abs(switch[0, e, o])
        for e in range(6)
        for o in range(5)
        if (e, o) != (2, CONV1)
    )
    torch.testing.assert_close(run.method.penalty(run).detach(), expected)
    seen: list[Tensor] = []
    monkeypatch.setattr(run, "step_arch", lambda gradients: seen.append(gradients[0]))
    val = batch(2)
    run.method.arch_step(run, batch(1), val)
    (without,) = torch.autograd.grad(run.loss(run.method.sample(run), val), run.arch.switch)
    torch.testing.assert_close(seen[0], without + 0.3 * omega * switch.sign() * run.mask)


# --- pruning and the answer ---------------------------------------------------------------------


def pruned(run, gamma: Tensor) -> Tensor:
    """What is kept at the end of an epoch where |s| / omega is this."""
    with torch.no_grad():
        run.arch.switch.copy_(gamma)
        run.arch.omega.fill_(1)
    run.net.train()
    with run.random.in_use():
        run.method.end_epoch(run)
    return run.active[0]


@pytest.mark.long
def test_operations_below_the_threshold_are_pruned_for_good(tiny_run):
    run = tiny_run({"name": "bayesnas", "threshold": 0.1})
    gamma = torch.full(SHAPE, 0.5)
    gamma[0, 1, [SKIP, POOL]] = torch.tensor([0.09, -0.02])  # the size counts
    gamma[0, 1, CONV3] = 0.11
    gamma[0, 4] = 0.01
    kept = pruned(run, gamma)
    expected = torch.ones(6, 5, dtype=torch.bool)
    expected[1, [SKIP, POOL]] = False
    expected[4, 1:] = False  # `none` is what is left
    assert torch.equal(kept, expected)
    assert run.space.choices(run.method.derive(run))[0, 4] == NONE
    kept = pruned(run, torch.full(SHAPE, 0.5))
    assert torch.equal(kept, expected)
    assert (run.method.strengths(run)[0][~expected] == 0).all()
    assert (run.method.sample(run).weights[0][~expected] == 0).all()


@pytest.mark.long
def test_the_last_operation_of_an_edge_stays(tiny_run):
    run = tiny_run({"name": "bayesnas", "threshold": 0.1})
    run.active = torch.ones(SHAPE, dtype=torch.bool)
    run.active[..., NONE] = False
    gamma = torch.full(SHAPE, 0.5)
    gamma[0, 3] = torch.tensor([9.0, 0.01, -0.05, 0.02, 0.04])
    kept = pruned(run, gamma)
    assert kept[3].tolist() == [False, False, True, False, False]
    assert run.space.choices(run.method.derive(run))[0, 3] == CONV1


@pytest.mark.long
def test_gamma_counts_omega(tiny_run):
    """The same switch is kept where it is cheap, pruned where it costs much."""
    run = tiny_run({"name": "bayesnas", "threshold": 0.1})
    with torch.no_grad():
        run.arch.switch.fill_(0.2)
        run.arch.omega[..., CONV1] = 3
        run.arch.omega[..., CONV3] = 1.5
    run.net.train()
    with run.random.in_use():
        run.method.end_epoch(run)
    assert run.active[0, 0].tolist() == [True, True, False, True, True]


def test_strengths_are_the_sizes_of_switches_and_none_the_weakest(tiny_run):
    run = tiny_run("bayesnas", dtype=F64)
    switch = with_switches(run)
    with torch.no_grad():
        run.arch.switch[..., NONE] = 100.0
    strengths = run.method.strengths(run).detach()
    torch.testing.assert_close(strengths[..., 1:], switch[..., 1:].abs())
    assert (strengths[..., NONE] > 0).all()
    assert (strengths[..., NONE, None] < strengths[..., 1:]).all()
    choices = torch.as_tensor(run.space.choices(run.method.derive(run)))
    assert torch.equal(choices, switch[..., 1:].abs().argmax(-1) + 1)


def test_a_second_prior_is_refused(tiny_config):
    with pytest.raises(UserError, match="bayesnas"):
        tiny_config("bayesnas", arch={"weight_decay": 1e-3})
