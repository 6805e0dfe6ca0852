"""Multi-trial methods: what they ask, what they learn, budgets, and going on after a kill."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare

from drnas_ray.benchmarks.base import Answer, Benchmark
from drnas_ray.benchmarks.tabular import TabularBenchmark
from drnas_ray.blackbox import BLACKBOX
from drnas_ray.blackbox.rea import Rea, ReaSettings
from drnas_ray.blackbox.reinforce import Reinforce, ReinforceSettings, loss_gradient, policy
from drnas_ray.blackbox.run import BlackBoxRun
from drnas_ray.core.errors import UserError
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.start import start
from drnas_ray.parsing import run_config
from drnas_ray.spaces.nb201 import NB201

SPACE = NB201()
ASKING = ["random", "rea", "reinforce"]
CPU = torch.device("cpu")


def made_table(path: Path, **columns: object) -> Path:
    """A table of all cells; figures are the index, so each cell has its own."""
    cells = [SPACE.cell(index) for index in range(SPACE.size)]
    accuracies = np.arange(SPACE.size) / 200
    frame = pd.DataFrame({"arch": cells, "cifar10_valid_acc_12": accuracies, **columns})
    frame.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Without any test column: whoever reads one fails."""
    return made_table(
        tmp_path_factory.mktemp("table") / "t.parquet",
        cifar10valid_train_time_s_12=np.full(SPACE.size, 88.0),
        cifar10_valid_time_s_12=np.full(SPACE.size, 144.0),  # 12 looks of 12 s
    )


def config(method: object, table: Path, **over):
    raw = {"method": method, "data": {"name": "cifar10"}, "benchmark": {"table": str(table)}}
    return run_config({**raw, **over})


def whole(method: object, table: Path, **over) -> BlackBoxRun:
    job = start(config(method, table, **over), None, CPU)
    record = job.step()
    assert record["status"] == "done"
    return job


# --- what a search asks -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ASKING)
def test_a_run_on_a_table_is_one_step_and_answers_the_best(table, method):
    job = start(config(method, table, seed=3), None, CPU)
    record = job.step()
    assert job.config.steps == 1
    assert (record["epoch"], record["status"], record["queries"]) == (1, "done", 100)
    assert record["simulated_s"] is None
    figures = {SPACE.index(g): a for g, a, _ in job.history}
    assert record["val_acc_pct"] == max(figures.values())
    assert record["genotype"] == SPACE.cell(max(figures, key=figures.__getitem__))
    for index, accuracy in figures.items():
        assert accuracy == index / 200


