"""P-DARTS's own numbers: the dropout schedule, the rule for skips, the plan of stages."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from drnas_ray.methods.pdarts import dropout_rate
from drnas_ray.search.loop import SearchJob
from drnas_ray.search.stages import enter_stage
from tests.shapes import SHAPE

F64 = torch.float64
NONE, SKIP, CONV1, CONV3, POOL = range(5)


def test_dropout_schedule():
    """A stage of 25 epochs with 10 of warm-up, from 0.4."""
    rates = [dropout_rate(0.4, epoch, 10, 25) for epoch in range(25)]
    assert rates[:10] == pytest.approx([0.4 * left / 25 for left in range(24, 14, -1)])
    assert rates[10] == 0.4
    assert rates[10:] == pytest.approx([0.4 * math.exp(-0.2 * passed) for passed in range(15)])
    assert rates[24] == pytest.approx(0.4 * 0.0608100626)
    assert dropout_rate(0.0, 3, 10, 25) == 0


def test_dropout_depends_on_stage_and_epoch(tiny_run):
    run = tiny_run("pdarts", epochs=8, arch={"warmup_epochs": 1}, stages=[{}, {}, {}, {}])
    seen = []
    for epoch in range(8):
        run.epoch, run.stage = epoch, epoch // 2
        seen.append(run.method.sample(run).skip_dropout)
    # Each stage: half of its rate in the warm-up epoch, then all of it; the fourth has the third's.
    assert seen == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.35, 0.7, 0.35, 0.7])
    assert run.method.mean(run).skip_dropout == 0


@pytest.mark.long
def test_stages_deepen_and_prune(tiny_run):
    run = tiny_run("pdarts")
    assert run.config.stage_epochs() == (1, 1, 1)
    depths, kept = [], []
    alphas = []
    while not run.finished:
        before = None if run.active is None else run.active.clone()
        record = SearchJob(run).step()
        assert record["stage"] == run.epoch - 1
        depths.append((len(run.net.body) - 2) // 3)
        kept.append(5 if run.active is None else int(run.active.sum(-1).unique().item()))
        alphas.append(run.arch.alpha)
        assert before is None or not (run.active & ~before).any()  # pruned ones don't come back
    assert depths == [1, 3, 5]
    assert kept == [5, 3, 2]
    assert len({id(alpha) for alpha in alphas}) == 3  # each stage learns anew


def test_a_stage_keeps_the_strongest_of_the_one_before(tiny_run):
    run = tiny_run("pdarts")
    SearchJob(run).step()
    strongest = run.method.strengths(run).detach().argsort(-1, descending=True)[..., :3]
    enter_stage(run)
    kept = torch.zeros(SHAPE, dtype=torch.bool).scatter(-1, strongest, True)
    assert torch.equal(run.active, kept)


def with_shares(run, rows: list[list[float]]) -> None:
    with torch.no_grad():
        run.arch.alpha.copy_(torch.tensor([rows], dtype=F64).log())


SHARES = [  # skips win on edges 0, 1, 3, 4 with shares 0.5, 0.3, 0.4, 0.35
    [0.1, 0.5, 0.1, 0.2, 0.1],
    [0.1, 0.3, 0.25, 0.2, 0.15],
    [0.05, 0.1, 0.05, 0.7, 0.1],
    [0.3, 0.4, 0.1, 0.1, 0.1],
    [0.15, 0.35, 0.15, 0.05, 0.3],
    [0.1, 0.1, 0.6, 0.1, 0.1],
]
ALL = [SKIP, SKIP, CONV3, SKIP, SKIP, CONV1]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (6, ALL),
        (4, ALL),
        (3, [SKIP, CONV1, CONV3, SKIP, SKIP, CONV1]),
        (2, [SKIP, CONV1, CONV3, SKIP, POOL, CONV1]),
        (1, [SKIP, CONV1, CONV3, NONE, POOL, CONV1]),
        (0, [CONV3, CONV1, CONV3, NONE, POOL, CONV1]),
    ],
)
def test_the_weakest_skips_are_removed(tiny_run, most, expected):
    run = tiny_run({"name": "pdarts", "max_skips": most}, dtype=F64)
    with_shares(run, SHARES)
    assert run.space.choices(run.method.derive(run)).tolist() == [expected]
    # What is learnt stays as it is.
    torch.testing.assert_close(run.method.strengths(run)[0], torch.tensor(SHARES, dtype=F64))


def test_a_skip_that_is_all_that_is_left_stays(tiny_run):
    run = tiny_run({"name": "pdarts", "max_skips": 1}, dtype=F64)
    with_shares(run, SHARES)
    run.active = torch.ones(SHAPE, dtype=torch.bool)
    run.active[0, [1, 4]] = False
    run.active[0, [1, 4], SKIP] = True
    run.active[0, 0, [CONV3, CONV1]] = False
    run.active[0, 0, NONE] = False
    # Edges 1 and 4 can't give way; 3 and 0 do, though they are stronger, and never to a pruned one.
    expected = [POOL, SKIP, CONV3, NONE, SKIP, CONV1]
    assert run.space.choices(run.method.derive(run)).tolist() == [expected]


def test_the_record_at_the_end_is_the_derived_cell(tiny_run):
    run = tiny_run({"name": "pdarts", "max_skips": 0}, stages=[{}, {}], epochs=2)
    with torch.no_grad():
        run.arch.alpha[..., SKIP] = 5
        run.arch.alpha[..., CONV1] = 4
    SearchJob(run).step()
    record = SearchJob(run).step()
    assert record["skip_count"] == 0
    assert record["genotype"] == run.space.genotype(np.full(SHAPE[:2], CONV1))
