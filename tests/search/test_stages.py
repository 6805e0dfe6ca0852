"""Progressive search: pruning, widening, what is carried over, the learning rate, and resuming."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from drnas_ray.config import SupernetSettings, WeightSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.errors import UserError
from drnas_ray.jobs import checkpoint
from drnas_ray.search.schedule import weight_lr
from drnas_ray.search.stages import enter_stage, strongest
from drnas_ray.supernets.nb201.convert import plain_state
from drnas_ray.supernets.nb201.network import NB201Supernet
from drnas_ray.supernets.nb201.widen import draw_channels, widened
from tests.shapes import SHAPE
from tests.stepping import step

TWO = [{"partial": 4, "keep_ops": 5}, {"partial": 2, "keep_ops": 3}]


def staged(tiny_run, method="drnas", **over):
    return tiny_run(method, **{"epochs": 4, "stages": TWO, **over})


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "lengths", "expected"),
    [(100, [None, None], (50, 50)), (5, [None, None], (3, 2)), (10, [4, None, None], (4, 3, 3))],
)
def test_lengths_of_stages(tiny_config, epochs, lengths, expected):
    stages = [{"epochs": length} for length in lengths]
    assert tiny_config("drnas", epochs=epochs, stages=stages).stage_epochs() == expected


def test_a_search_without_stages_has_one(tiny_config):
    assert tiny_config("drnas", epochs=7).stage_epochs() == (7,)


@pytest.mark.parametrize(
    ("over", "named"),
    [
        ({"stages": [{"epochs": 2}, {"epochs": 1}]}, "epochs=4"),
        ({"stages": [{"epochs": 4}, {}]}, "epochs=4"),
        ({"stages": [{}] * 5}, "5 stages"),
        ({"stages": [{"partial": 2}, {"partial": 4}]}, "partial=4 after partial=2"),
        ({"stages": [{"cells": 1}, {"cells": 2}]}, "restart"),
        ({"stages": [{}, {"keep_ops": 3}, {"keep_ops": 4}]}, "keep_ops=4"),
        ({"stages": [{"keep_ops": 3}, {}]}, "keep_ops=3.*first"),
        ({"stages": [{"restart": True}, {}]}, "restart.*first"),
        ({"stages": [{"partial": 2}, {}], "supernet": {"partial": 4}}, r"supernet.partial=4.*2"),
        ({"weights": {"at_stage": "anew"}}, "at_stage=anew"),
        ({"stages": [{"keep_ops": 6}]}, "keep_ops=6"),
        ({"stages": [{"partial": 3}]}, "channels=4"),
        ({"stages": [{}, {}], "arch": {"warmup_epochs": 2}}, "warmup_epochs=2"),
        ({"stages": [{"keep": 3}]}, "did you mean 'keep_ops'"),
        ({"weights": {"cycle_epochs": 2, "at_stage": "anew"}}, "cycle_epochs=2"),
    ],
)
def test_stages_that_make_no_sense_are_refused(tiny_config, over, named):
    with pytest.raises(UserError, match=named) as caught:
        tiny_config("drnas", **{"epochs": 4, **over})
    assert "\n" not in str(caught.value)


# --- pruning ------------------------------------------------------------------------------------


def test_the_strongest_of_each_edge_are_kept():
    torch.manual_seed(0)
    strengths = torch.rand(SHAPE)
    for keep in range(1, 6):
        kept = strongest(strengths, None, keep)
        for edge in range(6):
            order = sorted(range(5), key=lambda o, e=edge: -strengths[0, e, o].item())
            assert kept[0, edge].nonzero().flatten().tolist() == sorted(order[:keep])
    before = torch.ones(SHAPE, dtype=torch.bool)
    before[0, 0] = torch.tensor([True, False, False, True, False])
    again = strongest(strengths, before, 3)
    assert torch.equal(again[0, 0], before[0, 0])  # never brings one back
    assert (again.sum(-1)[0, 1:] == 3).all()
    tied = strongest(torch.ones(SHAPE), None, 2)
    assert tied[0, 0].tolist() == [True, True, False, False, False]


def test_alpha_and_adams_state_are_kept(tiny_run):
    run = staged(tiny_run)
    step(run), step(run)
    assert run.active is None
    alpha = run.arch.alpha.detach().clone()
    moments = {k: v.clone() for k, v in run.arch_optimizer.state[run.arch.alpha].items()}
    expected = strongest(run.method.strengths(run), None, 3)
    with run.random.in_use():
        enter_stage(run)
    assert run.stage == 1
    assert torch.equal(run.active, expected)
    assert torch.equal(run.arch.alpha, alpha)
    for key, value in run.arch_optimizer.state[run.arch.alpha].items():
        assert torch.equal(value, moments[key])


# --- widening -----------------------------------------------------------------------------------


def by_hand(plain_weight, outputs, inputs):
    """W'[a, b] = W[outputs[a], inputs[b]], one number at a time."""
    new = torch.empty(len(outputs), len(inputs), *plain_weight.shape[2:])
    for a, source in enumerate(outputs.tolist()):
        for b, below in enumerate(inputs.tolist()):
            new[a, b] = plain_weight[source, below]
    return new


