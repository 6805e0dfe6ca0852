"""DSNAS's own numbers: an unbiased gradient from one pass, and edges decided early."""

from __future__ import annotations

import itertools

import pytest
import torch
from reference import nb201 as reference
from torch import Tensor

from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.dsnas import score_gradient
from drnas_ray.methods.relax import masked
from drnas_ray.parsing import run_config
from tests.shapes import SHAPE

F64 = torch.float64


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def multilinear(weights: Tensor) -> Tensor:
    """A loss linear in the weights of each edge: a full table of coefficients, with a constant."""
    edges, ops = weights.shape[1:]
    g = torch.Generator().manual_seed(1)
    loss = torch.tensor(0.7, dtype=F64)
    for size in range(1, edges + 1):
        for among in itertools.combinations(range(edges), size):
            table = torch.randn((ops,) * size, generator=g, dtype=F64)
            for edge in among:
                table = torch.tensordot(weights[0, edge], table, dims=1)
            loss = loss + table
    return loss


@pytest.mark.parametrize("pruned", [False, True])
def test_the_estimate_is_right_on_average(pruned):
    """Every draw counted with its probability, against the gradient of the expected loss."""
    edges, ops = 3, 4
    alpha = torch.randn(1, edges, ops, dtype=F64, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, edges, ops, dtype=torch.bool)
    if pruned:
        mask[0, 0, 1] = mask[0, 2, 3] = mask[0, 2, 0] = False
    alpha.requires_grad_()
    shares = masked(alpha, mask).softmax(-1)
    expected_loss = torch.tensor(0.0, dtype=F64)
    average = torch.zeros_like(alpha)
    for choice in itertools.product(range(ops), repeat=edges):
        drawn = torch.eye(ops, dtype=F64)[list(choice)][None].requires_grad_()
        probability = (shares * drawn.detach()).sum(-1).prod()
        loss = multilinear(drawn)
        expected_loss = expected_loss + probability * loss.detach()
        (of_drawn,) = torch.autograd.grad(loss, drawn)
        estimate = score_gradient(masked(alpha.detach(), mask), drawn.detach(), of_drawn)
        average += probability.detach() * estimate
    (exact,) = torch.autograd.grad(expected_loss, alpha)
    assert exact.abs().max() > 0.1
    torch.testing.assert_close(average, exact)


def moved(tiny_run, monkeypatch, step: str, train, val, **method):
    """What a step hands to the architecture's optimiser, and the run."""
    run = tiny_run({"name": "dsnas", **method}, dtype=F64)
    alpha = torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        run.arch.alpha.copy_(alpha)
    seen: list[tuple[Tensor, ...]] = []
    monkeypatch.setattr(run, "step_arch", seen.append)
    calls = []
    logits = run.logits
    monkeypatch.setattr(run, "logits", lambda *given: calls.append(given) or logits(*given))
    torch.manual_seed(5)
    if step == "weight_step":
        run.method.weight_step(run, train)
    else:
        run.method.arch_step(run, train, val)
    return run, seen, calls


@pytest.mark.parametrize("bilevel", [False, True])
def test_gradient_of_the_supernet_by_differences(tiny_run, monkeypatch, bilevel):
    step = "arch_step" if bilevel else "weight_step"
    train, val = batch(1), batch(2)
    _, seen, calls = moved(tiny_run, monkeypatch, step, train, val, bilevel=bilevel)
    fresh = tiny_run({"name": "dsnas"}, dtype=F64)  # the weights before the step
    assert len(calls) == len(seen) == 1  # one pass
    sample = calls[0][0]
    hard = sample.weights.detach()
    assert torch.equal(hard, sample.active.to(F64))
    data, width, slopes = (val if bilevel else train), 1e-6, []
    for edge in range(6):
        values = []
        for sign in (1, -1):
            near = hard.clone()
            near[0, edge, int(hard[0, edge].argmax())] += sign * width
            values.append(fresh.loss(ArchSample(near, sample.active), data).item())
        slopes.append((values[0] - values[1]) / (2 * width))
    cost = torch.tensor(slopes, dtype=F64)[:, None]
    assert cost.abs().max() > 1e-3
    alpha = torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(2))
    expected = cost * (hard[0] - reference.softmax(alpha[0]))
    torch.testing.assert_close(seen[0][0][0], expected, rtol=1e-4, atol=1e-9)


def test_weights_and_alpha_move_by_one_pass_from_the_warm_up_on(tiny_run):
    run = tiny_run("dsnas", arch={"warmup_epochs": 1}, dtype=F64)
    for run.epoch in (0, 1):
        alpha = run.arch.alpha.detach().clone()
        weights = [w.detach().clone() for w in run.net.parameters()]
        run.method.weight_step(run, batch(run.epoch))
        assert torch.equal(run.arch.alpha, alpha) == (run.epoch == 0)
        assert all((a != b).any() for a, b in zip(weights, run.net.parameters(), strict=True))


MARGINS = torch.tensor([0.05, 0.29, 0.31, 0.6, 0.0, 0.9], dtype=F64)


def led(run, margins: Tensor) -> None:
    """Alphas under which the last operation leads the second, the third below, by margins."""
    shares = torch.full(SHAPE, 1e-3, dtype=F64)
    rest = 1 - 3e-3
    shares[0, :, 4], shares[0, :, 1] = (rest + margins) / 2, (rest - margins) / 2
    with torch.no_grad():
        run.arch.alpha.copy_(shares.log())


def test_edges_with_a_clear_lead_are_decided(tiny_run):
    run = tiny_run("dsnas", dtype=F64)
    led(run, MARGINS)
    run.method.end_epoch(run)
    assert run.active.dtype == torch.bool
    assert run.active.device.type == "cpu"
    for edge, margin in enumerate(MARGINS.tolist()):
        kept = [False, False, False, False, True] if margin >= 0.3 else [True] * 5
        assert run.active[0, edge].tolist() == kept
    # A decided edge stays so, and its alphas get no gradient any more.
    before = run.active.clone()
    led(run, torch.zeros(6, dtype=F64))
    run.method.end_epoch(run)
    assert torch.equal(run.active, before)
    for seed in range(4):
        alpha = run.arch.alpha.detach().clone()
        torch.manual_seed(seed)
        run.method.weight_step(run, batch(seed))
        change = (run.arch.alpha.detach() - alpha)[0].abs().amax(-1)
        assert (change[MARGINS >= 0.3] == 0).all()
        sample = run.method.sample(run)
        assert (sample.weights[0, MARGINS >= 0.3, 4] == 1).all()


def test_nothing_is_decided_without_a_margin_or_before_the_search(tiny_run):
    run = tiny_run({"name": "dsnas", "fix_margin": None}, dtype=F64)
    led(run, MARGINS)
    run.method.end_epoch(run)
    assert run.active is None
    run = tiny_run("dsnas", arch={"warmup_epochs": 1}, dtype=F64)
    led(run, MARGINS)
    run.method.end_epoch(run)
    assert run.active is None


def test_defaults():
    config = run_config({"method": "dsnas"})
    assert (config.arch.lr, config.arch.betas) == (1e-3, (0.5, 0.999))
    assert config.arch_weight_decay() == 0
    assert config.label == "DSNAS"
    assert not config.weights.nesterov