@pytest.mark.parametrize("method", ASKING)
def test_the_seed_decides(table, method):
    one, two, other = (whole(method, table, seed=seed).history for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_random_search_is_uniform():
    run = BLACKBOX["random"](run_config_settings("random"), SPACE)
    rng = np.random.default_rng(0)
    ops = Counter(op for _ in range(3000) for op in SPACE.choices(run.ask(rng))[0].tolist())
    assert chisquare([ops[op] for op in range(5)]).pvalue > 0.001


def run_config_settings(name: str):
    return BLACKBOX[name].settings_type()


# --- regularised evolution ----------------------------------------------------------------------


def test_a_mutant_differs_on_one_edge():
    rng = np.random.default_rng(0)
    parent = SPACE.cell(9930)
    seen = Counter()
    for _ in range(4800):
        child = SPACE.mutate(parent, rng)
        differs = np.flatnonzero(SPACE.choices(child)[0] != SPACE.choices(parent)[0])
        assert len(differs) == 1
        seen[differs[0], SPACE.choices(child)[0][differs[0]]] += 1
    assert len(seen) == 24
    assert chisquare(list(seen.values())).pvalue > 0.001


def test_evolution_ages_out_the_oldest_not_the_worst():
    rea = Rea(ReaSettings(population=3), SPACE)
    rng = np.random.default_rng(0)
    cells = []
    for accuracy in (99.0, 1.0, 2.0):  # the best is the oldest
        cells.append(rea.ask(rng))
        rea.tell(cells[-1], accuracy)
    rea.tell(SPACE.cell(5), 50.0)
    assert [genotype for genotype, _ in rea.alive] == [*cells[1:], SPACE.cell(5)]


def test_evolution_against_a_simulation_with_lists(table):
    """The whole trace, written again with slices and sorting, from the same random numbers."""
    history = whole("rea", table, seed=7).history
    rng = np.random.default_rng(7)
    alive: list[tuple[float, str]] = []
    for genotype, accuracy, _ in history:
        if len(alive) < 10:
            expected = SPACE.cell(int(rng.integers(SPACE.size)))
        else:
            contest = sorted((alive[i] for i in rng.integers(10, size=3)), reverse=True)
            choices = SPACE.choices(contest[0][1])[0].tolist()
            edge, shift = int(rng.integers(6)), int(rng.integers(4))
            choices[edge] = (choices[edge] + 1 + shift) % 5
            expected = SPACE.genotype(np.array(choices))
        assert genotype == expected
        alive = [*alive, (accuracy, genotype)][-10:]


# --- REINFORCE ----------------------------------------------------------------------------------


def test_policy_gradient_is_exact_in_expectation():
    """Sum over all 27 choices of p * gradient, against the gradient of the expected reward."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, 3, 3))
    rewards = rng.random((3, 3, 3))
    shares = policy(logits)
    expected = np.zeros_like(logits)
    for choice in itertools.product(range(3), repeat=3):
        p = np.prod([shares[0, edge, op] for edge, op in enumerate(choice)])
        one_hot = np.eye(3)[list(choice)][None]
        # Any baseline that doesn't look at the choice leaves the expectation as it is.
        expected += p * loss_gradient(logits, one_hot, rewards[choice] - 0.37)

    alpha = torch.tensor(logits, requires_grad=True)
    p = alpha.softmax(-1)[0]
    mean = torch.einsum("a,b,c,abc->", p[0], p[1], p[2], torch.tensor(rewards))
    (exact,) = torch.autograd.grad(-mean, alpha)
    np.testing.assert_allclose(expected, exact.numpy(), atol=1e-12)


def test_the_policy_draws_its_shares():
    method = Reinforce(ReinforceSettings(), SPACE)
    rng = np.random.default_rng(0)
    method.ask(rng)
    method.logits = torch.tensor(np.log([[[0.1, 0.4, 0.2, 0.25, 0.05]] * 6]))
    draws = np.concatenate([SPACE.choices(method.ask(rng))[0] for _ in range(2000)])
    counts = np.bincount(draws, minlength=5)
    shares = np.array([0.1, 0.4, 0.2, 0.25, 0.05])
    assert chisquare(counts, shares * counts.sum()).pvalue > 0.001


def test_baseline_and_step():
    """An exponential mean without the pull of its start, and Adam written out."""
    method = Reinforce(ReinforceSettings(lr=0.5), SPACE)
    rng = np.random.default_rng(1)
    rewards, m, v, logits = [], 0.0, 0.0, None
    for step, accuracy in enumerate([50.0, 90.0, 10.0, 70.0], start=1):
        genotype = method.ask(rng)
        before = method.logits.numpy().copy()
        if logits is not None:
            np.testing.assert_allclose(before, logits, atol=1e-12)
        method.tell(genotype, accuracy)
        rewards.append(accuracy / 100)
        weights = 0.9 ** np.arange(len(rewards))[::-1]
        baseline = (weights * rewards).sum() / weights.sum()
        assert method.baseline == pytest.approx(baseline)
        one_hot = np.eye(5)[SPACE.choices(genotype)]
        shares = np.exp(before) / np.exp(before).sum(-1, keepdims=True)
        gradient = -(rewards[-1] - baseline) * (one_hot - shares)
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        update = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        logits = before - 0.5 * update


def test_the_policys_own_answer(table):
    job = whole({"name": "reinforce", "answer": "policy", "lr": 1.0}, table)
    found = job.method.answer(job.history)
    assert found == SPACE.discretise(policy(job.method.logits.numpy()))


# --- budgets, resuming, training ----------------------------------------------------------------


def test_a_budget_of_simulated_seconds(table):
    job = whole("random", table, budget_s=1250.0)
    assert len(job.history) == 12  # the thirteenth would go over
    both = whole("random", table, budget_s=1250.0, queries=5)
    assert both.history == job.history[:5]
    assert both.history[0][2] == 100.0
    with pytest.raises(UserError, match="budget_s=50"):
        start(config("random", table, budget_s=50.0), None, CPU).step()


class Counting(Benchmark):
    """Dear answers, made from the index."""

    cheap = False

    def query(self, genotype: str) -> Answer:
        return Answer(SPACE.index(genotype) / 200, 1.0)


@pytest.mark.parametrize("method", ASKING)
def test_resume_after_any_query_is_the_same_search(table, tmp_path, method):
    settings = config(method, table, queries=25, seed=4)
    job = BlackBoxRun(settings, Counting())
    records = []
    for k in range(25):
        checkpoint.save(job.state_dict(), tmp_path / f"{k}.pt")
        records.append({key: v for key, v in job.step().items() if key != "wall_s"})
    assert [r["status"] for r in records] == ["running"] * 24 + ["done"]
    assert [r["queries"] for r in records] == list(range(1, 26))
    for k in (0, 1, 9, 10, 11, 24):
        other = BlackBoxRun(settings, Counting())
        other.load_state_dict(checkpoint.load(tmp_path / f"{k}.pt", settings.canonical_json()))
        again = [other.step() for _ in range(25 - k)]
        assert [{key: v for key, v in r.items() if key != "wall_s"} for r in again] == records[k:]


def test_cells_trained_on_demand():
    raw = {
        "method": "rea",
        "data": {"name": "digits", "train_images": 64},
        "queries": 3,
        "benchmark": {"train": {"epochs": 1, "channels": 4, "cells": 1, "batch_size": 16}},
    }
    runs = []
    for _ in range(2):
        job = start(run_config(raw), None, CPU)
        runs.append([job.step() for _ in range(3)])
        assert job.config.steps == 3
        for genotype, accuracy, cost in job.history:
            assert 0 <= accuracy <= 100
            assert cost is None
            assert SPACE.canonical(genotype) in job.benchmark.known
    plain = [[{k: v for k, v in r.items() if k != "wall_s"} for r in run] for run in runs]
    assert plain[0] == plain[1]


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("over", "named"),
    [
        ({"benchmark": {}}, r"benchmark\.table="),
        ({"benchmark": {"table": "t", "train": {}}}, r"benchmark\.table=.*one benchmark"),
        ({"benchmark": {"train": {}}, "budget_s": 5.0}, "budget_s=5"),
        ({"data": {"name": "cifar10", "train_images": 100}}, "train_images=100"),
        ({"queries": 0}, "queries"),
        ({"benchmark": {"table": "t", "tabel": 1}}, "tabel"),
        ({"benchmark": {"train": {"epoch": 3}}}, "epochs"),
    ],
)
def test_wrong_settings(table, over, named):
    with pytest.raises(UserError, match=named) as caught:
        config("random", table, **over)
    assert "\n" not in str(caught.value)


def test_wrong_tables(tmp_path):
    good = made_table(tmp_path / "good.parquet")
    with pytest.raises(UserError, match=r"missing\.parquet"):
        TabularBenchmark(tmp_path / "missing.parquet", "cifar10")
    (tmp_path / "cut.parquet").write_bytes(good.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut\.parquet"):
        TabularBenchmark(tmp_path / "cut.parquet", "cifar10")
    with pytest.raises(UserError, match="digits"):
        TabularBenchmark(good, "digits")
    with pytest.raises(UserError, match="cifar100_valid_acc_12"):
        TabularBenchmark(good, "cifar100")
    with pytest.raises(UserError, match=r"lacks .*cifar10valid_train_time.* set queries"):
        TabularBenchmark(good, "cifar10", timed=True)
    times = np.full(SPACE.size, np.nan)
    times[:1000] = 3.0
    gaps = made_table(tmp_path / "gaps.parquet", cifar10valid_train_time_s_12=times)
    with pytest.raises(UserError, match=r"1000 of 15625.*queries"):
        TabularBenchmark(gaps, "cifar10", timed=True)


def test_a_fixed_cell():
    job = start(run_config({"method": "fixed", "seed": 9}), None, CPU)
    record = job.step()
    assert record["genotype"] == SPACE.cell(11472)
    assert job.config.label == "ResNet"
    other = run_config({"method": {"name": "fixed", "cell": SPACE.cell(0)}})
    assert start(other, None, CPU).step()["genotype"] == SPACE.cell(0)
    assert other.label == SPACE.cell(0)
    with pytest.raises(UserError, match="nonsense"):
        run_config({"method": {"name": "fixed", "cell": "nonsense"}})


# --- the real table -----------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.table
def test_published_means_on_the_real_table(nb201_table, tmp_path):
    """200 seeds, 100 queries. Published CIFAR-10 test means are of about as many trainings
    (12,000 s) but another random trial's rewards: a fifth of a percent covers that and the
    standard error (0.36 / sqrt(200) = 0.03)."""
    path = tmp_path / "nb201.parquet"
    nb201_table[["arch", "cifar10_valid_acc_12"]].to_parquet(path)
    test = dict(zip(nb201_table["arch"], nb201_table["cifar10_test_acc_200"], strict=True))
    means = {}
    for method in ASKING:
        answers = []
        for seed in range(200):
            job = start(config(method, path, seed=seed), None, CPU)
            answers.append(test[job.step()["genotype"]])
        means[method] = float(np.mean(answers))
    assert means["random"] == pytest.approx(93.70, abs=0.2)
    assert means["reinforce"] == pytest.approx(93.85, abs=0.3)
    assert means["rea"] > means["random"]
