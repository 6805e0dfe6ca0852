"""PARSEC's own numbers: importance weights, the weighted gradient, where the prior moves."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from drnas_ray.core.errors import UserError
from drnas_ray.methods.parsec import importance
from tests.shapes import SHAPE

F64 = torch.float64


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def with_prior(run, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    prior = torch.rand(SHAPE, generator=g, dtype=F64) + 0.1
    prior /= prior.sum(-1, keepdim=True)
    with torch.no_grad():
        run.arch.prior.copy_(prior)
    return prior


def test_importance_weights_are_normalised_likelihoods():
    """Directly: the product over the batch of each label's probability, under each sample."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 12, 10, generator=g, dtype=F64)  # samples, images, classes
    labels = torch.randint(10, (12,), generator=g)
    likelihood = [
        torch.stack([p[label] for p, label in zip(one.softmax(-1), labels, strict=True)]).prod()
        for one in logits
    ]
    losses = torch.stack([F.cross_entropy(one, labels) for one in logits])
    expected = torch.stack(likelihood) / sum(likelihood)
    torch.testing.assert_close(importance(losses, 12), expected)


def test_importance_weights_of_large_batches_stay_finite():
    omega = importance(torch.tensor([2.3, 2.2, 9.0]), 4096)
    torch.testing.assert_close(omega, torch.tensor([0.0, 1.0, 0.0]))


def test_weight_gradient_is_the_weighted_sum_of_separate_gradients(tiny_run, monkeypatch):
    run = tiny_run("parsec", dtype=F64)
    with_prior(run)
    run.net.train()
    samples, gradients = [], []
    logits = run.logits

    def spy(sample, batch):
        samples.append(sample)
        return logits(sample, batch)

    def descend(loss, logits, labels):
        gradients.extend(torch.autograd.grad(loss, list(run.net.parameters()), allow_unused=True))

    monkeypatch.setattr(run, "logits", spy)
    monkeypatch.setattr(run, "descend", descend)
    train = batch(1)
    with run.random.in_use():
        run.method.weight_step(run, train)
    monkeypatch.undo()
    assert len(samples) == 4
    assert len({tuple(s.weights.flatten().tolist()) for s in samples}) > 1
    losses = [run.loss(sample, train) for sample in samples]
    likelihood = torch.stack([(-8 * loss).exp() for loss in losses]).detach()
    omega = likelihood / likelihood.sum()
    assert omega.min() > 1e-6  # more than one sample counts
    expected = [torch.zeros_like(w) for w in run.net.parameters()]
    for share, loss in zip(omega, losses, strict=True):
        separate = torch.autograd.grad(loss, list(run.net.parameters()), allow_unused=True)
        for total, one in zip(expected, separate, strict=True):
            if one is not None:
                total.add_(share * one)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(torch.zeros_like(theirs) if ours is None else ours, theirs)


def test_the_prior_moves_towards_the_weighted_frequencies(tiny_run, monkeypatch):
    run = tiny_run("parsec", dtype=F64, arch={"lr": 0.2})
    before = with_prior(run)
    seen = []
    score = run.score

    def spy(sample, batch, bn):
        seen.append((sample.weights, score(sample, batch, bn)[0]))
        return score(sample, batch, bn)

    monkeypatch.setattr(run, "score", spy)
    with run.random.in_use():
        run.method.arch_step(run, batch(1), batch(2))
    likelihood = torch.stack([(-8 * loss).exp() for _, loss in seen])
    omega = likelihood / likelihood.sum()
    frequency = sum(share * weights for share, (weights, _) in zip(omega, seen, strict=True))
    torch.testing.assert_close(run.arch.prior.detach(), 0.8 * before + 0.2 * frequency)


@pytest.mark.long
def test_with_many_samples_the_step_goes_to_the_posterior(tiny_run, monkeypatch):
    """A likelihood that is a product over edges: the posterior is prior times it, edge by edge."""
    run = tiny_run({"name": "parsec", "samples": 20_000}, dtype=F64, arch={"lr": 1.0})
    prior = with_prior(run)
    costs = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3), dtype=F64) / 3

    def score(sample, batch, bn):
        return (sample.weights * costs).sum() / len(batch[1]), torch.zeros(())

    monkeypatch.setattr(run, "score", score)
    with run.random.in_use():
        run.method.arch_step(run, batch(1), batch(2))
    posterior = prior * (-costs).exp()
    posterior /= posterior.sum(-1, keepdim=True)
    assert (posterior - prior).abs().max() > 0.1
    torch.testing.assert_close(run.arch.prior.detach(), posterior, rtol=0, atol=0.02)


def test_the_prior_stays_on_the_simplex_and_where_all_samples_agree(tiny_run):
    run = tiny_run("parsec", arch={"lr": 1.0})
    images, labels = batch(2)
    with run.random.in_use():
        for _ in range(3):  # all the way: at the latest now a vertex for some edges
            run.method.arch_step(run, batch(1), (images.float(), labels))
    prior = run.arch.prior.detach()
    assert (prior >= 0).all()
    torch.testing.assert_close(prior.sum(-1), torch.ones(SHAPE[:2]))
    with torch.no_grad():
        run.arch.prior.copy_(F.one_hot(prior.argmax(-1), 5))
    vertex = run.arch.prior.detach().clone()
    with run.random.in_use():
        run.method.arch_step(run, batch(1), (images.float(), labels))
    torch.testing.assert_close(run.arch.prior.detach(), vertex)


def test_pruned_operations_give_their_part_to_the_kept_ones(tiny_run):
    run = tiny_run("parsec", dtype=F64)
    prior = with_prior(run)
    run.active = torch.ones(SHAPE, dtype=torch.bool)
    run.active[0, :, 1] = False
    kept = prior * run.active
    kept /= kept.sum(-1, keepdim=True)
    torch.testing.assert_close(run.method.strengths(run).detach(), kept)
    with run.random.in_use():
        run.method.arch_step(run, batch(1), batch(2))
    after = run.arch.prior.detach()
    assert (after[..., 1] == 0).all()
    torch.testing.assert_close(after.sum(-1), torch.ones(SHAPE[:2], dtype=F64))
    assert ((after - kept).abs() <= run.config.arch.lr + 1e-12).all()


@pytest.mark.parametrize("arch", [{"weight_decay": 0.1}, {"betas": [0.9, 0.99]}, {"lr": 1.5}])
def test_settings_without_meaning_are_refused(tiny_config, arch):
    with pytest.raises(UserError, match="parsec"):
        tiny_config("parsec", arch=arch)
