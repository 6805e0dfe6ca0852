"""ProxylessNAS's own numbers: the gates' gradient, the pairs drawn, the mass of all the others."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.proxyless import draw_pair, gate_gradient, same_mass
from drnas_ray.methods.relax import kept_shares
from drnas_ray.search.loop import SearchJob
from tests.shapes import SHAPE

F64 = torch.float64
ALPHA = torch.tensor([0.7, -0.4, 1.1, 0.0, -1.3], dtype=F64)


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def with_alpha(run, seed: int = 0) -> Tensor:
    alpha = torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        run.arch.alpha.copy_(alpha)
    return alpha


def captured(run, monkeypatch) -> tuple[ArchSample, Tensor]:
    """The sample of one architecture step, and the gradient it steps by; nothing moves."""
    samples: list[ArchSample] = []
    gradients: list[Tensor] = []
    loss = run.loss

    def spy(sample, batch):
        samples.append(sample)
        return loss(sample, batch)

    monkeypatch.setattr(run, "loss", spy)
    monkeypatch.setattr(run, "step_arch", lambda seen: gradients.append(seen[0]))
    run.method.arch_step(run, batch(1), batch(2))
    monkeypatch.undo()
    return samples[0], gradients[0]


# --- the gradient -------------------------------------------------------------------------------


def test_gate_gradient_is_the_formula():
    g = torch.Generator().manual_seed(0)
    shares = torch.randn(*SHAPE[:2], 2, generator=g, dtype=F64).softmax(-1)
    of_gates = torch.randn(*SHAPE[:2], 2, generator=g, dtype=F64)
    ours = gate_gradient(of_gates, shares)
    for edge, i in product(range(6), range(2)):
        p, slope = shares[0, edge], of_gates[0, edge]
        expected = sum(slope[j] * p[j] * (float(i == j) - p[i]) for j in range(2))
        torch.testing.assert_close(ours[0, edge, i], expected)


def test_gate_gradient_of_a_linear_loss_is_that_of_its_expectation():
    """E[L] = p_1 L(open 1) + p_2 L(open 2), differentiated exactly, for every pair of five."""
    costs = torch.tensor([2.0, -1.0, 0.5, 3.0, 0.3], dtype=F64)
    for i in range(5):
        for j in range(i):
            alpha = ALPHA[[i, j]].clone().requires_grad_()
            expectation = alpha.softmax(-1) @ costs[[i, j]]
            (exact,) = torch.autograd.grad(expectation, alpha)
            shares = alpha.detach().softmax(-1)
            ours = gate_gradient(costs[[i, j]].view(1, 1, 2), shares.view(1, 1, 2))
            torch.testing.assert_close(ours[0, 0], exact)


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_step_gradient_by_differences_of_the_gates(tiny_run, monkeypatch, fused):
    """Each gate, the closed ones too, moved a little in the loss; then the formula."""
    run = tiny_run("proxyless", dtype=F64, supernet={"fused": fused})
    alpha = with_alpha(run)
    with run.random.in_use():
        sample, gradient = captured(run, monkeypatch)
    width, slopes = 1e-6, torch.zeros(SHAPE, dtype=F64)
    for place in sample.active.flatten().nonzero().flatten().tolist():
        values = []
        for sign in (1, -1):
            gates = sample.weights.detach().clone()
            gates.view(-1)[place] += sign * width
            values.append(run.loss(ArchSample(gates, sample.active), batch(2)).item())
        slopes.view(-1)[place] = (values[0] - values[1]) / (2 * width)
    p = kept_shares(alpha.softmax(-1), sample.active)
    expected = p * (slopes - (slopes * p).sum(-1, keepdim=True))
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-8)


# --- what is drawn and run ----------------------------------------------------------------------


def test_pairs_are_drawn_without_replacement():
    torch.manual_seed(0)
    n = 200_000
    pairs = draw_pair(ALPHA.expand(1, n, 5))[0]
    assert (pairs[:, 0] != pairs[:, 1]).all()
    p = ALPHA.softmax(-1)
    counts = torch.bincount(pairs[:, 0] * 5 + pairs[:, 1], minlength=25).view(5, 5) / n
    for i, j in product(range(5), range(5)):
        expected = 0.0 if i == j else float(p[i] * p[j] / (1 - p[i]))
        assert abs(counts[i, j] - expected) < 5 * (max(expected, 1e-9) / n) ** 0.5


def test_only_two_operations_run_and_one_is_open(tiny_run, monkeypatch):
    run = tiny_run("proxyless", dtype=F64)
    with_alpha(run)
    opened = torch.zeros(6, 5)
    with run.random.in_use():
        for _ in range(20):
            run.arch.steps = 0
            sample, gradient = captured(run, monkeypatch)
            gates = sample.weights.detach()
            assert (sample.active.sum(-1) == 2).all()
            assert ((gates == 0) | (gates == 1)).all()
            assert (gates.sum(-1) == 1).all()
            assert (gates[~sample.active] == 0).all()
            assert (gradient[~sample.active] == 0).all()
            opened += gates[0]
        # The value is that of the open operations alone.
        alone = ArchSample(gates, gates.bool())
        torch.testing.assert_close(run.loss(sample, batch(3)), run.loss(alone, batch(3)))
    assert (opened > 0).sum() > 12  # not always the same ones


def test_an_edge_with_one_operation_left_runs_it_alone(tiny_run, monkeypatch):
    run = tiny_run("proxyless", dtype=F64)
    with_alpha(run)
    run.active = torch.ones(SHAPE, dtype=torch.bool)
    run.active[0, 2] = False
    run.active[0, 2, 3] = True
    with run.random.in_use():
        sample, gradient = captured(run, monkeypatch)
    assert sample.active[0, 2].tolist() == [False, False, False, True, False]
    assert sample.weights.detach()[0, 2].tolist() == [0, 0, 0, 1, 0]
    assert (gradient[0, 2] == 0).all()


# --- the step -----------------------------------------------------------------------------------


def test_a_step_leaves_the_others_their_probability(tiny_run):
    run = tiny_run("proxyless", dtype=F64, arch={"betas": [0.5, 0.999]})
    with_alpha(run)
    for seed in range(4):  # even where Adam's first moment would move operations not drawn
        run.arch.steps = 0
        before = run.method.strengths(run).detach()
        alpha = run.arch.alpha.detach().clone()
        with run.random.in_use():
            run.method.arch_step(run, batch(seed), batch(seed + 9))
        after = run.method.strengths(run).detach()
        still = run.arch.alpha.detach() == alpha
        assert (still.sum(-1) == 3).all()
        torch.testing.assert_close(after[still], before[still], rtol=1e-12, atol=0)
        assert ((after - before).abs()[~still] > 1e-6).all()


def test_same_mass_keeps_how_the_pair_moved_apart():
    g = torch.Generator().manual_seed(3)
    before = torch.randn(SHAPE, generator=g, dtype=F64)
    pair = torch.tensor([[[0, 1], [4, 2], [3, 0], [1, 4], [2, 3], [0, 4]]])
    after = before + torch.randn(SHAPE, generator=g, dtype=F64)
    result = same_mass(before, after, pair, None)
    torch.testing.assert_close(
        result.gather(-1, pair).diff(dim=-1), after.gather(-1, pair).diff(dim=-1)
    )
    mass = [a.gather(-1, pair).exp().sum(-1) for a in (before, result)]
    torch.testing.assert_close(*mass)


@pytest.mark.parametrize("every", [1, 2, 5])
def test_one_architecture_step_in_so_many(tiny_run, monkeypatch, every):
    """Counted over epochs and through checkpoints; the first step moves."""
    run = tiny_run({"name": "proxyless", "every": every})
    moved = []
    arch_step, step_arch = run.method.arch_step, run.step_arch

    def counted(*args):
        moved.append(False)
        arch_step(*args)

    def stepped(gradients):
        moved[-1] = True
        step_arch(gradients)

    monkeypatch.setattr(run.method, "arch_step", counted)
    monkeypatch.setattr(run, "step_arch", stepped)
    SearchJob(run).step()
    other = tiny_run({"name": "proxyless", "every": every})
    other.load_state_dict(run.state_dict())
    assert other.arch.steps == run.arch.steps == len(moved)
    SearchJob(run).step()
    assert moved == [number % every == 0 for number in range(len(moved))]
    assert len(moved) > 2