def test_widening_copies_weights_statistics_and_momentum(tiny_run):
    run = staged(tiny_run, supernet={"channels": 8})
    step(run), step(run)
    old = {k: v.clone() for k, v in run.net.state_dict().items()}
    momentum = {
        name: run.weight_optimizer.state[w]["momentum_buffer"].clone()
        for name, w in run.net.named_parameters()
    }
    torch.manual_seed(11)
    channels = draw_channels(old, 4, 2, fused=True)
    run.random.states["cpu"] = (torch.manual_seed(11), torch.get_rng_state())[1]
    with run.random.in_use():
        enter_stage(run)
    new = plain_state(run.net.state_dict())
    before, moved = plain_state(old), plain_state(momentum)
    optimizer = run.weight_optimizer
    after = plain_state(
        {n: optimizer.state[w]["momentum_buffer"] for n, w in run.net.named_parameters()}
    )
    convs = 0
    for key, value in new.items():
        name, part, what = key.rsplit(".", 2) if ".edges." in key else (key, "", "")
        if part == "conv":
            convs += 1
            outputs, inputs = channels[name]
            width = before[key].shape[0]
            assert value.shape[:2] == (2 * width, 2 * width)
            assert outputs[:width].tolist() == inputs[:width].tolist() == list(range(width))
            assert torch.equal(value, by_hand(before[key], outputs, inputs))
            assert torch.equal(after[key], by_hand(moved[key], outputs, inputs))
        elif part == "bn" and what != "num_batches_tracked":
            assert torch.equal(value, before[key][channels[name][0]])
        else:
            assert torch.equal(value, before[key])
            if key in after:
                assert torch.equal(after[key], moved[key])
    assert convs == 3 * 6 * 2
    drawn = [channels[name] for name in channels]
    assert any(not torch.equal(a, b) for a, b in drawn)  # input and output are independent


@pytest.mark.parametrize("fused", [True, False])
def test_a_widened_supernet_runs_and_the_two_cells_agree(fused):
    torch.manual_seed(0)
    settings = SupernetSettings(channels=8, cells=1, partial=4, fused=fused)
    net = NB201Supernet(settings, in_channels=1, classes=3)
    channels = draw_channels(net.state_dict(), 4, 1, fused=fused)
    whole = settings.model_copy(update={"partial": 1})
    wide = NB201Supernet(whole, in_channels=1, classes=3)
    wide.load_state_dict(widened(net.state_dict(), channels, fused=fused))
    logits = wide(torch.randn(4, 1, 8, 8), ArchSample(torch.full(SHAPE, 0.2)))
    assert logits.shape == (4, 3)
    assert logits.isfinite().all()


@pytest.mark.long
def test_widening_by_half_as_much_again(tiny_run):
    """From 1/3 to 1/2 of the channels, as the paper's own 1/6 to 1/4."""
    run = staged(tiny_run, supernet={"channels": 12}, stages=[{"partial": 3}, {"partial": 2}])
    records = [step(run) for _ in range(4)]
    assert records[-1]["status"] == "done"
    assert run.net.body[0].sources[0].conv3.weight.shape[:2] == (18, 6)


# --- the run across the change ------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("method", ["drnas", "darts"])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_resume_across_the_change_is_bit_for_bit(tiny_run, tmp_path, method, cut):
    whole = staged(tiny_run, method, arch={"lr": 0.05, "warmup_epochs": 1})
    records = [step(whole) for _ in range(4)]
    part = staged(tiny_run, method, arch={"lr": 0.05, "warmup_epochs": 1})
    for _ in range(cut):
        step(part)
    checkpoint.save(part.state_dict(), tmp_path / "run.pt")
    other = staged(tiny_run, method, arch={"lr": 0.05, "warmup_epochs": 1})
    other.load_state_dict(checkpoint.load(tmp_path / "run.pt", other.config.canonical_json()))
    assert [step(other) for _ in range(4 - cut)] == records[cut:]
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name])
    assert [record["stage"] for record in records] == [0, 0, 1, 1]


