"""DARTS's own numbers: both orders of its gradient, against differences and exact autograd."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from reference import nb201 as reference
from torch import Tensor

from drnas_ray.methods import darts as darts_module
from drnas_ray.methods.unrolled import unrolled_gradient
from tests.shapes import SHAPE

F64 = torch.float64
SECOND = {"name": "darts", "order": 2}


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def test_shares_are_a_softmax_over_what_is_kept(tiny_run):
    run = tiny_run("darts", dtype=F64)
    alpha = torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        run.arch.alpha.copy_(alpha)
    torch.testing.assert_close(run.method.sample(run).weights[0], reference.softmax(alpha[0]))
    run.active = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < 0.6
    run.active[..., 3] = True
    expected = reference.masked_theta(reference.softmax(alpha[0]), run.active[0])
    torch.testing.assert_close(run.method.sample(run).weights[0], expected)


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_first_order_gradient_by_differences(tiny_run, monkeypatch, fused):
    run = tiny_run("darts", dtype=F64, supernet={"fused": fused})
    seen: list[tuple[Tensor, ...]] = []
    monkeypatch.setattr(run, "step_arch", seen.append)
    train, val = batch(1), batch(2)
    run.method.arch_step(run, train, val)
    numbers = torch.zeros(SHAPE, dtype=F64)
    width = 1e-6
    for place in range(30):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                run.arch.alpha.view(-1)[place] += sign * width
                values.append(run.loss(run.method.sample(run), val).item())
                run.arch.alpha.view(-1)[place] -= sign * width
        numbers.view(-1)[place] = (values[0] - values[1]) / (2 * width)
    assert numbers.abs().max() > 1e-4
    torch.testing.assert_close(seen[0][0], numbers, rtol=1e-4, atol=1e-8)


# --- second order -------------------------------------------------------------------------------


class Smooth:
    """A mixture of tanh layers: no kinks, so the error of the difference shows its true order."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(3)
        self.weights = {
            "a": torch.randn(6, 4, generator=g, dtype=F64),
            "b": torch.randn(6, 4, generator=g, dtype=F64),
            "c": torch.randn(3, 6, generator=g, dtype=F64),
        }
        self.alpha = torch.randn(2, 3, generator=g, dtype=F64).requires_grad_()
        self.buffers = {n: torch.randn(w.shape, generator=g, dtype=F64) for n, w in self.named()}
        self.data = {
            part: (
                torch.randn(16, 4, generator=g, dtype=F64),
                torch.randint(3, (16,), generator=g),
            )
            for part in ("train", "val")
        }

    def named(self):
        return self.weights.items()

    def loss(self, part: str, weights: dict[str, Tensor], alpha: Tensor) -> Tensor:
        x, labels = self.data[part]
        share = alpha.softmax(-1)
        a, b = torch.tanh(x @ weights["a"].T), torch.tanh(x @ weights["b"].T)
        hidden = share[0, 0] * a + share[0, 1] * b + share[0, 2] * a * b
        hidden = share[1, 0] * hidden + share[1, 1] * torch.sin(hidden) + share[1, 2] * hidden**2
        return torch.nn.functional.cross_entropy(hidden @ weights["c"].T, labels)

    def direction(self, gradient, name, weight, sgd):
        """What SGD multiplies with -lr (torch's documented update)."""
        g = gradient + sgd["weight_decay"] * weight
        moved = sgd["momentum"] * self.buffers[name] + g if sgd["momentum"] else g
        return g + sgd["momentum"] * moved if sgd["nesterov"] else moved

    def exact(self, sgd) -> Tensor:
        leaves = {n: w.clone().requires_grad_() for n, w in self.named()}
        loss = self.loss("train", leaves, self.alpha)
        grads = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
        ahead = {
            n: w - sgd["lr"] * self.direction(g, n, w, sgd)
            for (n, w), g in zip(leaves.items(), grads, strict=True)
        }
        return torch.autograd.grad(self.loss("val", ahead, self.alpha), self.alpha)[0]

    def ours(self, sgd, radius: float = 0.01) -> Tensor:
        def stepped(gradients):
            ahead = {
                n: w - sgd["lr"] * self.direction(gradients[n], n, w, sgd) for n, w in self.named()
            }
            return ahead, sgd["lr"] * (1 + sgd["momentum"] if sgd["nesterov"] else 1)

        (gradient,) = unrolled_gradient(
            lambda w: self.loss("train", w, self.alpha),
            lambda w: self.loss("val", w, self.alpha),
            self.weights,
            [self.alpha],
            stepped,
            radius=radius,
        )
        return gradient


SGDS = {
    "plain": {"lr": 0.3, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False},
    "momentum": {"lr": 0.3, "momentum": 0.9, "weight_decay": 5e-3, "nesterov": False},
    "nesterov": {"lr": 0.3, "momentum": 0.9, "weight_decay": 5e-3, "nesterov": True},
}


