"""DrNAS's own numbers: the pathwise gradient, the draw on kept operations, the penalties."""

from __future__ import annotations

import math

import pytest
import torch
from masks import MIXED
from reference import nb201 as reference
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from drnas_ray.core.errors import UserError
from drnas_ray.methods.drnas import concentration, draw, kl_to_uniform
from tests.shapes import SHAPE

F64 = torch.float64
# From sparse to concentrated, and uneven.
ALPHA = torch.tensor(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [-1.2, 0.3, 1.5, -0.5, 0.8],
        [4.0, 6.0, 3.0, 8.0, 5.0],
        [-2.5, -2.0, -1.0, -1.5, -3.0],
        [0.1, -0.1, 0.2, -3.0, 12.0],
        [2.0, 2.0, 2.0, 2.0, 2.0],
    ],
    dtype=F64,
)[None]


def assert_pathwise(beta: Tensor, theta: Tensor, edge: int, kept: list[int]) -> None:
    """The whole Jacobian of one edge's draw, against the slides' formula."""
    rows = [torch.autograd.grad(theta[0, edge, op], beta, retain_graph=True)[0][0] for op in kept]
    jacobian = torch.stack(rows)
    others = [e for e in range(6) if e != edge]
    assert (jacobian[:, others] == 0).all()  # edges are independent
    ours = jacobian[:, edge][:, kept].numpy()
    expected = reference.dirichlet_pathwise_jacobian(
        theta[0, edge, kept].detach().numpy(), beta[0, edge, kept].detach().numpy()
    )
    error = abs(ours - expected).max() / abs(expected).max()
    assert error < 2e-3, (edge, error)


@pytest.mark.parametrize("seed", range(4))
def test_gradient_of_a_draw_is_the_slides_formula(seed):
    torch.manual_seed(seed)
    beta = concentration(ALPHA).requires_grad_()
    theta = draw(beta, None)
    torch.testing.assert_close(theta.sum(-1), torch.ones(SHAPE[:2], dtype=F64))
    for edge in range(6):
        if theta[0, edge].detach().max() < 1 - 1e-9:  # the formula divides by 1 - theta
            assert_pathwise(beta, theta, edge, list(range(5)))


@pytest.mark.parametrize("seed", range(4))
def test_gradient_of_a_pruned_draw(seed):
    torch.manual_seed(seed)
    beta = concentration(ALPHA).requires_grad_()
    theta = draw(beta, MIXED)
    assert (theta[~MIXED] == 0).all()
    torch.testing.assert_close(theta.sum(-1), torch.ones(SHAPE[:2], dtype=F64))
    for edge in range(6):
        kept = MIXED[0, edge].nonzero().flatten().tolist()
        if len(kept) > 1 and theta[0, edge].detach().max() < 1 - 1e-9:
            assert_pathwise(beta, theta, edge, kept)
    cotangent = torch.randn(SHAPE, dtype=F64)
    (gradient,) = torch.autograd.grad((theta * cotangent).sum(), beta)
    assert (gradient[~MIXED] == 0).all()
    assert gradient[0, 4, 3] == 0  # one operation left: its share is 1 whatever beta says


def test_a_pruned_draw_is_the_renormalised_full_draw():
    """First and second moments, in closed form and from full draws zeroed and renormalised."""
    torch.manual_seed(0)
    n = 20_000
    beta = concentration(ALPHA)
    many = beta.expand(n, 6, 5)
    kept_draws = draw(many, MIXED.expand(n, 6, 5))
    full = draw(many, None) * MIXED
    renormalised = full / full.sum(-1, keepdim=True)

    kept = beta * MIXED
    total = kept.sum(-1, keepdim=True)
    mean = (kept / total)[0]
    variance = mean * (1 - mean) / (total[0] + 1)
    deviation = (variance / n).sqrt()
    for sampled in (kept_draws, renormalised):
        assert ((sampled.mean(0) - mean).abs() <= 5 * deviation + 1e-12).all()
        torch.testing.assert_close(sampled.var(0), variance, rtol=0.06, atol=1e-9)
        # Covariance of the first edge's first two: -m0 m1 / (total + 1).
        a, b = sampled[:, 0, 0], sampled[:, 0, 1]
        covariance = ((a - a.mean()) * (b - b.mean())).mean()
        assert covariance == pytest.approx(float(-mean[0, 0] * mean[0, 1] / 6), rel=0.06)


def test_an_all_true_mask_draws_like_none():
    torch.manual_seed(3)
    everything = draw(concentration(ALPHA), torch.ones_like(MIXED))
    torch.manual_seed(3)
    assert torch.equal(everything, draw(concentration(ALPHA), None))


@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
@pytest.mark.parametrize("where", ["one", "most", "all"])
def test_a_far_negative_alpha_stays_finite(dtype, where):
    alpha = torch.zeros(SHAPE, dtype=dtype)
    alpha[..., {"one": slice(2, 3), "most": slice(1, 5), "all": slice(0, 5)}[where]] = -50.0
    alpha.requires_grad_()
    torch.manual_seed(5)
    for _ in range(20):
        theta = draw(concentration(alpha), None)
        (gradient,) = torch.autograd.grad((theta * torch.arange(5.0)).sum(), alpha)
        assert theta.isfinite().all()
        assert gradient.isfinite().all()


