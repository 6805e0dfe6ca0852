"""PC-DARTS's own numbers: the edge weights, what they do in the cell, and their gradient."""

from __future__ import annotations

import torch

from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.relax import incoming_softmax, same_target
from drnas_ray.spaces import space_named
from tests.shapes import SHAPE

F64 = torch.float64
SPACE = space_named("nb201")
ENTERING = ([0], [1, 2], [3, 4, 5])  # the edges into nodes 1, 2, 3
LOGITS = torch.tensor([[0.3, -1.0, 0.5, 2.0, -0.7, 0.1]], dtype=F64)


def batch(seed: int, n: int = 8):
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 1, 8, 8, generator=g, dtype=F64)
    return images, torch.randint(10, (n,), generator=g)


def test_edge_weights_sum_to_one_over_the_edges_into_a_node():
    weights = incoming_softmax(LOGITS, same_target(SPACE))
    assert weights.shape == SHAPE[:2]
    for edges in ENTERING:
        powers = LOGITS[0, edges].exp()
        torch.testing.assert_close(weights[0, edges], powers / powers.sum())


def test_gradient_of_edge_weights():
    """dw_e/dl_f = w_e (delta_ef - w_f) within a node, 0 between nodes."""
    same = same_target(SPACE)
    logits = LOGITS.clone().requires_grad_()
    jacobian = torch.autograd.functional.jacobian(lambda x: incoming_softmax(x, same), logits)
    w = incoming_softmax(LOGITS, same)[0]
    expected = torch.zeros(6, 6, dtype=F64)
    for edges in ENTERING:
        for e in edges:
            for f in edges:
                expected[e, f] = w[e] * (float(e == f) - w[f])
    torch.testing.assert_close(jacobian[0, :, 0], expected)


def test_strengths_are_share_times_edge_weight(tiny_run):
    run = tiny_run("pcdarts", dtype=F64)
    alpha = torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        run.arch.alpha.copy_(alpha)
        run.arch.edge.copy_(LOGITS)
    run.active = torch.ones(SHAPE, dtype=torch.bool)
    run.active[0, 4, 2] = False
    powers = alpha.exp() * run.active
    shares = powers / powers.sum(-1, keepdim=True)
    weights = incoming_softmax(LOGITS, same_target(SPACE))
    torch.testing.assert_close(run.method.strengths(run).detach(), shares * weights[..., None])
    for edges in ENTERING:
        total = run.method.strengths(run)[0, edges].sum().item()
        assert abs(total - 1) < 1e-12


def test_an_edge_weight_scales_all_channels_of_its_edge(tiny_run):
    """The same loss as with each share times the weight, where no channel goes round the mixture.

    With partial channels the ones that go round are weighted as well, so it differs there.
    """
    run = tiny_run("pcdarts", dtype=F64, supernet={"partial": 1})
    with torch.no_grad():
        run.arch.edge.copy_(LOGITS)
    sample = run.method.sample(run)
    folded = ArchSample(sample.weights * sample.scale[..., None])
    torch.testing.assert_close(run.loss(sample, batch(1)), run.loss(folded, batch(1)))

    run = tiny_run("pcdarts", dtype=F64)
    assert run.config.supernet.partial == 4
    with torch.no_grad():
        run.arch.edge.copy_(LOGITS)
    sample = run.method.sample(run)
    folded = ArchSample(sample.weights * sample.scale[..., None])
    assert (run.loss(sample, batch(1)) - run.loss(folded, batch(1))).abs() > 1e-3


def test_architecture_gradient_by_differences(tiny_run, monkeypatch):
    run = tiny_run("pcdarts", dtype=F64)
    seen: list[tuple[torch.Tensor, ...]] = []
    monkeypatch.setattr(run, "step_arch", seen.append)
    train, val = batch(1), batch(2)
    run.method.arch_step(run, train, val)
    width = 1e-6
    for parameter, gradient in zip(run.arch.parameters(), seen[0], strict=True):
        numbers = torch.zeros_like(parameter)
        for place in range(parameter.numel()):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter.view(-1)[place] += sign * width
                    values.append(run.loss(run.method.sample(run), val).item())
                    parameter.view(-1)[place] -= sign * width
            numbers.view(-1)[place] = (values[0] - values[1]) / (2 * width)
        assert numbers.abs().max() > 1e-5
        torch.testing.assert_close(gradient, numbers, rtol=1e-4, atol=1e-8)


def test_labels(tiny_config):
    assert tiny_config("pcdarts").label == "PC-DARTS"
    assert tiny_config({"name": "pcdarts", "edge_weights": False}).label == "PC-DARTS (K only)"
    assert tiny_config("pcdarts", supernet={"partial": 2}).label == "PC-DARTS + K=2"


def test_without_edge_weights_it_is_darts_on_partial_channels(tiny_run):
    run = tiny_run({"name": "pcdarts", "edge_weights": False})
    darts = tiny_run("darts", supernet={"partial": 4})
    darts.arch.load_state_dict(run.arch.state_dict())
    assert run.method.sample(run).scale is None
    assert torch.equal(run.method.strengths(run), darts.method.strengths(darts))