@pytest.mark.parametrize("kind", SGDS)
def test_unrolled_gradient_is_autograds(kind):
    net, sgd = Smooth(), SGDS[kind]
    exact = net.exact(sgd)
    if not sgd["nesterov"]:
        names = list(net.weights)

        def loss(part):
            return lambda w, alpha: net.loss(part, dict(zip(names, w, strict=True)), alpha)

        theirs = reference.unrolled_arch_gradient(
            loss("train"),
            loss("val"),
            list(net.weights.values()),
            net.alpha,
            sgd["lr"],
            momentum_buffers=list(net.buffers.values()),
            momentum=sgd["momentum"],
            weight_decay=sgd["weight_decay"],
        )
        torch.testing.assert_close(exact, theirs)

    def error(radius: float) -> float:
        return float((net.ours(sgd, radius) - exact).norm() / exact.norm())

    first_order = torch.autograd.grad(
        net.loss("val", {n: w.clone() for n, w in net.named()}, net.alpha), net.alpha
    )[0]
    assert (first_order - exact).norm() / exact.norm() > 0.02  # the second term matters here
    assert error(0.01) < 1e-3
    # A central difference: the error goes with the square of the radius.
    assert 3.5 < error(0.2) / error(0.1) < 4.5
    assert 3.5 < error(0.1) / error(0.05) < 4.5


def test_a_vanishing_outer_gradient_leaves_the_direct_term():
    net = Smooth()
    (gradient,) = unrolled_gradient(
        lambda w: net.loss("train", w, net.alpha),
        lambda w: (net.alpha**2).sum() + sum(0 * t.sum() for t in w.values()),
        net.weights,
        [net.alpha],
        lambda g: (net.weights, 0.1),
    )
    torch.testing.assert_close(gradient, 2 * net.alpha.detach())


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("kind", SGDS)
def test_stepped_is_a_step_of_torchs_sgd(tiny_run, kind, before):
    sgd = {key: value for key, value in SGDS[kind].items() if key != "lr"}
    run = tiny_run(SECOND, dtype=F64, weights={**sgd, "lr": 0.1})
    for step in range(before):  # so that there are momentum buffers
        run.set_lr(step, 4)
        run.method.weight_step(run, batch(step))
    g = torch.Generator().manual_seed(5)
    gradients = {n: torch.randn(w.shape, generator=g, dtype=F64) for n, w in run.weights().items()}
    ahead, xi = run.stepped(gradients)

    net = copy.deepcopy(run.net)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    optimizer.load_state_dict(copy.deepcopy(run.weight_optimizer.state_dict()))
    for name, weight in net.named_parameters():
        weight.grad = gradients[name]
    optimizer.step()
    assert ahead.keys() == dict(net.named_parameters()).keys()
    for name, weight in net.named_parameters():
        torch.testing.assert_close(ahead[name], weight.detach(), rtol=1e-12, atol=1e-13)

    nudged, _ = run.stepped({name: value + 1 for name, value in gradients.items()})
    for name, value in ahead.items():  # xi is the factor on the gradient
        torch.testing.assert_close(value - nudged[name], torch.full_like(value, xi))


@pytest.mark.parametrize("partial", [1, 2])
def test_second_order_step_moves_the_architecture_and_nothing_else(tiny_run, partial):
    run = tiny_run(SECOND, dtype=F64, supernet={"partial": partial})
    run.net.train()
    for step in range(2):
        run.method.weight_step(run, batch(step))
    net = copy.deepcopy(run.net.state_dict())
    optimizer = copy.deepcopy(run.weight_optimizer.state_dict())
    alpha = run.arch.alpha.detach().clone()
    run.method.arch_step(run, batch(7), batch(8))
    assert not torch.equal(run.arch.alpha.detach(), alpha)
    for name, value in run.net.state_dict().items():  # weights, running statistics, counts
        assert torch.equal(value, net[name]), name
    after = run.weight_optimizer.state_dict()
    assert after["param_groups"] == optimizer["param_groups"]
    for key, state in optimizer["state"].items():
        assert torch.equal(after["state"][key]["momentum_buffer"], state["momentum_buffer"])
    assert all(weight.grad is None for weight in run.net.parameters())


@pytest.mark.long
def test_second_order_of_the_supernet_is_autograds(tiny_run, monkeypatch):
    """The path through a run, with tanh for ReLU: kinks make a right difference look wrong."""
    monkeypatch.setattr(torch, "relu", torch.tanh)
    monkeypatch.setattr(darts_module, "unrolled_gradient", partial(unrolled_gradient, radius=1e-3))
    run = tiny_run(SECOND, dtype=F64, weights={"lr": 0.05, "momentum": 0.9, "nesterov": True})
    for step in range(2):
        run.method.weight_step(run, batch(step))
    seen: list[tuple[Tensor, ...]] = []
    monkeypatch.setattr(run, "step_arch", seen.append)
    train, val = batch(7), batch(8)
    run.method.arch_step(run, train, val)

    leaves = {n: w.detach().clone().requires_grad_() for n, w in run.weights().items()}
    loss = run.loss_at(leaves, run.method.sample(run), train)
    grads = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
    group = run.weight_optimizer.param_groups[0]
    ahead = {}
    for (name, weight), gradient in zip(leaves.items(), grads, strict=True):
        buffer = run.weight_optimizer.state[run.weights()[name]]["momentum_buffer"]
        d = gradient + group["weight_decay"] * weight
        ahead[name] = weight - group["lr"] * (d + 0.9 * (0.9 * buffer + d))
    loss = run.loss_at(ahead, run.method.sample(run), val)
    (exact,) = torch.autograd.grad(loss, run.arch.alpha)
    assert (seen[0][0] - exact).norm() / exact.norm() < 1e-3
