"""The search loop: order of steps, fresh batches, the schedule, what a record says."""

from __future__ import annotations

import copy
import math
from itertools import chain, pairwise

import pytest
import torch
from torch.nn import functional as F

from drnas_ray.core.archsample import ArchSample
from drnas_ray.data.batches import normalise
from drnas_ray.methods.base import Method, alpha_of
from drnas_ray.search import loop as bilevel
from drnas_ray.search.loop import search_epoch
from drnas_ray.search.schedule import cosine
from tests.shapes import SHAPE

RECORD = {
    "epoch", "train_loss", "train_acc_pct", "val_loss", "val_acc_pct", "val_mean_loss",
    "val_mean_acc_pct", "lr", "stage", "strengths", "genotype", "entropy_nats", "skip_count",
    "status",
    "data_s", "arch_step_s", "weight_step_s", "val_s", "wall_s",
}  # fmt: skip
PLAIN = {"crop_padding": 0, "flip": False, "train_images": 128}


class Recorder(Method):
    """Writes down what the loop asks of it; shares are the softmax of alpha."""

    def __init__(self, settings=None) -> None:
        self.calls: list[tuple] = []

    def strengths(self, run):
        return alpha_of(run).softmax(-1)

    def sample(self, run):
        self.calls.append(("sample", run.net.training))
        return ArchSample(self.strengths(run))

    def arch_step(self, run, train, val):
        self.calls.append(("arch", train, val))
        super().arch_step(run, train, val)

    def weight_step(self, run, train):
        lr = run.weight_optimizer.param_groups[0]["lr"]
        self.calls.append(("weights", train, lr))
        super().weight_step(run, train)

    def end_epoch(self, run):
        self.calls.append(("end", run.epoch))

    def of(self, kind: str) -> list[tuple]:
        return [call for call in self.calls if call[0] == kind]


@pytest.fixture
def recorded(tiny_run):
    def make(**over):
        run = tiny_run("darts", **over)
        run.method = Recorder()
        return run

    return make


def positions(images: torch.Tensor, half, run) -> list[int]:
    """Where in the half each image lies; fails for an image that isn't there."""
    whole = normalise(half.images, run.info)
    return [int((whole == image).flatten(1).all(1).nonzero()[0, 0]) for image in images]


def test_each_step_is_architecture_then_weights_on_the_same_training_batch(recorded):
    run = recorded()
    search_epoch(run)
    kinds = [call[0] for call in run.method.calls if call[0] != "sample"]
    assert kinds == ["arch", "weights"] * 2 + ["end"]
    for arch, weights in zip(run.method.of("arch"), run.method.of("weights"), strict=True):
        assert arch[1][0] is weights[1][0]
    # A sample for each forward pass: two a step in training mode, then validation's, in eval mode.
    modes = [call[1] for call in run.method.of("sample")]
    assert modes == [True] * 4 + [False] * (len(modes) - 4)
    assert run.method.of("end") == [("end", 0)]  # before the epoch counts as completed


@pytest.mark.long
def test_batches_come_from_the_right_halves_and_validation_ones_are_fresh(recorded):
    run = recorded(data=PLAIN, epochs=2)
    for _ in range(2):
        search_epoch(run)
    train = [positions(call[1][0], run.train, run) for call in run.method.of("weights")]
    val = [positions(call[2][0], run.val, run) for call in run.method.of("arch")]
    assert len(train) == len(val) == 8
    for epoch in (train[:4], train[4:]):
        assert sorted(chain.from_iterable(epoch)) == list(range(64))  # each image once an epoch
    assert train[:4] != train[4:]
    assert all(len(set(batch)) == 16 for batch in val)  # no image twice in a batch
    assert all(a != b for a, b in pairwise(val))
    # Drawn anew each time, so an epoch's four batches of 16 don't cover the 64 images.
    assert all(len(set(chain.from_iterable(epoch))) < 64 for epoch in (val[:4], val[4:]))
    for call in run.method.of("arch"):
        place = positions(call[2][0], run.val, run)
        assert torch.equal(call[2][1], run.val.labels[place])


def test_the_halves_share_no_image(tiny_run):
    run = tiny_run()
    assert len(run.train) == len(run.val) == 32
    first = {bytes(image.numpy().tobytes()) for image in run.train.images}
    assert not first & {bytes(image.numpy().tobytes()) for image in run.val.images}


def test_the_architecture_is_frozen_in_warm_up(recorded):
    run = recorded(epochs=3, arch={"warmup_epochs": 2})
    alpha = run.arch.alpha.detach().clone()
    for epoch in range(3):
        run.method.calls.clear()
        record = search_epoch(run)
        assert bool(run.method.of("arch")) == (epoch == 2)
        assert len(run.method.of("weights")) == 2
        assert torch.equal(run.arch.alpha.detach(), alpha) == (epoch < 2)
        assert ("arch_step_s" in record) == (epoch == 2)


