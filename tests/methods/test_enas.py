"""ENAS's own numbers: the controller against NumPy, its policy gradient, its baseline."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from drnas_ray.methods.enas import Controller, Enas, EnasSettings, log_probability
from drnas_ray.parsing import run_config
from drnas_ray.search.loop import SearchJob
from tests.shapes import SHAPE

F64 = torch.float64
SMALL = {"steps": 2, "samples": 3, "candidates": 5, "score_batch": 24}
PATH = torch.tensor([[4, 0, 2, 3, 1, 3]])
MASK = torch.tensor(
    [
        [1, 1, 0, 1, 1],
        [1, 0, 0, 1, 1],
        [1, 1, 1, 1, 1],
        [0, 0, 0, 1, 0],
        [0, 1, 1, 0, 1],
        [1, 1, 1, 1, 0],
    ],
    dtype=torch.bool,
)[None]


def controller(shape=SHAPE, scale: float = 8.0, **settings) -> Controller:
    """Weights large enough that operations differ clearly in probability."""
    torch.manual_seed(0)
    made = Controller(SimpleNamespace(shape=shape), EnasSettings(**settings)).to(F64)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(scale)
    return made


def by_hand(made: Controller, path: Tensor, mask: Tensor | None):
    """(E, O) probabilities along a path, by the equations of an LSTM written out in NumPy."""
    w = {name: p.detach().numpy() for name, p in made.named_parameters()}
    ops = w["embedding.weight"].shape[0]
    size = w["first"].shape[1]
    hidden, cell = np.zeros((2, size)), np.zeros((2, size))
    fed, rows = w["first"][0], []

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for step, op in enumerate(path.flatten().tolist()):
        below = fed
        for layer in range(2):
            gates = (
                w[f"lstm.weight_ih_l{layer}"] @ below
                + w[f"lstm.bias_ih_l{layer}"]
                + w[f"lstm.weight_hh_l{layer}"] @ hidden[layer]
                + w[f"lstm.bias_hh_l{layer}"]
            )
            enter, forget, new, out = np.split(gates, 4)  # torch's documented order: i, f, g, o
            cell[layer] = sigmoid(forget) * cell[layer] + sigmoid(enter) * np.tanh(new)
            below = hidden[layer] = sigmoid(out) * np.tanh(cell[layer])
        logits = 2.5 * np.tanh((w["head.weight"] @ below + w["head.bias"]) / 5)
        alive = np.ones(ops, bool) if mask is None else mask.view(-1, ops)[step].numpy()
        shares = np.where(alive, np.exp(logits), 0)
        rows.append(shares / shares.sum())
        fed = w["embedding.weight"][op]
    return np.stack(rows)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "pruned"])
def test_probabilities_and_entropy_along_a_path(mask):
    made = controller()
    chosen, log, entropy = made(mask, PATH)
    shares = by_hand(made, PATH, mask)
    assert np.ptp(shares[0][shares[0] > 0]) > 0.05
    np.testing.assert_allclose(log.exp()[0].detach().numpy(), shares, rtol=1e-9)
    assert torch.equal(chosen, PATH)
    along = [shares[edge, op] for edge, op in enumerate(PATH[0].tolist())]
    assert log_probability(PATH, log).item() == pytest.approx(np.log(along).sum())
    alive = shares[shares > 0]
    assert entropy.item() == pytest.approx(-(alive * np.log(alive)).sum())


@pytest.mark.long
def test_paths_are_drawn_with_their_probability():
    made = controller((1, 2, 3))
    draws = 3000
    counts = np.zeros((3, 3))
    torch.manual_seed(1)
    with torch.no_grad():
        for _ in range(draws):
            a, b = made(None)[0][0].tolist()
            counts[a, b] += 1
    expected = np.zeros((3, 3))
    for a in range(3):
        first, second = by_hand(made, torch.tensor([[a, 0]]), None)
        expected[a] = first[a] * second
    assert expected.sum() == pytest.approx(1)
    assert chisquare(counts.ravel(), expected.ravel() * draws).pvalue > 1e-4


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "pruned"])
def test_strengths_are_those_of_the_greedy_path(tiny_run, mask):
    run = tiny_run({"name": "enas", **SMALL}, dtype=F64)
    run.arch.load_state_dict(controller().state_dict())
    run.active = mask
    strengths = run.method.strengths(run)
    greedy = strengths.argmax(-1)
    np.testing.assert_allclose(strengths[0].detach(), by_hand(run.arch, greedy, mask), rtol=1e-9)
    mean = run.method.mean(run)
    assert torch.equal(mean.weights.argmax(-1), greedy)
    assert torch.equal(mean.active, mean.weights.bool())
    assert torch.equal(run.method.strengths(run), strengths)


class Scored:
    """A run of two edges and three operations whose rewards are a table of paths."""

    def __init__(self, **settings) -> None:
        self.arch = controller((1, 2, 3))
        self.method = Enas(EnasSettings(**settings))
        self.mask = None
        self.rewards = torch.rand(3, 3, dtype=F64, generator=torch.Generator().manual_seed(3))
        self.steps: list[tuple[Tensor, ...]] = []

    def val_batch(self, size=None):
        return None

    def score(self, sample, batch, bn):
        a, b = sample.weights[0].argmax(-1).tolist()
        return torch.zeros(()), self.rewards[a, b]

    def step_arch(self, gradients) -> None:
        self.steps.append(gradients)


def forced(monkeypatch, paths: list[Tensor]) -> None:
    """The controller follows these paths, one after the other, instead of drawing."""
    forward, left = Controller.forward, iter(paths)
    monkeypatch.setattr(Controller, "forward", lambda self, mask: forward(self, mask, next(left)))


@pytest.mark.parametrize("entropy", [0.0, 0.3])
def test_policy_gradient_on_average(monkeypatch, entropy):
    """Every path counted with its probability, against the gradient of the expected reward.

    The baseline holds 1 % of the reward itself, so the estimate is 0.99 of it; a constant baseline
    drops out.
    """
    run = Scored(samples=1, steps=1, entropy=entropy)
    start, weights = 0.37, list(run.arch.parameters())
    run.arch.told.fill_(True)
    paths = [torch.tensor([pair]) for pair in itertools.product(range(3), repeat=2)]
    expected = torch.tensor(0.0, dtype=F64)
    probabilities = []
    for path in paths:
        _, log, bonus = run.arch(None, path)
        probability = log_probability(path, log).exp()
        reward = run.rewards[path[0, 0], path[0, 1]] + entropy * bonus.detach()
        expected = expected + probability * reward
        probabilities.append(probability.detach())
    assert float(sum(probabilities)) == pytest.approx(1)
    exact = torch.autograd.grad(expected, weights, allow_unused=True, materialize_grads=True)
    forced(monkeypatch, paths)
    average = [torch.zeros_like(weight) for weight in weights]
    for probability in probabilities:
        run.arch.baseline.fill_(start)
        run.method._controller_step(run)
        for total, gradient in zip(average, run.steps[-1], strict=True):
            total.add_(probability * gradient)
    assert max(float(gradient.abs().max()) for gradient in exact) > 1e-3
    for total, gradient in zip(average, exact, strict=True):
        torch.testing.assert_close(total, -0.99 * gradient)


def test_the_baseline_is_a_running_mean_that_the_first_reward_starts(monkeypatch):
    run = Scored(samples=4, steps=1, entropy=0.0, baseline_decay=0.9)
    paths = [torch.tensor([pair]) for pair in ((0, 1), (2, 2), (1, 0), (0, 0))]
    logs = [run.arch(None, path) for path in paths]
    rewards = [float(run.rewards[p[0, 0], p[0, 1]]) for p in paths]
    baselines = [rewards[0]]
    for reward in rewards[1:]:
        baselines.append(baselines[-1] - 0.1 * (baselines[-1] - reward))
    loss = sum(
        -log_probability(path, log) * (reward - baseline)
        for path, (_, log, _), reward, baseline in zip(paths, logs, rewards, baselines, strict=True)
    )
    weights = list(run.arch.parameters())
    mean = torch.autograd.grad(loss / 4, weights, allow_unused=True, materialize_grads=True)
    forced(monkeypatch, paths)
    run.method._controller_step(run)
    assert float(run.arch.baseline) == pytest.approx(baselines[-1])
    for ours, gradient in zip(run.steps[0], mean, strict=True):
        torch.testing.assert_close(ours, gradient)


def test_a_large_gradient_is_clipped(monkeypatch):
    run = Scored(samples=2, steps=1)
    run.rewards *= 1e4
    forced(monkeypatch, [torch.tensor([[0, 1]]), torch.tensor([[2, 2]])])
    run.method._controller_step(run)
    norm = torch.stack([g.norm() for g in run.steps[0]]).norm()
    assert float(norm) == pytest.approx(5)


def test_the_controller_moves_once_the_warm_up_is_over(tiny_run, monkeypatch):
    run = tiny_run({"name": "enas", **SMALL}, arch={"warmup_epochs": 1})
    sizes = []
    val_batch = run.val_batch
    monkeypatch.setattr(run, "val_batch", lambda size=None: sizes.append(size) or val_batch(size))
    first = [p.detach().clone() for p in run.arch.parameters()]
    SearchJob(run).step()
    assert sizes == []
    assert all(torch.equal(a, b) for a, b in zip(first, run.arch.parameters(), strict=True))
    SearchJob(run).step()
    assert sizes == [None] * 6  # two steps of three cells, a batch each
    assert not torch.equal(first[0], next(run.arch.parameters()))
    sizes.clear()
    record = SearchJob(run).step()
    assert sizes == [None] * 6 + [24] * 5  # and five candidates
    assert record["status"] == "done"


def test_defaults_are_nas_bench_201s():
    config = run_config({"method": "enas"})
    assert (config.epochs, config.batch_size) == (250, 128)
    weights = config.weights
    assert (weights.lr, weights.lr_min, weights.cycle_epochs) == (0.05, 0.0005, 10)
    assert (weights.nesterov, weights.weight_decay) == (True, 2.5e-4)
    method = config.method
    assert (method.steps, method.samples, method.candidates) == (50, 20, 100)
    made = Controller(SimpleNamespace(shape=SHAPE), method)
    (group,) = Enas(method).make_arch_optimizer(made, config).param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (1e-3, (0.0, 0.999), 1e-3)
    assert group["weight_decay"] == 0
    assert config.label == "ENAS"
