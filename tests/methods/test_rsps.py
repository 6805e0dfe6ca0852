"""RSPS's own numbers: uniform paths, and the best of the cells that were scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from masks import MIXED as KEPT
from scipy.stats import chisquare

from drnas_ray.core.errors import UserError
from drnas_ray.parsing import run_config
from drnas_ray.search.loop import SearchJob

DRAWS = 4000


@pytest.mark.long
@pytest.mark.parametrize("kept", [None, KEPT], ids=["all", "pruned"])
def test_paths_are_uniform_over_what_is_kept(tiny_run, kept):
    run = tiny_run("rsps")
    run.active = kept
    torch.manual_seed(0)
    weights = torch.stack([run.method.sample(run).weights[0] for _ in range(DRAWS)])
    assert (weights.sum(-1) == 1).all()
    counts = weights.sum(0).numpy()
    for edge in range(6):
        alive = np.ones(5, bool) if kept is None else kept[0, edge].numpy()
        assert counts[edge, ~alive].sum() == 0
        if alive.sum() > 1:
            assert chisquare(counts[edge, alive]).pvalue > 1e-4
    # Edges are drawn independently: all pairs of operations of the first and the last edge.
    if kept is None:
        pairs = torch.einsum("no,np->op", weights[:, 0], weights[:, 5])
        assert chisquare(pairs.numpy().ravel()).pvalue > 1e-4


def test_every_batch_has_its_own_path(tiny_run, monkeypatch):
    run = tiny_run("rsps")
    seen = []
    step = run.step_weights
    monkeypatch.setattr(run, "step_weights", lambda s, *rest: seen.append(s) or step(s, *rest))
    SearchJob(run).step()
    paths = {tuple(s.weights.argmax(-1).flatten().tolist()) for s in seen}
    assert len(paths) == len(seen) > 1
    assert all(torch.equal(s.active, s.weights.bool()) for s in seen)


@pytest.mark.parametrize("bn", ["batch", "running"])
def test_the_answer_is_the_best_of_the_scored(tiny_run, monkeypatch, bn):
    run = tiny_run({"name": "rsps", "candidates": 30, "score_batch": 24, "bn": bn}, epochs=1)
    scored, images = [], []
    score = run.score

    def kept(sample, batch, how):
        loss, accuracy = score(sample, batch, how)
        assert how == bn
        scored.append((float(accuracy), sample))
        images.append(batch[0])
        return loss, accuracy

    monkeypatch.setattr(run, "score", kept)
    record = SearchJob(run).step()
    assert len(scored) == 30
    accuracies = [accuracy for accuracy, _ in scored]
    assert max(accuracies) > min(accuracies)
    winner = scored[accuracies.index(max(accuracies))][1]  # the first of equals
    assert record["genotype"] == run.space.genotype(winner.weights.argmax(-1).numpy())
    assert all(batch.shape[0] == 24 for batch in images)
    assert not torch.equal(images[0], images[1])  # a fresh batch each


def test_scoring_by_the_batchs_statistics_keeps_the_running_ones(tiny_run):
    run = tiny_run("rsps")
    SearchJob(run).step()
    before = {name: buffer.clone() for name, buffer in run.net.named_buffers()}
    with run.random.in_use():
        sample, batch = run.method.sample(run), run.val_batch()
    losses = {how: float(run.score(sample, batch, how)[0]) for how in ("batch", "running")}
    assert losses["batch"] != losses["running"]
    assert before.keys() == dict(run.net.named_buffers()).keys()
    for name, buffer in run.net.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_nothing_is_learnt_and_nothing_ranked_before_the_end(tiny_run):
    run = tiny_run({"name": "rsps", "candidates": 3})
    records = [SearchJob(run).step() for _ in range(3)]
    assert [record["genotype"] is None for record in records] == [True, True, False]
    assert list(run.arch.parameters()) == []
    assert all((np.array(record["strengths"]) == np.float32(0.2)).all() for record in records)


def test_settings(tiny_config):
    config = run_config({"method": "rsps"})
    assert (config.epochs, config.batch_size, config.weights.clip) == (250, 64, 5)
    assert (config.method.candidates, config.method.score_batch) == (100, 512)
    assert config.label == "RSPS"
    with pytest.raises(UserError, match="rank"):
        tiny_config("rsps", stages=[{}, {"keep_ops": 3}])
    with pytest.raises(UserError, match="perturb"):
        tiny_config("rsps", perturb={"kind": "adversarial"})
