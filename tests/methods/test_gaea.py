"""GAEA's own numbers: its step is mirror descent, and never leaves the simplex."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.errors import UserError
from drnas_ray.methods.gaea import SMALLEST_SHARE, ExponentiatedGradient
from drnas_ray.methods.relax import kept_shares
from tests.shapes import SHAPE

F64 = torch.float64
EDGES = {"name": "gaea", "edge_weights": True}
ENTERING = ([0], [1, 2], [3, 4, 5])  # the edges into nodes 1, 2, 3


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def mirror_step(p: np.ndarray, gradient: np.ndarray, lr: float) -> np.ndarray:
    """argmin over the simplex of lr * <gradient, q> + KL(q || p), found numerically."""

    def objective(q: np.ndarray) -> tuple[float, np.ndarray]:
        ratio = np.log(q / p)
        return float(lr * gradient @ q + q @ ratio), lr * gradient + ratio + 1

    found = minimize(
        objective,
        np.full(len(p), 1 / len(p)),
        jac=True,
        bounds=[(1e-12, 1)] * len(p),
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return found.x


@pytest.mark.parametrize("seed", range(5))
def test_a_step_is_mirror_descent(seed):
    rng = np.random.default_rng(seed)
    p, gradient = rng.dirichlet(np.ones(5), size=3), 3 * rng.standard_normal((3, 5))
    p = (p + 0.02) / (p + 0.02).sum(-1, keepdims=True)
    parameter = nn.Parameter(torch.tensor(p))
    parameter.grad = torch.tensor(gradient)
    ExponentiatedGradient([(parameter, lambda x: x.softmax(-1))], lr=0.3).step()
    for row in range(3):
        expected = mirror_step(p[row], gradient[row], 0.3)
        np.testing.assert_allclose(parameter.detach()[row], expected, atol=2e-6)
    closed = p * np.exp(-0.3 * gradient)
    closed /= closed.sum(-1, keepdims=True)
    np.testing.assert_allclose(parameter.detach(), closed, rtol=1e-12)


def test_edge_weights_step_on_the_simplex_of_their_node(tiny_run):
    run = tiny_run(EDGES, dtype=F64)
    start = torch.tensor([[1.0, 0.5, 0.5, 1 / 3, 1 / 3, 1 / 3]], dtype=F64)
    torch.testing.assert_close(run.arch.edge.detach(), start)
    g = torch.Generator().manual_seed(0)
    gradients = torch.randn(SHAPE, generator=g, dtype=F64), torch.randn(SHAPE[:2], generator=g)
    run.step_arch((gradients[0], gradients[1].double()))
    for edges in ENTERING:
        ours = run.arch.edge.detach()[0, edges].numpy()
        gradient = gradients[1][0, edges].double().numpy()
        expected = mirror_step(start[0, edges].numpy(), gradient, run.config.arch.lr)
        np.testing.assert_allclose(ours, expected, atol=2e-6)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_shares_stay_on_the_simplex(tiny_run, size):
    run = tiny_run(EDGES)
    g = torch.Generator().manual_seed(1)
    for _ in range(300):
        gradients = torch.randn(SHAPE, generator=g), torch.randn(SHAPE[:2], generator=g)
        run.step_arch(tuple(size * gradient for gradient in gradients))
    shares, edge = run.arch.shares.detach(), run.arch.edge.detach()
    torch.testing.assert_close(shares.sum(-1), torch.ones(SHAPE[:2]))
    for edges in ENTERING:
        torch.testing.assert_close(edge[0, edges].sum(), torch.tensor(1.0))
    for values in (shares, edge):
        assert values.isfinite().all()
        assert values.min() > 0.9 * SMALLEST_SHARE  # renormalised after the clamp


def test_a_constant_added_to_the_gradient_changes_nothing():
    p = torch.tensor([0.1, 0.2, 0.7], dtype=F64)
    steps = []
    for shift in (0.0, 50.0):
        parameter = nn.Parameter(p.clone())
        parameter.grad = torch.tensor([1.0, -2.0, 0.5], dtype=F64) + shift
        ExponentiatedGradient([(parameter, lambda x: x.softmax(-1))], lr=0.1).step()
        steps.append(parameter.detach())
    torch.testing.assert_close(*steps)


def test_pruned_operations_leave_the_kept_their_own_simplex(tiny_run, monkeypatch):
    """Two steps of a run equal two mirror steps on the kept shares alone, whatever was pruned."""
    run = tiny_run("gaea", dtype=F64, arch={"lr": 0.5})
    p = torch.rand(SHAPE, generator=torch.Generator().manual_seed(2), dtype=F64) + 0.1
    with torch.no_grad():
        run.arch.shares.copy_(p / p.sum(-1, keepdim=True))
    run.active = torch.ones(SHAPE, dtype=torch.bool)
    run.active[0, :, 4] = False
    run.active[0, 2, :3] = False
    kept = kept_shares(run.arch.shares.detach(), run.mask)
    for seed in range(2):
        train, val = batch(seed), batch(seed + 10)
        leaf = kept.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(run.loss(ArchSample(leaf, run.active), val), leaf)
        run.method.arch_step(run, train, val)
        expected = kept * (-0.5 * gradient).exp() * run.active
        kept = expected / expected.sum(-1, keepdim=True)
        torch.testing.assert_close(run.method.strengths(run).detach(), kept, rtol=1e-6, atol=1e-9)
    assert (run.method.strengths(run)[~run.active] == 0).all()


def test_defaults_and_labels(tiny_config):
    plain, edges = tiny_config("gaea"), tiny_config(EDGES)
    assert (plain.label, plain.supernet.partial) == ("GAEA + DARTS", 1)
    assert (edges.label, edges.supernet.partial) == ("GAEA + PC-DARTS", 4)
    assert tiny_config(EDGES, supernet={"partial": 2}).label == "GAEA + PC-DARTS + K=2"


@pytest.mark.parametrize("arch", [{"weight_decay": 1e-3}, {"betas": [0.9, 0.999]}])
def test_what_only_adam_reads_is_refused(tiny_config, arch):
    with pytest.raises(UserError, match="gaea"):
        tiny_config("gaea", arch=arch)