@pytest.mark.long
def test_warm_up_holds_the_architecture_in_each_stage(tiny_run):
    run = staged(tiny_run, epochs=6, arch={"lr": 0.05, "warmup_epochs": 1})
    moved = []
    for _ in range(6):
        before = run.arch.alpha.detach().clone()
        step(run)
        moved.append(not torch.equal(before, run.arch.alpha))
    assert moved == [False, True, True, False, True, True]


def test_a_restart_keeps_only_the_operations_left(tiny_run):
    stages = [{"cells": 1}, {"cells": 2, "keep_ops": 2, "restart": True}]
    run = tiny_run("darts", epochs=2, stages=stages)
    step(run)
    kept = strongest(run.method.strengths(run), None, 2)
    with run.random.in_use():
        enter_stage(run)
    assert torch.equal(run.active, kept)
    assert not run.weight_optimizer.state
    assert not run.arch_optimizer.state
    assert run.arch.alpha.abs().max() < 0.01
    assert len(run.net.body) == 3 * 2 + 2
    record = step(run)
    assert record["status"] == "done"
    assert record["stage"] == 1


# --- the learning rate --------------------------------------------------------------------------


def lrs(**settings) -> list[float]:
    weights = WeightSettings(lr=0.1, lr_min=0.0, **settings)
    return [weight_lr(weights, epoch, (25, 25)) for epoch in range(50)]


def test_the_rate_across_stages():
    """The published run's second stage, 0.1, 0.0937 ... where 0.05, 0.0469 ... is nominal."""
    nominal = [0.05 * (1 + math.cos(math.pi * epoch / 50)) for epoch in range(50)]
    assert lrs() == pytest.approx(nominal)
    assert lrs()[25:27] == pytest.approx([0.05, 0.0469], abs=5e-5)
    chained = lrs(at_stage="chained")
    assert chained[:25] == pytest.approx(nominal[:25])
    assert chained[25:] == pytest.approx([2 * lr for lr in nominal[25:]])
    assert chained[25:27] == pytest.approx([0.1, 0.0937], abs=5e-5)
    first = lrs(at_stage="first_epoch")
    assert first[25] == 0.1
    assert [lr for e, lr in enumerate(first) if e != 25] == pytest.approx(
        [lr for e, lr in enumerate(nominal) if e != 25]
    )
    anew = lrs(at_stage="anew")
    assert anew[:25] == pytest.approx(anew[25:])
    assert anew[0] == 0.1
    cycles = lrs(cycle_epochs=10)
    assert cycles[:10] == pytest.approx(cycles[40:])
    assert cycles[5] == pytest.approx(0.05)


def test_chained_is_what_torch_does(tiny_run):
    """A new SGD at full rate under torch's own scheduler with its state loaded."""
    weight = [torch.nn.Parameter(torch.zeros(1))]
    old = torch.optim.SGD(weight, lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(old, 50, eta_min=0.01)
    for _ in range(25):
        old.step()
        scheduler.step()
    new = torch.optim.SGD(weight, lr=0.1)
    second = torch.optim.lr_scheduler.CosineAnnealingLR(new, 50, eta_min=0.01)
    state = scheduler.state_dict()
    new.param_groups[0]["lr"] = 0.1
    second.load_state_dict(state)
    found = []
    for _ in range(25):
        found.append(new.param_groups[0]["lr"])
        new.step()
        second.step()
    settings = WeightSettings(lr=0.1, lr_min=0.01, at_stage="chained")
    ours = [weight_lr(settings, epoch, (25, 25)) for epoch in range(25, 50)]
    assert ours == pytest.approx(found)


# --- dropout on skips ---------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [True, False])
def test_skip_dropout_is_of_skips_and_of_training(fused):
    torch.manual_seed(0)
    settings = SupernetSettings(channels=4, cells=1, fused=fused)
    net = NB201Supernet(settings, in_channels=1, classes=3)
    x = torch.randn(4, 1, 8, 8)
    skips = F.one_hot(torch.full(SHAPE[:2], 1), 5).float()
    convs = F.one_hot(torch.full(SHAPE[:2], 3), 5).float()
    for weights, differs in ((skips, True), (convs, False)):
        plain = net(x, ArchSample(weights))
        dropped = net(x, ArchSample(weights, skip_dropout=0.5))
        assert torch.allclose(plain, dropped) != differs
    net.eval()
    assert torch.equal(net(x, ArchSample(skips)), net(x, ArchSample(skips, skip_dropout=0.5)))
