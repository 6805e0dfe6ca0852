"""SDARTS's perturbation: in the ball, raising the loss, of the weight step alone."""

from __future__ import annotations

import pytest
import torch

from drnas_ray.config import PerturbSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.errors import UserError
from drnas_ray.search.loop import SearchJob
from drnas_ray.search.perturb import perturbed, radius
from tests.shapes import SHAPE

F64 = torch.float64


def test_the_radius_grows_linearly():
    settings = PerturbSettings(kind="random")
    found = [radius(settings, epoch, 50) for epoch in range(50)]
    assert found[0] == 0.03
    assert found[25] == pytest.approx(0.165)
    assert found[49] == pytest.approx(0.03 + 0.27 * 49 / 50)


def quadratic(seed: int):
    torch.manual_seed(seed)
    root = torch.randn(30, 30, dtype=F64)
    slope = torch.randn(30, dtype=F64)

    def loss(sample: ArchSample) -> torch.Tensor:
        w = sample.weights.flatten()
        return (root @ w).square().sum() + slope @ w

    return loss


@pytest.mark.parametrize("kind", ["random", "adversarial"])
@pytest.mark.parametrize("epsilon", [0.03, 0.3])
@pytest.mark.parametrize("pruned", [False, True])
def test_it_stays_in_the_ball_and_leaves_pruned_operations_alone(kind, epsilon, pruned):
    loss = quadratic(0)
    weights = torch.rand(SHAPE, dtype=F64).softmax(-1)
    active = torch.rand(SHAPE) < 0.6 if pruned else None
    if active is not None:
        weights = weights * active
    sample = ArchSample(weights, active, torch.rand(SHAPE[:2], dtype=F64))
    moved = perturbed(sample, loss, PerturbSettings(kind=kind), epsilon)
    delta = moved.weights - weights
    assert delta.abs().max() <= epsilon + 1e-12
    assert delta.abs().max() > 0
    assert not moved.weights.requires_grad
    assert torch.equal(moved.scale, sample.scale)
    if active is not None:
        assert (delta[~active] == 0).all()


def test_adversarial_reaches_the_worst_corner_of_a_linear_loss():
    """The maximum of a linear function over the ball is epsilon * |slope|_1: known exactly."""
    torch.manual_seed(1)
    slope = torch.randn(SHAPE, dtype=F64)
    weights = torch.full(SHAPE, 0.2, dtype=F64)

    def loss(sample: ArchSample) -> torch.Tensor:
        return (slope * sample.weights).sum()

    sample = ArchSample(weights)
    moved = perturbed(sample, loss, PerturbSettings(kind="adversarial"), 0.1)
    rise = (loss(moved) - loss(sample)).item()
    assert rise == pytest.approx(0.1 * slope.abs().sum().item())


def test_adversarial_never_lowers_the_loss():
    """On a concave peak any move loses: the sample stays as it was."""
    centre = torch.full(SHAPE, 0.2, dtype=F64)

    def peak(sample: ArchSample) -> torch.Tensor:
        return -(sample.weights - centre).square().sum()

    moved = perturbed(ArchSample(centre), peak, PerturbSettings(kind="adversarial"), 0.1)
    assert torch.equal(moved.weights, centre)
    for seed in range(5):
        loss = quadratic(seed)
        moved = perturbed(ArchSample(centre), loss, PerturbSettings(kind="adversarial"), 0.1)
        assert loss(moved) >= loss(ArchSample(centre))


@pytest.mark.parametrize("kind", ["random", "adversarial"])
def test_only_the_weight_step_sees_it(tiny_run, kind):
    run = tiny_run("darts", perturb={"kind": kind})
    seen = []
    forward = run.net.forward

    def spy(x, sample):
        seen.append((run.net.training, sample.weights.detach().clone()))
        return forward(x, sample)

    run.net.forward = spy
    with run.random.in_use():
        train, val = run.val_batch(), run.val_batch()
        buffers = {n: b.clone() for n, b in run.net.named_buffers()}
        run.method.arch_step(run, train, val)
        shares = run.method.strengths(run).detach()
        arch_seen = seen.copy()
        seen.clear()
        run.method.weight_step(run, train)
    assert len(arch_seen) == 1
    training, weights = seen[-1]  # the step itself, the last forward
    assert training
    assert not torch.equal(weights, shares)
    assert (weights - shares).abs().max() <= 0.03 + 1e-6
    if kind == "adversarial":
        assert len(seen) == 7 + 2 + 1  # ascent, before and after, the step
        assert not any(training for training, _ in seen[:-1])  # ascent uses running statistics
    else:
        assert len(seen) == 1
    assert run.net.training
    assert any(not torch.equal(b, buffers[n]) for n, b in run.net.named_buffers())


@pytest.mark.long
@pytest.mark.parametrize("kind", ["random", "adversarial"])
@pytest.mark.parametrize("method", ["darts", "drnas"])
def test_it_can_be_combined_with_partial_channels_and_stages(tiny_run, method, kind):
    run = tiny_run(
        method,
        epochs=2,
        perturb={"kind": kind},
        stages=[{"partial": 2}, {"partial": 1, "keep_ops": 2}],
    )
    records = [SearchJob(run).step() for _ in range(2)]
    assert records[-1]["status"] == "done"
    assert (torch.tensor(records[-1]["strengths"])[~run.active] == 0).all()


def test_a_shrinking_ball_is_refused(tiny_config):
    with pytest.raises(UserError, match=r"epsilon_first=0\.5.*epsilon=0\.3"):
        tiny_config("darts", perturb={"kind": "random", "epsilon_first": 0.5})