# --- the schedule -------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("schedule", ["epoch", "step"])
@pytest.mark.parametrize("resumed_at", [None, 2])
def test_learning_rates_in_closed_form(recorded, schedule, resumed_at):
    weights = {"lr": 0.1, "lr_min": 0.02, "schedule": schedule}
    run = recorded(epochs=4, weights=weights)
    found: list[float] = []
    for epoch in range(4):
        if epoch == resumed_at:
            state = copy.deepcopy(run.state_dict())
            run = recorded(epochs=4, weights=weights)
            run.load_state_dict(state)
        run.method.calls.clear()
        record = search_epoch(run)
        found += [call[2] for call in run.method.of("weights")]
        assert record["lr"] == found[-1]
    progress = [
        epoch + (step / 2 if schedule == "step" else 0) for epoch in range(4) for step in (0, 1)
    ]
    expected = [0.02 + 0.08 * (1 + math.cos(math.pi * p / 4)) / 2 for p in progress]
    assert found == pytest.approx(expected, rel=1e-12)


def test_cosine():
    assert cosine(0.1, 0.02, 0) == pytest.approx(0.1)
    assert cosine(0.1, 0.02, 0.5) == pytest.approx(0.06)
    assert cosine(0.1, 0.02, 1) == pytest.approx(0.02)


# --- records ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["drnas", "darts"])
def test_a_record(tiny_run, method):
    run = tiny_run(method)
    record = search_epoch(run)
    assert record.keys() == RECORD  # no GPU here
    assert record["epoch"] == 1 == run.epoch
    for key in ("train_acc_pct", "val_acc_pct", "val_mean_acc_pct"):
        assert 0 <= record[key] <= 100
    assert (
        sum(record[f"{part}_s"] for part in ("data", "arch_step", "weight_step", "val"))
        <= record["wall_s"]
    )
    run.arch.alpha.requires_grad_(False)
    strengths = run.method.strengths(run)
    torch.testing.assert_close(torch.tensor(record["strengths"]), strengths)
    assert record["genotype"] == run.space.discretise(strengths.numpy())


def test_train_figures_are_means_over_images(recorded, monkeypatch):
    """A last short batch counts by its images: 40 images as 16 + 16 + 8."""
    run = recorded(data={**PLAIN, "train_images": 80})
    seen: list[tuple[float, float, int]] = []
    whole = run.tally.add

    def add(loss, logits, labels):
        hit = (logits.argmax(-1) == labels).double().mean().item()
        seen.append((F.cross_entropy(logits, labels).item(), hit, len(labels)))
        whole(loss, logits, labels)

    monkeypatch.setattr(run.tally, "add", add)
    record = search_epoch(run)
    assert [n for *_, n in seen] == [16, 16, 8]
    assert record["train_loss"] == pytest.approx(sum(loss * n for loss, _, n in seen) / 40)
    assert record["train_acc_pct"] == pytest.approx(100 * sum(hit * n for _, hit, n in seen) / 40)


def test_validation_reads_the_architectures_half_in_evaluation_mode(tiny_run):
    run = tiny_run("drnas")
    search_epoch(run)
    before = copy.deepcopy(run.net.state_dict())
    with run.random.in_use():
        drawn, mean = bilevel._validate(run)
    assert all(torch.equal(value, before[name]) for name, value in run.net.state_dict().items())
    assert not run.net.training
    with torch.no_grad():
        beta = run.method.strengths(run)
        sample = ArchSample(beta / beta.sum(-1, keepdim=True))
        logits = run.net(normalise(run.val.images, run.info), sample)
    assert mean[0] == pytest.approx(F.cross_entropy(logits, run.val.labels).item(), rel=1e-5)
    accuracy = 100 * (logits.argmax(-1) == run.val.labels).double().mean().item()
    assert mean[1] == pytest.approx(accuracy)
    assert drawn != mean  # under a draw it's another figure


def frozen_at(recorded, alpha: torch.Tensor):
    run = recorded(arch={"warmup_epochs": 2})
    with torch.no_grad():
        run.arch.alpha.copy_(alpha)
    return search_epoch(run)


def test_entropy_and_skips(recorded):
    uniform = frozen_at(recorded, torch.zeros(SHAPE))
    assert uniform["entropy_nats"] == pytest.approx(math.log(5), rel=1e-6)
    assert uniform["genotype"] is None  # all equal: nothing is ranked yet
    assert uniform["skip_count"] is None
    assert uniform["status"] == "running"

    alpha = torch.zeros(SHAPE)
    alpha[0, :4, 1] = 100.0
    alpha[0, 4:, 3] = 100.0
    sharp = frozen_at(recorded, alpha)
    assert sharp["entropy_nats"] == pytest.approx(0, abs=1e-6)
    assert sharp["skip_count"] == 4 == sharp["genotype"].count("skip_connect")

    half = torch.full(SHAPE, -1e4)
    half[..., 2:4] = 0
    assert frozen_at(recorded, half)["entropy_nats"] == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("method", ["drnas", "darts"])
@pytest.mark.parametrize("where", ["weights", "arch"])
def test_a_run_that_is_no_longer_finite_ends_as_diverged(tiny_run, method, where):
    run = tiny_run(method)
    with torch.no_grad():
        if where == "weights":
            run.net.classifier.bias.fill_(float("nan"))
        else:
            run.arch.alpha[0, 2, 1] = float("nan")
    record = search_epoch(run)
    assert record["status"] == "diverged"
    assert record.keys() == RECORD
    if where == "arch":
        assert record["genotype"] is None
        assert record["entropy_nats"] is None


def test_status_runs_to_done(tiny_run):
    run = tiny_run("darts", epochs=2)
    assert [search_epoch(run)["status"] for _ in range(2)] == ["running", "done"]
    assert run.finished
