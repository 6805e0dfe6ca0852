"""The Hessian of the validation loss: against differences of the loss, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from masks import FEW, MIXED
from torch.nn import functional as F

from drnas_ray.methods import METHODS
from drnas_ray.search.diagnostics.fixed import fixed_batch, loss_of
from drnas_ray.search.diagnostics.hessian import curvature, hessian
from tests.shapes import SHAPE

F64 = torch.float64
SIZES = [pytest.param(FEW, id="few"), pytest.param(MIXED, id="mixed", marks=pytest.mark.slow)]
SMOOTH = [name for name, method in METHODS.items() if method.mixes]


def learnt(tiny_run, method, **over):
    """A run in double precision, its architecture moved well away from its start."""
    run = tiny_run(method, dtype=F64, diagnostics={"images": 8}, **over)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in run.arch.parameters():
            noise = torch.rand(parameter.shape, generator=random, dtype=F64)
            parameter.copy_(parameter + 0.3 * noise)
    return run


def by_differences(run, batch, width=3e-4) -> np.ndarray:
    """(n, n) from losses alone, without a graph; pruned operations left out."""
    parameters = list(run.arch.parameters())
    shapes = [p.shape for p in parameters]
    keep = [
        run.active if run.active is not None and s == run.active.shape else torch.ones(s).bool()
        for s in shapes
    ]
    start = [p.detach().clone() for p in parameters]
    places = torch.cat([k.flatten() for k in keep]).nonzero().flatten().tolist()
    total = sum(k.numel() for k in keep)
    known: dict[tuple, float] = {}

    def value(*moves: tuple[int, int]) -> float:
        key = tuple(sorted(moves))
        if key not in known:
            vector = torch.zeros(total, dtype=F64)
            for place, sign in moves:
                vector[place] += sign * width
            with torch.no_grad():
                parts = vector.split([k.numel() for k in keep])
                for p, s, part in zip(parameters, start, parts, strict=True):
                    p.copy_(s + part.view(s.shape))
                known[key] = float(run.score(run.method.mean(run), batch, "batch")[0])
        return known[key]

    n = len(places)
    matrix = np.zeros((n, n))
    for i, a in enumerate(places):
        for j, b in enumerate(places[: i + 1]):
            corners = (
                value((a, 1), (b, 1))
                - value((a, 1), (b, -1))
                - value((a, -1), (b, 1))
                + value((a, -1), (b, -1))
            )
            matrix[i, j] = matrix[j, i] = corners / (4 * width**2)
    with torch.no_grad():
        for p, s in zip(parameters, start, strict=True):
            p.copy_(s)
    return matrix


@pytest.mark.long
@pytest.mark.parametrize("active", SIZES)
@pytest.mark.parametrize(
    ("method", "over"),
    [
        ("drnas", {}),
        ("darts", {"supernet": {"fused": False}}),
        pytest.param("pcdarts", {}, marks=pytest.mark.slow),
        ({"name": "gaea", "edge_weights": True}, {}),
        ("bayesnas", {}),
    ],
    ids=["drnas", "darts-plain", "pcdarts", "gaea-pcdarts", "bayesnas"],
)
def test_eigenvalue_and_trace_are_those_of_a_finite_difference_hessian(
    tiny_run, monkeypatch, method, over, active
):
    """Losses in double precision alone; tanh for ReLU, whose kinks differences would see."""
    monkeypatch.setattr(torch, "relu", torch.tanh)
    run = learnt(tiny_run, method, **over)
    run.active = active
    batch = fixed_batch(run)
    expected = by_differences(run, batch)
    found = curvature(run, batch)
    eigenvalues = np.linalg.eigvalsh(expected)
    assert eigenvalues[-1] > 1e-3
    np.testing.assert_allclose(found["hessian_max_eigenvalue"], eigenvalues[-1], rtol=1e-4)
    np.testing.assert_allclose(found["hessian_trace"], np.trace(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_every_number_counts_where_nothing_is_pruned(tiny_run, monkeypatch):
    monkeypatch.setattr(torch, "relu", torch.tanh)
    run = learnt(tiny_run, "darts")
    batch = fixed_batch(run)
    parameters = list(run.arch.parameters())
    loss = loss_of(run, run.method.mean(run), batch)
    matrix = hessian(loss, parameters, [torch.ones(SHAPE).bool()])
    assert matrix.shape == (30, 30)
    # A softmax doesn't change along (1, 1, 1, 1, 1), so neither does the loss's slope.
    per_edge = matrix.view(30, 6, 5).sum(-1)
    assert per_edge.abs().max() < 1e-12 * matrix.abs().max() + 1e-14
    assert matrix.abs().max() > 1e-3


def test_the_hessian_of_a_quadratic_is_its_matrix():
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(7, 7, generator=generator, dtype=F64)
    matrix = half @ half.T
    x = torch.randn(3, generator=generator, dtype=F64, requires_grad=True)
    y = torch.randn(2, 2, generator=generator, dtype=F64, requires_grad=True)
    both = torch.cat([x, y.flatten()])
    loss = 0.5 * both @ matrix @ both + both.sum()
    whole = hessian(loss, [x, y], [torch.ones(3).bool(), torch.ones(2, 2).bool()])
    torch.testing.assert_close(whole, matrix)
    kept = [torch.tensor([True, False, True]), torch.tensor([[False, True], [True, False]])]
    places = [0, 2, 4, 5]
    torch.testing.assert_close(
        hessian(0.5 * both @ matrix @ both, [x, y], kept), matrix[places][:, places]
    )


def test_the_hessian_of_a_sum_of_powers_by_hand():
    x = torch.tensor([1.0, 2.0, -3.0], requires_grad=True)
    matrix = hessian((x**3).sum() + x[0] * x[1], [x], [torch.ones(3).bool()])
    expected = torch.tensor([[6.0, 1.0, 0.0], [1.0, 12.0, 0.0], [0.0, 0.0, -18.0]], dtype=F64)
    assert torch.equal(matrix, expected)


def test_a_loss_without_slope_or_curvature():
    x = torch.ones(2, requires_grad=True)
    everything = [torch.ones(2).bool()]
    assert torch.equal(hessian(torch.tensor(1.0), [x], everything), torch.zeros(2, 2, dtype=F64))
    assert torch.equal(hessian(x.sum(), [x], everything), torch.zeros(2, 2, dtype=F64))


@pytest.mark.long
def test_the_loss_is_flat_where_only_none_is_left(tiny_run):
    run = tiny_run("drnas", diagnostics={"images": 8})
    run.active = torch.zeros(SHAPE, dtype=torch.bool)
    run.active[..., 0] = True
    found = curvature(run, fixed_batch(run))
    assert found == {"hessian_max_eigenvalue": 0.0, "hessian_trace": 0.0}


@pytest.mark.long
def test_a_figure_that_is_not_finite_is_none(tiny_run):
    run = tiny_run("drnas", diagnostics={"images": 8})
    with torch.no_grad():
        run.net.classifier.weight[0, 0] = float("nan")
    found = curvature(run, fixed_batch(run))
    assert found == {"hessian_max_eigenvalue": None, "hessian_trace": None}


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_mix_have_a_mean_with_a_derivative(tiny_run, name):
    """What the check of settings relies on."""
    run = tiny_run(name)
    with run.random.in_use():
        assert run.method.mean(run).weights.requires_grad == (name in SMOOTH)


def test_the_loss_is_normalised_by_the_batch_itself(tiny_run):
    run = tiny_run("darts", diagnostics={"images": 8})
    images, labels = batch = fixed_batch(run)
    sample = run.method.mean(run)
    run.net.eval()
    buffers = {name: value.clone() for name, value in run.net.named_buffers()}
    loss = loss_of(run, sample, batch)
    assert not run.net.training
    assert all(torch.equal(value, buffers[name]) for name, value in run.net.named_buffers())
    run.net.train()
    torch.testing.assert_close(loss, F.cross_entropy(run.net(images, sample), labels))


def test_the_batch_is_fixed_for_the_run(tiny_run):
    one, again, other = (tiny_run("drnas", seed=s, diagnostics={"images": 8}) for s in (1, 1, 2))
    again.epoch = 7
    torch.rand(5)
    for mine, same, different in zip(*map(fixed_batch, (one, again, other)), strict=True):
        assert torch.equal(mine, same)
        assert not torch.equal(mine, different)
    assert len(fixed_batch(one)[0]) == 8
    every = tiny_run("drnas", diagnostics={"images": 10_000})
    assert len(fixed_batch(every)[0]) == len(every.val)