def test_concentration():
    alpha = torch.tensor([-1.0, 0.0, 2.5], dtype=F64)
    expected = torch.tensor([math.exp(-1), 1.0, 3.5], dtype=F64)
    torch.testing.assert_close(concentration(alpha), expected)
    assert concentration(torch.tensor([-1e4])).item() > 0


# --- penalties ----------------------------------------------------------------------------------


def test_kl_equals_torchs_own():
    beta = concentration(ALPHA).requires_grad_()
    expected = kl_divergence(Dirichlet(beta), Dirichlet(torch.ones_like(beta))).sum()
    ours = kl_to_uniform(beta)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(ours, reference.kl_to_uniform_dirichlet(beta[0]))
    torch.testing.assert_close(*(torch.autograd.grad(value, beta)[0] for value in (ours, expected)))
    assert kl_to_uniform(torch.ones(2, 6, 5, dtype=F64)).item() == pytest.approx(0, abs=1e-12)


def penalised(tiny_run, penalty: str, **settings):
    run = tiny_run({"name": "drnas", "penalty": penalty, **settings}, dtype=F64)
    with torch.no_grad():
        run.arch.alpha.copy_(ALPHA)
    return run


@pytest.mark.parametrize("active", [None, MIXED], ids=["all", "pruned"])
def test_penalties_of_a_run(tiny_run, active):
    beta = concentration(ALPHA)
    if active is not None:
        beta = torch.where(active, beta, 1.0)  # pruned operations count as beta = 1
    expected = {
        "kl": 0.25 * kl_divergence(Dirichlet(beta), Dirichlet(torch.ones_like(beta))).sum().item(),
        "l2_beta": 0.25 * ((beta - 1) ** 2).sum().sqrt().item(),
        "l2": 0.0,
        "none": 0.0,
    }
    for penalty, value in expected.items():
        run = penalised(tiny_run, penalty, penalty_scale=0.25)
        run.active = active
        with torch.no_grad():
            ours = float(run.method.penalty(run))
        assert ours == pytest.approx(value, rel=1e-9)
        decay = run.arch_optimizer.param_groups[0]["weight_decay"]
        assert decay == (0.25 if penalty == "l2" else 0.0)


def test_l2_beta_has_a_gradient_at_the_uniform_distribution(tiny_run):
    run = penalised(tiny_run, "l2_beta")
    with torch.no_grad():
        run.arch.alpha.zero_()
    (gradient,) = torch.autograd.grad(run.method.penalty(run), run.arch.alpha)
    assert gradient.isfinite().all()


def test_the_penalty_reaches_the_architecture_step_only(tiny_run, monkeypatch):
    """With the loss flat, alpha's gradient is the penalty's, and the weight step never sees it."""
    run = penalised(tiny_run, "kl", penalty_scale=0.25)
    batch = (torch.randn(4, 1, 8, 8, dtype=F64), torch.zeros(4, dtype=torch.int64))
    alpha = ALPHA.clone().requires_grad_()
    (expected,) = torch.autograd.grad(
        0.25 * reference.kl_to_uniform_dirichlet(reference.concentration(alpha)[0]), alpha
    )
    seen = []
    monkeypatch.setattr(run, "step_arch", seen.append)
    monkeypatch.setattr(run, "loss", lambda sample, batch: 0 * sample.weights.sum())
    run.method.arch_step(run, batch, batch)
    torch.testing.assert_close(seen[0][0], expected)
    monkeypatch.setattr(run.method, "penalty", lambda run: pytest.fail("asked for a penalty"))
    run.method.weight_step(run, batch)


def test_l2_is_adams_coupled_decay(tiny_run):
    """Against the formula: g + decay * alpha enters the moments."""
    run = penalised(tiny_run, "l2", penalty_scale=0.1)
    gradients = torch.randn(3, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))
    value, state = ALPHA, None
    for gradient in gradients:
        run.step_arch((gradient,))
        value, state = reference.adam_step(value, gradient, state, lr=0.05, weight_decay=0.1)
    torch.testing.assert_close(run.arch.alpha.detach(), value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("penalty", ["kl", "l2_beta", "none", "l2"])
def test_two_penalties_at_once_are_refused(tiny_config, penalty):
    with pytest.raises(UserError, match=rf"0\.5.*penalty={penalty}"):
        tiny_config({"name": "drnas", "penalty": penalty}, arch={"weight_decay": 0.5})


def test_restating_the_penalty_as_decay_is_fine(tiny_config):
    assert tiny_config("drnas", arch={"weight_decay": 1e-3}).arch_weight_decay() == 1e-3
    settings = {"name": "drnas", "penalty": "kl"}
    assert tiny_config(settings, arch={"weight_decay": 0.0}).arch_weight_decay() == 0.0


def test_every_forward_pass_has_its_own_draw_and_the_mean_is_betas_share(tiny_run):
    run = penalised(tiny_run, "l2")
    one, two = (run.method.sample(run).weights for _ in range(2))
    assert not torch.equal(one, two)
    beta = concentration(ALPHA)
    torch.testing.assert_close(
        run.method.mean(run).weights.detach(), beta / beta.sum(-1, keepdim=True)
    )
