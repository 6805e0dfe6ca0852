"""Proposition 1: the approximation's formulas, and both sides against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from masks import MIXED
from scipy.special import polygamma, roots_jacobi

from drnas_ray.core.archsample import ArchSample
from drnas_ray.search.diagnostics.fixed import fixed_batch
from drnas_ray.search.diagnostics.proposition1 import (
    approximated,
    laplace,
    proposition1,
    sampled,
)
from drnas_ray.search.rng import RandomState
from tests.shapes import SHAPE

F64 = torch.float64
BETA = torch.tensor([0.4, 1.0, 2.5, 7.0], dtype=F64)


# --- mu and Sigma -------------------------------------------------------------------------------


def test_mu_and_sigma_are_those_of_the_papers_formulas():
    mu, sigma = laplace(BETA)
    count, inverse = 4, 1 / BETA
    for k in range(4):
        assert mu[k] == pytest.approx(float(BETA[k].log() - BETA.log().mean()))
        expected = inverse[k] * (1 - 2 / count) + inverse.sum() / count**2
        assert sigma[k, k] == pytest.approx(float(expected))
        for j in set(range(4)) - {k}:
            expected = -(inverse[k] + inverse[j]) / count + inverse.sum() / count**2
            assert sigma[k, j] == pytest.approx(float(expected))


def test_they_are_mode_and_inverse_curvature_of_the_density():
    """In the softmax basis log density is sum beta_k log softmax(h)_k; (1, ..., 1) is no part."""
    mu, sigma = laplace(BETA)

    def log_density(h):
        return (BETA * h.log_softmax(-1)).sum()

    slope = torch.autograd.functional.jacobian(log_density, mu)
    torch.testing.assert_close(slope, torch.zeros(4, dtype=F64), atol=1e-12, rtol=0)
    precision = -torch.autograd.functional.hessian(log_density, mu)
    torch.testing.assert_close(sigma, torch.linalg.pinv(precision))
    torch.testing.assert_close(mu.softmax(-1), BETA / BETA.sum())


def test_they_are_the_moments_of_draws_where_the_concentration_is_large():
    """Exact moments of centred log-draws are digamma and trigamma functions; and by sampling."""
    beta = 400 * BETA
    mu, sigma = (t.numpy() for t in laplace(beta))
    centre = np.eye(4) - 0.25
    exact = centre @ np.diag(polygamma(1, beta.numpy())) @ centre
    np.testing.assert_allclose(sigma, exact, rtol=0.01)
    np.testing.assert_allclose(mu, centre @ polygamma(0, beta.numpy()), atol=0.005)
    drawn = np.log(np.random.default_rng(0).dirichlet(beta.numpy(), size=200_000)) @ centre
    np.testing.assert_allclose(np.cov(drawn.T), exact, rtol=0.03, atol=2e-5)


def test_a_single_operation_has_no_variance():
    mu, sigma = laplace(torch.tensor([3.0], dtype=F64))
    assert mu.tolist() == [0.0]
    assert sigma.abs().max() < 1e-15


# --- both sides ---------------------------------------------------------------------------------


TWO_CHOICES = torch.zeros(SHAPE, dtype=torch.bool)
TWO_CHOICES[0, :, 3] = True
TWO_CHOICES[0, 1, 1] = TWO_CHOICES[0, 3, 2] = True  # edges 1 and 3 have two operations


@pytest.fixture
def two_choices(tiny_run, monkeypatch):
    """A run with a Beta distribution on each of two edges; smooth, in double precision."""
    monkeypatch.setattr(torch, "relu", torch.tanh)

    def make(concentration: float, draws: int):
        settings = {"images": 8, "proposition1_draws": draws}
        run = tiny_run("drnas", dtype=F64, diagnostics=settings)
        run.active = TWO_CHOICES
        with torch.no_grad():
            run.arch.alpha[0, 1, 1] = 1.5 * concentration - 1
            run.arch.alpha[0, 1, 3] = 2.5 * concentration - 1
            run.arch.alpha[0, 3, 2] = 3.0 * concentration - 1
            run.arch.alpha[0, 3, 3] = 1.0 * concentration - 1
        return run

    return make


def loss_at(run, batch, first: float, second: float) -> float:
    weights = torch.zeros(SHAPE, dtype=F64)
    weights[0, :, 3] = 1
    weights[0, 1, 1], weights[0, 1, 3] = first, 1 - first
    weights[0, 3, 2], weights[0, 3, 3] = second, 1 - second
    return float(run.score(ArchSample(weights, run.active), batch, "batch")[0])


def expected_loss(run, batch, c: float, points: int = 8) -> tuple[float, float]:
    """Mean and standard deviation over both Betas by Gauss-Jacobi quadrature, no draws."""

    def nodes(a: float, b: float):
        x, w = roots_jacobi(points, b - 1, a - 1)
        return (1 + x) / 2, w / w.sum()

    (x1, w1), (x2, w2) = nodes(1.5 * c, 2.5 * c), nodes(3.0 * c, 1.0 * c)
    losses = np.array([[loss_at(run, batch, a, b) for b in x2] for a in x1])
    mean = w1 @ losses @ w2
    return mean, float(np.sqrt(w1 @ (losses - mean) ** 2 @ w2))


@pytest.mark.long
def test_the_sampled_side_is_the_expectation_within_its_standard_error(two_choices):
    run = two_choices(1.0, 200)
    batch = fixed_batch(run)
    mean, deviation = expected_loss(run, batch, 1.0)
    with RandomState(1, run.device).in_use():
        found, error = sampled(run, batch)
    assert error == pytest.approx(deviation / 200**0.5, rel=0.25)
    assert abs(found - mean) < 4 * error
    assert error < 0.1 * abs(mean)


def slope_term(run, batch, c: float, width: float = 1e-4) -> float:
    """The loss's slope at mu times how far the mean of the log-odds lies from those of the mean."""
    a = np.array([1.5 * c, 3.0 * c])
    b = np.array([2.5 * c, 1.0 * c])
    shift = (polygamma(0, a) - np.log(a)) - (polygamma(0, b) - np.log(b))
    up, down = (1 / (1 + np.exp(-np.log(a / b) - sign * width * shift)) for sign in (1, -1))
    return (loss_at(run, batch, *up) - loss_at(run, batch, *down)) / (2 * width)


@pytest.mark.long
def test_the_right_side_lacks_but_the_slope_as_the_dirichlet_narrows(two_choices):
    """What else is left shrinks as 1 / concentration^2, the trace term as 1 / concentration.

    The mean of a Dirichlet in the softmax basis is not its mode mu, by as much as Sigma is large:
    the proposition's two sides agree where the loss has no slope at mu, and there alone.
    """
    rest, traces = [], []
    for concentration in (100.0, 400.0):
        run = two_choices(concentration, 2)
        batch = fixed_batch(run)
        mean, _ = expected_loss(run, batch, concentration)
        at_mu, half_trace = approximated(run, batch)
        rest.append(mean - at_mu - half_trace - slope_term(run, batch, concentration))
        traces.append(half_trace)
    assert abs(rest[1]) < 0.1 * abs(traces[1])
    assert rest[0] / rest[1] == pytest.approx(16, rel=0.3)
    assert traces[0] / traces[1] == pytest.approx(4, rel=0.1)


@pytest.mark.long
def test_the_trace_term_is_that_of_differences_of_the_loss(tiny_run, monkeypatch):
    """0.5 tr(Sigma H), as second differences along the columns of a root of Sigma."""
    monkeypatch.setattr(torch, "relu", torch.tanh)
    run = tiny_run("drnas", dtype=F64, diagnostics={"images": 8})
    run.active = MIXED
    with torch.no_grad():
        run.arch.alpha.copy_(torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)))
    batch = fixed_batch(run)
    beta = (run.arch.alpha.detach() + 1)[0]
    mean = torch.where(MIXED[0], beta, 0)
    mean = mean / mean.sum(-1, keepdim=True)

    def loss(edge: int, move: torch.Tensor) -> float:
        weights = mean.clone()
        kept = MIXED[0, edge]
        weights[edge, kept] = (mean[edge, kept].log() + move).softmax(-1)
        return float(run.score(ArchSample(weights[None], run.active), batch, "batch")[0])

    at_mean = float(run.score(ArchSample(mean[None], run.active), batch, "batch")[0])
    total, width = 0.0, 1e-3
    for edge in range(6):
        inverse = 1 / beta[edge, MIXED[0, edge]]
        count = len(inverse)
        root = (torch.eye(count, dtype=F64) - 1 / count) * inverse.sqrt()
        for column in root.T:
            two = loss(edge, width * column) + loss(edge, -width * column)
            total += 0.5 * (two - 2 * at_mean) / width**2
    found = approximated(run, batch)
    assert found[0] == pytest.approx(at_mean, rel=1e-12)
    assert found[1] == pytest.approx(total, rel=1e-4)
    assert abs(total) > 1e-3


def test_the_record_has_both_sides(two_choices):
    run = two_choices(1.0, 5)
    batch = fixed_batch(run)
    with RandomState(1, run.device).in_use():
        record = proposition1(run, batch)
    with RandomState(1, run.device).in_use():
        left = sampled(run, batch)
    at_mu, half_trace = approximated(run, batch)
    assert record == {
        "proposition1_sampled": left[0],
        "proposition1_sampled_se": left[1],
        "proposition1_laplace": at_mu + half_trace,
        "proposition1_at_mean": at_mu,
    }
